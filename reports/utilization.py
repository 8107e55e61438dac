"""Cells of a netlist: `report_utilization`, flat and hierarchical."""

from dataclasses import replace

from bitwright.reports.report import Layer, Resources, StageReport
from bitwright.reports.text import decimal, integer, printable, tables

SITES = {
    "lut": ("CLB LUTs", "Slice LUTs"),
    "ff": ("CLB Registers", "Slice Registers", "Registers"),
    "dsp": ("DSPs", "DSP Slices"),
    "bram_18k": ("Block RAM Tile",),
    "uram": ("URAM",),
}
"""Names of a row; the first row of such a name counts, for later ones part the same cells again."""


def parse_utilization(text: str, where: str, base: StageReport) -> StageReport:
    """Return the cells that a netlist takes and those of the part.

    Args:
        text: As `report_utilization -file` wrote it.
        where: Its path, for errors.
        base: Stage and tool, from its head.

    Raises:
        ValueError: If it has no LUTs or no registers, or a figure is no number.

    >>> from bitwright.reports.report import Stage, Tool
    >>> report = '''
    ... | Site Type      | Used | Fixed | Available | Util% |
    ... | CLB LUTs*      |  120 |     0 |     53200 |  0.23 |
    ... | CLB Registers  |   80 |     0 |    106400 |  0.08 |
    ... | Block RAM Tile |  1.5 |     0 |       140 |  1.07 |
    ... '''
    >>> parse_utilization(report, "synth.rpt", StageReport(Stage.SYNTH, Tool("Vivado", "2020.1"))).used
    Resources(lut=120, ff=80, dsp=None, bram_18k=3, uram=None)
    """
    used: dict[str, int] = {}
    available: dict[str, int] = {}
    for table in tables(text):
        header = [cell.strip() for cell in table[0]]
        if header[0] != "Site Type" or "Used" not in header or "Available" not in header:
            continue
        for row in table[1:]:
            name = next((name for name, sites in SITES.items() if row[0].strip().rstrip("*") in sites), None)
            if name is None or name in used or len(row) != len(header):
                continue
            cells = dict(zip(header, row, strict=True))
            for figures, column in ((used, "Used"), (available, "Available")):
                count = _count(name, cells[column], f"{where}: {name}: {column}")
                if count is not None:
                    figures[name] = count
    for name in ("lut", "ff"):
        if name not in used:
            raise ValueError(
                f"{where}: report must hold a row {SITES[name][0]!r} or {SITES[name][1]!r}, not leave it out; "
                "it is cut off or of an unknown device"
            )
    return replace(base, used=Resources(**used), available=Resources(**available))


def parse_hierarchy(text: str, where: str, base: StageReport) -> StageReport:
    """Return the cells of a netlist and of the top's own instances.

    Args:
        text: As `report_utilization -hierarchical -file` wrote it, with or without percentages.
        where: Its path, for errors.
        base: Stage and tool, from its head.

    Raises:
        ValueError: If the top is not in it, or a figure is no number.

    >>> from bitwright.reports.report import Stage, Tool
    >>> report = '''
    ... | Instance | Module | Total LUTs | Logic LUTs |    FFs    | RAMB36 | RAMB18 | DSP Blocks |
    ... | net      |  (top) | 120(0.23%) |  120       | 80(0.08%) |      1 |      1 |          6 |
    ... |   fc1_U0 |    fc1 |         90 |   90       | 60        |      0 |      1 |          6 |
    ... '''
    >>> found = parse_hierarchy(report, "util.rpt", StageReport(Stage.SYNTH, Tool("Vivado", "2020.1")))
    >>> found.used.bram_18k, [(layer.name, layer.used.lut) for layer in found.layers]
    (3, [('fc1_U0', 90)])
    """
    for table in tables(text):
        header = [cell.strip() for cell in table[0]]
        if header[:2] != ["Instance", "Module"] or "Total LUTs" not in header:
            continue
        rows = [row for row in table[1:] if len(row) == len(header) and not row[0].lstrip().startswith("(")]
        if rows and rows[0][1].strip() == "(top)":
            depth = _indent(rows[1][0]) if len(rows) > 1 else 0
            layers = [row for row in rows[1:] if _indent(row[0]) == depth]
            return replace(
                base,
                used=_row(header, rows[0], where),
                layers=tuple(
                    Layer(printable(row[0]), printable(row[1]), used=_row(header, row, where)) for row in layers
                ),
            )
    raise ValueError(f"{where}: report must hold a row of the module '(top)', not leave it out; it is cut off")


def _indent(cell: str) -> int:
    return len(cell) - len(cell.lstrip())


def _row(header: list[str], row: list[str], where: str) -> Resources:
    cells = {name: cell.partition("(")[0] for name, cell in zip(header, row, strict=True)}

    def count(*columns: str) -> int | None:
        column = next((column for column in columns if column in cells), None)
        return None if column is None else integer(cells[column], f"{where}: {printable(row[0])}: {column}")

    whole, half = count("RAMB36"), count("RAMB18")
    return Resources(
        count("Total LUTs"),
        count("FFs"),
        count("DSP Blocks", "DSP48 Blocks", "DSP Slices"),
        None if whole is None or half is None else 2 * whole + half,
        count("URAM"),
    )


def _count(name: str, text: str, where: str) -> int | None:
    """Return a count; of tiles of block RAM, which may be half taken, that of the halves."""
    if name != "bram_18k":
        return integer(text, where)
    tiles = decimal(text, where)
    return None if tiles is None else integer(str(2 * tiles), where)
