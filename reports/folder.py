"""A project's folder: which reports lie in it, and what they say together."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from bitwright.reports.cosim import parse_cosim, parse_transactions
from bitwright.reports.csynth import parse_csynth, top_of
from bitwright.reports.export import parse_export
from bitwright.reports.instances import parse_instances
from bitwright.reports.merge import merged
from bitwright.reports.notes import notes
from bitwright.reports.report import ProjectReport, Stage, StageReport
from bitwright.reports.text import iso_date, printable, read_bytes, read_text
from bitwright.reports.vivado import parse_vivado
from bitwright.reports.xml import parse_xml

SOLUTIONS = ("", "*", "*/*")
"""Where a solution may lie below a project's folder; hls4ml's is `<top>_prj/solution1`."""

VIVADO = ("*.rpt", "*_vivado_accelerator/project_1.runs/*/*.rpt")
"""Where hls4ml's scripts, and people beside them, have Vivado write its reports."""

LOGS = ("vitis_hls.log", "vivado_hls.log", "vivado.log", "build.log")
MARKS = (
    "project.tcl",
    "build_prj.tcl",
    *(f"{where}{name}" for where in ("", "*/") for name in ("hls.app", "vivado_hls.app")),
)
"""Files that make a folder a project."""

Content = TypeVar("Content")


@dataclass
class _Reading:
    """What was read of a solution so far.

    Args:
        folder: The project's.
    """

    folder: Path
    top: str | None = None
    stages: list[StageReport] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def take(self, read: Callable[[Path], Content], path: Path) -> Content | None:
        """Return what a file says; where it cannot be read, keep the reason and go on."""
        try:
            return read(path)
        except OSError as error:
            self.problems.append(f"{path}: report must be readable, not refused ({error.strerror}); check it")
        except ValueError as error:
            self.problems.append(str(error))
        return None

    def source(self, path: Path) -> str:
        """Return a file's name as figures cite it."""
        return path.relative_to(self.folder).as_posix()

    def result(self, path: Path, solution: str) -> ProjectReport:
        """Return it all in the order of the flow."""
        stages = merged(self.stages)
        told = (*self.notes, *notes(stages))
        return ProjectReport(str(path), solution, self.top, stages, told, tuple(dict.fromkeys(self.problems)))


def read_project(path: Path) -> tuple[ProjectReport, ...]:
    """Return all figures below a project's folder: one report for each solution of it.

    Args:
        path: An hls4ml project, its `<top>_prj`, a solution, or a run's folder that holds `hls/`.

    Raises:
        ValueError: If it is none of these.

    >>> read_project(Path("nowhere"))
    Traceback (most recent call last):
    ValueError: nowhere: project must be a folder, not missing; name an hls4ml project, or a run that holds hls/
    """
    if not path.is_dir():
        what = "a file" if path.exists() else "missing"
        raise ValueError(
            f"{path}: project must be a folder, not {what}; name an hls4ml project, or a run that holds hls/"
        )
    folder = path / "hls" if not _is_project(path) and (path / "hls").is_dir() else path
    solutions = sorted({found.parents[1] for at in SOLUTIONS for found in folder.glob(f"{at}/*/report".lstrip("/"))})
    solutions = [found for found in solutions if _is_solution(found)]
    root = _Reading(folder)
    for pattern in VIVADO:
        for report in filter(Path.is_file, sorted(folder.glob(pattern))):
            _take_vivado(root, report)
    if not solutions and not root.stages and not root.problems and not _is_project(folder):
        raise ValueError(
            f"{path}: folder must be an hls4ml project, not one without project.tcl and reports; "
            "name the project's own folder, or a run that holds hls/"
        )
    readings = [(found, _read_solution(folder, found)) for found in solutions]
    if len(readings) == 1:  # what Vivado left beside it is of the one there is
        readings[0][1].stages += root.stages
        readings[0][1].problems += root.problems
    elif root.stages or root.problems or not readings:
        readings.append((folder, root))
    if not any(stage.stage == Stage.CSYNTH for _, reading in readings for stage in reading.stages):
        readings[0][1].problems += _without_synthesis(path, folder, readings[0][1])
    return tuple(
        reading.result(path, "" if solution == folder else solution.relative_to(folder).as_posix())
        for solution, reading in readings
    )


def _is_project(folder: Path) -> bool:
    return any(True for mark in MARKS for _ in folder.glob(mark))


def _is_solution(folder: Path) -> bool:
    return any((folder / step / "report").is_dir() for step in ("syn", "sim", "impl"))


