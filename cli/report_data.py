"""The figures for programs: JSON and CSV."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from bitwright.cli.report_sheet import WORDS, clean, stage_titles
from bitwright.reports.report import (
    Clock,
    Layer,
    Performance,
    Power,
    ProjectReport,
    Resources,
    Simulation,
    StageReport,
    Timing,
    figures,
)

GROUPS = (Performance, Clock, Resources, Timing, Power, Simulation)
CELLS = tuple(field.name for field in fields(Resources))
FIGURES = (
    *(field.name for group in GROUPS for field in fields(group)),
    *(f"{name}_{what}" for name in CELLS for what in ("available", "utilization_percent")),
)
ABOUT = ("tool", "tool_version", "tool_version_inferred", "part", "date", *WORDS)


def json_text(projects: Sequence[ProjectReport]) -> str:
    """Return JSON: under `figures` every value is a number whose name says its unit; what is not known is left out.

    >>> json.loads(json_text([ProjectReport("run", "", "net", ())]))["projects"][0]["top"]
    'net'
    """
    whole = {"projects": [_project(project) for project in projects]}
    return json.dumps(whole, indent=1, allow_nan=False) + "\n"


def _project(project: ProjectReport) -> dict[str, Any]:
    return {
        "path": project.path,
        "solution": project.solution,
        "top": project.top,
        "part": project.part,
        "stages": [_stage(stage) for stage in project.stages],
        "notes": list(project.notes),
        "problems": list(project.problems),
    }


def _stage(stage: StageReport) -> dict[str, Any]:
    return {
        "stage": stage.key,
        "title": stage.title,
        "tool": stage.tool.name,
        "tool_version": stage.tool.version,
        "tool_version_inferred": stage.tool.inferred,
        "part": stage.part,
        "date": stage.date,
        "sources": list(stage.sources),
        "figures": figures(stage),
        "words": dict(stage.words),
        "layers": [_layer(layer) for layer in stage.layers],
    }


def _layer(layer: Layer) -> dict[str, Any]:
    return {"name": layer.name, "module": layer.module, "figures": figures(layer), "words": dict(layer.words)}


def csv_text(projects: Sequence[ProjectReport]) -> str:
    """Return CSV: a row for each design and each of its layers, and columns of one stage each, as `csynth_lut`.

    >>> from bitwright.reports.report import Resources, Stage, Tool
    >>> stage = StageReport(Stage.SYNTH, Tool("Vivado", "2020.1"), used=Resources(lut=120))
    >>> print(csv_text([ProjectReport("run", "", "net", (stage,))]), end="")
    path,solution,top,layer,synth_tool,synth_tool_version,synth_lut
    run,,net,,Vivado,2020.1,120
    """
    rows = [row for project in projects for row in _rows(project)]
    written = {name for row in rows for name in row}
    columns = ["path", "solution", "top", "layer"]
    for key in stage_titles(projects):
        columns += [name for name in (f"{key}_{about}" for about in (*ABOUT, *FIGURES)) if name in written]
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def _rows(project: ProjectReport) -> Iterator[dict[str, Any]]:
    """Yield the design's row, then a row for each layer that a stage knows."""
    named = {"path": clean(project.path), "solution": clean(project.solution), "top": project.top or ""}
    design: dict[str, Any] = {**named, "layer": ""}
    layers: dict[str, dict[str, Any]] = {}
    for stage in project.stages:
        about = {
            "tool": stage.tool.name,
            "tool_version": stage.tool.version,
            "tool_version_inferred": "yes" if stage.tool.inferred else None,
            "part": stage.part,
            "date": stage.date,
        }
        design |= _columns(stage.key, {**about, **stage.words, **figures(stage)})
        for layer in stage.layers:
            row = layers.setdefault(layer.name, {**named, "layer": layer.name})
            tool = {name: about[name] for name in ("tool", "tool_version")}
            row |= _columns(stage.key, {**tool, **layer.words, **figures(layer)})
    yield design
    yield from layers.values()


def _columns(key: str, found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{key}_{name}": clean(value) if isinstance(value, str) else value
        for name, value in found.items()
        if value is not None
    }
