"""The terminal: progress and notes on standard error, results on standard output."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PIPE_WIDTH = 200
"""Columns where standard output is no terminal: tables keep their lines whole for grep."""

out = Console(highlight=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPE_WIDTH)
FEW = 1000
"""So many steps or more are worth a line at each tenth."""

LONG_SECONDS = 5.0
"""So are fewer steps, once they have taken so long since the last line."""

err = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how much of a long work is done; yield the function that counts on.

    Where standard error is no terminal, it says so at each tenth instead.
    """
    if not err.is_terminal:
        yield _tenths(title, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.advance(task, done)


def _tenths(title: str, total: int) -> Callable[[int], None]:
    done = said = 0
    last = time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, said, last
        done += count
        if done * 10 // total > said and (total >= FEW or time.monotonic() - last > LONG_SECONDS):
            said, last = done * 10 // total, time.monotonic()
            note(f"{title}: {done} of {total}")

    return advance


def note(text: str) -> None:
    """Say what is going on."""
    err.print(text, markup=False)


def error_line(error: Exception) -> str:
    """Return an error's own words; for one of the operating system, in the form of every other."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename2 or error.filename}: " if error.filename else ""
        if isinstance(error, FileNotFoundError):
            return f"{where}file must be there, not missing; run the stage that writes it (train, export, hls)"
        return (
            f"{where}path must be readable and writable, not refused ({error.strerror}); check it and the space on disk"
        )
    return str(error)
