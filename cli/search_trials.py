"""Trials of Optuna after the greedy descent, in one process or several."""

import multiprocessing
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bitwright.calibration.candidate import Candidate, key_of
from bitwright.calibration.trials import run_trials
from bitwright.calibration.trials_worker import Found
from bitwright.cli.console import error_line, note
from bitwright.cli.run_folder import digest
from bitwright.cli.search_live import Say, live_front
from bitwright.cli.search_state import Search, begin
from bitwright.cli.search_wanted import Wanted
from bitwright.cli.stage_calibrate import FloatRun
from bitwright.quant.recipe import Recipe

SAID_EVERY = 10


def make_trials(search: Search, points: Sequence[Recipe], data_dir: Path | None) -> Found:
    """Make the trials that are wanted, side by side with other processes at the same storage.

    Args:
        search: Under way.
        points: Recipes to begin with: those of the greedy descent.
        data_dir: Of the data sets, for the other processes.

    Raises:
        ValueError: If the storage is refused, or another search's.
        ConnectionError: If it does not answer.
    """
    found = _work(search, points, 1)  # what cannot be is refused before more processes begin
    context = multiprocessing.get_context("spawn")
    others = [
        context.Process(target=_other, args=(search.source, data_dir, search.wanted), daemon=True)
        for _ in range(search.wanted.processes - 1)
    ]
    for other in others:
        other.start()
    try:
        with live_front(search.wanted.cost, search.target) as say:
            found = _work(search, points, search.wanted.trials, say)
    finally:
        for other in others:
            other.join() if found.finished >= search.wanted.trials else other.terminate()
    return found


def _other(source: FloatRun, data_dir: Path | None, wanted: Wanted) -> None:
    """Be another process of a search; the first one speaks."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        _work(begin(source, data_dir, wanted), (), wanted.trials)
    except (ValueError, OSError) as error:
        note(error_line(error))
        sys.exit(2)


def _work(search: Search, points: Sequence[Recipe], trials: int, say: Say | None = None) -> Found:
    wanted = search.wanted
    storage = wanted.storage or f"sqlite:///{(search.folder / 'trials.db').absolute()}"
    search.folder.mkdir(parents=True, exist_ok=True)

    def taken(found: Found, _: Candidate | None) -> None:
        if say is None or found.finished % SAID_EVERY:
            return
        tried = search.comparable()
        best = wanted.winner(tried, search.target)
        reached = f"{best.accuracy:.2%} at {best.cost(wanted.cost):,.0f}" if best else "target not reached"
        say(f"search: {found.finished} of {wanted.trials} trials, {found.pruned} pruned; best {reached}", tried)

    about = (key_of(search.start), str(search.target), str(search.removable), *sorted(search.binarisable))
    return run_trials(
        f"{search.source.experiment.name}.{wanted.cost}.{digest(search.setting, *about)[:12]}",
        storage,
        search.scorer.score,
        start=search.start,
        cost=wanted.cost,
        trials=trials,
        seed=search.source.experiment.seed,
        setting=search.setting,
        target=search.target or None,
        removable=search.removable,
        binarisable=search.binarisable,
        points=points,
        quick=search.scorer.quick,
        taken=taken,
    )
