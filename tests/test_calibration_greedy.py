"""The greedy descent, its moves, and the sensitivity of each layer, on networks that are only numbers."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.calibration.candidate import Candidate
from bitwright.calibration.greedy import Step, descend
from bitwright.calibration.moves import Move, narrower, uniform
from bitwright.calibration.sensitivity import sensitivities
from bitwright.quant.recipe import Recipe

LAYERS = ("a", "b", "c")
SIZES = {"a": 100, "b": 10, "c": 1000}


def scorer(losses: dict[tuple[str, str], float]) -> Callable[[Recipe], Candidate]:
    """A network whose accuracy is a sum of what each tensor loses, twice as much for every bit less."""

    def score(recipe: Recipe) -> Candidate:
        lost = 0.0
        bits = 0
        for name, own in recipe.layers.items():
            assert own.weight_bit_width is not None
            lost += losses[name, "weight"] * (2.0**-own.weight_bit_width if own.weight_bit_width else 1.0)
            bits += SIZES[name] * own.weight_bit_width
            if own.activation_bit_width is not None:
                lost += losses[name, "activation"] * 2.0**-own.activation_bit_width
        return Candidate(recipe, 1.0 - lost, bits, bits * 7, None, 100)

    return score


def equal(loss: float) -> dict[tuple[str, str], float]:
    """The same loss for each tensor."""
    return {(name, part): loss for name in LAYERS for part in ("weight", "activation")}


def widths(recipe: Recipe) -> list[int | None]:
    """The weights' widths."""
    return [own.weight_bit_width for own in recipe.layers.values()]


def test_moves_are_one_bit_less_of_each_tensor() -> None:
    recipe = Move("b", "weight", 2).apply(uniform(LAYERS, 4, 3, 8))
    assert set(narrower(recipe, removable=("b",))) == {
        Move("a", "weight", 3),
        Move("a", "activation", 2),
        Move("b", "weight", 0),
        Move("b", "activation", 2),
        Move("c", "weight", 3),
    }
    gone = Move("b", "weight", 0).apply(recipe)
    assert {move.layer for move in narrower(gone, removable=("b",))} == {"a", "c"}


def test_descent_stops_where_the_target_would_be_missed() -> None:
    score = scorer(equal(0.1))
    steps = descend(uniform(LAYERS, 8, 8, 8), score, target=0.93, cost="weight_bits")
    last = steps[-1].candidate
    assert last.accuracy >= 0.93
    assert all(score(move.apply(last.recipe)).accuracy < 0.93 for move in narrower(last.recipe))


def test_bits_go_first_where_they_save_most() -> None:
    steps = descend(uniform(LAYERS, 8, 8, 8), scorer(equal(0.1)), target=0.9, cost="weight_bits")
    assert steps[0].move == Move("c", "weight", 7)
    wide = dict(zip(LAYERS, widths(steps[-1].candidate.recipe), strict=True))
    assert wide["c"] is not None
    assert wide["b"] is not None
    assert wide["c"] <= wide["b"]


def test_sensitive_layer_keeps_its_bits() -> None:
    losses = equal(0.001) | {("c", "weight"): 1.0}
    steps = descend(uniform(LAYERS, 8, 8, 8), scorer(losses), target=0.99, cost="weight_bits")
    assert widths(steps[-1].candidate.recipe) == [2, 2, 7]


def test_layer_that_does_nothing_is_left_out() -> None:
    losses = equal(0.01) | {("b", "weight"): 0.0, ("b", "activation"): 0.0}
    steps = descend(uniform(LAYERS, 8, 8, 8), scorer(losses), target=0.97, cost="weight_bits", removable=("b",))
    assert steps[-1].candidate.recipe.layers["b"].weight_bit_width == 0


def test_target_out_of_reach_takes_no_step() -> None:
    assert descend(uniform(LAYERS, 8, 8, 8), scorer(equal(1.0)), target=0.999, cost="weight_bits") == []


@settings(max_examples=40, deadline=None)
@given(
    losses=st.fixed_dictionaries({key: st.floats(-0.05, 0.2) for key in equal(0)}),
    target=st.floats(0.7, 0.99),
    cost=st.sampled_from(["weight_bits", "bit_operations"]),
)
def test_every_step_is_one_move_and_holds_the_target(
    losses: dict[tuple[str, str], float], target: float, cost: str
) -> None:
    start = uniform(LAYERS, 5, 5, 8)
    score = scorer(losses)
    seen: list[Step] = []
    steps = descend(start, score, target=target, cost=cost, taken=seen.append)  # type: ignore[arg-type]
    assert seen == steps
    here = start
    for step in steps:
        assert step.move in set(narrower(here))
        here = step.move.apply(here)
        assert step.candidate.recipe == here
        assert step.candidate.accuracy >= target
    if score(start).accuracy >= target:
        assert all(score(move.apply(here)).accuracy < target for move in narrower(here))


@pytest.mark.parametrize("order", [(4, 2), (2, 4)])
def test_sensitivity_is_the_loss_of_each_tensor_alone(order: tuple[int, ...]) -> None:
    losses = equal(0.1) | {("b", "weight"): 0.4}
    found = list(sensitivities(uniform(LAYERS, 8, 8, 8), scorer(losses), order))
    assert len(found) == 5 * 2
    for each in found:
        wanted = losses[each.layer, each.part] * (2.0**-each.bit_width - 2.0**-8)
        assert abs(each.loss - wanted) < 1e-12
