"""Running a program of minutes or hours: every line goes to its log as it comes, and to whoever listens."""

import re
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from bitwright.hls.tool_error import ToolError

ERROR = re.compile(r"(\S+:\d+: )?(ERROR\b|FATAL\b|@E )")
"""How the tools begin the line that says why: Yosys, nextpnr, Vitis and Vivado; the last, Vivado HLS before 2018."""


def run_logged(command: Sequence[str], folder: Path, log: Path, heard: Callable[[str], None] = lambda _: None) -> int:
    """Run a program, and return its exit status.

    Args:
        command: The program and its arguments.
        folder: Where it runs.
        log: File of all that it says, both streams.
        heard: Called with each line, as soon as it is said.

    Raises:
        ToolError: If it does not start.
        KeyboardInterrupt: If it was interrupted.
    """
    with log.open("w") as file:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise ToolError(
                f"{command[0]}: program must start, not fail with {error.strerror}; check that it can be executed",
                command,
                log=log,
            ) from error
        with process:
            try:
                for line in process.stdout or ():
                    file.write(line)
                    file.flush()
                    heard(line.rstrip("\n"))
            except BaseException:  # interrupted: hours of a tool must not go on unseen
                process.terminate()
                raise
    if process.returncode in (-signal.SIGINT, 128 + signal.SIGINT):
        raise KeyboardInterrupt  # the terminal's, which goes to every program: no further one shall be started
    return process.returncode


def reason(log: Path, status: int) -> str:
    """Return why a program failed, in its own words: the first line that it calls an error, else its last.

    The first is the cause; those that follow only pass it on ("Encountered problem during source synthesis").
    """
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    first = next((line for line in lines if ERROR.match(line)), None)
    return first or (lines[-1] if lines else f"exit status {status}, and not a word")
