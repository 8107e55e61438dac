"""Reports of Vivado itself: which command wrote a file, and on what netlist."""

import re

from bitwright.reports.power import parse_power
from bitwright.reports.report import Stage, StageReport, Tool
from bitwright.reports.text import head, iso_date
from bitwright.reports.timing import parse_timing, state_of_nets
from bitwright.reports.utilization import parse_hierarchy, parse_utilization

STATES = (
    ("routed", Stage.IMPL, ""),
    ("postroute", Stage.IMPL, ""),
    ("placed", Stage.IMPL, "placed"),
    ("postplace", Stage.IMPL, "placed"),
    ("optimized", Stage.SYNTH, "optimized"),
    ("synthesized", Stage.SYNTH, ""),
)
"""Words of a design's state, the furthest first. `opt_design` shrinks a netlist, so it has a column of its own."""

COMMANDS = ("report_utilization", "report_timing_summary", "report_power")


def parse_vivado(text: str, where: str) -> StageReport | None:
    r"""Return the figures of a report of Vivado, or None where it is of a command that has none for us.

    Args:
        text: As `report_utilization -file`, `report_timing_summary -file` or `report_power -file` wrote it.
        where: Its path, for errors.

    Raises:
        ValueError: If its netlist's state is not told, or it is damaged.

    >>> parse_vivado("| Tool Version : Vivado v.2020.1\n| Command : report_clocks -file x", "clocks.rpt") is None
    True
    """
    about = head(text)
    command = about.get("Command", "").partition(" ")
    if command[0] not in COMMANDS:
        return None
    stage, variant = _stage(about.get("Design State") or state_of_nets(text), where)
    version = re.match(r"Vivado v\.(\S+)", about.get("Tool Version", ""))
    base = StageReport(
        stage,
        Tool("Vivado", version[1] if version else None),
        variant=variant,
        part=about.get("Device"),
        date=iso_date(about.get("Date", "")),
        words={"design": about["Design"]} if about.get("Design") else {},
    )
    match command[0]:
        case "report_timing_summary":
            return parse_timing(text, where, base)
        case "report_power":
            return parse_power(text, where, base)
        case _ if "-hierarchical" in command[2].split():
            return parse_hierarchy(text, where, base)
        case _:
            return parse_utilization(text, where, base)


def _stage(state: str, where: str) -> tuple[Stage, str]:
    words = state.lower()
    for word, stage, variant in STATES:
        if word in words:
            return stage, variant
    raise ValueError(
        f"{where}: Design State must be Synthesized, Optimized, Placed or Routed, not {state!r}; "
        "without it the stage of its figures is not known"
    )
