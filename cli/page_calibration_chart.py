"""The geometry of the pictures of a calibration and a search, in the units of their SVG."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from bitwright.cli.page_chart import BARS_WIDTH, BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Bar, Tick, ticks

WIDE = 8
"""Costs that differ by this factor are drawn on a logarithmic axis."""

LOSSES_LEFT, LOSSES_RIGHT, LOSS_HEIGHT, GROUP_GAP = 90.0, 246.0, 13, 9
"""Of the bars of sensitivity; names stand left of them, numbers right."""

LINEAR_LOSS = 0.05
"""Losses up to this are drawn on a linear axis."""

SMALL_LOSS = 0.001
"""Where the logarithmic axis of losses is linear: up to a tenth of a point."""


@dataclass(frozen=True)
class Mark:
    """A point of the front.

    Args:
        x: Of its cost.
        y: Of its accuracy.
        winner: Whether it is the winner.
    """

    x: float
    y: float
    winner: bool


@dataclass(frozen=True)
class FrontChart:
    """Accuracy against cost.

    Args:
        path: The front's steps: the best accuracy that so much can have.
        marks: Its points, and the winner.
        x_ticks: Costs.
        y_ticks: Accuracies.
        target: Where the least accuracy is, if there is one.
        in_float: Where the float network's is.
        logarithmic: Whether the costs are.
    """

    path: str
    marks: tuple[Mark, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    target: float | None
    in_float: float
    logarithmic: bool


@dataclass(frozen=True)
class LossBar:
    """What a layer alone loses at one width.

    Args:
        index: Of the entry.
        y: Its upper side.
        bar: From 0 to the loss.
        text: Where its number begins.
        gain: Whether it is below 0.
        shade: From 0.4 towards 1 for the last width.
    """

    index: int
    y: int
    bar: Bar
    text: float
    gain: bool
    shade: float


@dataclass(frozen=True)
class LossGroup:
    """A layer's weights or activations, at each width; ``y`` is their upper side."""

    part: str
    y: int
    bars: tuple[LossBar, ...]


@dataclass(frozen=True)
class LossChart:
    """One layer, beside the others on the same scale.

    Args:
        layer: Its name.
        groups: Its weights, its activations.
        height: Of the bars.
    """

    layer: str
    groups: tuple[LossGroup, ...]
    height: int


@dataclass(frozen=True)
class LossCharts:
    """All layers.

    Args:
        layers: In their order.
        ticks: Losses.
        zero: Where no loss is.
        logarithmic: Whether losses are.
    """

    layers: tuple[LossChart, ...]
    ticks: tuple[Tick, ...]
    zero: float
    logarithmic: bool


def front_chart(search: Mapping[str, Any]) -> FrontChart:
    """Return the front of a search."""
    points = search["front"]
    costs, levels = ([point[name] for point in points] for name in (search["cost"], "accuracy"))
    lines = [level for level in (search["target_accuracy"], search["float_accuracy"]) if level is not None]
    y_marks = [mark for mark in ticks(min(levels + lines), max(levels + lines)) if mark <= 1]
    logarithmic = 0 < WIDE * min(costs) < max(costs)
    x_marks = decades(min(costs), max(costs)) if logarithmic else ticks(min(costs), max(costs), 4)
    first, last = (min(costs), max(costs)) if logarithmic else (x_marks[0], x_marks[-1])

    def across(cost: float) -> float:
        share = math.log(cost / first) / math.log(last / first) if logarithmic else (cost - first) / (last - first)
        return round(LEFT + 6 + share * (WIDTH - LEFT - RIGHT - 16), 1)

    def up(level: float) -> float:
        share = (level - y_marks[0]) / (y_marks[-1] - y_marks[0])
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    marks = tuple(
        Mark(across(point[search["cost"]]), up(point["accuracy"]), point["winner"]) for point in search["front"]
    )
    target = search["target_accuracy"]
    return FrontChart(
        path=_steps(marks),
        marks=marks,
        x_ticks=tuple(Tick(across(mark), short(mark)) for mark in x_marks),
        y_ticks=tuple(Tick(up(mark), f"{100 * mark:g} %") for mark in y_marks),
        target=None if target is None else up(target),
        in_float=up(search["float_accuracy"]),
        logarithmic=logarithmic,
    )


def _steps(marks: Sequence[Mark]) -> str:
    """Return the path along the marks that none before beats."""
    path = ""
    best = math.inf
    for mark in sorted(marks, key=lambda mark: (mark.x, mark.y)):
        if mark.y < best:
            path += f"H{mark.x:g}V{mark.y:g}" if path else f"M{mark.x:g},{mark.y:g}"
            best = mark.y
    return f"{path}H{WIDTH - RIGHT:g}"


