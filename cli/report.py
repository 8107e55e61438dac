"""The command `report`: the figures of the vendor's tools, of any hls4ml project, one or many."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.text import Text

from bitwright.cli.console import err
from bitwright.cli.report_data import csv_text, json_text
from bitwright.cli.report_page import html_text, markdown_text
from bitwright.cli.report_sheet import clean
from bitwright.cli.report_table import show
from bitwright.reports.folder import read_project
from bitwright.reports.report import ProjectReport

TEXTS: dict[str, Callable[[Sequence[ProjectReport]], str]] = {
    "csv": csv_text,
    "md": markdown_text,
    "json": json_text,
    "html": html_text,
}


def report(paths: Sequence[Path], form: str) -> bool:
    """Print every figure that lies below the folders; return whether all that is there could be read.

    Args:
        paths: hls4ml projects, ours or not, or folders of runs.
        form: How to print them on standard output: table, csv, md, json or html. What could not be
            read is told on standard error besides.

    Raises:
        ValueError: If a path is no project.
    """
    projects = [project for path in dict.fromkeys(paths) for project in read_project(path)]
    if form == "table":
        show(projects)
    else:
        sys.stdout.write(TEXTS[form](projects))
    for project in projects:
        for problem in project.problems:
            err.print(Text(clean(problem), style="red"))
    return not any(project.problems for project in projects)
