"""The command lines of the benchmarks: each error of one, and each in what it reads, ends in one line and status 2."""

import argparse
import difflib
import functools
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

from bitwright.cli.console import err
from bitwright.cli.exit_status import INTERRUPTED, status_of
from bitwright.cli.usage import did_you_mean

Choice = TypeVar("Choice", bound=str)

LAST_SEED = 2**31 - 1

PROBLEMS = (
    (r"the following arguments are required: (.+)", r"\1 must be given, not missing"),
    (r"unrecognized arguments: (.+)", r"arguments must be known ones, not '\1'"),
    (r"ambiguous option: (\S+) could match (.+)", r"option must be one of \2, not '\1'"),
    (r"argument (.+?): expected .+", r"\1 must have a value behind it, not none"),
    (r"argument (.+?): ignored explicit argument (.+)", r"\1 must stand alone, not with \2"),
    (r"argument (.+?): (must be .+)", r"\1 \2"),
)
"""What argparse says, and the same in the form of every other error."""


class Parser(argparse.ArgumentParser):
    """Reads the command line of a benchmark.

    Args:
        file: The benchmark's own.
        description: What it measures; the first lines of its file.
    """

    def __init__(self, file: str, description: str | None) -> None:
        self.benchmark = Path(file).stem
        super().__init__(
            f"python -m bitwright.cli.{self.benchmark}",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def read(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Return what the words behind the benchmark's name say; options may stand between them.

        Raises:
            ValueError: If they cannot be read.

        >>> parser = Parser("benchmark_packed.py", "Speed.")
        >>> _ = parser.add_argument("networks", nargs="*"), parser.add_argument("--rounds", type=whole(1))
        >>> parser.read(["TFC", "--rounds", "5", "LFC"]).networks
        ['TFC', 'LFC']
        """
        return self.parse_intermixed_args(arguments)

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Raises:
            ValueError: Always.
        """
        said = " ".join(message.split())
        for pattern, words in PROBLEMS:
            if match := re.fullmatch(pattern, said):
                said = match.expand(words)
                break
        end = "" if said.endswith("?") else ";"
        raise ValueError(f"{self.benchmark}: {said}{end} see `{self.prog} --help`")


def one_of(choices: Iterable[Choice]) -> Callable[[str], Choice]:
    """Return the function that reads one of several words.

    >>> one_of(["nearest", "learned"])("learned")
    'learned'
    """
    known = {str(choice): choice for choice in choices}

    def read(text: str) -> Choice:
        if text not in known:
            near = did_you_mean(difflib.get_close_matches(text, known, n=1))
            raise argparse.ArgumentTypeError(f"must be one of {', '.join(known)}, not {text!r}{near and ';'}{near}")
        return known[text]

    return read


def whole(lowest: int, highest: int | None = None) -> Callable[[str], int]:
    """Return the function that reads a whole number within limits.

    >>> whole(1)("12")
    12
    """
    rule = f"of {lowest} or more" if highest is None else f"from {lowest} to {highest}"

    def read(text: str) -> int:
        number = int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else None
        if number is None or number < lowest or (highest is not None and number > highest):
            raise argparse.ArgumentTypeError(f"must be a whole number {rule}, not {text!r}")
        return number

    return read


a_seed = whole(0, LAST_SEED)
"""Reads a seed, as an experiment may have it."""


def positive(text: str) -> float:
    """Read a number above 0.

    Raises:
        argparse.ArgumentTypeError: If it is none.

    >>> positive("2.5")
    2.5
    """
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a finite number above 0, not {text!r}")
    return number


def ends_in_one_line(main: Callable[[Sequence[str]], int]) -> Callable[[Sequence[str]], int]:
    """Have a benchmark say what is wrong, or that it was interrupted, in one line, instead of raising."""

    @functools.wraps(main)
    def command(arguments: Sequence[str]) -> int:
        try:
            return status_of(lambda: main(arguments))
        except KeyboardInterrupt:
            err.print("interrupted")
            return INTERRUPTED

    return command
