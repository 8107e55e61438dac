"""What a reader of the figures should know before comparing them."""

from collections.abc import Sequence

from bitwright.reports.report import Resources, Stage, StageReport

NAMES = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram_18k": "BRAM_18K", "uram": "URAM"}


def notes(stages: Sequence[StageReport]) -> tuple[str, ...]:
    """Return a line for each thing that is not as a reader would take it.

    >>> from bitwright.reports.report import Timing, Tool
    >>> notes([StageReport(Stage.IMPL, Tool("Vivado", "2024.1"), timing=Timing(setup_slack_worst_ns=-0.2))])
    ('place-and-route: the clock is missed by 0.2 ns',)
    """
    found: list[str] = []
    csynth = next((stage for stage in stages if stage.stage == Stage.CSYNTH), None)
    for stage in stages:
        if stage.stage == Stage.COSIM:
            found += _of_simulation(stage, csynth)
        slack = stage.timing.setup_slack_worst_ns if stage.timing else None
        if slack is not None and slack < 0:
            found.append(f"{stage.title}: the clock is missed by {-slack:g} ns")
        if stage.used and stage.available:
            found += _beyond(stage.title, stage.used, stage.available)
    return tuple(found)


def _of_simulation(stage: StageReport, csynth: StageReport | None) -> list[str]:
    found = []
    status = stage.words.get("status", "")
    if status != "Pass":
        what = "it printed NA for every figure" if stage.performance is None else "its figures are of a wrong result"
        found.append(f"{stage.title}: status is {status}, not Pass; {what}")
    if csynth and csynth.date and stage.date and stage.date < csynth.date:
        found.append(
            f"{stage.title} of {stage.date} is older than the C synthesis of {csynth.date}: it may be of another design"
        )
    reported = stage.performance.latency_max_cycles if stage.performance else None
    counted = stage.simulation.transaction_latency_max_cycles if stage.simulation else None
    if reported is not None and counted is not None and reported != counted:
        found.append(
            f"{stage.title}: the report says {reported} cycles of latency, its transactions {counted}; both are given"
        )
    return found


def _beyond(title: str, used: Resources, available: Resources) -> list[str]:
    found = []
    for name, label in NAMES.items():
        taken, there = getattr(used, name), getattr(available, name)
        if taken is not None and there is not None and taken > there:
            found.append(f"{title}: {taken} {label} are more than the part's {there}")
    return found
