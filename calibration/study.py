"""Search for the best recipes with Optuna: several processes, stopped and gone on with as one likes. Imports no torch."""

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from bitwright.calibration.candidate import Candidate, Cost, front, key_of
from bitwright.calibration.greedy import Score
from bitwright.calibration.moves import NARROWEST
from bitwright.calibration.study_storage import Locks, opened, wait_a_little
from bitwright.quant.recipe import LEFT_OUT, LayerRecipe, Recipe

WIDEST = 8
STARTING_WIDTHS = (8, 6, 4, 3, 2)
STANDARD_ERRORS = 3.0
"""How far above its accuracy on a few images a recipe's accuracy is held possible: one in 700 is further."""
STEPS_TO_A_NEW_RECIPE = 1000
TIMES_KILLED = 3

Widths = dict[str, int]


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


@dataclass(frozen=True)
class Space:
    """The recipes that are searched: those of one recipe, with other widths in its layers.

    A width is a parameter of Optuna's, by the name of its layer and part; for a layer that may be left out, a width of
    1 stands for that, as 1 bit needs training.

    Args:
        start: Each layer named; those with a width of activations have one in all recipes.
        removable: Layers that may be left out.
    """

    start: Recipe
    removable: frozenset[str]

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the range of every parameter.

        >>> from bitwright.calibration.moves import uniform
        >>> list(Space(uniform(("fc1", "out"), 8, 8, 8), frozenset()).distributions())
        ['fc1.weight', 'fc1.activation', 'out.weight']
        """
        found: dict[str, BaseDistribution] = {}
        for name, own in self.start.layers.items():
            found[f"{name}.weight"] = IntDistribution(1 if name in self.removable else NARROWEST, WIDEST)
            if own.activation_bit_width is not None:
                found[f"{name}.activation"] = IntDistribution(NARROWEST, WIDEST)
        return found

    def recipe(self, widths: Widths) -> Recipe:
        """Return the recipe with these widths."""
        layers = {name: self._layer(name, own, widths) for name, own in self.start.layers.items()}
        return self.start.without_reasons().model_copy(update={"layers": layers})

    def widths(self, recipe: Recipe) -> Widths | None:
        """Return the parameters that give a recipe; none if it lies outside this space."""
        found: Widths = {}
        for name, own in recipe.layers.items():
            weight = own.weight_bit_width
            found[f"{name}.weight"] = 1 if weight == LEFT_OUT else weight or 0
            if own.activation_bit_width is not None:
                found[f"{name}.activation"] = own.activation_bit_width
        ranges = self.distributions()
        if found.keys() != ranges.keys() or not all(ranges[name]._contains(found[name]) for name in ranges):
            return None
        return found

    def uniform(self, width: int) -> Widths:
        """Return the parameters of one width everywhere."""
        return dict.fromkeys(self.distributions(), width)

    def _layer(self, name: str, own: LayerRecipe, widths: Widths) -> LayerRecipe:
        weight = widths[f"{name}.weight"]
        if weight < NARROWEST:
            return own.model_copy(update={"weight_bit_width": LEFT_OUT, "why": ""})
        changed = {"weight_bit_width": weight, "activation_bit_width": widths.get(f"{name}.activation"), "why": ""}
        return own.model_copy(update=changed)


def study(
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
        storage: URL of its database (see `study_storage`).
        score: Of a recipe, on the whole validation split.
        start: A recipe that names every layer (see `uniform`); only widths of layers differ from it.
        cost: What is to become less, while accuracy becomes more.
        trials: Of the study, when it ends, whichever process made them.
        seed: Of the sampler. One process that is not stopped finds the same each time.
        setting: What candidates are scored with: float network, data, calibration.
        target: Least accuracy that matters.
        removable: Layers that may be left out.
        points: Recipes to try first, after uniform ones; those outside of 2 to 8 bits are skipped.
        quick: Score on a few images of the same split, if that saves time.
        taken: Called after each trial of this process, with its candidate; none if it was pruned.

    Raises:
        ValueError: If ``trials`` is less than 1, the URL is wrong or its driver missing, the study is of something
            else, or no recipe can be calibrated.
        ConnectionError: If the database does not answer.
    """
    if trials < 1:
        raise ValueError(f"search: trials must be at least 1, not {trials}; one suffices for each uniform width")
    space = Space(start, frozenset(removable))
    about = {
        "layers": list(start.layers),
        "removable": sorted(removable),
        "cost": cost,
        "target": target,
        "setting": setting,
        "recipe": space.recipe(space.uniform(WIDEST)).model_dump(mode="json"),
    }
    firsts = [space.uniform(width) for width in STARTING_WIDTHS]
    firsts += [widths for widths in map(space.widths, points) if widths is not None]
    with opened(storage) as (database, locks):
        worker = _Worker(name, database, locks, space, cost, target, seed, about, firsts)
        while (trial := worker.draw(trials)) is not None:
            candidate = worker.run(trial, score, quick)
            taken(worker.found(), candidate)
        return worker.found()


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


