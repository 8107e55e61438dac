"""Random networks at every level, by the hour: `make fuzz FUZZ="--seconds 3600"`."""

import argparse
import contextlib
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from brevitas_networks import brevitas_networks
from brevitas_networks_kinds import EXACT_KINDS, KINDS
from fuzz_check import TARGETS, Drawn, drawn_alike, look_at, source_of
from fuzz_findings import read_finding, write_finding
from fuzz_tally import Tally
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from levels import Case, Verdict, examine
from random_graphs import random_graphs

from bitwright.hls.target import Target

ROUND = 40
"""Networks that Hypothesis draws in a row, before it is seeded anew."""

SMALLEST_SECONDS = 90.0
"""Spent on making one counterexample smaller."""

PROGRESS_SECONDS = 10.0


@dataclass(frozen=True)
class Options:
    """What is drawn, and how much of it.

    Args:
        count: Networks; None for as many as the time allows.
        seconds: Time; None for as long as the networks take.
        seed: Of everything.
        csim: Share of the networks that are also taken through the C simulation.
        kinds: Of Brevitas networks.
        scales: "power-of-two", "any" or "both".
        sources: "graphs", "brevitas" or "both".
        inputs: Of each network.
    """

    count: int | None = None
    seconds: float | None = None
    seed: int = 1
    csim: float = 0.1
    kinds: frozenset[str] = KINDS
    scales: str = "both"
    sources: str = "both"
    inputs: int = 24


class FoundError(AssertionError):
    """A finding; Hypothesis looks for a smaller network with the same."""


class EndError(BaseException):
    """The time is over: Hypothesis lets it pass, as it does an interrupt."""


