"""The search with Optuna: what it finds, that it goes on, and what it passes over."""

import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from trials_study import LAYERS, START, score, search, states, trials_of

from bitwright.calibration import trials_storage
from bitwright.calibration.candidate import Candidate, front, key_of
from bitwright.calibration.moves import Move, uniform
from bitwright.calibration.trials_space import Space
from bitwright.calibration.trials_worker import Found, at_most
from bitwright.quant.recipe import Recipe


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/study.db"


def true_front() -> list[Candidate]:
    """The best of all recipes there are."""
    space = Space(START, frozenset())
    every = itertools.product(*space.ranges().values())
    return front(
        [score(space.recipe(dict(zip(space.ranges(), widths, strict=True)))) for widths in every], "bit_operations"
    )


def dominated(found: list[Candidate]) -> float:
    """The area of accuracy and cost that a front beats."""
    edges = zip([0.1, *(each.accuracy for each in found)], found, strict=False)
    return sum((each.accuracy - below) * (1 - each.bit_operations / 400_000) for below, each in edges)


def test_front_comes_close_to_the_true_one(storage: str) -> None:
    found = search(storage, trials=60)
    assert found.finished == len({key_of(each.recipe) for each in found.candidates}) == 60
    assert dominated(found.front) > 0.98 * dominated(true_front())


def test_no_point_of_the_front_is_beaten(storage: str) -> None:
    found = search(storage, trials=20)
    for best, other in itertools.product(found.front, found.candidates):
        assert other.accuracy <= best.accuracy or other.bit_operations > best.bit_operations
    assert {key_of(each.recipe) for each in found.front} <= {key_of(each.recipe) for each in found.candidates}


