"""Command lines that cannot be read end in one line of the same form as every other error, and status 2."""

import re
from collections.abc import Iterator

import pytest
import typer
from road import Bitwright
from typer.core import TyperGroup
from typer.main import get_command

from bitwright.cli.main import app
from bitwright.cli.usage import usage_line

METHODS = "min_max, moving_average, percentile, mse, entropy"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["frobnicate"], "bitwright: command must be a known one, not 'frobnicate'; see `bitwright --help`"),
        (
            ["trian"],
            "bitwright: command must be a known one, not 'trian'; did you mean 'train'? see `bitwright --help`",
        ),
        (
            ["tra\nin"],
            "bitwright: command must be a known one, not 'tra\\nin'; did you mean 'train' or 'pretrained'? "
            "see `bitwright --help`",
        ),
        (
            ["study", "widht"],
            "bitwright study: command must be a known one, not 'widht'; did you mean 'widths'? "
            "see `bitwright study --help`",
        ),
        (["study", "--"], "bitwright study: command must be given, not missing; see `bitwright study --help`"),
        (
            ["train", "--sed", "3"],
            "bitwright train: option must be a known one, not '--sed'; did you mean '--set'? "
            "see `bitwright train --help`",
        ),
        (["-x"], "bitwright: option must be a known one, not '-x'; see `bitwright --help`"),
        (
            ["train", "one", "two"],
            "bitwright train: arguments must be EXPERIMENT|RUN, not 'two' as well; see `bitwright train --help`",
        ),
        (["doctor", "me"], "bitwright doctor: arguments must be none, not 'me'; see `bitwright doctor --help`"),
        (["lower"], "bitwright lower: model must be given, not missing; see `bitwright lower --help`"),
        (["convert", "m"], "bitwright convert: --out must be given, not missing; see `bitwright convert --help`"),
        (["lower", "--out"], "--out: value must be given, not missing; write it behind --out"),
        (["verify", "--cached=3"], "--cached: option must stand alone, not with a value; leave the value out"),
        (
            ["hls", "--csim-headers", "fats"],
            "bitwright hls: --csim-headers must be one of fast, original, not 'fats'; did you mean 'fast'? "
            "see `bitwright hls --help`",
        ),
        (
            ["calibrate", "x", "--method", "none"],
            f"bitwright calibrate: --method must be one of {METHODS}, not 'none'; see `bitwright calibrate --help`",
        ),
        (
            ["hls", "--csim-inputs", "all"],
            "bitwright hls: --csim-inputs must be a whole number, not 'all'; see `bitwright hls --help`",
        ),
        (
            ["hls", "--csim-inputs", "0"],
            "bitwright hls: --csim-inputs must be greater than or equal to 1, not '0'; see `bitwright hls --help`",
        ),
        (
            ["rtl", "x", "--latency-cutoff", "low"],
            "bitwright rtl: --latency-cutoff must be a number, not 'low'; see `bitwright rtl --help`",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_command_line_is_refused_in_one_line(arguments: list[str], line: str, bitwright: Bitwright) -> None:
    outcome = bitwright(*arguments)
    assert (outcome.status, outcome.out, outcome.err) == (2, "", f"{line}\n")


def commands(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, TyperGroup):
            yield from commands(command, (*path, name))


GROUP = get_command(app)
assert isinstance(GROUP, TyperGroup)


@pytest.mark.parametrize("path", list(commands(GROUP)), ids=" ".join)
def test_every_command_refuses_an_unknown_option_by_its_own_name(path: tuple[str, ...], bitwright: Bitwright) -> None:
    outcome = bitwright(*path, "--qqq")
    name = " ".join(["bitwright", *path])
    line = f"{name}: option must be a known one, not '--qqq'; see `{name} --help`\n"
    assert (outcome.status, outcome.out, outcome.err) == (2, "", line)


@pytest.mark.parametrize("arguments", [(), ("study",)])
def test_command_alone_shows_its_help(arguments: tuple[str, ...], bitwright: Bitwright) -> None:
    outcome = bitwright(*arguments)
    assert (outcome.status, outcome.err) == (2, "")
    assert re.search(rf"Usage: {' '.join(['bitwright', *arguments])} ", outcome.out)


def test_what_typer_says_otherwise_is_said_in_its_words() -> None:
    line = "bitwright: command line must be one that can be read, not refused (odd one); see `bitwright --help`"
    assert usage_line(typer.TyperException("odd\none")) == line
