"""The pictures of a search, as SVG."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from bitwright.calibration.candidate import Candidate, Cost
from bitwright.calibration.sensitivity import Sensitivity
from bitwright.cli.run_folder import write_text

WORDS: dict[Cost, str] = {
    "weight_bits": "bits of the weights",
    "bit_operations": "effective bit operations",
    "lut": "LUT as unrolled logic, estimated",
    "yosys_lut": "LUT as unrolled logic, by Yosys",
}


def front_chart(
    path: Path,
    tried: Sequence[Candidate],
    best: Sequence[Candidate],
    winner: Candidate | None,
    cost: Cost,
    target: float,
) -> None:
    """Draw accuracy against cost: all candidates, the front, the target and the winner."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    axes.plot(
        [each.cost(cost) for each in tried], [100 * each.accuracy for each in tried], ".", color="0.7", label="tried"
    )
    axes.step(
        [each.cost(cost) for each in best],
        [100 * each.accuracy for each in best],
        where="post",
        marker="o",
        markersize=4,
        label="front",
    )
    if target > 0:
        axes.axhline(100 * target, linestyle="--", color="0.4", linewidth=1, label="target")
    if winner is not None:
        axes.plot([winner.cost(cost)], [100 * winner.accuracy], "*", markersize=14, color="tab:red", label="winner")
    shown = [100 * each.accuracy for each in best]
    if shown:
        low = min(min(shown), 100 * target if target > 0 else 100.0)
        axes.set_ylim(max(0.0, low - 0.25 * (max(shown) - low) - 0.1), max(shown) + 0.1 * (max(shown) - low) + 0.1)
    axes.set_xscale("log")
    axes.set(xlabel=WORDS[cost], ylabel="accuracy on validation, %")
    axes.legend(loc="lower right")
    _write(figure, path)


def sensitivity_chart(path: Path, found: Sequence[Sensitivity]) -> None:
    """Draw what each layer alone loses at each width."""
    rows = list(dict.fromkeys((each.layer, each.part) for each in found))
    widths = sorted({each.bit_width for each in found}, reverse=True)
    figure = Figure(figsize=(6.4, 0.9 + 0.34 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, width in enumerate(widths):
        losses = {(each.layer, each.part): 100 * each.loss for each in found if each.bit_width == width}
        axes.barh(
            [number + 0.8 * (place + 0.5) / len(widths) - 0.4 for number in range(len(rows))],
            [losses.get(row, 0.0) for row in rows],
            height=0.8 / len(widths),
            label=f"{width} bits",
        )
    axes.set_yticks(range(len(rows)), [f"{layer} {part}s" for layer, part in rows])
    axes.invert_yaxis()
    axes.set_xscale("symlog", linthresh=0.1)
    axes.set(xlabel="accuracy lost, points, this tensor alone")
    axes.legend()
    _write(figure, path)


def _write(figure: Figure, path: Path) -> None:
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "bitwright", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    write_text(path, text.getvalue())
