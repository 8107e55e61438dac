"""A comparison as a page of HTML: every number that it shows is looked up in the JSON that it embeds."""

from collections.abc import Mapping
from importlib import resources
from typing import Any

from markupsafe import Markup, escape

from bitwright.cli.compare_chart import charts
from bitwright.cli.compare_data import Comparison
from bitwright.cli.compare_sheets import BLANKS, Cell, notes, sheets
from bitwright.cli.page_draw import environment_of, figure, json_text


def html_text(comparison: Comparison) -> str:
    """Return one page of HTML without script or link; text that comes from files stays text.

    >>> "<h1>Comparison of runs</h1>" in html_text(Comparison((), None, (), {}))
    True
    """
    environment = environment_of(_template)
    data = comparison.data()
    text = environment.get_template("compare.html").render(
        data=data,
        json=json_text(data),
        sheets=[
            (sheet, [[cell_markup(data, n, cell) for cell in cells] for n, cells in enumerate(sheet.cells)])
            for sheet in sheets(data)
        ],
        charts=charts(data["rows"]),
        notes=notes(data),
        blanks=BLANKS.replace("`", ""),
        figure=lambda path, form="", tag="span": figure(data, path.split("."), form, tag),
        figure_at=lambda path: figure(data, path),
    )
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii") + "\n"  # readable in whatever encoding it is kept


def cell_markup(data: Mapping[str, Any], row: int, cell: Cell) -> Markup:
    """Return a cell whose figures say where in the JSON they stand.

    >>> cell_markup({"rows": [{}]}, 0, "<not run>")
    Markup('&lt;not run&gt;')
    """
    if isinstance(cell, str):
        return escape(cell)
    parts = (escape(part.before) + figure(data, ["rows", row, *part.path], part.form) for part in cell)
    return Markup("").join(parts)


def _template(name: str) -> str:
    return resources.files("bitwright.cli").joinpath("templates", name).read_text(encoding="utf-8")
