"""Slack of a netlist: `report_timing_summary`."""

import re
from dataclasses import replace
from decimal import Decimal

from bitwright.reports.report import Clock, StageReport, Timing
from bitwright.reports.text import decimal

COLUMNS = {
    "setup_slack_worst_ns": "WNS(ns)",
    "setup_slack_total_ns": "TNS(ns)",
    "hold_slack_worst_ns": "WHS(ns)",
    "hold_slack_total_ns": "THS(ns)",
    "pulse_width_slack_worst_ns": "WPWS(ns)",
    "pulse_width_slack_total_ns": "TPWS(ns)",
}
CLOCK = re.compile(r"^[ \t]*\S+[ \t]+\{[\d. ]+\}[ \t]+(\d+\.\d+)[ \t]+\d+\.\d+[ \t]*$", re.MULTILINE)
NETS = (("routed", "Routed"), ("estimated", "Placed"), ("unplaced", "Synthesized"))
"""How the delay of a path's nets is known, and what that says of a netlist where the head does not (before 2022)."""


def parse_timing(text: str, where: str, base: StageReport) -> StageReport:
    """Return the slack, and with one clock the period that would just be met.

    Args:
        text: As `report_timing_summary -file` wrote it.
        where: Its path, for errors.
        base: Stage and tool, from its head.

    Raises:
        ValueError: If it has no summary, or a figure is no number.

    >>> from bitwright.reports.report import Stage, Tool
    >>> report = '''| Design Timing Summary
    ...     WNS(ns)      TNS(ns)  TNS Failing Endpoints
    ...     -------      -------  ---------------------
    ...       1.432        0.000                      0
    ... ap_clk  {0.000 2.500}        5.000           200.000
    ... '''
    >>> parse_timing(report, "timing.rpt", StageReport(Stage.IMPL, Tool("Vivado", None))).clock.clock_period_achieved_ns
    3.568
    """
    lines = iter(text.partition("Design Timing Summary")[2].splitlines())
    header = next((line for line in lines if line.lstrip().startswith("WNS(ns)")), None)
    values = [value for line in (next(lines, ""), next(lines, "")) for value in line.split() if set(value) != {"-"}]
    names = re.split(r"\s{2,}", header.strip()) if header else []
    if not names or len(values) != len(names):
        raise ValueError(f"{where}: report must hold a Design Timing Summary, not leave it out; it is cut off")
    slack: dict[str, Decimal | None] = {
        name: decimal(values[names.index(column)], f"{where}: {column}")
        for name, column in COLUMNS.items()
        if column in names
    }
    periods = CLOCK.findall(text)
    clock = None
    if len(periods) == 1:
        worst = slack["setup_slack_worst_ns"]
        achieved = None if worst is None else float(Decimal(periods[0]) - worst)
        clock = Clock(float(periods[0]), clock_period_achieved_ns=achieved)
    known = {name: float(value) for name, value in slack.items() if value is not None}
    return replace(base, timing=Timing(**known) if known else None, clock=clock)


def state_of_nets(text: str) -> str:
    """Return the state of the netlist that a report's paths tell, or "".

    >>> state_of_nets("net (fo=11, routed)          0.489     0.620    n1")
    'Routed'
    """
    return next((state for word, state in NETS if re.search(rf"net \(fo=\d+, {word}\)", text)), "")
