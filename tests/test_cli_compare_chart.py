"""The charts of a comparison: where points and names stand."""

from typing import Any

import pytest

from bitwright.cli.compare_chart import HEIGHT, WIDTH, charts
from bitwright.cli.compare_label import CHARACTER, Box, place


def row(name: str, accuracy: float, bits: int, deviation: float | None = None, data: str = "mnist") -> dict[str, Any]:
    """A row of the JSON, as far as charts look at it."""
    spread = {"mean": accuracy, "standard_deviation": deviation}
    return {"name": name, "data": data, "accuracy": spread, "weight_bits": bits, "bit_operations": None, "hardware": {}}


def test_points_stand_by_cost_and_accuracy() -> None:
    (chart,) = charts([row("mnist_a", 0.99, 1000), row("b", 0.985, 100, 0.002), row("c", 0.98, 200)])
    assert (chart.data, chart.cost, chart.path) == ("mnist", "bits of the weights", ("weight_bits",))
    best, small, worst = chart.points
    assert best.x > worst.x > small.x
    assert best.y < small.y < worst.y
    assert round((best.x - worst.x) / (worst.x - small.x), 2) == pytest.approx(2.32, abs=0.02)  # log 5 / log 2
    assert (best.low, best.high) == (best.y, best.y)
    assert small.high < small.y < small.low
    assert chart.spread
    assert [point.label.text for point in chart.points] == ["a", "b", "c"]
    assert chart.front == f"M{small.x:g},{small.y:g}H{best.x:g}V{best.y:g}"


def test_each_data_set_has_its_charts() -> None:
    rows = [row("a", 0.9, 10, data="digits"), row("b", 0.8, 20, data="digits"), row("c", 0.9, 10), row("d", 0.8, 20)]
    for each in rows[2:]:
        each["bit_operations"] = 5
    found = charts([*rows, row("alone", 0.9, 10, data="jets")])
    assert [(chart.data, chart.cost) for chart in found] == [
        ("digits", "bits of the weights"),
        ("mnist", "bits of the weights"),
        ("mnist", "bit operations of one inference"),
    ]


def test_errors_far_apart_are_drawn_by_their_logarithm() -> None:
    (chart,) = charts([row("a", 0.995, 10), row("b", 0.99, 20), row("c", 0.98, 30)])
    assert not chart.logarithmic
    (chart,) = charts([row("a", 0.995, 10), row("b", 0.99, 20), row("c", 0.96, 30)])
    assert chart.logarithmic
    a, b, c = (point.y for point in chart.points)
    assert (c - b) / (b - a) == pytest.approx(2, abs=0.02)
    assert [tick.text for tick in chart.y_ticks] == ["99.5 %", "99 %", "98 %"]
    (chart,) = charts([row("a", 1.0, 10), row("b", 0.5, 20)])
    assert not chart.logarithmic


def test_one_cost_and_one_accuracy_can_be_drawn() -> None:
    (chart,) = charts([row("a", 0.9, 10), row("b", 0.9, 10)])
    assert len({(point.x, point.y) for point in chart.points}) == 1
    assert all(0 < point.x < WIDTH and 0 < point.y < HEIGHT for point in chart.points)


def test_labels_cover_neither_each_other_nor_points() -> None:
    points = [Box(x - 4, y - 4, x + 4, y + 4) for x, y in [(300, 50), (304, 52), (310, 50), (312, 58), (600, 55)] * 2]
    texts = [f"lenet5_float_{n}" for n in range(10)]
    found = place(texts, points, Box(0, 0, 640, 340))
    assert [label.text for label in found] == texts
    boxes = [Box(label.x, label.y - 9.5, label.x + CHARACTER * len(label.text), label.y + 2.5) for label in found]
    for index, box in enumerate(boxes):
        assert all(box.common(other) < 1 for other in (*boxes[:index], *points))
        assert box.beyond(Box(0, 0, 640, 340)) == 0
    assert found[0].line == ""
    assert any(label.line for label in found)
