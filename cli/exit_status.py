"""How a command ends: each error that a person can cause in one line on standard error, and with which status."""

import os
from collections.abc import Callable

import typer

from bitwright.cli.console import err, error_line
from bitwright.cli.usage import usage_line
from bitwright.hls.tool_error import ToolError

ABORTED = 1
REFUSED = 2
INTERRUPTED = 130


def status_of(work: Callable[[], int | None]) -> int:
    """Do a command's work; return its exit status, 2 where its command line or anything that it reads is refused.

    With BITWRIGHT_TRACEBACK=1 an error is raised again instead, to show where it came from.

    >>> status_of(lambda: None), status_of(lambda: 1)
    (0, 1)
    """
    try:
        return work() or 0
    except typer.Abort:
        err.print("Aborted.", style="red")
        return ABORTED
    except typer.TyperException as error:
        line = usage_line(error)
    except (ValueError, OSError, ToolError) as error:
        if os.environ.get("BITWRIGHT_TRACEBACK"):
            raise
        line = error_line(error)
    if line:
        err.print(line, style="red", markup=False)
    return REFUSED
