"""One call from a project on disk to its integers: compile it, and run it on every core."""

import tempfile
from pathlib import Path

from bitwright.export.operations import Integers
from bitwright.export.program import Program
from bitwright.hls.csim import run_csim
from bitwright.hls.csim_build import Headers, build_library


def simulate(program: Program, project: Path, codes: Integers, headers: Headers = "original") -> Integers:
    """Return the integers that a project's C simulation gives.

    Args:
        program: What the project was written from, by `bitwright.hls.project.write_project`.
        project: Its folder; it stays as it is.
        codes: Input integers ``(N, *program.input.shape)``.
        headers: "original", hls4ml's; or "fast", Bitwright's own.

    Returns:
        Output integers ``(N, values)``.

    Raises:
        ToolError: If there is no compiler, or it fails, or the simulation dies.
        FileNotFoundError: If the folder is no such project.
    """
    program.check_input(codes)
    with tempfile.TemporaryDirectory(prefix="bitwright-csim-") as scratch:
        library = build_library(project, Path(scratch), headers)
        return run_csim(library, project, program, codes, Path(scratch) / "parts")
