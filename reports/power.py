"""Estimated power of a netlist: `report_power`."""

from dataclasses import replace

from bitwright.reports.report import Layer, Power, StageReport
from bitwright.reports.text import printable, real, tables

SUMMARY = {
    "power_total_w": "Total On-Chip Power (W)",
    "power_dynamic_w": "Dynamic (W)",
    "power_static_w": "Device Static (W)",
    "junction_temperature_c": "Junction Temperature (C)",
}


def parse_power(text: str, where: str, base: StageReport) -> StageReport:
    """Return the estimated power, of the design and, dynamic alone, of the top's own instances.

    Args:
        text: As `report_power -file` wrote it.
        where: Its path, for errors.
        base: Stage and tool, from its head.

    Raises:
        ValueError: If the total is not in it, or a figure is no number.

    >>> from bitwright.reports.report import Stage, Tool
    >>> report = '''
    ... | Total On-Chip Power (W)  | 3.566        |
    ... | Confidence Level         | Low          |
    ... text
    ... | Name         | Power (W) |
    ... | net          |     0.610 |
    ... |   fc1_U0     |     0.404 |
    ... |     mul_U449 |     0.002 |
    ... '''
    >>> found = parse_power(report, "power.rpt", StageReport(Stage.IMPL, Tool("Vivado", "2024.1")))
    >>> found.power.power_total_w, [(layer.name, layer.power.power_dynamic_w) for layer in found.layers]
    (3.566, [('fc1_U0', 0.404)])
    """
    all_tables = tables(text)
    cells: dict[str, str] = {}
    for row in (row for table in all_tables for row in table if len(row) == 2):
        cells.setdefault(row[0].strip(), row[1])
    if SUMMARY["power_total_w"] not in cells:
        raise ValueError(f"{where}: report must hold {SUMMARY['power_total_w']!r}, not leave it out; it is cut off")
    values = {
        name: value
        for name, label in SUMMARY.items()
        if (value := real(cells.get(label, ""), f"{where}: {label}")) is not None
    }
    words = dict(base.words)
    if confidence := printable(cells.get("Confidence Level", "")):
        words["power_confidence"] = confidence
    return replace(base, power=Power(**values), words=words, layers=_layers(all_tables, where))


def _layers(all_tables: list[list[list[str]]], where: str) -> tuple[Layer, ...]:
    """Return the instances one level below the top: a level is two spaces."""
    for table in all_tables:
        if [cell.strip() for cell in table[0]] != ["Name", "Power (W)"]:
            continue
        found = []
        for name, cell in (row for row in table[1:] if len(row) == 2):
            if len(name) - len(name.lstrip()) == 2:
                power = Power(power_dynamic_w=real(cell, f"{where}: {printable(name)}"))
                found.append(Layer(printable(name), power=power))
        return tuple(found)
    return ()
