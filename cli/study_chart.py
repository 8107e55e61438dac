"""The pictures of studies, as SVG."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bitwright.cli.run_folder import write_text


def accuracy_chart(
    path: Path,
    lines: Mapping[str, Mapping[int, tuple[float, float | None]]],
    in_float: float,
    label: str,
) -> None:
    """Draw accuracy against bits, and the float network's as a line.

    Args:
        path: Of the picture.
        lines: By what each shows: accuracy and standard deviation, if there is one, by the bits.
        in_float: Accuracy.
        label: Of the axis of bits.
    """
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    for marker, (name, points) in zip("osDv^Px*", lines.items(), strict=False):
        widths = sorted(points)
        axes.errorbar(
            widths,
            [100 * points[width][0] for width in widths],
            yerr=[100 * (points[width][1] or 0.0) for width in widths],
            marker=marker,
            markersize=5,
            capsize=3,
            label=name,
        )
    axes.axhline(100 * in_float, linestyle="--", color="0.4", linewidth=1, label="float")
    axes.set_xticks(sorted({width for points in lines.values() for width in points}))
    axes.set(xlabel=label, ylabel="accuracy on test, %")
    axes.legend(loc="lower right")
    _write(figure, path)


def variants_chart(path: Path, variants: Mapping[str, tuple[float, float | None]], label: str) -> None:
    """Draw the accuracy of each variant, with its standard deviation.

    Args:
        path: Of the picture.
        variants: Accuracy and standard deviation, if there is one, by the variant's name.
        label: What varies.
    """
    figure = Figure(figsize=(6.4, 1.2 + 0.4 * len(variants)), layout="constrained")
    axes = figure.subplots()
    axes.errorbar(
        [100 * mean for mean, _ in variants.values()],
        list(variants),
        xerr=[100 * (deviation or 0.0) for _, deviation in variants.values()],
        fmt="o",
        markersize=5,
        capsize=3,
    )
    axes.invert_yaxis()
    axes.margins(y=0.1)
    axes.grid(axis="x", color="0.9")
    axes.set(xlabel="accuracy on test, %", ylabel=label)
    _write(figure, path)


def bars_chart(path: Path, panels: Mapping[str, Mapping[str, Sequence[float]]], names: Sequence[str]) -> None:
    """Draw signal to noise as bars, a panel for each method.

    Args:
        path: Of the picture.
        panels: By its title: decibels of each layer, by what they are of; not finite ones are left out.
        names: Of the layers.
    """
    rows = math.ceil(len(panels) / 2)
    figure = Figure(figsize=(9.6, 3.2 * rows), layout="constrained")
    grid = figure.subplots(rows, 2, sharex=True, sharey=True, squeeze=False)
    spare = grid.flat[len(panels) :]
    for axes, (title, series) in zip(grid.flat, panels.items(), strict=False):
        _bars(axes, series, names)
        axes.set_title(title)
    for axes in grid[:, 0]:
        axes.set_ylabel("signal to noise, dB")
    for axes in spare:
        axes.set_visible(False)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    _write(figure, path)


def ratios_chart(path: Path, parts: Mapping[str, Mapping[str, float]]) -> None:
    """Draw what each kind of network takes, as a share of the float one's.

    Args:
        path: Of the picture.
        parts: By the title of a panel: ratios by the kind.
    """
    figure = Figure(figsize=(8.0, 2.4), layout="constrained")
    for axes, (title, ratios) in zip(figure.subplots(1, len(parts), squeeze=False).flat, parts.items(), strict=True):
        bars = axes.barh(list(ratios), list(ratios.values()))
        axes.bar_label(bars, fmt="%.2f", padding=2)
        axes.axvline(1.0, linestyle="--", color="0.4", linewidth=1)
        axes.margins(x=0.15)
        axes.invert_yaxis()
        axes.set_title(title)
    _write(figure, path)


def _bars(axes: Axes, series: Mapping[str, Sequence[float]], names: Sequence[str]) -> None:
    for place, (kind, values) in enumerate(series.items()):
        axes.bar(
            [number + 0.8 * (place + 0.5) / len(series) - 0.4 for number in range(len(names))],
            [value if math.isfinite(value) else 0.0 for value in values],
            width=0.8 / len(series),
            label=kind,
        )
    axes.set_xticks(range(len(names)), names)


def _write(figure: Figure, path: Path) -> None:
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "bitwright", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    write_text(path, text.getvalue())
