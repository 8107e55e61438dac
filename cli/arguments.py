"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from bitwright.hls.csim_build import Headers

DEFAULT = Path("configs/digits_mlp_w6a6.toml")

ExperimentArgument = Annotated[
    Path,
    typer.Argument(
        metavar="EXPERIMENT|RUN",
        help="An experiment's TOML file (see configs/), the folder of its run, or pretrained:NAME (see `pretrained`).",
    ),
]
FloatNetwork = Annotated[
    Path,
    typer.Argument(
        metavar="RUN|CHECKPOINT|EXPERIMENT",
        help="A trained float network: the folder of its run, the checkpoint in it, or its experiment.",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the data sets.", show_default="BITWRIGHT_DATA, or bitwright/data in the user's cache folder"
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, as in --set train.epochs=3. Repeat it."),
]
CsimHeaders = Annotated[
    Headers,
    typer.Option(
        help="Headers of the C simulation: fast (Bitwright's, checked on the first inputs) or original (hls4ml's)."
    ),
]
CsimInputs = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Test inputs to simulate in C, the first so many; the verdict says so. A large network takes a tenth of a "
        "second an input.",
        show_default="all",
    ),
]
InputType = Annotated[
    str | None,
    typer.Option(help="Type of the input of a network that does not quantise it, as in ap_ufixed<8,0>."),
]
AllowApproximate = Annotated[
    bool,
    typer.Option(help="Carry what the last bit of float32 decides, too, and report how far it is off."),
]
RunsDir = Annotated[Path, typer.Option(help="Where the runs lie.")]
