"""What `prune` says of a network: its figure, weights, bits, and the LUT that they would take."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from bitwright.cli.console import note, out
from bitwright.cli.run_folder import RunFolder
from bitwright.hls.target import Target
from bitwright.models.pruning_settings import PruningSettings

if TYPE_CHECKING:
    from torch import nn

    from bitwright.models.checkpoint import NetworkDescription
    from bitwright.models.dataset import DataSet

STAGES = ("before", "pruned", "retrained")


def figures(
    network: "nn.Module", description: "NetworkDescription", data: "DataSet", target: Target | None
) -> dict[str, Any]:
    """Return what pruning.json says of a network.

    Args:
        network: In eval mode.
        description: Of it.
        data: Validation and test parts are used.
        target: What the LUT are estimated for; None: they are not.
    """
    from bitwright.calibration.evaluate import scores  # noqa: PLC0415 - torch takes seconds
    from bitwright.models.figure import figure_of, measured  # noqa: PLC0415
    from bitwright.models.pruning import weights_of  # noqa: PLC0415

    kind = description.model.kind
    return {
        figure_of(kind): {
            name: measured(kind, scores(network, split, data.input_scale), split, data.input_scale)
            for name, split in (("validation", data.validation), ("test", data.test))
        },
        "layers": [asdict(layer) for layer in weights_of(network)],
        "lut": _lut(network, description, target) if target else None,
    }


def _lut(network: "nn.Module", description: "NetworkDescription", target: Target) -> dict[str, int] | None:
    """Return the LUT of the hls4ml project and of unrolled logic, as `estimate` has them; None if there are none."""
    from bitwright.cli.search_lowering import lowered  # noqa: PLC0415 - torch takes seconds
    from bitwright.estimates import network as estimates  # noqa: PLC0415
    from bitwright.estimates.describe import describe  # noqa: PLC0415
    from bitwright.estimates.settings import settings_of  # noqa: PLC0415
    from bitwright.export.precision import minimal  # noqa: PLC0415
    from bitwright.rtl.size import lut_estimates  # noqa: PLC0415

    if description.recipe.is_float:
        note("prune: no LUT of a float network; make it one of integers with `bitwright calibrate`")
        return None
    try:
        program = lowered(network, description.input_shape).program
        settings = settings_of(target)
        layers = describe(program, minimal(program), settings.part.speed)
        return {
            "hls4ml": round(estimates.estimate(layers, settings).cells.lut),
            "unrolled": round(sum(lut_estimates(program).values())),
        }
    except ValueError as error:
        note(f"prune: no LUT: {error}")
        return None


def show(run: RunFolder, report: Mapping[str, Any]) -> None:
    """Print what the pruning came to.

    Args:
        run: The new run.
        report: Its pruning.json.
    """
    from bitwright.models.figure import Figure, in_words, name_in_words  # noqa: PLC0415 - torch takes seconds

    last = report.get("retrained", report["pruned"])
    figure: Figure = "accuracy" if "accuracy" in last else "mean_squared_error"
    before = {layer["name"]: layer for layer in report["before"]["layers"]}
    table = Table(title=f"{run.path}: pruned, {PruningSettings(**report['settings']).words}", title_justify="left")
    table.add_column("layer", overflow="fold")
    for column in ("weights", "left", "not zero before", "now", "zeros", "bits before", "now"):
        table.add_column(column, justify="right")
    for layer in last["layers"]:
        table.add_row(layer["name"], *_row(before[layer["name"]], layer))
    table.add_section()
    table.add_row("all", *_row(_sum(report["before"]["layers"]), _sum(last["layers"])))
    out.print(table)
    for part in ("validation", "test"):
        steps = [
            f"{in_words(figure, report[stage][figure][part])} {'trained further' if stage == 'retrained' else stage}"
            for stage in STAGES
            if stage in report
        ]
        out.print(f"{name_in_words(figure)}, {part}: {', '.join(steps)}", markup=False)
    if report["before"]["lut"] and last["lut"]:
        for kind, said in (("hls4ml", "hls4ml project"), ("unrolled", "unrolled logic (`bitwright rtl`)")):
            first, now = report["before"]["lut"][kind], last["lut"][kind]
            out.print(f"LUT, estimate, {said}: {first:,} before, {now:,} now", markup=False)


def _row(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    zeros = 1 - after["nonzero"] / after["weights"]
    counts = (before["weights"], after["weights"], before["nonzero"], after["nonzero"])
    return *(f"{count:,}" for count in counts), f"{zeros:.1%}", f"{before['bits']:,}", f"{after['bits']:,}"


def _sum(layers: list[Mapping[str, Any]]) -> dict[str, int]:
    return {key: sum(layer[key] for layer in layers) for key in ("weights", "nonzero", "bits")}
