"""A search that takes milliseconds: a network whose accuracy is a formula."""

from functools import partial

import optuna
from optuna.trial import FrozenTrial, TrialState

from bitwright.calibration import trials_storage
from bitwright.calibration.candidate import Candidate
from bitwright.calibration.moves import uniform
from bitwright.calibration.trials import run_trials
from bitwright.quant.recipe import Recipe

LAYERS = {"conv": (150, 0.2, 0.1), "hidden": (4000, 0.05, 0.2), "out": (800, 0.3, 0.0)}
"""Weights of each layer, and the accuracy that 2 bits of weights and of activations cost."""

START = uniform(tuple(LAYERS), 8, 8, 8)


def score(recipe: Recipe) -> Candidate:
    """A network whose layers lose accuracy on their own: a quarter as much with each further bit."""
    accuracy, bits, operations, before = 0.99, 0, 0, recipe.input_bit_width
    for name, (weights, of_weights, of_activations) in LAYERS.items():
        own = recipe.layers[name]
        width, after = own.weight_bit_width or 0, own.activation_bit_width or 8
        accuracy -= of_weights * 4.0 ** (2 - width) + of_activations * 4.0 ** (2 - after)
        bits += weights * width
        operations += weights * width * before
        before = after
    return Candidate(recipe, max(accuracy, 0.1), bits, operations, None, 3000)


search = partial(
    run_trials, "lenet", score=score, start=START, cost="bit_operations", seed=1, setting="float network 1"
)


def trials_of(storage: str) -> list[FrozenTrial]:
    """The trials, as Optuna itself tells them."""
    with trials_storage.opened(storage) as (database, _):
        return optuna.load_study(study_name="lenet", storage=database).trials


def states(storage: str) -> list[TrialState]:
    """The states of the trials."""
    return [trial.state for trial in trials_of(storage)]
