"""The page of a run as HTML: every number that it shows is looked up in the JSON that it embeds."""

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from bitwright.cli.page_calibration_chart import front_chart, loss_charts, range_bars
from bitwright.cli.page_chart import curves, histogram, middle_of, spans, zero_of
from bitwright.cli.page_facts import Page
from bitwright.cli.page_flow import flow

UNITS = {"ns": "ns", "ps": "ps", "cycles": "cycles", "mhz": "MHz", "w": "W", "percent": "%", "seconds": "s", "c": "°C"}
ABBREVIATIONS = {"lut", "ff", "dsp", "uram", "bram", "srl", "lutram"}

EXACT_LENGTH = 14
"""Characters of a number below 1 that is shown whole: steps of 2**-12 and coarser are."""


def environment_of(template: Callable[[str], str]) -> Environment:
    """Return what renders the pages: text that comes from files stays text, and a name that is not given is an error.

    Args:
        template: Gives the text of a template by its name.
    """
    return Environment(
        loader=FunctionLoader(template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def html_text(page: Page) -> str:
    """Return one page of HTML without script or link; text that comes from files stays text.

    >>> "<h1>&lt;b&gt;</h1>" in html_text(Page("<b>"))
    True
    """
    environment = environment_of(_template)
    data = page.data()
    environment.globals |= {
        "curves": curves,
        "flow": flow,
        "front_chart": front_chart,
        "histogram": histogram,
        "loss_charts": loss_charts,
        "middle_of": middle_of,
        "range_bars": range_bars,
        "spans": spans,
        "zero_of": zero_of,
        "label": label,
        "figure": lambda path, form="", tag="span": figure(data, path.split("."), form, tag),
        "figure_at": lambda path: figure(data, path),
    }
    text = environment.get_template("page.html").render(page=data, json=json_text(data)) + "\n"
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")  # readable in whatever encoding it is kept


def _template(name: str) -> str:
    return resources.files("bitwright.cli").joinpath("templates", name).read_text(encoding="utf-8")


def json_text(data: Mapping[str, Any]) -> Markup:
    r"""Return JSON that no HTML parser takes for the end of its element.

    >>> json_text({"name": "</script>"})
    Markup('{"name": "\\u003c/script>"}')
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))


def figure(data: Mapping[str, Any], path: Sequence[str | int], form: str = "", tag: str = "span") -> Markup:
    """Return a number or word of the page's JSON as an element that names where it stands there.

    Args:
        data: The JSON.
        path: Names and positions; the element has them with points between, points in names as slashes.
        form: "percent" for shares; else numbers are shown as they are.
        tag: Of the element: `tspan` in pictures.

    >>> figure({"a": [{"b": 1234}]}, ["a", "0", "b"])
    Markup('<span data-figure="a.0.b">1,234</span>')
    """
    value: Any = data
    for name in path:
        value = value[int(name)] if isinstance(value, list) else value[name]
    where = ".".join(str(name).replace(".", "/") for name in path)
    element = "<tspan data-figure='{}'>{}</tspan>" if tag == "tspan" else "<span data-figure='{}'>{}</span>"
    return Markup(element.replace("'", '"')).format(where, shown(value, form))


def shown(value: object, form: str = "") -> str:
    """Return a value as people read it.

    >>> shown(0.975, "percent"), shown(1234567), shown(0.00390625), shown(61960.52), shown(None), shown("xnor")
    ('97.50 %', '1,234,567', '0.00390625', '61,960.52', '-', 'xnor')
    """
    match value:
        case None:
            return "-"
        case int() | float() if form == "percent":
            return f"{100 * value:z.2f} %"
        case int():
            return f"{value:,}"
        case float() if abs(value) >= 1 or not value:
            return f"{value:,.3f}".rstrip("0").rstrip(".")
        case float():
            return repr(value) if len(repr(value)) <= EXACT_LENGTH else f"{value:.6g}"
        case _:
            return str(value)


def label(name: str) -> str:
    """Return the name of a figure in words, its unit last.

    >>> label("latency_max_cycles"), label("lut_available"), label("bram_18k"), label("lut_utilization_percent")
    ('latency max (cycles)', 'LUT available', 'BRAM 18 kbit', 'LUT utilization (%)')
    """
    words = name.split("_")
    unit = UNITS.get(words[-1], "") if len(words) > 1 else ""
    words = [word.upper() if _is_cell(word) else word for word in (words[:-1] if unit else words)]
    text = " ".join("18 kbit" if word == "18k" else word for word in words)
    return f"{text} ({unit})" if unit else text


def _is_cell(word: str) -> bool:
    return word.rstrip("0123456789") in ABBREVIATIONS
