"""One process at a study: begins trials, ends them, and tries again what a killed one left. Imports no torch."""

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import optuna
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial, TrialState

from bitwright.calibration.candidate import Candidate, Cost, front, key_of
from bitwright.calibration.greedy import Score
from bitwright.calibration.trials_space import Space, Widths
from bitwright.calibration.trials_storage import Locks, wait_a_little

STANDARD_ERRORS = 3.0
"""How far above its accuracy on a few images a recipe's accuracy is held possible: one in 700 is further."""

STEPS_TO_A_NEW_RECIPE = 1000
TIMES_KILLED = 3
REFUSED_IN_A_ROW = 5


@dataclass(frozen=True)
class Found:
    """What a study knows, from all its processes.

    Args:
        candidates: Of all trials that were scored, in the order in which they began.
        pruned: Trials that ended without a score: at the first look, or because they cannot be calibrated.
        cost: What the candidates are compared by.
    """

    candidates: tuple[Candidate, ...]
    pruned: int
    cost: Cost

    @property
    def finished(self) -> int:
        """Trials that ended."""
        return len(self.candidates) + self.pruned

    @property
    def front(self) -> list[Candidate]:
        """Those that no other beats, the cheapest first."""
        return front(list(self.candidates), self.cost)


def at_most(accuracy: float, images: int) -> float:
    """Return the accuracy that is possible at most on all images, after that on some: Wilson's upper bound.

    Args:
        accuracy: On some.
        images: How many these are.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).

    >>> round(at_most(0.9, 500), 4)
    0.9334
    """
    z = STANDARD_ERRORS
    spread = z * math.sqrt(accuracy * (1 - accuracy) / images + (z / (2 * images)) ** 2)
    return (accuracy + z * z / (2 * images) + spread) / (1 + z * z / images)


