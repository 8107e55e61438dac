"""The command line of `report`; what it needs is imported when it is called."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Format = Literal["table", "csv", "md", "json", "html"]


def report(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="hls4ml projects, ours or not, or folders of runs.")
    ],
    form: Annotated[
        Format, typer.Option("--format", help="table, csv, md, json, or html (one page that needs nothing else).")
    ] = "table",
) -> None:
    """Show what Vivado and Vitis report: latency, clock, cells, timing and power, each with its stage and tool.

    Reads C synthesis, co-simulation, logic synthesis, place-and-route and power, of one project or many, of Vivado HLS
    and Vitis HLS. Exit status 1 where a report is missing or damaged.
    """
    from bitwright.cli import report as reports  # noqa: PLC0415 - each command imports what it alone needs

    if not reports.report(paths, form):
        raise typer.Exit(1)
