"""The layers of a design: the tables of instances in `<top>_csynth.rpt`, which every version writes."""

from bitwright.reports.csynth import pipeline_type
from bitwright.reports.report import Layer, Performance, Resources
from bitwright.reports.text import Table, duration_ns, integer, printable, tables

COLUMNS = {9: True, 7: False}
"""Cells of a row of latencies, and whether time stands beside cycles: since 2019."""


def parse_instances(text: str, where: str, clock_period_ns: float | None = None) -> tuple[Layer, ...]:
    """Return the sub-modules of the top function, in the order of the table of latencies.

    Args:
        text: `<top>_csynth.rpt`.
        where: Its path, for errors.
        clock_period_ns: Target period, for reports that state cycles alone.

    Raises:
        ValueError: If a figure is no number.

    >>> report = '''
    ... |  Instance |  Module | min | max |   min    |   max    | min | max | Type |
    ... |fc1_U0     |fc1      |    2|    2| 10.000 ns| 10.000 ns|    1|    1|  yes |
    ... text
    ... |  Instance |  Module | BRAM_18K| DSP | FF | LUT | URAM|
    ... |fc1_U0     |fc1      |        0|   6|  84|  256|    0|
    ... |Total      |         |        0|   6|  84|  256|    0|
    ... '''
    >>> [(layer.name, layer.performance.latency_max_ns, layer.used.lut) for layer in parse_instances(report, "csynth")]
    [('fc1_U0', 10.0, 256)]
    """
    timed: dict[str, tuple[str, Performance, str]] = {}
    sized: dict[str, tuple[str, Resources]] = {}
    for table in tables(text):
        header = _header(table)
        if "Type" in header:
            timed |= _latencies(table, where, clock_period_ns)
        elif "LUT" in header:
            sized |= _sizes(table, header, where)
    layers = []
    for name in dict.fromkeys([*timed, *sized]):
        module, performance, kind = timed.get(name, (sized[name][0] if name in sized else "", None, ""))
        words = {"pipeline_type": pipeline_type(kind)} if kind else {}
        layers.append(Layer(name, module, performance, used=sized[name][1] if name in sized else None, words=words))
    return tuple(layers)


def _header(table: Table) -> list[str]:
    """Return the row that names the columns, of a table of instances; it may be the second."""
    for row in table[:2]:
        cells = [cell.strip() for cell in row]
        if cells[:2] == ["Instance", "Module"]:
            return cells
    return []


def _rows(table: Table) -> list[list[str]]:
    """Return the rows below the names of the columns, without the total."""
    rows = [[cell.strip() for cell in row] for row in table]
    below = rows.index(_header(table)) + 1
    return [row for row in rows[below:] if row[0] and row[0] not in ("Total", "N/A")]


def _latencies(table: Table, where: str, period: float | None) -> dict[str, tuple[str, Performance, str]]:
    found = {}
    for row in _rows(table):
        name = printable(row[0])
        at = f"{where}: {name}"
        if len(row) not in COLUMNS:
            raise ValueError(
                f"{at} must be a row of 9 cells, or of 7 before 2019, not {len(row)}; the report is damaged"
            )
        cycles = [integer(cell, f"{at}: latency") for cell in row[2:4]]
        if COLUMNS[len(row)]:
            times = [duration_ns(cell, f"{at}: latency") for cell in row[4:6]]
        else:
            times = [None if count is None or period is None else count * period for count in cycles]
        intervals = [integer(cell, f"{at}: interval") for cell in row[-3:-1]]
        performance = Performance(
            latency_min_cycles=cycles[0],
            latency_max_cycles=cycles[1],
            latency_min_ns=times[0],
            latency_max_ns=times[1],
            initiation_interval_min_cycles=intervals[0],
            initiation_interval_max_cycles=intervals[1],
        )
        found[name] = (printable(row[1]), performance, row[-1])
    return found


def _sizes(table: Table, header: list[str], where: str) -> dict[str, tuple[str, Resources]]:
    found = {}
    for row in _rows(table):
        name = printable(row[0])
        if len(row) != len(header):
            raise ValueError(
                f"{where}: {name} must be a row of {len(header)} cells, not {len(row)}; the report is damaged"
            )
        cells = dict(zip(header, row, strict=True))
        dsp = next((column for column in ("DSP", "DSP48E", "DSP48") if column in cells), "DSP")
        used = [
            integer(cells.get(column, ""), f"{where}: {name}: {column}")
            for column in ("LUT", "FF", dsp, "BRAM_18K", "URAM")
        ]
        found[name] = (printable(row[1]), Resources(*used))
    return found