def decades(lowest: float, highest: float) -> list[float]:
    """Return the numbers 1, 2 and 5 times a power of ten between two; of many decades, the powers alone.

    >>> decades(150, 2500), decades(30, 400000)
    ([200.0, 500.0, 1000.0, 2000.0], [100.0, 1000.0, 10000.0, 100000.0])
    """
    powers = [10.0**power for power in range(math.floor(math.log10(lowest)), math.ceil(math.log10(highest)) + 1)]
    factors = (1,) if highest / lowest > 10**3 else (1, 2, 5)
    return [power * factor for power in powers for factor in factors if lowest <= power * factor <= highest]


def short(value: float) -> str:
    """Return a large number for an axis.

    >>> short(500), short(23500), short(1.2e6), short(3e9)
    ('500', '23.5 k', '1.2 M', '3 G')
    """
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.10g} {unit}"
    return f"{value:.10g}"


def loss_charts(entries: Sequence[Mapping[str, Any]]) -> LossCharts:
    """Return what each layer's weights and activations alone lose at each width."""
    losses = [entry["loss"] for entry in entries]
    lowest, highest = min(0.0, *losses), max(0.0, *losses)
    logarithmic = max(-lowest, highest) > LINEAR_LOSS
    marks = _loss_marks(lowest, highest) if logarithmic else ticks(lowest, highest or SMALL_LOSS, 4)
    scale = _bent if logarithmic else float
    first, last = scale(marks[0]), scale(marks[-1])

    def across(loss: float) -> float:
        return round(LOSSES_LEFT + (scale(loss) - first) / (last - first) * (LOSSES_RIGHT - LOSSES_LEFT), 2)

    return LossCharts(
        layers=tuple(
            _loss_chart(layer, list(found), across)
            for layer, found in groupby(enumerate(entries), key=lambda pair: pair[1]["layer"])
        ),
        ticks=tuple(Tick(across(mark), f"{100 * mark:g}") for mark in marks),
        zero=across(0.0),
        logarithmic=logarithmic,
    )


def _loss_marks(lowest: float, highest: float) -> list[float]:
    """Return 0 and powers of ten on both sides, up to the first that is far enough."""
    powers = [SMALL_LOSS * 10**power for power in range(4)]
    below = [-mark for mark in powers if lowest < 0 and (mark == SMALL_LOSS or -lowest > mark / 10)]
    above = [mark for mark in powers if mark == SMALL_LOSS or highest > mark / 10]
    return [*reversed(below), 0.0, *above]


def _loss_chart(
    layer: str, entries: Sequence[tuple[int, Mapping[str, Any]]], across: Callable[[float], float]
) -> LossChart:
    groups = []
    y = 2
    for part, found in groupby(entries, key=lambda pair: pair[1]["part"]):
        rows = list(found)
        bars = []
        for row, (index, entry) in enumerate(rows):
            zero, end = across(0.0), across(entry["loss"])
            bars.append(
                LossBar(
                    index=index,
                    y=y + LOSS_HEIGHT * row,
                    bar=Bar(min(zero, end), max(round(abs(end - zero), 2), 0.8)),
                    text=max(zero, end) + 4,
                    gain=entry["loss"] < 0,
                    shade=round(0.4 + 0.6 * (row + 1) / len(rows), 2),
                )
            )
        groups.append(LossGroup(part, y, tuple(bars)))
        y += LOSS_HEIGHT * len(rows) + GROUP_GAP
    return LossChart(layer, tuple(groups), y - GROUP_GAP + 3)


def _bent(loss: float) -> float:
    """Return where a loss stands on an axis that is linear up to a small loss, and logarithmic beyond."""
    size = abs(loss) / SMALL_LOSS
    return math.copysign(size if size <= 1 else 1 + math.log10(size), loss)


@dataclass(frozen=True)
class RangeBars:
    """A tensor's range in float, and what the grid holds.

    Args:
        before: In float.
        after: On the grid.
        zero: Where 0 is, if it lies between.
    """

    before: Bar
    after: Bar
    zero: float | None


def range_bars(tensor: Mapping[str, Any]) -> RangeBars:
    """Return a tensor's two bars, on one scale.

    >>> range_bars({"lowest": -1.0, "highest": 2.0, "lowest_held": -1.0, "highest_held": 1.0}).after
    Bar(x=0.0, width=200.0)
    """
    lowest = min(tensor["lowest"], tensor["lowest_held"])
    highest = max(tensor["highest"], tensor["highest_held"])
    scale = BARS_WIDTH / ((highest - lowest) or 1.0)

    def bar(low: float, high: float) -> Bar:
        width = max((high - low) * scale, 1.5)
        return Bar(round(min((low - lowest) * scale, BARS_WIDTH - width), 2), round(width, 2))

    return RangeBars(
        before=bar(tensor["lowest"], tensor["highest"]),
        after=bar(tensor["lowest_held"], tensor["highest_held"]),
        zero=round(-lowest * scale, 2) if lowest <= 0 <= highest else None,
    )
