"""The figures as people read them: sheets of text, each column of one stage."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bitwright.reports.report import ProjectReport, Stage, StageReport, figures

RANGES = {
    "latency (cycles)": ("latency_min_cycles", "latency_max_cycles"),
    "latency (ns)": ("latency_min_ns", "latency_max_ns"),
    "II (cycles)": ("initiation_interval_min_cycles", "initiation_interval_max_cycles"),
    "latency of a transaction (cycles)": ("transaction_latency_min_cycles", "transaction_latency_max_cycles"),
    "transactions": ("transaction_count",),
    "whole simulation (cycles)": ("total_execution_cycles",),
    "clock, target (ns)": ("clock_period_target_ns",),
    "clock, uncertainty (ns)": ("clock_uncertainty_ns",),
    "clock, estimated (ns)": ("clock_period_estimated_ns",),
    "clock, achieved (ns)": ("clock_period_achieved_ns",),
    "LUT": ("lut",),
    "FF": ("ff",),
    "DSP": ("dsp",),
    "BRAM (18 kbit)": ("bram_18k",),
    "URAM": ("uram",),
    "setup slack, worst (ns)": ("setup_slack_worst_ns",),
    "setup slack, total (ns)": ("setup_slack_total_ns",),
    "hold slack, worst (ns)": ("hold_slack_worst_ns",),
    "hold slack, total (ns)": ("hold_slack_total_ns",),
    "pulse width slack, worst (ns)": ("pulse_width_slack_worst_ns",),
    "pulse width slack, total (ns)": ("pulse_width_slack_total_ns",),
    "power, total (W)": ("power_total_w",),
    "power, dynamic (W)": ("power_dynamic_w",),
    "power, static (W)": ("power_static_w",),
    "junction temperature (degrees C)": ("junction_temperature_c",),
}
"""The row of each figure; two figures are the ends of a range. Averages stand in CSV and JSON alone."""

WORDS = {
    "pipeline_type": "pipeline",
    "status": "status",
    "design": "design",
    "power_confidence": "confidence in the power",
}


ORDER = tuple(Stage)
APART = ("date", "part", "design", "clock, uncertainty (ns)")
SIZE = re.compile(r" of [\d,]+(?= \()")
"""Rows of a project's own sheet, and the part's size, that a comparison of many has no room for."""


@dataclass(frozen=True)
class Sheet:
    """A table of text.

    Args:
        title: What it is of.
        header: Names of the columns; those of one stage alone, or each with its stage.
        rows: Cells; the first is the row's name.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """What belongs together.

    Args:
        heading: What it is of.
        sheets: Its tables.
        notes: What to know of the figures.
        problems: What could not be read.
    """

    heading: str
    sheets: tuple[Sheet, ...]
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def sections(projects: Sequence[ProjectReport]) -> Iterator[Section]:
    """Yield the comparison of the projects, where there are many, then each of them."""
    if len(projects) > 1:
        yield Section("All projects", tuple(_comparison(projects)))
    for project in projects:
        notes, problems = (tuple(map(clean, lines)) for lines in (project.notes, project.problems))
        yield Section(heading(project), tuple(_of_project(project)), notes, problems)


def heading(project: ProjectReport) -> str:
    """Return what a project is called.

    >>> heading(ProjectReport("run", "net_prj/solution1", "net", ()))
    'run (net_prj/solution1)'
    """
    return clean(f"{project.path} ({project.solution})" if project.solution else project.path)


def stage_titles(projects: Sequence[ProjectReport]) -> dict[str, str]:
    """Return the title of every stage that any project has, by its key, in the order of the flow."""
    stages = {stage.key: stage for project in projects for stage in project.stages}
    order = sorted(stages, key=lambda key: (ORDER.index(stages[key].stage), key))
    return {key: stages[key].title for key in order}


def clean(text: str) -> str:
    r"""Return a text on one line and without what would act on a terminal: names come from files of others.

    >>> clean("fc1\x1b[2J\n")
    'fc1[2J'
    """
    return "".join(character for character in text if character.isprintable())


def cells(found: Mapping[str, int | float], words: Mapping[str, str]) -> dict[str, str]:
    """Return a stage's or a layer's figures by row, as text.

    >>> cells({"latency_min_ns": 1975.0, "latency_max_ns": 2000.0, "lut": 1200}, {"pipeline_type": "dataflow"})
    {'pipeline': 'dataflow', 'latency (ns)': '1,975 .. 2,000', 'LUT': '1,200'}
    """
    texts = {label: clean(words[name]) for name, label in WORDS.items() if name in words}
    for label, names in RANGES.items():
        ends = dict.fromkeys(_number(found[name]) for name in names if name in found)
        if ends:
            texts[label] = " .. ".join(ends)
        available = found.get(f"{names[0]}_available")
        if available is not None and ends:
            texts[label] += f" of {_number(available)}"
            texts[label] += f" ({100 * found[names[0]] / available:.2f} %)" if available else ""
    return texts


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}".rstrip("0").rstrip(".")


def _stage_cells(stage: StageReport) -> dict[str, str]:
    about = {"tool": str(stage.tool), "date": stage.date or "", "part": stage.part or ""}
    return {**{name: clean(text) for name, text in about.items() if text}, **cells(figures(stage), stage.words)}


def _of_project(project: ProjectReport) -> Iterator[Sheet]:
    columns = [_stage_cells(stage) for stage in project.stages]
    if columns:
        header = ("figure", *(clean(stage.title) for stage in project.stages))
        rows = ((label, *(column.get(label, "") for column in columns)) for label in _labels(columns))
        yield Sheet(f"Figures of {clean(project.top or 'the design')}", header, tuple(rows))
    for stage in project.stages:
        if stage.layers:
            named = [(clean(layer.name), cells(figures(layer), layer.words)) for layer in stage.layers]
            yield _listed(f"Layers: {clean(stage.title)}, {clean(str(stage.tool))}", "layer", named)


def _comparison(projects: Sequence[ProjectReport]) -> Iterator[Sheet]:
    names = _short(projects)
    for key, title in stage_titles(projects).items():
        named = [
            (name, {label: SIZE.sub("", text) for label, text in _stage_cells(stage).items() if label not in APART})
            for project, name in zip(projects, names, strict=True)
            for stage in project.stages
            if stage.key == key
        ]
        yield _listed(clean(title), "project", named)


def _short(projects: Sequence[ProjectReport]) -> list[str]:
    """Return the last part of each project's path, or its heading where that names two."""
    last = [clean(Path(project.path).resolve().name) for project in projects]
    return [name if last.count(name) == 1 else heading(project) for name, project in zip(last, projects, strict=True)]


def _listed(title: str, what: str, named: Sequence[tuple[str, Mapping[str, str]]]) -> Sheet:
    labels = _labels([texts for _, texts in named])
    rows = tuple((name, *(texts.get(label, "") for label in labels)) for name, texts in named)
    return Sheet(title, (what, *labels), rows)


def _labels(columns: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the labels that any column has, in one order."""
    order = ["tool", "date", "part", *WORDS.values(), *RANGES]
    return [label for label in order if any(label in column for column in columns)]
