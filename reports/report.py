"""What the vendor's tools say of a project: figures, each with its stage and the tool that wrote it.

The parsers beside this file are our own: hls4ml's prints, guesses folder names, drops units, stages and layers, and
counts 36-kbit blocks as `BRAM_18K`; the tests hold them to its figures where it is right.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum


class Stage(StrEnum):
    """How far on the way to the chip a figure was taken.

    >>> Stage("impl").label
    'place-and-route'
    """

    CSYNTH = "csynth"
    COSIM = "cosim"
    SYNTH = "synth"
    IMPL = "impl"

    @property
    def label(self) -> str:
        """Its name in words."""
        return {
            Stage.CSYNTH: "C synthesis",
            Stage.COSIM: "co-simulation",
            Stage.SYNTH: "logic synthesis",
            Stage.IMPL: "place-and-route",
        }[self]


@dataclass(frozen=True)
class Tool:
    """Who wrote a report.

    Args:
        name: As in "Vitis HLS".
        version: As in "2024.1"; None where nothing tells.
        inferred: Whether the version is that of the C synthesis beside the report, which itself names none.

    >>> str(Tool("Vitis HLS", "2024.1"))
    'Vitis HLS 2024.1'
    """

    name: str
    version: str | None
    inferred: bool = False

    def __str__(self) -> str:
        """Return the words for a table."""
        if self.version is None:
            return f"{self.name}, version not stated"
        return f"{self.name}{', in a project of' if self.inferred else ''} {self.version}"


@dataclass(frozen=True)
class Performance:
    """Cycles and nanoseconds from first input to last output, and between inputs; None where not stated."""

    latency_min_cycles: int | None = None
    latency_avg_cycles: int | None = None
    latency_max_cycles: int | None = None
    latency_min_ns: float | None = None
    latency_avg_ns: float | None = None
    latency_max_ns: float | None = None
    initiation_interval_min_cycles: int | None = None
    initiation_interval_avg_cycles: int | None = None
    initiation_interval_max_cycles: int | None = None


@dataclass(frozen=True)
class Clock:
    """Periods in ns: asked for, kept in reserve, estimated by C synthesis, achieved by the netlist."""

    clock_period_target_ns: float | None = None
    clock_uncertainty_ns: float | None = None
    clock_period_estimated_ns: float | None = None
    clock_period_achieved_ns: float | None = None


@dataclass(frozen=True)
class Resources:
    """Cells of each kind. Block RAM counts halves of 18 kbit at every stage: a whole "Block RAM Tile" is two."""

    lut: int | None = None
    ff: int | None = None
    dsp: int | None = None
    bram_18k: int | None = None
    uram: int | None = None


@dataclass(frozen=True)
class Timing:
    """Slack in ns, worst and total; negative where the constraint is missed."""

    setup_slack_worst_ns: float | None = None
    setup_slack_total_ns: float | None = None
    hold_slack_worst_ns: float | None = None
    hold_slack_total_ns: float | None = None
    pulse_width_slack_worst_ns: float | None = None
    pulse_width_slack_total_ns: float | None = None


@dataclass(frozen=True)
class Power:
    """Estimated power in W, and the temperature in degrees Celsius at which it was estimated."""

    power_total_w: float | None = None
    power_dynamic_w: float | None = None
    power_static_w: float | None = None
    junction_temperature_c: float | None = None


@dataclass(frozen=True)
class Simulation:
    """What the RTL simulator counted: inputs, cycles of each one's latency, cycles of the whole run."""

    transaction_count: int | None = None
    transaction_latency_min_cycles: int | None = None
    transaction_latency_max_cycles: int | None = None
    total_execution_cycles: int | None = None


Group = Performance | Clock | Resources | Timing | Power | Simulation


@dataclass(frozen=True)
class Layer:
    """One sub-module of the top function.

    Args:
        name: Of the instance.
        module: What it is an instance of.
        performance: Its latency and interval.
        clock: Its estimated period.
        used: Its cells, all below it included.
        power: Its dynamic power.
        words: What is no number, by name, as `pipeline_type`.
    """

    name: str
    module: str = ""
    performance: Performance | None = None
    clock: Clock | None = None
    used: Resources | None = None
    power: Power | None = None
    words: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StageReport:
    """All that one tool says of one stage.

    Args:
        stage: Which.
        tool: Who says so.
        sources: Files it was read from, relative to the project's folder.
        variant: What sets it apart within the stage: the state of the netlist, the simulated language. Often "".
        part: Device, as this tool spells it.
        date: When it was written, ISO 8601 without a zone.
        available: Cells of the part.
        words: What is no number, by name, as `pipeline_type` or `status`.
        layers: The top function's sub-modules.
    """

    stage: Stage
    tool: Tool
    sources: tuple[str, ...] = ()
    variant: str = ""
    part: str | None = None
    date: str | None = None
    performance: Performance | None = None
    clock: Clock | None = None
    used: Resources | None = None
    available: Resources | None = None
    timing: Timing | None = None
    power: Power | None = None
    simulation: Simulation | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()

    @property
    def key(self) -> str:
        """One word that no other stage's figures share."""
        return f"{self.stage}_{self.variant}" if self.variant else str(self.stage)

    @property
    def title(self) -> str:
        """Stage and variant in words."""
        return f"{self.stage.label} ({self.variant})" if self.variant else self.stage.label


@dataclass(frozen=True)
class ProjectReport:
    """All that is known of one solution of one project.

    Args:
        path: The folder, as it was named.
        solution: The tool's folder in it, or "".
        top: Name of the top function.
        stages: In the order of the flow.
        notes: What a reader of the figures should know.
        problems: What could not be read, one line each.
    """

    path: str
    solution: str
    top: str | None
    stages: tuple[StageReport, ...]
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def part(self) -> str | None:
        """The device, as the first stage that knows it spells it."""
        return next((stage.part for stage in self.stages if stage.part), None)


def figures(report: StageReport | Layer) -> dict[str, int | float]:
    """Return every number by a name that says its unit; what is not known is left out.

    >>> figures(Layer("fc1", used=Resources(lut=120, bram_18k=1)))
    {'lut': 120, 'bram_18k': 1}
    """
    groups: tuple[Group | None, ...] = (report.performance, report.clock, report.used)
    if isinstance(report, StageReport):
        groups = (*groups, report.timing, report.power, report.simulation)
    else:
        groups = (*groups, report.power)
    found = {name: value for group in groups if group is not None for name, value in _numbers(group).items()}
    if isinstance(report, StageReport) and report.available is not None:
        for name, available in _numbers(report.available).items():
            found[f"{name}_available"] = available
            if name in found and available:
                found[f"{name}_utilization_percent"] = utilization_percent(found[name], available)
    return found


def utilization_percent(used: float, available: float) -> float:
    """Return the share of the part's cells in percent, to a thousandth.

    >>> utilization_percent(1526, 53200)
    2.868
    """
    return round(100 * used / available, 3)


def _numbers(group: Group) -> dict[str, int | float]:
    return {name: value for name, value in asdict(group).items() if value is not None}
