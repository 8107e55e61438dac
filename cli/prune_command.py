"""The command line of `prune`; what it needs is imported when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from bitwright.cli.arguments import DataDir, Overrides, RunsDir
from bitwright.cli.page_command import write_and_say
from bitwright.models.pruning_settings import PruningSettings, Scope


def prune(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|CHECKPOINT|EXPERIMENT",
            help="A trained network of any widths: the folder of its run, the checkpoint in it, or its experiment.",
        ),
    ],
    overrides: Overrides = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = Path("runs"),
    structure: Annotated[
        str,
        typer.Option(
            metavar="weights|channels|N:M",
            help="What goes: single weights; channels, which leave the network and make it smaller; or, as 2:4, of "
            "each 4 neighbouring weights all but the 2 largest.",
        ),
    ] = "weights",
    share: Annotated[
        float | None,
        typer.Option(help="Of the weights or channels that go, from 0 to below 1; not for N:M.", show_default="0.5"),
    ] = None,
    scope: Annotated[
        Scope,
        typer.Option(help="Whether the smallest are sought in each layer, or in all together."),
    ] = "layer",
    epochs: Annotated[
        int | None,
        typer.Option(
            min=0, help="To train the pruned network further; 0: not at all.", show_default="a third of the run's"
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the new run.", show_default="the run's, with _pruned behind it")
    ] = None,
) -> None:
    """Prune a trained network by magnitude and train it further: a run of its own.

    Weights that are zero stay zero while it is trained, and cost no logic where
    every weight has its own (`bitwright rtl`, strategy Latency). Channels leave
    the network: every layer, graph and project after it is smaller. Weights of
    1 bit cannot be zero; binary networks lose channels.

    \b
    bitwright prune runs/digits_mlp_w6a6 --share 0.5
    bitwright prune runs/digits_mlp_w6a6 --structure 2:4 --name two_of_four
    bitwright prune runs/digits_cnn_w1a1 --structure channels --share 0.25
    bitwright prune runs/digits_mlp_w6a6 --set train.learning_rate=0.002

    Prints accuracy, weights, bits and estimated LUT, before and after; all of it
    is in pruning.json. `bitwright export` and `bitwright hls` go on from the new
    run, and `prune` and, of a float run, `calibrate`. Interrupted or killed, it
    goes on when called again.
    """  # noqa: D301 - \b keeps the lines of the examples
    # each command imports what it alone needs
    from bitwright.cli import stage_prune  # noqa: PLC0415
    from bitwright.cli.experiment import read  # noqa: PLC0415
    from bitwright.cli.processes import is_first_process  # noqa: PLC0415
    from bitwright.cli.run_folder import EXPERIMENT  # noqa: PLC0415

    settings = PruningSettings(structure, share, scope)
    run = stage_prune.prune(source, runs_dir, data_dir, overrides or (), settings, epochs, name)
    if is_first_process(read(run.path / EXPERIMENT).train):
        write_and_say(run)