def _read_solution(folder: Path, solution: Path) -> _Reading:
    reading = _Reading(folder)
    reports = solution / "syn" / "report"
    reading.top = _top(folder, solution, reading)
    csynth = _take_csynth(reading, reports) if reports.is_dir() else None
    _take_cosim(reading, solution / "sim", csynth)
    for path in filter(Path.is_file, sorted((solution / "impl" / "report").glob("*/*export*.xml"))):
        found = reading.take(lambda path: parse_export(read_bytes(path), str(path), path.stem), path)
        if found:
            reading.stages.append(replace(found, sources=(reading.source(path),)))
    return reading


def _top(folder: Path, solution: Path, reading: _Reading) -> str | None:
    """Return the top function's name: as the tool's project has it, hls4ml's script, or the one report there is."""
    for name in ("hls.app", "vivado_hls.app"):
        path = solution.parent / name
        if path.is_file():
            root = reading.take(lambda path: parse_xml(read_bytes(path), str(path)), path)
            if root is not None and root.get("top"):
                return printable(root.get("top", ""))
    script = folder / "project.tcl"
    if script.is_file():
        text = reading.take(read_text, script) or ""
        named = re.search(r'set project_name\s+"?(\w+)', text)
        if named:
            return named[1] + ("_axi" if "accelerator" in text else "")
    whole = solution / "syn" / "report" / "csynth.xml"
    if whole.is_file():
        return reading.take(lambda path: top_of(read_bytes(path), str(path)), whole)
    found = [path.name.removesuffix("_csynth.xml") for path in (solution / "syn" / "report").glob("*_csynth.xml")]
    return printable(found[0]) if len(found) == 1 else None


def _take_csynth(reading: _Reading, reports: Path) -> StageReport | None:
    """Read the figures of the top from its own report and the layers from the tables beside it."""
    own, whole, table = (
        reports / name for name in (f"{reading.top}_csynth.xml", "csynth.xml", f"{reading.top}_csynth.rpt")
    )
    path = own if own.is_file() else whole
    if not path.is_file():
        reading.problems.append(f"{own}: report must be there, not missing; run C synthesis again")
        return None
    found = reading.take(lambda path: parse_csynth(read_bytes(path), str(path)), path)
    if found is None:
        return None
    found = replace(found, sources=(reading.source(path),))
    if table.is_file():
        period = found.clock.clock_period_target_ns if found.clock else None
        text = reading.take(read_text, table) or ""
        layers = reading.take(lambda path: parse_instances(text, str(path), period), table) or ()
        found = replace(
            found,
            date=iso_date(text[:4096]),
            layers=layers or found.layers,
            sources=(*found.sources, reading.source(table)),
        )
    elif not found.layers and whole.is_file() and whole != path:
        other = reading.take(lambda path: parse_csynth(read_bytes(path), str(path)), whole)
        if other is not None and other.layers:
            found = replace(found, layers=other.layers, sources=(*found.sources, reading.source(whole)))
    if not table.is_file() and not found.layers:
        reading.notes.append(f"{reading.source(table)} is not there: no figures of single layers")
    reading.stages.append(found)
    return found


def _take_cosim(reading: _Reading, folder: Path, csynth: StageReport | None) -> None:
    path = folder / "report" / f"{reading.top}_cosim.rpt"
    if not path.is_file():
        return
    period = csynth.clock.clock_period_target_ns if csynth and csynth.clock else None
    version = csynth.tool.version if csynth else None
    results = reading.take(lambda path: parse_cosim(read_text(path), str(path), period, version), path)
    for result in results or ():
        found = replace(result, sources=(reading.source(path),))
        counted = folder / result.variant / f"{reading.top}.performance.result.transaction.xml"
        if result.variant and counted.is_file():
            counts = reading.take(lambda path: parse_transactions(read_text(path), str(path)), counted)
            if counts is not None:
                total = found.simulation.total_execution_cycles if found.simulation else None
                counts = replace(counts, total_execution_cycles=total)
                found = replace(found, simulation=counts, sources=(*found.sources, reading.source(counted)))
        reading.stages.append(found)


def _take_vivado(reading: _Reading, path: Path) -> None:
    found = reading.take(lambda path: parse_vivado(read_text(path), str(path)), path)
    if found is not None:
        reading.stages.append(replace(found, sources=(reading.source(path),)))


def _without_synthesis(path: Path, folder: Path, reading: _Reading) -> list[str]:
    """Return why there is no C synthesis, where nothing else has said so."""
    for log in (folder / name for name in LOGS):
        if log.is_file():
            lines = [printable(line) for line in (reading.take(read_text, log) or "").splitlines() if line.strip()]
            said = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "nothing")
            return [f"{log}: C synthesis must leave a report, not a log alone; the log says: {said}"]
    if reading.stages or reading.problems:
        return []
    return [f"{path}: project must hold a report, not only sources; run C synthesis first (its build_prj.tcl)"]
