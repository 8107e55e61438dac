"""The geometry of a comparison's charts: accuracy against cost, for each data set and cost, in SVG's units."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from bitwright.cli.compare_hardware import HLS_ESTIMATE, UNROLLED_ESTIMATE
from bitwright.cli.compare_label import Box, Label, place
from bitwright.cli.compare_sheets import value_at
from bitwright.cli.page_calibration_chart import decades, short
from bitwright.cli.page_chart import Tick, ticks

WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 34

COSTS: Mapping[str, tuple[str, ...]] = {
    "bits of the weights": ("weight_bits",),
    "bit operations of one inference": ("bit_operations",),
    f"LUT ({UNROLLED_ESTIMATE})": ("hardware", UNROLLED_ESTIMATE, "lut"),
    f"LUT ({HLS_ESTIMATE})": ("hardware", HLS_ESTIMATE, "lut"),
}
"""The axis of each chart, and where its figure stands in a row; those of other stages get no chart."""

WIDE_ERRORS = 4
"""Errors that differ by this factor are drawn on a logarithmic axis: 99 and 99.5 % are as far apart as 98 and 99 %."""

ERRORS = tuple(factor * 10.0**power for power in range(-4, 0) for factor in (1, 2, 5))
ROOM = 1.08
"""Factor by which a logarithmic axis reaches beyond its points."""


MARKED = 2.6
"""Factor that an axis of costs reaches over at least: it has a mark of 1, 2 or 5 then."""


@dataclass(frozen=True)
class Point:
    """A row.

    Args:
        row: Its index in the JSON.
        x: Of its cost.
        y: Of its mean accuracy.
        low: Of one standard deviation below.
        high: Of one above.
        label: Its name, and where.
    """

    row: int
    x: float
    y: float
    low: float
    high: float
    label: Label


@dataclass(frozen=True)
class CompareChart:
    """Accuracy against one cost.

    Args:
        data: Name of the data set.
        cost: In words.
        path: Where the cost stands in a row.
        points: The rows that have both.
        front: Path along the points that no cheaper one reaches.
        x_ticks: Costs.
        y_ticks: Accuracies.
        logarithmic: Whether the errors are; costs always are.
        spread: Whether any point has more than one seed.
    """

    data: str
    cost: str
    path: tuple[str, ...]
    points: tuple[Point, ...]
    front: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    logarithmic: bool
    spread: bool


def charts(rows: Sequence[Mapping[str, Any]]) -> list[CompareChart]:
    """Return the charts of all data sets; none of a cost that fewer than two rows have.

    Args:
        rows: Of the JSON, those of a data set together.
    """
    return [
        _chart(data, cost, path, points)
        for data, found in groupby(enumerate(rows), key=lambda pair: pair[1]["data"])
        for numbered in [list(found)]
        for cost, path in COSTS.items()
        if len(points := [pair for pair in numbered if pair[1]["accuracy"] and value_at(pair[1], path)]) > 1
    ]


def _chart(
    data: str, cost: str, path: tuple[str, ...], numbered: Sequence[tuple[int, Mapping[str, Any]]]
) -> CompareChart:
    across = _Across([value_at(row, path) for _, row in numbered])
    ends = [end for _, row in numbered for end in _ends(row)]
    up = _Up(min(ends), max(ends))
    placed = []
    for number, row in numbered:
        low, high = (up(end) for end in _ends(row))
        placed.append((number, across(value_at(row, path)), up(row["accuracy"]["mean"]), low, high))
    labels = place(
        [_short_name(row["name"], data) for _, row in numbered],
        [Box(x - 4, min(high, y - 4), x + 4, max(low, y + 4)) for _, x, y, low, high in placed],
        Box(LEFT, TOP - 6, WIDTH, HEIGHT - BOTTOM),
    )
    points = tuple(Point(*each, label) for each, label in zip(placed, labels, strict=True))
    return CompareChart(
        data=data,
        cost=cost,
        path=path,
        points=points,
        front=_front(points),
        x_ticks=tuple(Tick(across(mark), short(mark)) for mark in across.marks),
        y_ticks=tuple(Tick(up(mark), f"{100 * mark:.4g} %") for mark in up.marks),
        logarithmic=up.logarithmic,
        spread=any(row["accuracy"]["standard_deviation"] for _, row in numbered),
    )


def _ends(row: Mapping[str, Any]) -> tuple[float, float]:
    """Return the accuracy one standard deviation below and above, as far as such accuracies exist."""
    mean, deviation = row["accuracy"]["mean"], row["accuracy"]["standard_deviation"] or 0.0
    return max(0.0, mean - deviation), min(1.0, mean + deviation)


class _Across:
    """Places costs, on a logarithmic axis."""

    def __init__(self, costs: Sequence[float]) -> None:
        ratio = max(costs) / min(costs)
        reach = max(ROOM, ratio**0.06, (MARKED / ratio) ** 0.5)
        self._first, self._last = min(costs) / reach, max(costs) * reach
        self.marks = decades(self._first, self._last)

    def __call__(self, cost: float) -> float:
        share = math.log(cost / self._first) / math.log(self._last / self._first)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


class _Up:
    """Places accuracies: by the logarithm of the error where errors differ by much."""

    def __init__(self, lowest: float, highest: float) -> None:
        self.logarithmic = 0 < WIDE_ERRORS * (1 - highest) < 1 - lowest
        if self.logarithmic:
            self._ends = math.log((1 - lowest) * ROOM), math.log((1 - highest) / ROOM)
            inside = [error for error in ERRORS if (1 - highest) / ROOM <= error <= (1 - lowest) * ROOM]
            self.marks = [round(1 - error, 6) for error in inside]
        else:
            self.marks = [mark for mark in ticks(lowest, highest) if mark <= 1]
            self._ends = self.marks[0], self.marks[-1]

    def __call__(self, accuracy: float) -> float:
        first, last = self._ends
        share = ((math.log(1 - accuracy) if self.logarithmic else accuracy) - first) / (last - first)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _short_name(name: str, data: str) -> str:
    """Return a name without the data set's, which the chart's caption has.

    >>> _short_name("mnist_tfc_w1a1", "mnist"), _short_name("fashion_tfc", "fashion-mnist"), _short_name("a", "mnist")
    ('tfc_w1a1', 'tfc', 'a')
    """
    for head in (data, data.partition("-")[0]):
        if name.startswith(f"{head}_"):
            return name.removeprefix(f"{head}_")
    return name


def _front(points: Sequence[Point]) -> str:
    """Return the path along the points that are more accurate than all cheaper ones."""
    return "".join(_steps(points))


def _steps(points: Sequence[Point]) -> Iterator[str]:
    best = math.inf
    for point in sorted(points, key=lambda point: (point.x, point.y)):
        if point.y < best:
            yield f"H{point.x:g}V{point.y:g}" if best < math.inf else f"M{point.x:g},{point.y:g}"
            best = point.y