@dataclass(eq=False)
class Fuzz:
    """A run.

    Args:
        options: What is drawn.
        folder: Where counterexamples go.
        say: Prints a line.
        tally: The counts so far.
    """

    options: Options
    folder: Path
    say: Callable[[str], None]
    tally: Tally = field(default_factory=Tally)
    _started: float = field(default_factory=time.monotonic)
    _said: float = 0.0
    _sought: str | None = None
    _target: Target | None = None
    _simulations: int = 0
    _since: float = 0.0
    _smallest: tuple[tuple[int, int], Case, Verdict, Target | None] | None = None

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.options.seed)

    def run(self) -> Tally:
        """Draw networks until the count or the time is reached."""
        number = 0
        with contextlib.suppress(EndError), drawn_alike():
            while not self._is_over():
                self._round(self.options.seed * 1_000_003 + number, number)
                number += 1
        return self.tally

    def _is_over(self) -> bool:
        options = self.options
        counted = options.count is not None and self.tally.networks >= options.count
        return counted or (options.seconds is not None and time.monotonic() - self._started > options.seconds)

    def _round(self, round_seed: int, number: int) -> None:
        """Let Hypothesis draw some networks, up to the first new finding, and make that one smaller."""
        self._sought, self._smallest = None, None
        strategy = self._strategy(number)
        left = ROUND if self.options.count is None else min(ROUND, self.options.count - self.tally.networks)

        @seed(round_seed)
        @settings(
            max_examples=left,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
            report_multiple_bugs=False,
        )
        @given(strategy)
        def look(drawn: Drawn) -> None:
            self._look(drawn)

        try:
            look()
        except (FoundError, Flaky):
            pass
        except (EndError, KeyboardInterrupt) as end:
            if self._smallest is None or isinstance(end, KeyboardInterrupt):
                raise
        finally:
            if self._smallest is not None:
                self._report(round_seed)

    def _strategy(self, number: int) -> st.SearchStrategy[Drawn]:
        """Return what is drawn in a round: the kinds of networks and scales take turns."""
        options = self.options
        powers = {"power-of-two": [True], "any": [False], "both": [True, False]}[options.scales]
        power_of_two = powers[number % len(powers)]
        makers = {"graphs": ["graphs"], "brevitas": ["brevitas"], "both": ["graphs", "brevitas"]}[options.sources]
        maker = makers[number // len(powers) % len(makers)]
        if maker == "graphs":
            return random_graphs(power_of_two=power_of_two)
        kinds = options.kinds
        if power_of_two and number // (len(powers) * len(makers)) % 2 == 0 and kinds & EXACT_KINDS:
            kinds &= EXACT_KINDS
        return brevitas_networks(power_of_two=power_of_two, kinds=kinds)

    def _look(self, drawn: Drawn) -> None:
        """Examine a network; raise if it shows what is sought, or something new."""
        if self._sought is None and self._is_over():
            raise EndError
        if self._sought is not None and time.monotonic() - self._since > SMALLEST_SECONDS:
            raise EndError
        if self._sought is None:
            self._target = None
            if self._rng.random() < self.options.csim:
                self._target = TARGETS[self._simulations % len(TARGETS)]
                self._simulations += 1
        target = self._target
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
            warnings.simplefilter("ignore")
            case, verdict = look_at(drawn, target, self.options.inputs, Path(folder))
        what = f"{verdict.result}: {verdict.where}"
        if self._sought is None:
            self.tally.add(source_of(drawn), verdict, target)
            if verdict.seconds > self.tally.slowest[0]:
                self.tally.slowest = verdict.seconds, repr(drawn)
            self._progress()
            if verdict.is_finding and what not in self.tally.places:
                self._sought, self._since = what, time.monotonic()
                self.say(f"{what}: looking for the smallest network (at most {SMALLEST_SECONDS:g} s)")
        if self._sought == what:
            size = (len(case.model.graph.node), sum(len(i.raw_data) for i in case.model.graph.initializer))
            if self._smallest is None or size < self._smallest[0]:
                self._smallest = size, case, verdict, target
            raise FoundError(what)

    def _progress(self) -> None:
        if time.monotonic() - self._said > PROGRESS_SECONDS:
            self._said = time.monotonic()
            self.say(f"{self._said - self._started:6.0f} s  {self.tally.line()}")

    def _report(self, round_seed: int) -> None:
        assert self._smallest is not None
        assert self._sought is not None
        _, case, verdict, target = self._smallest
        name = "".join(letter if letter.isalnum() else "-" for letter in self._sought)[:80].strip("-")
        place = self.folder / name
        self.tally.places[self._sought] = place
        write_finding(place, case, verdict, target, round_seed, self.options.seed)
        self.say(
            f"{self._sought}\n  {case.description}\n  {verdict.detail.strip().splitlines()[-1]}\n  saved in {place}"
        )
        self._sought = None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='make fuzz FUZZ="..."',
        description="Draw random Brevitas networks and random QONNX graphs, lower them, run every level (PyTorch, "
        "qonnx, the integer program, the lowered file, and for some the C simulation) and compare the integers. "
        "What differs or crashes is made as small as possible and saved. Ctrl-C ends the run with its table.",
        epilog='Examples: FUZZ="--seconds 3600 --seed 7", FUZZ="--count 500 --csim 0 --graphs", FUZZ="--brevitas '
        '--kinds linear batch_norm binary", FUZZ="--again runs/fuzz/NAME". The exit status is 1 if it found something.',
    )
    parser.add_argument("--count", type=int, help="networks to look at (500, if no --seconds are given)")
    parser.add_argument("--seconds", type=float, help="time to take, not counting what makes a last finding smaller")
    parser.add_argument("--seed", type=int, default=1, help="another one draws other networks (%(default)s)")
    parser.add_argument(
        "--csim",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="share of the networks that are compiled and simulated too, from 0 to 1 (%(default)s); one takes some 5 s",
    )
    parser.add_argument(
        "--kinds",
        nargs="+",
        metavar="KIND",
        default=sorted(KINDS),
        help=f"features that Brevitas networks may have, of: {', '.join(sorted(KINDS))}",
    )
    scales = parser.add_mutually_exclusive_group()
    for name, what in {
        "power-of-two": "only scales that are powers of two",
        "any": "only networks that may have any scales",
        "both": "both in turn (the default)",
    }.items():
        flag = "--any-scale" if name == "any" else "--both-scales" if name == "both" else f"--{name}"
        scales.add_argument(flag, dest="scales", action="store_const", const=name, help=what)
    sources = parser.add_mutually_exclusive_group()
    for name, what in {
        "graphs": "only QONNX graphs: they are drawn in no time",
        "brevitas": "only Brevitas networks: an export takes a second",
        "both": "both in turn (the default)",
    }.items():
        sources.add_argument(f"--{name}", dest="sources", action="store_const", const=name, help=what)
    parser.set_defaults(scales="both", sources="both")
    parser.add_argument("--inputs", type=int, default=24, help="inputs of each network (%(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/fuzz"), metavar="DIR", help="where counterexamples go (%(default)s)"
    )
    parser.add_argument("--again", type=Path, metavar="DIR", help="look at one that was saved, and nothing else")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run; return the exit status."""
    parser = _parser()
    found = parser.parse_args(arguments)
    if not 0 <= found.csim <= 1:
        parser.error(f"--csim must be from 0 to 1, not {found.csim:g}")
    if unknown := set(found.kinds) - KINDS:
        parser.error(f"--kinds must be of {', '.join(sorted(KINDS))}, not {', '.join(sorted(unknown))}")
    if not set(found.kinds) & {"linear", "conv1d", "conv2d"}:
        parser.error("--kinds must have linear, conv1d or conv2d, not none of them")
    onnxruntime.set_default_logger_severity(3)
    torch.set_num_threads(1)
    if found.again is not None:
        return _again(found.again)
    count = 500 if found.count is None and found.seconds is None else found.count
    options = Options(
        count, found.seconds, found.seed, found.csim, frozenset(found.kinds), found.scales, found.sources, found.inputs
    )
    fuzz = Fuzz(options, found.out, _say)
    try:
        fuzz.run()
    except KeyboardInterrupt:
        _say("interrupted")
    _say(fuzz.tally.table())
    return 1 if fuzz.tally.findings else 0


def _again(place: Path) -> int:
    case, target = read_finding(place)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        verdict = examine(case, target, Path(folder))
    _say(f"{verdict.result}: {verdict.where}\n{verdict.detail}")
    return 1 if verdict.is_finding else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
