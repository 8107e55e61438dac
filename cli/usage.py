"""What is wrong with a command line, in one line of the form that every other error has."""

import difflib
import re
from collections.abc import Iterable

import typer
from pydantic import ValidationError

# typer keeps a click of its own, and gives no other name to these; its version is pinned
from typer._click.exceptions import (
    BadOptionUsage,
    BadParameter,
    MissingParameter,
    NoArgsIsHelpError,
    NoSuchOption,
    UsageError,
)
from typer.core import TyperArgument, TyperOption

PROGRAM = "bitwright"
NO_COMMAND = re.compile(r"No such command (.+?)\.(?: Did you mean (.+)\?)?")
TOO_MANY = re.compile(r"Got unexpected extra argument\(s\) \((.*)\)")
RULES = {"int_parsing": "a whole number", "float_parsing": "a number"}
"""What a kind of pydantic's errors asks for; the other kinds' own words will do."""


def usage_line(error: typer.TyperException) -> str:
    """Return the line that a refused command line ends in; of a command that shows its help instead, nothing.

    >>> usage_line(NoSuchOption("--sed", possibilities=["--seeds", "--set"]))
    "bitwright: option must be a known one, not '--sed'; did you mean '--seeds' or '--set'? see `bitwright --help`"
    """
    if isinstance(error, NoArgsIsHelpError):
        return error.message
    if isinstance(error, BadOptionUsage):  # of these typer does not say of which command they are
        if "requires" in error.message:
            return f"{error.option_name}: value must be given, not missing; write it behind {error.option_name}"
        return f"{error.option_name}: option must stand alone, not with a value; leave the value out"
    context = error.ctx if isinstance(error, UsageError) else None
    path = context.command_path if context else PROGRAM
    return f"{path}: {' '.join(_problem(error).split())} see `{path} --help`"


def did_you_mean(names: Iterable[str]) -> str:
    """Return the question after names that are near to a wrong one, or nothing.

    >>> did_you_mean(["--seeds", "--set"]), did_you_mean([])
    (" did you mean '--seeds' or '--set'?", '')
    """
    near = " or ".join(map(repr, names))
    return f" did you mean {near}?" if near else ""


def _problem(error: typer.TyperException) -> str:
    if isinstance(error, NoSuchOption):
        near = did_you_mean(sorted(error.possibilities or ()))
        return f"option must be a known one, not {error.option_name!r};{near}"
    if isinstance(error, MissingParameter):
        return f"{_name(error)} must be given, not missing;"
    if isinstance(error, BadParameter) and isinstance(error.__cause__, ValidationError):
        return _value(error, error.__cause__)
    if error.message == "Missing command.":
        return "command must be given, not missing;"
    if unknown := NO_COMMAND.fullmatch(error.message):
        near = f" did you mean {unknown[2].replace(', ', ' or ')}?" if unknown[2] else ""
        return f"command must be a known one, not {unknown[1]};{near}"
    if (more := TOO_MANY.fullmatch(error.message)) and isinstance(error, UsageError) and error.cmd:
        known = [each.display_name_raw for each in error.cmd.params if isinstance(each, TyperArgument)]
        return f"arguments must be {' '.join(known) or 'none'}, not {more[1]!r}{' as well' if known else ''};"
    return f"command line must be one that can be read, not refused ({error.format_message()});"


def _name(error: BadParameter) -> str:
    """Return an option with its dashes, an argument as the help has it."""
    if isinstance(error.param, TyperOption):
        return error.param.opts[0]
    return error.param.display_name_raw if error.param else "value"


def _value(error: BadParameter, cause: ValidationError) -> str:
    """Say what a value must be, and which of several may have been meant."""
    problem = cause.errors()[0]
    choices = [str(choice) for choice in (error.param and error.param.type_descriptor.choices) or ()]
    if choices:
        near = did_you_mean(difflib.get_close_matches(str(problem["input"]), choices, n=1))
        return f"{_name(error)} must be one of {', '.join(choices)}, not {problem['input']!r};{near}"
    rule = RULES.get(problem["type"]) or problem["msg"].removeprefix("Input should be ")
    return f"{_name(error)} must be {rule}, not {problem['input']!r};"
