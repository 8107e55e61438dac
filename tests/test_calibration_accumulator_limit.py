"""Calibration of layers with limited accumulators, against the exact bound of the export."""

from pathlib import Path
from typing import Any, get_args
from unittest import mock

import pytest
import torch
from float_networks import BY_NAME, CNN, MLP, float_network, images
from hypothesis import given, settings
from hypothesis import strategies as st
from quick_export import quick_exports
from torch import Tensor

from bitwright.calibration import learned_rounding
from bitwright.calibration.accumulator_limit import clip_biases
from bitwright.calibration.post_training import Observed, prepare, quantize
from bitwright.calibration.rounding import bias_width
from bitwright.calibration.settings import CalibrationSettings, Rounding
from bitwright.cli.search_lowering import lowered
from bitwright.cli.search_state import begin
from bitwright.cli.search_wanted import Wanted
from bitwright.cli.stage_calibrate import read_float
from bitwright.export.precision import needs
from bitwright.models.checkpoint import NetworkDescription, load, save
from bitwright.quant.accumulator_aware import limit_of
from bitwright.quant.recipe import LayerRecipe, Recipe, Scale


def observed(description: NetworkDescription = MLP, **how: Any) -> Observed:  # noqa: ANN401
    """A network, prepared."""
    network = float_network(description)
    return prepare(network, description, images(description, 96), CalibrationSettings(**how))


def accumulators(prepared: Observed, recipe: Recipe) -> dict[str, int]:
    """The bits of every accumulator of a calibrated network, as precision.toml has them."""
    network, description = quantize(prepared, recipe)
    with quick_exports():
        program = lowered(network, description.input_shape).program
    return {name: roles["accumulator"].format.width for name, roles in needs(program).items() if "accumulator" in roles}


@settings(max_examples=4, deadline=None)
@given(
    width=st.integers(12, 15),
    weights=st.integers(3, 8),
    activations=st.integers(2, 6),
    scale=st.sampled_from(get_args(Scale)),
    rounding=st.sampled_from(get_args(Rounding)),
    name=st.sampled_from(["mlp", "cnn"]),
    fold=st.booleans(),
)
def test_accumulators_of_a_calibrated_network_have_at_most_the_wanted_bits(
    width: int, weights: int, activations: int, scale: Scale, rounding: Rounding, name: str, fold: bool
) -> None:
    recipe = Recipe(
        weight_bit_width=weights, activation_bit_width=activations, weight_scale=scale, accumulator_bit_width=width
    )
    prepared = observed(BY_NAME[name], rounding=rounding, fold=fold)
    with mock.patch.object(learned_rounding, "STEPS", 100):
        found = accumulators(prepared, recipe)
        unlimited = accumulators(prepared, recipe.model_copy(update={"accumulator_bit_width": None}))
    assert max(found.values()) <= width
    first = next(iter(found))
    assert unlimited[first] <= width or found[first] >= width - 1


def test_limit_is_not_empty() -> None:
    recipe = Recipe(weight_bit_width=8, activation_bit_width=6)
    prepared = observed(rounding="gptq")
    assert min(accumulators(prepared, recipe).values()) > 13
    assert set(accumulators(prepared, recipe.model_copy(update={"accumulator_bit_width": 13})).values()) <= {12, 13}


def test_layer_may_have_a_limit_of_its_own() -> None:
    recipe = Recipe(weight_bit_width=8, layers={"fc1": LayerRecipe(accumulator_bit_width=11)})
    found = accumulators(observed(), recipe)
    assert found["fc1"] <= 11
    assert min(found["fc0"], found["fc2"]) > 13


def test_wide_limit_changes_nothing() -> None:
    prepared = observed(CNN)
    both: list[Any] = [quantize(prepared, Recipe(accumulator_bit_width=width))[0].state_dict() for width in (None, 32)]
    assert both[0].keys() == both[1].keys()
    assert all(torch.equal(both[0][name], both[1][name]) for name in both[0])


def test_checkpoint_of_a_limited_network_is_read_again(tmp_path: Path) -> None:
    prepared = observed(rounding="gptq")
    network, description = quantize(prepared, Recipe(accumulator_bit_width=12))
    save(tmp_path / "checkpoint.safetensors", network, description)
    again, _ = load(tmp_path / "checkpoint.safetensors", description)
    with torch.no_grad():
        wanted, found = (getattr(each(prepared.inputs), "value", each(prepared.inputs)) for each in (network, again))
    assert isinstance(wanted, Tensor)
    assert torch.equal(wanted, found)


def test_biases_are_clipped_to_what_their_quantiser_holds() -> None:
    prepared = observed()
    network, _ = quantize(prepared, Recipe(accumulator_bit_width=12))
    for module in network.modules():
        if limit_of(module) is not None:
            with torch.no_grad():
                module.bias.fill_(1e3)  # type: ignore[operator]
    clip_biases(network, prepared.inputs[:1])
    assert bias_width(network, prepared.inputs[:1]) == 10


def test_width_for_which_only_zeros_fit_is_refused() -> None:
    says = (
        r"^accumulator_bit_width: width must be at least 10 for input codes of 8 bits, not 9; no weight but zero would "
        r"fit$"
    )
    with pytest.raises(ValueError, match=says):
        quantize(observed(), Recipe(accumulator_bit_width=9))


def test_every_candidate_of_a_search_has_the_wanted_accumulators(float_run: Path) -> None:
    wanted = Wanted(max_accumulator_bits=14, samples=64, rounding="nearest")
    found = begin(read_float(float_run, float_run.parent, ()), None, wanted)
    assert found.start.accumulator_bit_width == 14
    assert max(accumulators(found.scorer.observed, found.start).values()) <= 14
