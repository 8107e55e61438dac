"""A comparison as people read it: tables with the same rows, of accuracy and size, speed, exactness and hardware."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

from bitwright.cli.compare_data import Comparison
from bitwright.cli.console import out
from bitwright.cli.page_draw import shown
from bitwright.hls.verification import LEVELS

MARKUP = re.compile(r"([\\`*_\[\]<>|#&~])")
"""Characters that Markdown takes as its own."""

WIDEST = 10_000
"""Columns that no table takes."""

KINDS = {"lut": "LUT", "dsp": "DSP", "bram_18k": "BRAM 18 kbit"}
"""Cells that tables show; CSV and JSON have all."""

BLANKS = (
    "A blank was not run, or does not exist: `bitwright export`, `hls`, `rtl` and `synth` make what is missing. "
    "Figures of different stages never share a column, and do not compare."
)


@dataclass(frozen=True)
class Part:
    """A figure in a cell.

    Args:
        path: Where it stands in the JSON of the row.
        form: "percent" for shares.
        before: Text before it.
    """

    path: tuple[str | int, ...]
    form: str = ""
    before: str = ""


Cell = tuple[Part, ...] | str
"""What a cell shows: figures, or words where there are none."""


@dataclass(frozen=True)
class CompareSheet:
    """A table.

    Args:
        title: What it is of.
        header: Names of the columns.
        cells: Of each row, but for its name.
        words: Columns that are no numbers, from 0.
    """

    title: str
    header: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]
    words: int


Column = tuple[str, Callable[[Mapping[str, Any]], Cell]]


def sheets(data: Mapping[str, Any]) -> list[CompareSheet]:
    """Return the tables of a comparison.

    Args:
        data: Its JSON.
    """
    timing = data["timing"]
    found = [_sheet(data, "Accuracy and size", _size_columns(data), words=4)]
    if timing is not None:
        clock = "1 thread, CPU time" if timing["threads"] == 1 else f"{timing['threads']} threads"
        where = f"{timing['processor']}, {clock}"
        found.append(_sheet(data, f"Speed: inputs a second, {where}", _speed_columns(), words=0))
    levels = [(level, _level(level)) for level in LEVELS]
    found.append(_sheet(data, "Integers that differ, of those that were compared", levels, words=0))
    hardware = list(_hardware_columns(data))
    if len(hardware) > 1:
        found.append(_sheet(data, "Hardware", hardware, words=1))
    return found


def _sheet(data: Mapping[str, Any], title: str, columns: Sequence[Column], *, words: int) -> CompareSheet:
    header = ("experiment", *(name for name, _ in columns))
    return CompareSheet(title, header, tuple(tuple(cell(row) for _, cell in columns) for row in data["rows"]), words)


def value_at(row: Mapping[str, Any], path: Sequence[str | int]) -> Any:  # noqa: ANN401 - JSON
    """Return what stands at a path, or None where a part of it is missing."""
    found: Any = row
    for name in path:
        found = None if found is None else found[name] if isinstance(name, int) else found.get(name)
    return found


def _figure(*path: str, form: str = "") -> Callable[[Mapping[str, Any]], Cell]:
    return lambda row: "" if value_at(row, path) is None else (Part(path, form),)


def _size_columns(data: Mapping[str, Any]) -> list[Column]:
    squared = [("mean squared error on test", _spread("mean_squared_error", ""))]
    return [
        ("data", _figure("data")),
        ("network", _figure("network")),
        ("bits of weights / activations", _figure("widths")),
        ("seeds", lambda row: tuple(Part(("seeds", i), "", ", " if i else "") for i in range(len(row["seeds"])))),
        ("accuracy on test", _spread("accuracy", "percent")),
        *squared * any(row["mean_squared_error"] for row in data["rows"]),
        ("weights", _figure("weights")),
        ("bits of weights", _figure("weight_bits")),
        ("compression", _figure("compression")),
        ("packed, bytes", _figure("packed_bytes")),
        ("program file, bytes", _figure("program_bytes")),
        ("checkpoint file, bytes", _figure("checkpoint_bytes")),
        ("bit operations", _figure("bit_operations")),
    ]


def _spread(name: str, form: str) -> Callable[[Mapping[str, Any]], Cell]:
    def cell(row: Mapping[str, Any]) -> Cell:
        if row[name] is None:
            return ""
        mean = Part((name, "mean"), form)
        if row[name]["standard_deviation"] is None:
            return (mean,)
        return mean, Part((name, "standard_deviation"), form, " ± ")

    return cell


def _speed_columns() -> list[Column]:
    return [
        ("PyTorch, float32", _figure("speed", "float32")),
        ("ONNX Runtime, float32", _figure("speed", "float32_onnxruntime")),
        ("ONNX Runtime, int8", _figure("speed", "int8")),
        ("integer program", _figure("speed", "program")),
        ("ONNX Runtime, float32 / PyTorch", _figure("speed", "float32_onnxruntime_of_float32")),
        ("ONNX Runtime, int8 / PyTorch", _figure("speed", "int8_of_float32")),
        ("integer program / PyTorch", _figure("speed", "program_of_float32")),
    ]


def _level(level: str) -> Callable[[Mapping[str, Any]], Cell]:
    def cell(row: Mapping[str, Any]) -> Cell:
        compared = row["levels"][level]
        if compared is None:
            return "" if row["widths"] == "float" else "not run"
        counts = (Part(("levels", level, "different")), Part(("levels", level, "compared"), "", " of "))
        if compared["runs"] == len(row["runs"]):
            return counts
        return (*counts, Part(("levels", level, "runs"), "", "; runs: "))

    return cell


def _hardware_columns(data: Mapping[str, Any]) -> Iterator[Column]:
    yield "hls4ml project is for", _figure("hls")
    for stage in data["stages"]:
        for kind, name in KINDS.items():
            values = [value_at(row, ("hardware", stage, kind)) for row in data["rows"]]
            if any(values) or (kind == "lut" and values != [None] * len(values)):
                yield f"{name}: {stage}", _figure("hardware", stage, kind)


def cell_text(row: Mapping[str, Any], cell: Cell) -> str:
    """Return a cell as text.

    >>> cell_text({"a": [3, 4]}, (Part(("a", 0)), Part(("a", 1), "", " of ")))
    '3 of 4'
    """
    if isinstance(cell, str):
        return cell
    return "".join(part.before + shown(value_at(row, part.path), part.form) for part in cell)


def notes(data: Mapping[str, Any]) -> list[str]:
    """Return what is missing, and why."""
    return [*(note for row in data["rows"] for note in row["notes"]), *data["notes"]]


def show(comparison: Comparison) -> None:
    """Print every table and the notes; figures stay whole where the terminal is narrow."""
    data = comparison.data()
    for sheet in sheets(data):
        table = Table(title=Text(sheet.title), title_justify="left")
        lines = list(_lines(data, sheet))
        for index, name in enumerate(sheet.header):
            justify: Literal["left", "right"] = "left" if index <= sheet.words else "right"
            texts = [line[index] for line in lines]
            table.add_column(Text(name), justify=justify, min_width=max(map(len, (*texts, *name.split()))))
        for line in lines:
            table.add_row(*map(Text, line))
        whole = out.measure(table, options=out.options.update(max_width=WIDEST)).minimum
        out.print(table, width=max(out.width, whole), crop=False)
    for text in notes(data):
        out.print(Text(f"note: {text}"))


def markdown_text(comparison: Comparison) -> str:
    """Return Markdown; text that comes from files stays text.

    >>> print(markdown_text(Comparison((), None, (), {})).partition("|")[0], end="")
    ### Accuracy and size
    <BLANKLINE>
    """
    data = comparison.data()
    parts = ["\n".join(_markdown(data, sheet)) for sheet in sheets(data)]
    parts.append("\n".join(f"- {_plain(text)}" for text in (BLANKS.replace("`", ""), *notes(data))))
    return "\n\n".join(parts) + "\n"


def _markdown(data: Mapping[str, Any], sheet: CompareSheet) -> Iterator[str]:
    yield f"### {_plain(sheet.title)}"
    yield ""
    yield _line(sheet.header)
    yield "|" + " :--- |" * (1 + sheet.words) + " ---: |" * (len(sheet.header) - 1 - sheet.words)
    yield from map(_line, _lines(data, sheet))


def _lines(data: Mapping[str, Any], sheet: CompareSheet) -> Iterator[list[str]]:
    for row, cells in zip(data["rows"], sheet.cells, strict=True):
        yield [row["name"], *(cell_text(row, cell) for cell in cells)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_plain, cells)) + " |"


def _plain(text: str) -> str:
    return MARKUP.sub(r"\\\1", text)