class _Worker:
    """One process at a study: what it does with the database, it does alone."""

    def __init__(
        self,
        name: str,
        database: optuna.storages.RDBStorage,
        locks: Locks,
        space: Space,
        cost: Cost,
        target: float | None,
        seed: int,
        about: dict[str, Any],
        firsts: list[Widths],
    ) -> None:
        self._locks = locks
        self._space = space
        self._cost = cost
        self._target = target
        self._refusal: ValueError | None = None
        with locks.alone(0):
            self._study = optuna.create_study(
                study_name=name, storage=database, directions=["maximize", "minimize"], load_if_exists=True
            )
            self._id = self._study._study_id
        with locks.alone(self._id):
            self._agree(about)
            self._number = int(self._study.user_attrs.get("workers", 0)) + 1
            self._study.set_user_attr("workers", self._number)
            if "begun" not in self._study.user_attrs:
                self._begin(firsts)
            locks.hold(self._id, self._number)
        # Another seed in each process, and when going on: the same one would suggest the same recipes again
        self._random = random.Random(f"{seed} {self._number}")
        self._study.sampler = optuna.samplers.TPESampler(seed=self._random.getrandbits(32))

    def draw(self, trials: int) -> optuna.Trial | None:
        """Begin a trial; none when the study has enough, or has no recipe left."""
        while True:
            with self._locks.alone(self._id):
                self._try_again_what_was_killed()
                running, finished = self._count(TrialState.RUNNING), self._count(TrialState.COMPLETE, TrialState.PRUNED)
                if finished >= trials:
                    return None
                if running + finished < trials:
                    trial = self._new()
                    if trial is not None or not running:
                        return trial
            wait_a_little()  # for the last trials of other processes, one of which may be killed

    def run(self, trial: optuna.Trial, score: Score, quick: Score | None) -> Candidate | None:
        """Score a trial and end it; return none if it was pruned."""
        recipe = self._space.recipe(trial.params)
        kept: dict[str, Any] = {}
        candidate = None
        try:
            look = quick(recipe) if quick is not None else None
            if look is not None and self._is_hopeless(look):
                kept["quick"] = look.accuracy
            else:
                candidate = score(recipe)
                values = candidate.accuracy, candidate.cost(self._cost)
                kept["candidate"] = {key: value for key, value in asdict(candidate).items() if key != "recipe"}
        except ValueError as error:
            kept["refused"] = str(error)
            self._refusal, candidate = error, None
        with self._locks.alone(self._id):
            for key, value in kept.items():
                trial.set_user_attr(key, value)
            if candidate is None:
                self._study.tell(trial, state=TrialState.PRUNED)
            else:
                self._study.tell(trial, values)
        return candidate

    def found(self) -> Found:
        """Return what all processes found.

        Raises:
            ValueError: That of the last trial of this process, if no trial of any was scored.
        """
        ended = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        candidates = tuple(self._candidate(trial) for trial in ended if trial.state == TrialState.COMPLETE)
        if not candidates and self._refusal is not None and len(ended) >= len(STARTING_WIDTHS):
            raise self._refusal
        return Found(candidates, len(ended) - len(candidates), self._cost)

    def _agree(self, about: dict[str, Any]) -> None:
        """Refuse to go on with a study of something else; note what a new one is of."""
        told = self._study.user_attrs.get("about")
        if told is None and (self._study.trials or len(self._study.directions) != 2):
            raise ValueError(
                f"search: study {self._study.study_name!r} must be one that `bitwright search` began, not another "
                "program's; take another name"
            )
        if told is None:
            self._study.set_user_attr("about", about)
            return
        for key, value in json.loads(json.dumps(about)).items():
            if told.get(key) != value:
                raise ValueError(
                    f"search: {key} of study {self._study.study_name!r} must be {_short(told.get(key))} as when it "
                    f"began, not {_short(value)}; take another name"
                )

    def _begin(self, firsts: list[Widths]) -> None:
        for widths in firsts:
            self._study.enqueue_trial(widths, skip_if_exists=True)
        self._study.set_user_attr("begun", True)

    def _count(self, *states: TrialState) -> int:
        return len(self._study.get_trials(deepcopy=False, states=states))

    def _try_again_what_was_killed(self) -> None:
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            worker = trial.user_attrs.get("worker")
            if worker is not None and worker != self._number and self._locks.is_held(self._id, worker):
                continue
            killed = trial.user_attrs.get("killed", 0) + 1
            widths = trial.system_attrs.get("fixed_params", trial.params)
            whole = widths.keys() == self._space.distributions().keys()
            hopeless = whole and killed >= TIMES_KILLED  # it may be what takes too much memory
            self._study.tell(trial.number, state=TrialState.PRUNED if hopeless else TrialState.FAIL)
            if whole and not hopeless:
                self._study.enqueue_trial(widths, user_attrs={"killed": killed})

    def _new(self) -> optuna.Trial | None:
        """Begin a trial with a recipe that none has."""
        tried = self._tried()
        trial = self._study.ask(self._space.distributions())
        if "fixed_params" not in trial.system_attrs and self._key(trial.params) in tried:
            self._study.tell(trial, state=TrialState.FAIL)
            widths = self._near(trial.params, tried)
            if widths is None:
                return None
            self._study.enqueue_trial(widths)
            trial = self._study.ask(self._space.distributions())
        trial.set_user_attr("worker", self._number)
        return trial

    def _near(self, widths: Widths, tried: set[str]) -> Widths | None:
        """Walk at random, one width up or down at a time, to a recipe that was not tried."""
        ranges = self._space.distributions()
        widths = dict(widths)
        for _ in range(STEPS_TO_A_NEW_RECIPE):
            name = self._random.choice(list(ranges))
            moved = widths[name] + self._random.choice((-1, 1))
            if ranges[name]._contains(moved):
                widths[name] = moved
            if self._key(widths) not in tried:
                return widths
        return None

    def _tried(self) -> set[str]:
        trials = self._study.get_trials(deepcopy=False)
        known = (trial.system_attrs.get("fixed_params", trial.params) for trial in trials if trial.state in _TRIED)
        return {self._key(widths) for widths in known}

    def _key(self, widths: Widths) -> str:
        return key_of(self._space.recipe(widths))

    def _is_hopeless(self, look: Candidate) -> bool:
        possible = at_most(look.accuracy, look.images)
        if self._target is not None and possible < self._target:
            return True
        if getattr(look, self._cost) is None:
            return False
        others = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return any(other.values[0] > possible and other.values[1] <= look.cost(self._cost) for other in others)

    def _candidate(self, trial: FrozenTrial) -> Candidate:
        return Candidate(recipe=self._space.recipe(trial.params), **trial.user_attrs["candidate"])


_TRIED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.WAITING)


def _short(value: object) -> str:
    """Return a value as a message shows it."""
    words = repr(value)
    return words if len(words) <= 60 else f"{words[:57]}..."
