"""The vendor's tools, of whatever version is on the PATH, and how each is asked for a step.

No licensed tool was at hand when this was written: what is asked of each version is what hls4ml 1.3.0 asks, and the
tests run stand-ins that take these arguments and write these reports.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bitwright.synth.hls_project import HlsProject

VERSION = re.compile(r"\bv?(20\d\d\.\d)")

HLS_TOOLS = {"vitis": ("vitis-run", "vitis_hls"), "vivado": ("vivado_hls",)}
"""By back end, the newest first: `vitis-run` takes the place of `vitis_hls`, which 2024.2 has no more."""


class Step(StrEnum):
    """What a vendor's tool makes of a project, in this order.

    >>> Step("csynth").label
    'C synthesis'
    """

    CSYNTH = "csynth"
    COSIM = "cosim"
    EXPORT = "export"
    VSYNTH = "vsynth"

    @property
    def label(self) -> str:
        """Its name in words."""
        return {
            Step.CSYNTH: "C synthesis",
            Step.COSIM: "co-simulation",
            Step.EXPORT: "IP export",
            Step.VSYNTH: "logic synthesis",
        }[self]


OPTIONS = {
    Step.CSYNTH: ("synth",),
    Step.COSIM: ("csim", "cosim", "validation"),  # the last compares the outputs of both
    Step.EXPORT: ("export",),
}
"""What is switched on in hls4ml's `build_prj.tcl`; all else is off."""

ALL_OPTIONS = ("reset", "csim", "synth", "cosim", "validation", "export", "vsynth", "fifo_opt")


@dataclass(frozen=True)
class VendorTool:
    """A program of the vendor's.

    Args:
        name: As it is called.
        path: Where it lies.
        version: As in "2023.1"; None where it does not say.
    """

    name: str
    path: Path
    version: str | None

    def __str__(self) -> str:
        """Return the words for a table."""
        return f"{self.name} {self.version or '(version not stated)'}"


def names_for(step: Step, backend: str) -> tuple[str, ...]:
    """Return the tools that can do a step, the preferred one first.

    >>> names_for(Step.CSYNTH, "vitis"), names_for(Step.VSYNTH, "vitis")
    (('vitis-run', 'vitis_hls'), ('vivado',))
    """
    return ("vivado",) if step is Step.VSYNTH else HLS_TOOLS.get(backend, ())


def find_tool(step: Step, backend: str) -> VendorTool | None:
    """Return the tool on the PATH that can do a step, or None."""
    for name in names_for(step, backend):
        if path := shutil.which(name):
            return VendorTool(name, Path(path), _version(path))
    return None


def _version(path: str) -> str | None:
    for flag in ("-version", "--version"):
        try:
            said = subprocess.run(
                [path, flag], capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        if found := VERSION.search(said.stdout + said.stderr):
            return found[1]
    return None


def command(name: str, step: Step, project: HlsProject) -> list[str]:
    """Return the command for a step, to be run in the project's folder.

    Projects of the Vitis back end read their options from `build_opt.tcl`, those of Vivado from the command line.

    >>> command("vivado_hls", Step.EXPORT, HlsProject(Path("hls"), "myproject", "vivado", "xc7z020clg400-1"))[2]
    'build_prj.tcl'
    """
    match name:
        case "vivado":
            return [name, "-mode", "batch", "-nojournal", "-source", "vivado_synth.tcl"]
        case "vitis-run":
            return [name, "--mode", "hls", "--tcl", "build_prj.tcl"]
        case "vitis_hls":
            return [name, "-f", "build_prj.tcl"]
        case _:
            chosen = " ".join(f"{option}={int(option in OPTIONS[step])}" for option in ALL_OPTIONS)
            return [name, "-f", "build_prj.tcl", chosen]


def build_options(step: Step) -> str:
    """Return `build_opt.tcl` for a step.

    >>> print(build_options(Step.CSYNTH).splitlines()[3].strip())
    synth      1
    """
    lines = "".join(f"    {option:<10} {int(option in OPTIONS[step])}\n" for option in ALL_OPTIONS)
    return f"array set opt {{\n{lines}}}\n"


def results(step: Step, project: HlsProject) -> tuple[str, ...]:
    """Return patterns of the files that a step writes, below the project's folder: one of them must be there."""
    solution = f"{project.name}_prj/solution1"
    return {
        Step.CSYNTH: (f"{solution}/syn/report/csynth.xml", f"{solution}/syn/report/{project.name}_csynth.xml"),
        Step.COSIM: (f"{solution}/sim/report/{project.name}_cosim.rpt",),
        Step.EXPORT: (f"{solution}/impl/ip/component.xml", f"{solution}/impl/export.zip"),
        Step.VSYNTH: ("vivado_synth.rpt",),
    }[step]
