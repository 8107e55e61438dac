"""The error of a tool outside Python: a compiler, a simulator."""

from collections.abc import Sequence
from pathlib import Path


class ToolError(RuntimeError):
    """A tool that is missing, or that failed.

    Args:
        message: One line, in the form of every other error.
        command: What was run.
        status: Its exit status, or None if it did not start.
        log: Where its output lies, or None.
    """

    def __init__(
        self, message: str, command: Sequence[str] = (), status: int | None = None, log: Path | None = None
    ) -> None:
        super().__init__(message)
        self.command, self.status, self.log = tuple(command), status, log