def test_one_process_finds_the_same_with_the_same_seed(tmp_path: Path) -> None:
    first, again, other = (
        search(f"sqlite:///{tmp_path}/{name}.db", trials=16, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again
    assert first != other


def test_uniform_widths_and_given_recipes_come_first_and_once(storage: str) -> None:
    point = Move("hidden", "weight", 3).apply(START)
    for trials in (3, 9):  # the second goes on
        found = search(
            storage, trials=trials, points=[point, uniform(tuple(LAYERS), 4, 4, 8), uniform(("a",), 4, 4, 8)]
        )
    tried = [each.recipe for each in found.candidates]
    expected = [
        *(Space(START, frozenset()).recipe(Space(START, frozenset()).uniform(w)) for w in (8, 6, 4, 3, 2)),
        point,
    ]
    assert [key_of(each) for each in tried[:6]] == [key_of(each) for each in expected]
    assert len({key_of(each) for each in tried}) == 9


def test_study_goes_on_to_the_wanted_number_of_trials(storage: str) -> None:
    scored: list[Recipe] = []

    def counted(recipe: Recipe) -> Candidate:
        scored.append(recipe)
        return score(recipe)

    assert [search(storage, trials=trials, score=counted).finished for trials in (4, 10, 10, 7)] == [4, 10, 10, 10]
    assert len({key_of(each) for each in scored}) == len(scored) == 10


def test_each_trial_is_told(storage: str) -> None:
    told: list[tuple[Found, Candidate | None]] = []
    found = search(storage, trials=4, taken=lambda now, last: told.append((now, last)))
    assert [now.finished for now, _ in told] == [1, 2, 3, 4]
    assert tuple(last for _, last in told) == found.candidates
    assert told[-1][0] == found


def test_layers_are_left_out_only_where_they_may_be(storage: str) -> None:
    found = search(storage, trials=30, removable=["hidden"])
    widths = {name: {each.recipe.layers[name].weight_bit_width for each in found.candidates} for name in LAYERS}
    assert 0 in widths["hidden"]
    assert all(1 not in seen for seen in widths.values())
    assert 0 not in widths["conv"] | widths["out"]
    assert len({key_of(each.recipe) for each in found.candidates}) == 30


def test_search_ends_when_no_recipe_is_left(storage: str) -> None:
    def cheap(recipe: Recipe) -> Candidate:
        return Candidate(recipe, 0.9, recipe.layers["out"].weight_bit_width or 0, 0, None, 10)

    found = search(storage, trials=100, score=cheap, start=uniform(("out",), 8, 8, 8), cost="weight_bits")
    assert sorted(each.weight_bits for each in found.candidates) == [2, 3, 4, 5, 6, 7, 8]


def test_trials_below_the_target_or_beaten_beyond_doubt_end_at_the_first_look(storage: str) -> None:
    whole: list[Recipe] = []

    def counted(recipe: Recipe) -> Candidate:
        whole.append(recipe)
        return score(recipe)

    def quick(recipe: Recipe) -> Candidate:
        return replace(score(recipe), images=500)

    found = search(storage, trials=30, score=counted, quick=quick, target=0.97)
    assert (found.finished, len(found.candidates)) == (30, len(whole))
    assert found.pruned == states(storage).count(TrialState.PRUNED) > 5
    assert all(at_most(each.accuracy, 500) >= 0.97 for each in found.candidates)
    pruned = [t for t in trials_of(storage) if t.state == TrialState.PRUNED]
    for trial in pruned:
        look = score(Space(START, frozenset()).recipe(trial.params))
        possible = at_most(look.accuracy, 500)
        better = [each for each in found.candidates if each.bit_operations <= look.bit_operations]
        assert possible < 0.97 or any(each.accuracy > possible for each in better)


def test_recipes_that_cannot_be_calibrated_are_passed_over(storage: str) -> None:
    def picky(recipe: Recipe) -> Candidate:
        if recipe.layers["conv"].weight_bit_width == 8:
            raise ValueError("recipe.bias_bit_width: width must be at most 24")
        return score(recipe)

    found = search(storage, trials=6, score=picky)
    assert (len(found.candidates), found.pruned) == (5, 1)


def test_search_ends_when_nothing_can_be_calibrated(storage: str) -> None:
    def broken(recipe: Recipe) -> Candidate:
        raise ValueError("recipe.bias_bit_width: width must be at most 24")

    with pytest.raises(ValueError, match=r"^recipe.bias_bit_width: width must be at most 24$"):
        search(storage, trials=100, score=broken)
    assert len(states(storage)) == 5


def test_interrupted_trial_is_tried_again(storage: str) -> None:
    scored: list[Recipe] = []

    def interrupted(recipe: Recipe) -> Candidate:
        scored.append(recipe)
        if len(scored) == 3:
            raise KeyboardInterrupt
        return score(recipe)

    with pytest.raises(KeyboardInterrupt):
        search(storage, trials=8, score=interrupted)
    assert search(storage, trials=8, score=interrupted).finished == 8
    assert key_of(scored[2]) in {key_of(recipe) for recipe in scored[3:]}


def test_recipe_that_kills_its_process_three_times_is_passed_over(storage: str) -> None:
    def killed(recipe: Recipe) -> Candidate:
        if recipe.layers["conv"].weight_bit_width == 8:
            raise MemoryError
        return score(recipe)

    for _ in range(10):
        try:
            found = search(storage, trials=6, score=killed)
            break
        except MemoryError:
            continue
    assert (len(found.candidates), found.pruned) == (5, 1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"trials": 0}, "search: trials must be at least 1, not 0; leave it out for the usual number"),
        (
            {"start": uniform(("conv", "out"), 8, 8, 8)},
            "search: layers of study 'lenet' must be ['conv', 'hidden', 'out'] as when it began, not ['conv', 'out']; "
            "take another name",
        ),
        (
            {"cost": "weight_bits"},
            "search: cost of study 'lenet' must be 'bit_operations' as when it began, not 'weight_bits'; "
            "take another name",
        ),
        (
            {"setting": "float network 2"},
            "search: setting of study 'lenet' must be 'float network 1' as when it began, not 'float network 2'; "
            "take another name",
        ),
        (
            {"target": 0.9},
            "search: target of study 'lenet' must be None as when it began, not 0.9; take another name",
        ),
        (
            {"removable": ["hidden"]},
            "search: removable of study 'lenet' must be [] as when it began, not ['hidden']; take another name",
        ),
        (
            {"start": uniform(tuple(LAYERS), 8, 8, 4)},
            "search: input_bit_width of study 'lenet' must be 8 as when it began, not 4; take another name",
        ),
    ],
)
def test_wrong_study_is_refused(storage: str, changed: dict[str, Any], message: str) -> None:
    search(storage, trials=1)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        search(storage, **{"trials": 3, **changed})
    assert search(storage, trials=1).finished == 1


def test_study_of_another_program_is_refused(storage: str) -> None:
    with trials_storage.opened(storage) as (database, _):
        optuna.create_study(study_name="lenet", storage=database).add_trial(optuna.trial.create_trial(value=1.0))
    message = (
        "search: study 'lenet' must be one that `bitwright search` began, not another program's; take another name"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        search(storage, trials=1)
