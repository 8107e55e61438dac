"""Running the vendor's tools on an hls4ml project, step by step; what is finished is not done again."""

import re
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import NonNegativeFloat, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from bitwright.hls.csim_build import content_key
from bitwright.hls.tool_error import ToolError
from bitwright.synth.hls_project import HlsProject, read_hls_project
from bitwright.synth.run_logged import ERROR, reason, run_logged
from bitwright.synth.vendor_tool import Step, VendorTool, build_options, command, find_tool, names_for, results

MILESTONE = re.compile(
    r"\*{5} (?P<phase>.+?) \*{5}"
    r"|INFO: \[HLS 200-(?:10|42|1510)\] -+ (?P<module>(?:Implementing|Generating RTL for) module '[^']+')"
    r"|INFO: \[HLS 200-111\] (?P<finished>Finished [^:]+)"
    r"|(?P<vivado>(?:Starting|Finished) (?:Synthesize|RTL Elaboration|Technology Mapping|Timing Optimization)\b)"
)
"""Lines of a log that say how far it is. Source: logs of hls4ml projects, Vivado HLS 2019.2 to Vitis HLS 2024.1."""


@dataclass(frozen=True)
class Finished:
    """A step that was done.

    Args:
        step: Which.
        tool: Who did it.
        version: As in "2023.1", or None.
        command: As a person would type it, in the project's folder.
        seconds: How long it took.
        key: Digest of all that it depends on.
    """

    step: Step
    tool: str
    version: str | None
    command: str
    seconds: NonNegativeFloat
    key: str


@dataclass(frozen=True)
class Missing:
    """A step that no tool here can do.

    Args:
        step: Which.
        wanted: Tools that could.
        command: What to type where one of them is.
    """

    step: Step
    wanted: tuple[str, ...]
    command: str

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.step.label} needs {' or '.join(self.wanted)}, not on the PATH here; there: {self.command}"


def run_steps(
    folder: Path, steps: Sequence[Step], notes: Path, progress: Callable[[str], None] = lambda _: None
) -> tuple[tuple[Finished, ...], tuple[Missing, ...]]:
    """Do the steps that a tool here can do and that are not done.

    Reports lie in the project, where `bitwright report` and hls4ml read them; logs and what was finished in ``notes``.

    Args:
        folder: An hls4ml project of the Vivado or Vitis back end.
        steps: Those wanted.
        notes: Folder for the logs.
        progress: Called with how far it is.

    Returns:
        Steps that are done, now or before, and those that no tool here can do.

    Raises:
        FileNotFoundError: If there is no project.
        ToolError: If a tool fails; its own line is quoted.
    """
    project = read_hls_project(folder)
    key = content_key(_inputs(project), folder)
    finished, missing = list[Finished](), list[Missing]()
    for step in (step for step in Step if step in steps):
        tool = find_tool(step, project.backend)
        if tool is None:
            wanted = names_for(step, project.backend)
            if not wanted:
                raise ValueError(
                    f"{folder}: backend must be vitis or vivado to be launched, not {project.backend}; write it again"
                )
            missing.append(
                Missing(
                    step, wanted, f"cd {shlex.quote(str(folder))} && {shlex.join(command(wanted[0], step, project))}"
                )
            )
            continue
        key = content_key([], folder, key, step, tool.name, tool.version or "")
        finished.append(_done(step, tool, project, notes, key, progress))
    return tuple(finished), tuple(missing)


def _inputs(project: HlsProject) -> list[Path]:
    """Return the files of a project that its synthesis depends on; `build_opt.tcl` says only which step."""
    files = [path for name in ("firmware", "tb_data") for path in (project.folder / name).rglob("*")]
    files += [path for path in project.folder.glob("*.tcl") if path.name != "build_opt.tcl"]
    files += project.folder.glob("*_test.cpp")
    return sorted(
        path
        for path in files
        if path.is_file() and path.suffix not in (".so", ".log")  # written by simulations
    )


def _done(
    step: Step, tool: VendorTool, project: HlsProject, notes: Path, key: str, progress: Callable[[str], None]
) -> Finished:
    note, log = notes / f"{step}.json", notes / f"{step}.log"
    known = read_finished(note)
    if known is not None and known.key == key and _results(step, project):
        return known
    notes.mkdir(parents=True, exist_ok=True)
    note.unlink(missing_ok=True)
    for old in _results(step, project):  # else those of other inputs would pass for new ones
        old.unlink()
    started = time.monotonic()
    words = command(tool.name, step, project)
    progress(f"{step.label} by {tool}")
    options = project.folder / "build_opt.tcl"
    before = options.read_text() if options.exists() and step is not Step.VSYNTH else None
    if before is not None:
        options.write_text(build_options(step))
    try:
        _run([str(tool.path), *words[1:]], step, tool, project, log, progress)
    finally:
        if before is not None:
            options.write_text(before)
    found = Finished(step, tool.name, tool.version, shlex.join(words), round(time.monotonic() - started, 1), key)
    partial = note.with_name(f".{note.name}.partial")
    partial.write_bytes(TypeAdapter(Finished).dump_json(found, indent=2) + b"\n")
    partial.replace(note)
    return found


def _run(
    words: Sequence[str], step: Step, tool: VendorTool, project: HlsProject, log: Path, progress: Callable[[str], None]
) -> None:
    started = time.monotonic()
    wrong = list[str]()

    def heard(line: str) -> None:
        if said := milestone(line):
            progress(f"{step.label}: {said}, {time.monotonic() - started:.0f} s")
        if ERROR.match(line):
            wrong.append(line)

    status = run_logged(words, project.folder, log, heard)
    # Some versions end with status 0 after an error; the report says whether they came to the end
    if status or not _results(step, project):
        said = reason(log, status) if status or wrong else f"no {results(step, project)[0]} was written"
        raise ToolError(
            f"{project.folder}: {step.label} by {tool} must succeed, not fail ({said}); see {log}", words, status, log
        )


def _results(step: Step, project: HlsProject) -> list[Path]:
    return [path for pattern in results(step, project) if (path := project.folder / pattern).is_file()]


def milestone(line: str) -> str | None:
    """Return what a line of a log says of how far it is, or None.

    >>> milestone("INFO: [HLS 200-42] -- Implementing module 'relu'")
    "Implementing module 'relu'"
    """
    found = MILESTONE.match(line.strip())
    return next(filter(None, found.groups())) if found else None


def read_finished(path: Path) -> Finished | None:
    """Return what is known of a finished step, or None where nothing is."""
    try:
        return TypeAdapter(Finished).validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
