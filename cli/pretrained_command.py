"""The command `pretrained`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bitwright.cli.console import note, out
from bitwright.cli.experiment import Experiment
from bitwright.cli.run_folder import RunFolder
from bitwright.models.pretrained_file import FOLDER, PREFIX, SUFFIX, names, read


def pretrained(
    pack: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Make such a file from a run that was exported, and is exact, instead."),
    ] = None,
    name: Annotated[str, typer.Option(help="With --pack: the network's name; the run's, if left out.")] = "",
    out_dir: Annotated[Path, typer.Option(help="With --pack: where the file goes.")] = FOLDER,
) -> None:
    """List the trained networks that come with the package, to try export, C simulation and RTL without training.

      bitwright export pretrained:digits_mlp_w6a6

      bitwright hls    pretrained:digits_mlp_w6a6

    Each is unpacked into a run of its own below --runs-dir, like one that was trained there. Those of the digits need
    no data set; the others fetch theirs. jets_sample_mlp_w6a6 was trained on 700 jets and scored on 300 others.
    """
    if pack is not None:
        # Imports torch
        from bitwright.cli import stage_pretrained  # noqa: PLC0415

        path = stage_pretrained.pack(RunFolder(pack), name or pack.resolve().name, out_dir)
        note(f"pretrained: {path}, {path.stat().st_size:,} bytes")
        return
    table = Table(title="trained networks of the package")
    for heading in ("name", "data", "network", "widths", "test accuracy", "bytes"):
        table.add_column(heading, justify="right" if heading in ("test accuracy", "bytes") else "left")
    for each in names():
        found = read(each)
        experiment = Experiment.model_validate({**found.experiment, "name": each})
        recipe = experiment.recipe
        widths = "a layer" if recipe.layers else f"{recipe.weight_bit_width}, {recipe.activation_bit_width} bits"
        size = (FOLDER / f"{each}{SUFFIX}").stat().st_size
        accuracy = f"{found.accuracy['test']:.2%}"
        table.add_row(f"{PREFIX}{each}", experiment.data.name, experiment.model.kind, widths, accuracy, f"{size:,}")
    out.print(table)
