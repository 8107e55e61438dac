"""The command line of `estimate`; what it needs is imported when it is called."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from bitwright.cli.arguments import DEFAULT, AllowApproximate, InputType, Overrides, RunsDir

Format = Literal["table", "json"]


def estimate(
    network: Annotated[
        Path,
        typer.Argument(
            metavar="EXPERIMENT|RUN|MODEL.onnx",
            help="An experiment or the folder of its run, exported; or a QONNX file.",
        ),
    ] = DEFAULT,
    overrides: Overrides = None,
    runs_dir: RunsDir = Path("runs"),
    part: Annotated[str | None, typer.Option(help="Device, as the vendor spells it.")] = None,
    backend: Annotated[str | None, typer.Option(help="Vitis or Vivado.")] = None,
    io_type: Annotated[str | None, typer.Option(help="io_parallel or io_stream.")] = None,
    strategy: Annotated[str | None, typer.Option(help="Latency or Resource.")] = None,
    reuse_factor: Annotated[int | None, typer.Option(help="Times each multiplier is used.")] = None,
    clock_period_ns: Annotated[float | None, typer.Option(help="Period of the clock to reach, in ns.")] = None,
    fit: Annotated[
        bool,
        typer.Option("--fit", help="Propose the strategy and reuse factor of the highest rate that fits the part."),
    ] = False,
    target_rate_mhz: Annotated[
        float | None,
        typer.Option(help="Propose the smallest strategy and reuse factor of so many inferences in a microsecond."),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="table or json.")] = "table",
    input_type: InputType = None,
    allow_approximate: AllowApproximate = False,
) -> None:
    """Estimate what the hls4ml project would cost, layer by layer, before anything is built.

    Options that are left out are those of the experiment. Prints how far such estimates were from what C synthesis
    reported. Exit status 1 where synthesis would refuse the project, or the part does not hold it.
    """
    from bitwright.cli import stage_estimate  # noqa: PLC0415 - each command imports what it alone needs

    wanted = {
        "part": part,
        "backend": backend,
        "io_type": io_type,
        "strategy": strategy,
        "reuse_factor": reuse_factor,
        "clock_period_ns": clock_period_ns,
    }
    source = stage_estimate.read(
        network, runs_dir, overrides or (), input_type=input_type, allow_approximate=allow_approximate
    )
    good = stage_estimate.estimate(
        source,
        {name: value for name, value in wanted.items() if value is not None},
        form,
        fit=fit,
        target_rate_mhz=target_rate_mhz,
    )
    if not good:
        raise typer.Exit(1)
