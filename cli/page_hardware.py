"""Hardware figures of a run by stage: what the vendor's tools, alkaid, Yosys and nextpnr left in its folder."""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bitwright.cli.finite_figures import not_finite
from bitwright.cli.page_facts import Absent, Stage
from bitwright.cli.report_sheet import clean
from bitwright.cli.run_folder import RunFolder
from bitwright.reports.folder import read_project
from bitwright.reports.report import Stage as VendorStage
from bitwright.reports.report import StageReport, figures

DESIGN = "rtl/design.json"
SYNTHESIS = "synth/[xe]*/*.json"
VENDOR_SYNTHESIS = "synth/vendor/*.json"

UNSAID = ("key", "command", "stage", "step", "tool", "package")
"""Words of the open tools' files that stand elsewhere, or that nobody reads."""

VENDOR = {
    VendorStage.CSYNTH: "bitwright synth RUN",
    VendorStage.COSIM: "bitwright synth RUN --cosim",
    VendorStage.SYNTH: "bitwright synth RUN --vsynth",
}
"""The command for each stage of the vendor's tools; Vitis or Vivado must be on the PATH."""


@dataclass
class Hardware:
    """What was found so far."""

    stages: list[Stage] = field(default_factory=list)
    absent: list[Absent] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def hardware(run: RunFolder, called: str) -> Hardware:
    """Return the figures of every stage, in the order of the flow; none of a program that is not the run's.

    Args:
        run: Its folder.
        called: How commands name it.

    >>> [one.command for one in hardware(RunFolder(Path("nowhere")), "runs/a").absent][:2]
    ['bitwright hls runs/a', 'bitwright rtl runs/a']
    """
    found, folder, name = Hardware(), run.path, shlex.quote(called)
    has_project = run.project.is_dir() and not run.is_of_another_program("project")
    has_rtl = not run.is_of_another_program("rtl_design")
    if has_project:
        _take_vendor(found, folder, name)
    else:
        words = "hls4ml project, and all that the vendor's tools say of it"
        found.absent.append(Absent(words, f"bitwright hls {name}"))
    if not (has_rtl and _take(found, folder, DESIGN, "RTL, before synthesis")):
        found.absent.append(Absent("RTL design", f"bitwright rtl {name}"))
    before = len(found.stages)
    if has_project:
        _take(found, folder, VENDOR_SYNTHESIS)
    if has_rtl:
        _take(found, folder, SYNTHESIS)
    titles = " ".join(stage.title for stage in found.stages[before:])
    if "yosys" not in titles:
        found.absent.append(Absent("synthesis by Yosys", f"bitwright synth {name}"))
    if "nextpnr" not in titles:
        found.absent.append(Absent("place-and-route by nextpnr", f"bitwright synth {name} --place-and-route"))
    return found


def _take_vendor(found: Hardware, folder: Path, run: str) -> None:
    try:
        projects = read_project(folder)
    except ValueError as error:
        found.problems.append(clean(str(error)))
        return
    there = set()
    for project in projects:
        for stage in project.stages:
            there.add(stage.stage)
            found.stages.append(_vendor_stage(stage, project.solution))
        found.notes += map(clean, project.notes)
        sources_alone = f"{project.path}: project must hold a report, not only sources"
        found.problems += [clean(text) for text in project.problems if not text.startswith(sources_alone)]
    for kind, command in VENDOR.items():
        if kind not in there:
            words = command.replace("RUN", run)
            found.absent.append(Absent(f"{kind.label} by Vitis or Vivado", words, "with one of them on the PATH"))


def _vendor_stage(stage: StageReport, solution: str) -> Stage:
    about = {"solution": solution, "part": stage.part or "", "date": stage.date or "", **stage.words}
    return Stage(
        title=clean(stage.title),
        tool=clean(str(stage.tool)),
        source=clean(", ".join(f"hls/{source}" for source in stage.sources)),
        words={clean(name): clean(word) for name, word in about.items() if word},
        figures=figures(stage),
    )


def _take(found: Hardware, folder: Path, pattern: str, title: str = "") -> bool:
    """Read the files of a pattern; return whether there are any."""
    paths = sorted(folder.glob(pattern))
    for path in paths:
        where = path.relative_to(folder).as_posix()
        try:
            content = json.loads(path.read_text())
        except (OSError, ValueError):
            content = None
        key = not_finite(content)
        if key is not None:
            found.problems.append(
                clean(f"{where}: {key} must be finite, not NaN or infinite; delete the folder and run again")
            )
        elif isinstance(content, dict):
            found.stages.append(_stage(content, where, title))
        else:
            found.problems.append(
                clean(
                    f"{where}: figures must be as the command wrote them, not damaged; delete the folder and run again"
                )
            )
    return bool(paths)


def _stage(content: Mapping[str, Any], where: str, title: str) -> Stage:
    flat = dict(_flat(content))
    said = title or str(content.get("stage") or content.get("step") or where)
    tool = " ".join(str(content[name]) for name in ("tool", "version") if content.get(name)) or "alkaid"
    return Stage(
        title=clean(said),
        tool=clean(tool),
        source=clean(where),
        words={name: word for name, word in flat.items() if isinstance(word, str) and name not in (*UNSAID, "version")},
        figures={name: value for name, value in flat.items() if not isinstance(value, str)},
    )


def _flat(content: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str | int | float]]:
    """Yield every number and word, those of inner tables by both names."""
    for name, value in content.items():
        match value:
            case dict():
                yield from _flat(value, f"{before}{clean(name)}_".replace("cells_", ""))
            case bool():
                yield f"{before}{clean(name)}", "yes" if value else "no"
            case int() | float():
                yield f"{before}{clean(name)}", value
            case str():
                yield f"{before}{clean(name)}", clean(value)
