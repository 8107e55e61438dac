"""Weights of one bit without training: their signs and scales, the statistics behind them, and the integers."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from float_networks import CNN, LENET, MLP, float_network, images

from bitwright.calibration.moves import Move, narrower, uniform
from bitwright.calibration.post_training import Observed, binarisable, prepare, quantize
from bitwright.calibration.settings import CalibrationSettings, Rounding
from bitwright.calibration.trials_space import Space
from bitwright.cli.search_lowering import check
from bitwright.export.operation_linear import Linear
from bitwright.models.batch_norm_statistics import take_statistics
from bitwright.models.checkpoint import NetworkDescription
from bitwright.models.dataset import Split
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.recipe import LayerRecipe, Recipe

HIDDEN = {"mlp": ("fc0", "fc1", "fc2"), "cnn": ("conv",), "lenet5": ("conv1", "conv2", "fc1", "fc2")}


def observed(description: NetworkDescription, **settings: Any) -> Observed:  # noqa: ANN401
    """A network, prepared with its batch norms in place."""
    network = float_network(description)
    return prepare(network, description, images(description, 96), CalibrationSettings(fold=False, **settings))


def with_bits(*layers: str) -> Recipe:
    """The recipe of 5 bits everywhere, but for weights of one bit."""
    return Recipe(
        weight_bit_width=5,
        activation_bit_width=5,
        layers={name: LayerRecipe(weight_bit_width=1) for name in layers},
    )


@pytest.mark.parametrize("description", [MLP, CNN, LENET], ids=lambda each: each.model.kind)
def test_layers_before_a_batch_norm_may_have_one_bit(description: NetworkDescription) -> None:
    assert binarisable(observed(description)) == set(HIDDEN[description.model.kind])


@pytest.mark.parametrize("rounding", ["nearest", "gptq", "gpfq"])
def test_weights_are_signs_times_the_power_of_two_next_to_the_mean_magnitude(rounding: Rounding) -> None:
    prepared = observed(MLP, rounding=rounding)
    network: Any = quantize(prepared, with_bits("fc1"))[0]
    weight = prepared.network.get_submodule("fc1").weight
    assert isinstance(weight, torch.Tensor)
    values = weight.detach().numpy().astype(np.float64)
    scale = 2.0 ** np.round(np.log2(np.abs(values).mean(axis=1, keepdims=True)))
    found = network.fc1.quant_weight()
    np.testing.assert_array_equal(found.value.detach().numpy(), np.where(values >= 0, scale, -scale))
    assert int(found.bit_width) == 1


@pytest.mark.parametrize("rounding", ["nearest", "gptq"])
def test_statistics_are_those_of_the_quantised_network(rounding: Rounding) -> None:
    prepared = observed(LENET, rounding=rounding)
    network: Any = quantize(prepared, with_bits("conv2"))[0]
    before = network.norm3.running_mean.clone()
    take_statistics(network, [prepared.inputs])
    assert torch.equal(network.norm3.running_mean, before)
    original: Any = prepared.network.get_submodule("norm3")
    assert not torch.equal(before, original.running_mean)


def test_every_input_counts_alike_in_the_statistics() -> None:
    inputs = images(MLP, 130)
    prepared = prepare(float_network(MLP), MLP, inputs, CalibrationSettings(fold=False))
    made: Any = quantize(prepared, with_bits("fc1"))[0]
    seen: list[torch.Tensor] = []
    made.norm0.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    with torch.no_grad():
        made(inputs)
    torch.testing.assert_close(made.norm0.running_mean, seen[0].mean(dim=0))


@pytest.mark.parametrize("description", [MLP, CNN, LENET], ids=lambda each: each.model.kind)
def test_integers_are_those_of_pytorch(description: NetworkDescription) -> None:
    prepared = observed(description, rounding="gptq")
    network, made = quantize(prepared, with_bits(*HIDDEN[description.model.kind]))
    assert made.recipe.binary_weight_scale == "per_channel"
    split = Split(images(description, 64, seed=9).numpy(), np.zeros(64, np.int64))
    proof = check(network, description.input_shape, split, 1.0)
    assert (proof.integers, proof.different) == (640, 0)
    weights = [operation for operation in proof.program.operations if isinstance(operation, Linear)]
    assert [operation.weight_format == Bipolar() for operation in weights] == [True] * (len(weights) - 1) + [False]


def test_last_layer_needs_its_bits() -> None:
    message = (
        "recipe.layers.out.weight_bit_width: width must be 2 to 16 to calibrate, not 1; train networks of one bit, "
        "with `bitwright train`"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        quantize(observed(MLP), with_bits("out"))


def test_folded_network_has_no_batch_norm_to_make_up_for_one_bit() -> None:
    network = float_network(MLP)
    folded = prepare(network, MLP, images(MLP, 96), CalibrationSettings(fold=True))
    message = (
        "recipe.layers.fc1.weight_bit_width: width must be 2 to 16 to calibrate, not 1; train networks of one bit, "
        "with `bitwright train`, or keep the batch norms, with `calibrate --no-fold` or `search --binary`"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        quantize(folded, with_bits("fc1"))


def test_moves_and_trials_reach_one_bit_and_then_none() -> None:
    recipe = Move("b", "weight", 2).apply(uniform(("a", "b", "c"), 4, 4, 8))
    binary = Move("b", "weight", 1)
    assert binary not in set(narrower(recipe, removable=("b",)))
    assert binary in set(narrower(recipe, removable=("b",), binarisable=("b",)))
    moves = narrower(binary.apply(recipe), removable=("b",), binarisable=("b",))
    assert Move("b", "weight", 0) in set(moves)
    space = Space(recipe, frozenset({"a", "b"}), frozenset({"b"}))
    assert (space.ranges()["a.weight"], space.ranges()["b.weight"]) == (range(1, 9), range(9))
    for width in (0, 1, 2):
        tried = Move("b", "weight", width).apply(recipe)
        widths = space.widths(tried)
        assert widths is not None
        assert space.recipe(widths).layers["b"].weight_bit_width == width
