"""The command line of `rtl`; what it needs is imported when it is called."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from bitwright.cli.arguments import DEFAULT, ExperimentArgument, Overrides, RunsDir
from bitwright.cli.named_run import exported
from bitwright.cli.page_command import write_and_say

MOST_LUT = 250_000
"""More are refused unless asked for: alkaid would trace for many minutes."""

Language = Literal["verilog", "vhdl"]


def rtl(
    experiment: ExperimentArgument = DEFAULT,
    overrides: Overrides = None,
    runs_dir: RunsDir = Path("runs"),
    language: Annotated[Language, typer.Option(help="verilog, or vhdl (simulated by way of GHDL).")] = "verilog",
    latency_cutoff: Annotated[
        float, typer.Option(help="Longest delay between two registers, some one for each LUT; less is faster.")
    ] = 5.0,
    reuse_factor: Annotated[
        int,
        typer.Option(min=1, help="Clocks from one input to the next: above 1, logic is used clock after clock."),
    ] = 1,
    most_lut: Annotated[int, typer.Option(min=1, help="Refuse networks whose estimate is above it.")] = MOST_LUT,
) -> None:
    """Write the integer program as pipelined RTL that takes an input every clock, and simulate the whole test set.

    With --reuse-factor K it takes an input every K clocks, with fewer LUT: dense layers and convolutions take their
    input part by part.

    The design lies in rtl/ of the run's folder: sources, a testbench for any Verilog simulator, design.json, scripts
    for Vivado and Quartus. Verilator runs it; needs no licence. Exit status 1 where an integer differs.
    """
    from bitwright.cli import stage_hls, stage_rtl  # noqa: PLC0415 - each command imports what it alone needs

    run, target = exported(experiment, runs_dir, overrides or (), heeded=["hls.part", "hls.clock_period_ns"])
    design, verdict = stage_rtl.rtl(
        run,
        language,
        latency_cutoff,
        most_lut,
        reuse_factor=reuse_factor,
        part=target.part,
        clock_period_ns=target.clock_period_ns,
    )
    stage_rtl.show(run, design)
    stage_hls.show(run, verdict)
    write_and_say(run)
    if not verdict.accepted:
        raise typer.Exit(1)
