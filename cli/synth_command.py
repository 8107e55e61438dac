"""The command line of `synth`; what it needs is imported when it is called."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from bitwright.cli.arguments import DEFAULT, Overrides, RunsDir
from bitwright.cli.named_run import exported
from bitwright.cli.page_command import write_and_say
from bitwright.synth.yosys import Family

Size = Literal["25k", "45k", "85k"]


def synth(
    experiments: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="EXPERIMENT|RUN",
            help="Experiments' TOML files, or folders of runs.",
            show_default=str(DEFAULT),
        ),
    ] = None,
    overrides: Overrides = None,
    runs_dir: RunsDir = Path("runs"),
    family: Annotated[
        list[Family] | None,
        typer.Option(
            help="Device family for Yosys: xc7 (7-series), xcup (UltraScale+). Repeat it.", show_default="both"
        ),
    ] = None,
    place_and_route: Annotated[
        bool, typer.Option("--place-and-route", help="Place and route on a Lattice ECP5, too: minutes.")
    ] = False,
    ecp5_device: Annotated[Size, typer.Option(help="Size of the ECP5.")] = "85k",
    seed: Annotated[int, typer.Option(min=0, help="Of the placement on the ECP5.")] = 1,
    vendor: Annotated[bool, typer.Option(help="C synthesis by Vitis or Vivado, where one is on the PATH.")] = True,
    cosim: Annotated[bool, typer.Option("--cosim", help="Co-simulation by the vendor's tool, too.")] = False,
    export_ip: Annotated[bool, typer.Option("--export-ip", help="IP export by the vendor's tool, too.")] = False,
    vsynth: Annotated[bool, typer.Option("--vsynth", help="Logic synthesis of the HLS project by Vivado.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Runs side by side.")] = 1,
) -> None:
    """Synthesise: Yosys for Xilinx devices, nextpnr for a Lattice ECP5, Vitis or Vivado where they are there.

    Yosys and nextpnr take the design that `bitwright rtl` wrote; the vendor's tools the hls4ml project, after a check
    for C++ that HLS would refuse. Figures and logs lie in synth/ of the run's folder. A step whose inputs did not
    change is not done again. Exit status 1 where a step failed, or none could be done.
    """
    from bitwright.cli import stage_synth  # noqa: PLC0415 - each command imports what it alone needs

    steps = [name for name, wanted in (("cosim", cosim), ("export", export_ip), ("vsynth", vsynth)) if wanted]
    wanted = stage_synth.Wanted(
        families=tuple(dict.fromkeys(family or Family)),
        ecp5=ecp5_device if place_and_route else None,
        seed=seed,
        steps=("csynth", *steps) if vendor else (),
    )
    runs = [exported(experiment, runs_dir, overrides or ())[0] for experiment in experiments or [DEFAULT]]
    good = stage_synth.synth(runs, wanted, jobs)
    for run in runs:
        if (run.path / "synth").exists():
            write_and_say(run)
    if not good:
        raise typer.Exit(1)
