"""The text of the vendor's reports: files, numbers, durations, dates, tables."""

import re
from decimal import Decimal
from pathlib import Path

MOST_BYTES = 1 << 27
"""Of a report; those of the largest networks take some ten megabytes."""

NOT_STATED = frozenset(("", "-", "--", "---", "?", "NA", "N/A", "undef", "x", "inf", "Unspecified", "Unspecified*"))
"""What the tools write where they have no number."""

NUMBER = re.compile(r"[-+]?\d{1,18}(\.\d{1,18})?")
NS = {"ps": Decimal("0.001"), "ns": Decimal(1), "us": Decimal(1000), "ms": Decimal(10) ** 6, "s": Decimal(10) ** 9}
NS["sec"] = NS["s"]

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DATE = re.compile(rf"\b({'|'.join(MONTHS)})\s+(\d\d?)\s+(\d\d:\d\d:\d\d)\s+(?:[A-Z]{{2,5}}\s+)?(\d{{4}})\b")

Table = list[list[str]]
"""Rows of cells; a cell keeps the spaces that indent it."""


def read_bytes(path: Path) -> bytes:
    """Return what a report holds.

    Raises:
        ValueError: If it is larger than any report.
        OSError: If it cannot be read.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{path}: report must be at most {MOST_BYTES} bytes, not {size}; it is no report")
    return path.read_bytes()


def read_text(path: Path) -> str:
    """Return a report's text, of whatever encoding: figures are ASCII, and only comments are not.

    Raises:
        ValueError: If it is larger than any report.
        OSError: If it cannot be read.
    """
    return read_bytes(path).decode(errors="replace")


def printable(text: str) -> str:
    r"""Return a name without what would act on a terminal, and at most 200 characters of it.

    >>> printable(" fc1\x1b[2J ")
    'fc1[2J'
    """
    return "".join(character for character in text.strip() if character.isprintable())[:200]


def decimal(text: str, where: str) -> Decimal | None:
    """Return a number, exactly as it is written, or None where the tool states none.

    Args:
        text: One cell.
        where: File and cell, for the error.

    Raises:
        ValueError: If it is neither.

    >>> decimal(" 12.5 ", "tiles"), decimal("NA", "latency")
    (Decimal('12.5'), None)
    """
    text = text.strip()
    if text in NOT_STATED or text.startswith("<"):  # less than the least that the tool shows
        return None
    if not NUMBER.fullmatch(text):
        raise ValueError(f"{where} must be a number, not {printable(text)!r}; the report is damaged or of another kind")
    return Decimal(text)


def integer(text: str, where: str) -> int | None:
    """Return a whole number, or None where the tool states none.

    Raises:
        ValueError: If it is neither.

    >>> integer("395", "latency")
    395
    """
    value = decimal(text, where)
    if value is None:
        return None
    if value != int(value):
        raise ValueError(f"{where} must be a whole number, not {value}; the report is damaged or of another kind")
    return int(value)


def real(text: str, where: str) -> float | None:
    """Return a number as a float, or None where the tool states none.

    Raises:
        ValueError: If it is neither.

    >>> real("3.530", "clock")
    3.53
    """
    value = decimal(text, where)
    return None if value is None else float(value)


def duration_ns(text: str, where: str) -> float | None:
    """Return a duration in ns: pipelined designs say `ns`, dataflow ones `us`.

    Raises:
        ValueError: If it is no number with a unit.

    >>> duration_ns("32.185 us", "latency"), duration_ns("50.000 ns", "latency")
    (32185.0, 50.0)
    """
    number, _, unit = text.strip().partition(" ")
    value = decimal(number, where)
    if value is None:
        return None
    if unit.strip() not in NS:
        raise ValueError(
            f"{where} must end in a unit of {', '.join(NS)}, not {printable(unit)!r}; "
            "the report is of an unknown version"
        )
    return float(value * NS[unit.strip()])


def iso_date(text: str) -> str | None:
    """Return the date of a report's head as ISO 8601; its zone, often left out, is dropped.

    >>> iso_date("Report time       : Mon Aug 15 12:58:40 CST 2022.")
    '2022-08-15T12:58:40'
    """
    found = DATE.search(text)
    if not found:
        return None
    month, day, time, year = found.groups()
    return f"{year}-{MONTHS.index(month) + 1:02}-{int(day):02}T{time}"


def tables(text: str) -> list[Table]:
    r"""Return the tables that are drawn with `+` and `|`, rulers left out.

    >>> tables("+---+---+\n| LUT |  FF |\n|   1 |   2 |\n+---+---+\ntext")
    [[['LUT', ' FF'], ['  1', '  2']]]
    """
    found: list[Table] = []
    inside = False
    for line in map(str.strip, text.splitlines()):
        is_row = len(line) > 1 and line.startswith("|") and line.endswith("|")
        if not inside and (is_row or line.startswith("+")):
            found.append([])
        inside = is_row or line.startswith("+")
        if is_row:
            found[-1].append([cell.removeprefix(" ").rstrip() for cell in line[1:-1].split("|")])
    return [table for table in found if table]


def head(text: str) -> dict[str, str]:
    r"""Return the `| Key : Value` lines at the head of a Vivado report.

    >>> head("| Design       : top\n| Device       : xc7z020\n")
    {'Design': 'top', 'Device': 'xc7z020'}
    """
    found: dict[str, str] = {}
    for line in text[:8192].splitlines():
        key, colon, value = line.removeprefix("|").partition(":")
        if line.startswith("|") and colon:
            found.setdefault(key.strip(), printable(value))
    return found
