"""Search for the best recipes with Optuna: several processes, stopped and continued at will. Imports no torch."""

from collections.abc import Callable, Collection, Sequence

from bitwright.calibration.candidate import Candidate, Cost
from bitwright.calibration.greedy import Score
from bitwright.calibration.trials_space import Space
from bitwright.calibration.trials_storage import opened
from bitwright.calibration.trials_worker import Found, Worker
from bitwright.quant.recipe import Recipe

STARTING_WIDTHS = (8, 6, 4, 3, 2)


def run_trials(
    name: str,
    storage: str,
    score: Score,
    *,
    start: Recipe,
    cost: Cost,
    trials: int,
    seed: int,
    setting: str,
    target: float | None = None,
    removable: Sequence[str] = (),
    binarisable: Collection[str] = (),
    points: Sequence[Recipe] = (),
    quick: Score | None = None,
    taken: Callable[[Found, Candidate | None], None] = lambda _, __: None,
) -> Found:
    """Search until a study has so many trials, and return what all its processes found.

    Any number of processes may call this at once with the same arguments, and again after they were stopped: no recipe
    is tried twice, and a trial whose process was killed is tried again. Optuna's TPE sampler suggests the widths; it is
    what Optuna recommends for a few hundred trials. A suggestion that was tried before gives way to one near it.

    With ``quick``, a trial ends there as pruned if, by the upper end of Wilson's interval (three standard errors), its
    accuracy cannot reach the target, or that of a candidate that costs no more.

    Args:
        name: Of the study.
        storage: URL of its database (see `trials_storage`).
        score: Of a recipe, on the whole validation split.
        start: A recipe that names every layer (see `uniform`); only widths of layers differ from it.
        cost: What is to become less, while accuracy becomes more.
        trials: Of the study, when it ends, whichever process made them.
        seed: Of the sampler. One process that is not stopped finds the same each time.
        setting: What candidates are scored with: float network, data, calibration.
        target: Least accuracy that matters.
        removable: Layers that may be left out.
        binarisable: Layers whose weights may have 1 bit.
        points: Recipes to try first, after uniform ones; those outside of 2 to 8 bits are skipped.
        quick: Score on a few images of the same split, if that saves time.
        taken: Called after each trial of this process, with its candidate; none if it was pruned.

    Raises:
        ValueError: If ``trials`` is less than 1, the URL is wrong or its driver missing, the study is of something
            else, or several recipes in a row cannot be scored.
        ConnectionError: If the database does not answer.
    """
    if trials < 1:
        raise ValueError(f"search: trials must be at least 1, not {trials}; leave it out for the usual number")
    space = Space(start, frozenset(removable), frozenset(binarisable))
    firsts = [space.uniform(width) for width in STARTING_WIDTHS]
    firsts += [widths for widths in map(space.widths, points) if widths is not None]
    with opened(storage) as (database, locks):
        worker = Worker(
            database,
            locks,
            name=name,
            space=space,
            cost=cost,
            target=target,
            seed=seed,
            setting=setting,
            firsts=firsts,
        )
        while (trial := worker.draw(trials)) is not None:
            candidate = worker.run(trial, score, quick)
            taken(worker.found(), candidate)
        return worker.found()