class Worker:
    """One process at a study: all that it does with the database, it does alone.

    Args:
        database: Of the study.
        locks: That all its processes see.
        name: Of the study.
        space: What is searched.
        cost: What is to become less.
        target: Least accuracy that matters.
        seed: Of the sampler; each process makes another one of it, or all would suggest the same.
        setting: What candidates are scored with.
        firsts: What a new study tries first.
    """

    def __init__(
        self,
        database: optuna.storages.RDBStorage,
        locks: Locks,
        *,
        name: str,
        space: Space,
        cost: Cost,
        target: float | None,
        seed: int,
        setting: str,
        firsts: Sequence[Widths],
    ) -> None:
        self._locks = locks
        self._space = space
        self._cost = cost
        self._target = target
        self._refused = 0
        with locks.alone(0):
            self._study = optuna.create_study(
                study_name=name, storage=database, directions=["maximize", "minimize"], load_if_exists=True
            )
        self._id = database.get_study_id_from_name(name)
        with locks.alone(self._id):
            self._agree(setting)
            self._number = self._study.user_attrs.get("workers", 0) + 1
            self._study.set_user_attr("workers", self._number)
            if "begun_with" not in self._study.user_attrs:
                for widths in firsts:
                    self._study.enqueue_trial(dict(widths), skip_if_exists=True)
                self._study.set_user_attr("begun_with", len(firsts))
            locks.hold(self._id, self._number)
        self._random = random.Random(f"{seed} {self._number}")
        self._study.sampler = optuna.samplers.TPESampler(seed=self._random.getrandbits(32))

    def draw(self, trials: int) -> optuna.Trial | None:
        """Begin a trial; return none when the study has enough, or no recipe is left.

        Waits for the last trials of other processes, in case one is killed.
        """
        while True:
            with self._locks.alone(self._id):
                self._take_back_what_was_killed()
                known = self._study.get_trials(deepcopy=False)
                running = sum(each.state == TrialState.RUNNING for each in known)
                finished = sum(each.state in _ENDED for each in known)
                if finished >= trials:
                    return None
                if running + finished < trials:
                    trial = self._new(known)
                    if trial is not None or not running:
                        return trial
            wait_a_little()

    def run(self, trial: optuna.Trial, score: Score, quick: Score | None) -> Candidate | None:
        """Score a trial and end it; return none if it was pruned.

        Raises:
            ValueError: If several recipes in a row cannot be scored.
        """
        recipe = self._space.recipe(trial.params)
        try:
            look = quick(recipe) if quick is not None else None
            candidate = score(recipe) if look is None or not self._is_hopeless(look) else None
        except ValueError as error:
            self._end(trial, None, {"refused": str(error)})
            self._refused += 1
            if self._refused >= REFUSED_IN_A_ROW:
                raise
            return None
        self._refused = 0
        if candidate is None:
            self._end(trial, None, {"first_look": look.accuracy if look is not None else None})
        else:
            kept = {key: value for key, value in asdict(candidate).items() if key != "recipe"}
            self._end(trial, (candidate.accuracy, candidate.cost(self._cost)), {"candidate": kept})
        return candidate

    def found(self) -> Found:
        """Return what all processes found."""
        ended = self._study.get_trials(deepcopy=False, states=_ENDED)
        complete = [trial for trial in ended if trial.state == TrialState.COMPLETE]
        candidates = (Candidate(self._space.recipe(each.params), **each.user_attrs["candidate"]) for each in complete)
        return Found(tuple(candidates), len(ended) - len(complete), self._cost)

    def _agree(self, setting: str) -> None:
        """Note what a new study is of; refuse to go on with one of something else."""
        about = {
            "layers": list(self._space.start.layers),
            "removable": sorted(self._space.removable),
            "binarisable": sorted(self._space.binarisable),
            "cost": self._cost,
            "target": self._target,
            "setting": setting,
            **self._space.start.without_reasons().model_dump(mode="json", exclude={"layers"}),
        }
        name = self._study.study_name
        told = self._study.user_attrs.get("about")
        if told is None and (self._study.trials or len(self._study.directions) != 2):
            raise ValueError(
                f"search: study {name!r} must be one that `bitwright search` began, not another program's; "
                "take another name"
            )
        if told is None:
            self._study.set_user_attr("about", about)
            return
        for key, value in json.loads(json.dumps(about)).items():
            if told.get(key) != value:
                raise ValueError(
                    f"search: {key} of study {name!r} must be {_short(told.get(key))} as when it began, "
                    f"not {_short(value)}; take another name"
                )

    def _take_back_what_was_killed(self) -> None:
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            worker = trial.user_attrs.get("worker")
            if worker is not None and self._locks.is_held(self._id, worker):
                continue
            killed = trial.user_attrs.get("killed", 0) + 1
            widths = _widths(trial)
            whole = widths.keys() == self._space.ranges().keys()
            too_often = whole and killed >= TIMES_KILLED  # it may be what takes too much memory
            self._study.tell(trial.number, state=TrialState.PRUNED if too_often else TrialState.FAIL)
            if whole and not too_often:
                self._study.enqueue_trial(dict(widths), user_attrs={"killed": killed})

    def _new(self, known: Sequence[FrozenTrial]) -> optuna.Trial | None:
        """Begin a trial with a recipe that no other has."""
        given = any(each.state == TrialState.WAITING for each in known)
        tried = {self._key(_widths(each)) for each in known if each.state != TrialState.FAIL}
        trial = self._ask()
        if not given and self._key(trial.params) in tried:
            self._study.tell(trial, state=TrialState.FAIL)
            widths = self._near(trial.params, tried)
            if widths is None:
                return None
            self._study.enqueue_trial(dict(widths))
            trial = self._ask()
        trial.set_user_attr("worker", self._number)
        return trial

    def _ask(self) -> optuna.Trial:
        ranges = self._space.ranges().items()
        return self._study.ask({name: IntDistribution(widths[0], widths[-1]) for name, widths in ranges})

    def _near(self, widths: Widths, tried: set[str]) -> Widths | None:
        """Walk at random, one width up or down at a time, to a recipe that was not tried."""
        ranges = self._space.ranges()
        for _ in range(STEPS_TO_A_NEW_RECIPE):
            name = self._random.choice(list(ranges))
            moved = widths[name] + self._random.choice((-1, 1))
            if moved in ranges[name]:
                widths = {**widths, name: moved}
            if self._key(widths) not in tried:
                return widths
        return None

    def _key(self, widths: Mapping[str, int]) -> str:
        return key_of(self._space.recipe(widths))

    def _is_hopeless(self, look: Candidate) -> bool:
        possible = at_most(look.accuracy, look.images)
        if self._target is not None and possible < self._target:
            return True
        if getattr(look, self._cost) is None:
            return False
        complete = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        others = [each.values for each in complete]
        return any(accuracy > possible and cost <= look.cost(self._cost) for accuracy, cost in others)

    def _end(self, trial: optuna.Trial, values: tuple[float, float] | None, attributes: Mapping[str, Any]) -> None:
        with self._locks.alone(self._id):
            for key, value in attributes.items():
                trial.set_user_attr(key, value)
            self._study.tell(trial, values, state=TrialState.PRUNED if values is None else TrialState.COMPLETE)


_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


def _widths(trial: FrozenTrial) -> Widths:
    """Return the parameters of a trial, those that it waits with or was given."""
    return dict(trial.system_attrs.get("fixed_params", trial.params))


def _short(value: object) -> str:
    """Return a value as a message shows it."""
    words = repr(value)
    return words if len(words) <= 60 else f"{words[:57]}..."
