"""The figures on a terminal."""

from collections.abc import Sequence
from typing import Literal

from rich.table import Table
from rich.text import Text

from bitwright.cli.console import out
from bitwright.cli.report_sheet import Sheet, sections
from bitwright.reports.report import ProjectReport

WIDEST = 10_000
"""Columns that no table takes."""


def show(projects: Sequence[ProjectReport]) -> None:
    """Print every project's tables and the notes on them."""
    for section in sections(projects):
        out.print(Text(section.heading, style="bold"))
        for sheet in section.sheets:
            table = _table(sheet)
            whole = out.measure(table, options=out.options.update(max_width=WIDEST)).minimum
            out.print(table, width=max(out.width, whole), crop=False)
        for note in section.notes:
            out.print(Text(f"note: {note}"))


def _table(sheet: Sheet) -> Table:
    """Return a table whose figures stay whole where the terminal is narrow; names and headers are folded."""
    table = Table(title=Text(sheet.title), title_justify="left")
    for index, column in enumerate(sheet.header):
        figures = (row[index] for row in sheet.rows) if index else ()
        longest = max(map(len, (*figures, *column.split())))
        justify: Literal["left", "right"] = "right" if index else "left"
        table.add_column(Text(column), overflow="fold", justify=justify, min_width=longest)
    for row in sheet.rows:
        table.add_row(*map(Text, row))
    return table
