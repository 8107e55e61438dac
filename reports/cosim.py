"""Co-simulation: `<top>_cosim.rpt` and, beside it, the cycles of every transaction."""

import re
from collections.abc import Sequence
from dataclasses import replace

from bitwright.reports.report import Performance, Simulation, Stage, StageReport, Tool
from bitwright.reports.text import integer, iso_date, printable, tables

LANGUAGES = ("VHDL", "Verilog")
CELLS = (8, 9)
"""Of a row: language, status, three latencies, three intervals, and in Vitis HLS the cycles of the whole run."""

TRANSACTION = re.compile(r"^[ \t]*transaction[ \t]+\d+:[ \t]+(\S+)", re.MULTILINE)


def parse_cosim(
    text: str, where: str, clock_period_ns: float | None = None, hls_version: str | None = None
) -> tuple[StageReport, ...]:
    r"""Return the result of each language that was simulated; of a simulation that was none, its status alone.

    Args:
        text: `<top>_cosim.rpt`.
        where: Its path, for errors.
        clock_period_ns: Target period of the solution, to turn cycles into ns.
        hls_version: Of the tool that made the solution: this report names none.

    Raises:
        ValueError: If no language has a row, or a figure is no number.

    >>> report = "| VHDL    | NA   | NA | NA | NA | NA | NA | NA |\n| Verilog | Pass | 10 | 10 | 12 | 8 | 8 | 8 |"
    >>> [(found.key, found.performance.latency_max_ns) for found in parse_cosim(report, "cosim.rpt", 5.0)]
    [('cosim_verilog', 60.0)]
    """
    rows = [
        cells
        for table in tables(text)
        for cells in ([cell.strip() for cell in row] for row in table)
        if cells[0] in LANGUAGES and len(cells) in CELLS
    ]
    if not rows:
        raise ValueError(f"{where}: report must hold a row of VHDL or Verilog, not leave it out; it is cut off")
    simulator = re.search(r"^Simulation tool[ \t]*:(.+)$", text, re.MULTILINE)
    base = StageReport(
        Stage.COSIM,
        Tool(
            printable(simulator[1]).removesuffix(".") if simulator else "simulator",
            hls_version,
            inferred=hls_version is not None,
        ),
        date=iso_date(text),
    )
    ran = [row for row in rows if row[1] != "NA"]
    if not ran:
        return (replace(base, words={"status": "NA"}),)
    return tuple(_result(base, row, where, clock_period_ns) for row in ran)


def _result(base: StageReport, row: Sequence[str], where: str, period: float | None) -> StageReport:
    language = row[0]
    cycles = [integer(cell, f"{where}: {language}") for cell in row[2:]]
    times = [None if count is None or period is None else count * period for count in cycles[:3]]
    total = cycles[6] if len(cycles) == 7 else None
    stated = any(count is not None for count in cycles)
    return replace(
        base,
        variant=language.lower(),
        words={"status": printable(row[1])},
        performance=Performance(*cycles[:3], *times, *cycles[3:6]) if stated else None,
        simulation=None if total is None else Simulation(total_execution_cycles=total),
    )


def parse_transactions(text: str, where: str) -> Simulation | None:
    r"""Return how many inputs were simulated and what each took; intervals stand in the report itself.

    Args:
        text: `<top>.performance.result.transaction.xml`, which is no XML.
        where: Its path, for errors.

    Raises:
        ValueError: If a latency is no number.

    >>> found = parse_transactions("transaction  0:  10  8\ntransaction  1:  12  x\n", "transaction")
    >>> found.transaction_count, found.transaction_latency_max_cycles
    (2, 12)
    """
    rows = enumerate(TRANSACTION.findall(text))
    found = [integer(latency, f"{where}: transaction {index}") for index, latency in rows]
    latencies = [latency for latency in found if latency is not None]
    return Simulation(len(found), min(latencies), max(latencies)) if latencies else None
