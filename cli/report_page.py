"""The figures as pages: Markdown, and HTML that needs nothing beside itself."""

import re
from collections.abc import Iterator, Sequence
from importlib import resources

from jinja2 import Environment, StrictUndefined

from bitwright.cli.report_sheet import Sheet, sections
from bitwright.reports.report import ProjectReport

MARKUP = re.compile(r"([\\`*_\[\]<>|#&~])")
"""Characters that Markdown takes as its own."""


def markdown_text(projects: Sequence[ProjectReport]) -> str:
    r"""Return Markdown; text that comes from files stays text.

    >>> print(markdown_text([ProjectReport("my_run", "", "net", (), notes=("a|b",))]), end="")
    ## my\_run
    <BLANKLINE>
    - note: a\|b
    """
    parts = []
    for section in sections(projects):
        parts.append(f"## {_plain(section.heading)}")
        parts += ["\n".join(_markdown(sheet)) for sheet in section.sheets]
        lines = [f"- note: {_plain(note)}" for note in section.notes]
        lines += [f"- problem: {_plain(problem)}" for problem in section.problems]
        if lines:
            parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _plain(text: str) -> str:
    return MARKUP.sub(r"\\\1", text)


def _markdown(sheet: Sheet) -> Iterator[str]:
    yield f"### {_plain(sheet.title)}"
    yield ""
    yield _row(sheet.header)
    yield "| :--- |" + " ---: |" * (len(sheet.header) - 1)
    yield from map(_row, sheet.rows)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_plain, cells)) + " |"


def html_text(projects: Sequence[ProjectReport]) -> str:
    """Return one page of HTML without script, picture or link; text that comes from files stays text.

    >>> "<h2>&lt;b&gt;</h2>" in html_text([ProjectReport("<b>", "", "net", ())])
    True
    """
    source = resources.files("bitwright.cli").joinpath("templates", "report.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(source).render(sections=list(sections(projects))) + "\n"
