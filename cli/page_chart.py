"""The geometry of the page's charts, in the units of their SVG; what they show is in the page's own JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 320, 170
LEFT, RIGHT, TOP, BOTTOM = 42, 10, 10, 30
"""Of line charts: the margins hold the words."""

MOST_TICKS = 5
BARS_WIDTH, BARS_HEIGHT, WIDEST_BAR = 300.0, 64.0, 40.0


@dataclass(frozen=True)
class Tick:
    """A mark on an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Line:
    """A series: points as SVG's polyline takes them, and the ones that stand alone."""

    name: str
    style: str
    points: str
    only: tuple[float, float] | None


@dataclass(frozen=True)
class LineChart:
    """Values over epochs.

    Args:
        title: What is shown.
        lines: The series.
        x_ticks: Epochs.
        y_ticks: Values.
        marked: Where the best epoch stands.
    """

    title: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marked: float | None


@dataclass(frozen=True)
class Bar:
    """A horizontal bar."""

    x: float
    width: float


def ticks(lowest: float, highest: float, most: int = MOST_TICKS) -> list[float]:
    """Return round numbers from at or below the lowest to at or above the highest.

    >>> ticks(0.57, 0.97)
    [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    """
    span = (highest - lowest) or abs(highest) or 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= most)
    first, last = math.floor(lowest / step + 1e-9), math.ceil(highest / step - 1e-9)
    return [round(step * i, 12) for i in range(first, max(last, first + 1) + 1)]


def curves(training: Mapping[str, Any]) -> list[LineChart]:
    """Return the charts of a training: accuracy, and the losses."""
    history, best = training["history"], training["best_epoch"]
    wanted = (
        ("Accuracy", {"validation_accuracy": "validation"}, True),
        ("Loss", {"train_loss": "training", "validation_loss": "validation"}, False),
    )
    charts = []
    for title, names, percent in wanted:
        series = {
            label: [(epoch["epoch"], epoch[name]) for epoch in history if epoch[name] is not None]
            for name, label in names.items()
        }
        if any(series.values()):
            charts.append(line_chart(title, series, best, percent=percent))
    return charts


def line_chart(
    title: str, series: Mapping[str, Sequence[tuple[int, float]]], best: int | None, *, percent: bool
) -> LineChart:
    """Return a chart of series of points ``(epoch, value)``."""
    points = [point for line in series.values() for point in line]
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    marks = ticks(min(y for _, y in points), max(y for _, y in points))
    if percent:
        marks = [mark for mark in marks if mark <= 1]

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - first) / (last - first) if last > first else 0.5
        up = (y - marks[0]) / (marks[-1] - marks[0])
        return round(LEFT + across * (WIDTH - LEFT - RIGHT), 1), round(
            HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM), 1
        )

    epochs = [mark for mark in ticks(first, last) if first <= mark <= last and mark == int(mark)] or [first]
    lines = []
    for name, line in series.items():
        placed = [place(*point) for point in line]
        text = " ".join(f"{x:g},{y:g}" for x, y in placed)
        lines.append(Line(name, name, text, placed[0] if len(placed) == 1 else None))
    return LineChart(
        title=title,
        lines=tuple(lines),
        x_ticks=tuple(Tick(place(epoch, marks[0])[0], f"{int(epoch)}") for epoch in epochs),
        y_ticks=tuple(Tick(place(first, mark)[1], f"{100 * mark:g} %" if percent else f"{mark:g}") for mark in marks),
        marked=place(best, marks[0])[0] if best is not None and first <= best <= last else None,
    )


def histogram(bins: Sequence[Mapping[str, int]]) -> str:
    """Return the path of a histogram's bars, as wide and high as the chart.

    >>> histogram([{"count": 1}, {"count": 2}])
    'M55,64v-32h40v32zM205,64v-64h40v64z'
    """
    most = max(1, *(one["count"] for one in bins))
    pitch = BARS_WIDTH / len(bins)
    width = min(pitch - min(1.5, pitch / 5), WIDEST_BAR)
    return "".join(
        f"M{pitch * (i + 0.5) - width / 2:.4g},{BARS_HEIGHT:g}v-{height:.4g}h{width:.4g}v{height:.4g}z"
        for i, one in enumerate(bins)
        if (height := max(BARS_HEIGHT * one["count"] / most, 0.7 * bool(one["count"])))
    )


def middle_of(bins: Sequence[Mapping[str, int]], index: int) -> float:
    """Return the middle of a bar, for its word: not at the very edge.

    >>> middle_of([{"count": 1}, {"count": 2}], 1)
    225.0
    """
    return min(max(round(BARS_WIDTH / len(bins) * (index + 0.5), 1), 10.0), BARS_WIDTH - 10.0)


def zero_of(bins: Sequence[Mapping[str, int]]) -> int | None:
    """Return the index of the bar with the code 0, or None where it is no code."""
    return next((i for i, one in enumerate(bins) if one["lowest"] <= 0 <= one["highest"]), None)


def spans(values: Mapping[str, Any]) -> list[tuple[str, Bar]]:
    """Return the bars of a layer's values: of its type, of what is proven, and of what was seen, where it was."""
    there = [(name, values[name]) for name in ("holds", "proven", "measured") if values[name] is not None]
    lowest, highest = min(span["lowest"] for _, span in there), max(span["highest"] for _, span in there)
    scale = BARS_WIDTH / (highest - lowest + 1)
    return [
        (
            name,
            Bar(
                round((span["lowest"] - lowest) * scale, 2),
                round(max((span["highest"] - span["lowest"] + 1) * scale, 1.5), 2),
            ),
        )
        for name, span in there
    ]
