"""The charts of a calibrated run and of a search's winner: their marks stand where the numbers say."""

from typing import Any

import pytest

from bitwright.cli.page_calibration_chart import front_chart, loss_charts, range_bars


def front_of(costs: list[int], accuracies: list[float], target: float | None) -> dict[str, Any]:
    """A search as the page has it."""
    pairs = zip(costs, accuracies, strict=True)
    points = [{"weight_bits": cost, "accuracy": level, "winner": False} for cost, level in pairs]
    return {"cost": "weight_bits", "front": points, "float_accuracy": 0.95, "target_accuracy": target}


def test_front_rises_to_the_right() -> None:
    chart = front_chart(front_of([100, 150, 150, 300], [0.5, 0.7, 0.6, 0.9], 0.8))
    assert not chart.logarithmic
    places = [(mark.x, mark.y) for mark in chart.marks]
    (x0, y0), (x1, y1), _, (x3, y3) = places
    assert x0 < x1 < x3
    assert y0 > y1 > y3
    assert chart.target is not None
    assert y3 < chart.target < y1
    assert chart.in_float < y3
    assert chart.path == f"M{x0:g},{y0:g}H{x1:g}V{y1:g}H{x3:g}V{y3:g}H310"


def test_front_of_distant_costs_is_logarithmic() -> None:
    chart = front_chart(front_of([100, 1000, 10000], [0.5, 0.7, 0.9], None))
    first, middle, last = (mark.x for mark in chart.marks)
    assert (chart.logarithmic, chart.target) == (True, None)
    assert middle == pytest.approx((first + last) / 2)
    assert [tick.text for tick in chart.x_ticks] == ["100", "200", "500", "1 k", "2 k", "5 k", "10 k"]


@pytest.mark.parametrize("cost", [0, 1, 5000])
def test_front_of_one_point_is_drawn(cost: int) -> None:
    (mark,) = front_chart(front_of([cost], [1.0], None)).marks
    assert 42 <= mark.x <= 310
    assert 0 <= mark.y <= 140


def losses_of(*losses: float) -> list[dict[str, Any]]:
    """Entries as the page has them."""
    return [{"layer": f"fc{i}", "part": "weight", "bit_width": 4, "loss": loss} for i, loss in enumerate(losses)]


def test_losses_of_all_layers_have_one_scale() -> None:
    charts = loss_charts(losses_of(0.01, 0.02, -0.01))
    one, two, gain = (chart.groups[0].bars[0] for chart in charts.layers)
    assert not charts.logarithmic
    assert two.bar.width == pytest.approx(2 * one.bar.width, abs=0.02)
    assert (one.bar.x, one.gain, gain.gain) == (charts.zero, False, True)
    assert gain.bar.x + gain.bar.width == pytest.approx(charts.zero)


def test_large_losses_are_drawn_by_their_logarithm() -> None:
    charts = loss_charts(losses_of(0.001, 0.01, 0.1, 0.5))
    widths = [chart.groups[0].bars[0].bar.width for chart in charts.layers]
    assert charts.logarithmic
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.02)
    assert widths[2] == pytest.approx(3 * widths[0], abs=0.02)
    assert [tick.text for tick in charts.ticks] == ["0", "0.1", "1", "10", "100"]


@pytest.mark.parametrize("losses", [(0.0,), (-0.5,), (1.0,), (-1.0, 1.0), (0.0, 1e-12)])
def test_bars_of_losses_stay_in_the_picture(losses: tuple[float, ...]) -> None:
    charts = loss_charts(losses_of(*losses))
    for chart in charts.layers:
        bar = chart.groups[0].bars[0].bar
        assert 82 < bar.x <= bar.x + bar.width <= 247


def test_ranges_have_one_scale() -> None:
    bars = range_bars({"lowest": -1.0, "highest": 3.0, "lowest_held": -1.5, "highest_held": 1.5})
    assert bars.before.width == pytest.approx(300 * 4 / 4.5, abs=0.01)
    assert bars.after.width == 200
    assert (bars.after.x, bars.zero) == (0.0, 100.0)


@pytest.mark.parametrize("ends", [(0.0, 0.0), (2.0, 2.0), (-3.4e38, 3.4e38)])
def test_ranges_at_the_limits_are_drawn(ends: tuple[float, float]) -> None:
    bars = range_bars({"lowest": ends[0], "highest": ends[1], "lowest_held": 0.0, "highest_held": 1.0})
    assert all(0 <= bar.x <= bar.x + bar.width <= 300 for bar in (bars.before, bars.after))
