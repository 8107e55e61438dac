"""From a float network to a fixed-point one, without training."""

from typing import Any

import numpy as np
import pytest
import torch
from float_networks import BY_NAME, CNN, LENET, MLP, float_network, images
from torch import Tensor, nn

from bitwright.calibration.layer_errors import layer_errors
from bitwright.calibration.observers import observer
from bitwright.calibration.post_training import Observed, prepare, quantize
from bitwright.calibration.rounding import bias_width
from bitwright.calibration.settings import CalibrationSettings, Rounding
from bitwright.models.checkpoint import NetworkDescription, load, save
from bitwright.quant.recipe import LayerRecipe, Recipe

SMALL = Recipe(weight_bit_width=4, activation_bit_width=4)


def observed(description: NetworkDescription = MLP, **settings: Any) -> Observed:  # noqa: ANN401
    """A network, prepared."""
    network = float_network(description)
    return prepare(network, description, images(description, 96), CalibrationSettings(**settings))


def output(network: nn.Module, inputs: Tensor) -> Tensor:
    """What a network makes of inputs."""
    with torch.no_grad():
        result = network(inputs)
    found = getattr(result, "value", result)
    assert isinstance(found, Tensor)
    return found


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("fold", [True, False])
def test_wide_network_is_close_to_the_float_one(name: str, fold: bool) -> None:
    prepared = observed(BY_NAME[name], fold=fold)
    wide = Recipe(weight_bit_width=9, activation_bit_width=8, input_bit_width=8)
    network, description = quantize(prepared, wide)
    assert description.model.batch_norm is not fold
    wanted, found = (output(each, prepared.inputs) for each in (prepared.network, network))
    assert (wanted - found).abs().max() < 0.05 * wanted.abs().max()


@pytest.mark.parametrize("scale", ["per_tensor", "per_channel"])
def test_scales_are_those_of_the_observers(scale: Any) -> None:  # noqa: ANN401
    prepared = observed(CNN, method="percentile", weight_method="mse")
    network: Any = quantize(prepared, SMALL.model_copy(update={"weight_scale": scale}))[0]
    seen = observer("percentile")
    with torch.no_grad():
        x = prepared.inputs
        for name in ("input", "conv", "pool", "norm", "act"):
            x = prepared.network.get_submodule(name)(x)
    seen.update(x.numpy())
    grid = seen.grid(4, signed=False, symmetric=True, power_of_two=True, narrow_range=False)
    assert float(network.act.act_quant.scale().detach()) == grid.scale
    weight = prepared.network.get_submodule("conv").weight
    assert isinstance(weight, Tensor)
    seen = observer("mse", axis=None if scale == "per_tensor" else 0)
    seen.update(weight.detach().numpy())
    grid = seen.grid(4, signed=True, symmetric=True, power_of_two=True, narrow_range=True)
    scales = network.conv.quant_weight().scale.detach().numpy().reshape(-1)
    assert (scales == np.atleast_1d(grid.scale)).all()
    assert (np.log2(scales) == np.round(np.log2(scales))).all()


def test_layers_have_their_own_widths() -> None:
    layers = {"fc0": LayerRecipe(weight_bit_width=3, activation_bit_width=5), "fc1": LayerRecipe(weight_bit_width=0)}
    network: Any = quantize(observed(), SMALL.model_copy(update={"layers": layers}))[0]
    assert [int(network.get_submodule(name).weight_quant.bit_width()) for name in ("fc0", "fc2", "out")] == [3, 4, 4]
    assert int(network.act0.act_quant.bit_width()) == 5
    assert not hasattr(network, "fc1")


def test_biases_get_the_bits_that_they_need() -> None:
    """Found on LeNet-5: 16 bits on the grid of 8-bit weights and activations held no bias above 1."""
    prepared = observed()
    network, description = quantize(prepared, Recipe(weight_bit_width=8, activation_bit_width=12, bias_bit_width=2))
    assert description.recipe.bias_bit_width >= bias_width(network, prepared.inputs[:1]) > 2
    module: Any = network.get_submodule("fc2")
    seen: list[tuple[Tensor, Tensor]] = []

    def look(layer: Any, inputs: Any) -> None:  # noqa: ANN401
        scale = inputs[0].scale * layer.quant_weight().scale
        seen.append((layer.bias_quant(layer.bias, inputs[0], layer.quant_weight()).value, scale))

    module.register_forward_pre_hook(look)
    output(network, prepared.inputs[:1])
    quantised, scale = seen[0]
    assert ((quantised - module.bias).abs() <= scale / 2).all()


def test_biases_that_no_width_holds_are_refused() -> None:
    with pytest.raises(ValueError) as refusal:
        quantize(observed(), Recipe(weight_bit_width=16, activation_bit_width=16, input_bit_width=16))
    assert str(refusal.value).startswith("recipe.bias_bit_width: width must be at most 24, but these biases need ")
    assert str(refusal.value).endswith(
        " on the accumulators' grids; take fewer bits for weights or activations, or calibrate with --no-fold"
    )


@pytest.mark.parametrize("rounding", ["gptq", "gpfq"])
def test_rounding_together_changes_a_layers_output_less(rounding: Rounding) -> None:
    errors = {}
    for how in ("nearest", rounding):
        prepared = observed(LENET, rounding=how, correct_bias=False)
        network = quantize(prepared, Recipe(weight_bit_width=3, activation_bit_width=8))[0]
        wanted, found = (output(each, prepared.inputs) for each in (prepared.network, network))
        errors[how] = float(((wanted - found) ** 2).mean())
    assert errors[rounding] < errors["nearest"] / 1.5


def test_bias_correction_takes_the_mean_error_of_each_channel_away() -> None:
    """Of the first layer, whose inputs are the same in both networks but for their own rounding."""
    means = {}
    for correct in (True, False):
        prepared = observed(correct_bias=correct)
        recipe = Recipe(weight_bit_width=2, activation_bit_width=8, input_bit_width=12)
        network = quantize(prepared, recipe)[0]
        found = []
        for each in (prepared.network, network):
            flat = each.get_submodule("input")(prepared.inputs)
            flat = each.get_submodule("flatten")(flat)
            found.append(output(each.get_submodule("fc0"), flat))
        means[correct] = float((found[0] - found[1]).mean(dim=0).abs().max())
    assert means[True] < means[False] / 20


def test_checkpoint_of_a_rounded_network_is_read_again(tmp_path: Any) -> None:  # noqa: ANN401
    """Found on LeNet-5: Brevitas' GPFQ leaves the original weights in the network."""
    prepared = observed(rounding="gpfq")
    network, description = quantize(prepared, SMALL)
    save(tmp_path / "checkpoint.safetensors", network, description)
    again, _ = load(tmp_path / "checkpoint.safetensors", description)
    assert torch.equal(output(network, prepared.inputs), output(again, prepared.inputs))


@pytest.mark.parametrize("fold", [True, False])
def test_float_network_is_not_changed(fold: bool) -> None:
    network = float_network(MLP)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    prepared = prepare(network, MLP, images(MLP, 32), CalibrationSettings(fold=fold, equalize=True))
    quantize(prepared, SMALL)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert (output(prepared.network, prepared.inputs) - output(network, prepared.inputs)).abs().max() < 1e-4


def test_equalised_network_computes_the_same() -> None:
    plain, equalised = (observed(equalize=equalize) for equalize in (False, True))
    wanted, found = (output(each.network, plain.inputs) for each in (plain, equalised))
    assert (wanted - found).abs().max() < 1e-5 * wanted.abs().max()
    weights = [each.network.get_submodule("fc1").weight for each in (plain, equalised)]
    assert not torch.equal(*weights)  # type: ignore[arg-type]


def test_error_of_each_layer_is_that_of_its_tensors() -> None:
    prepared = observed()
    network: Any = quantize(prepared, SMALL)[0]
    found = {error.name: error for error in layer_errors(prepared, network)}
    assert list(found) == ["fc0", "act0", "fc1", "act1", "fc2", "act2", "out"]
    weight = prepared.network.get_submodule("fc1").weight
    assert isinstance(weight, Tensor)
    weight, rounded = weight.detach(), network.fc1.quant_weight().value.detach()
    wanted = 10 * np.log10(float((weight**2).sum() / ((weight - rounded) ** 2).sum()))
    assert abs(found["fc1"].signal_to_noise_db - wanted) < 1e-4
    assert found["fc1"].exponent is not None
    assert found["fc1"].highest_held == 7 * 2.0 ** found["fc1"].exponent == -found["fc1"].lowest_held
    assert found["act1"].lowest_held == 0


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (
            Recipe(weight_bit_width=1),
            "recipe.weight_bit_width: width must be 2 to 16 to calibrate, not 1; train networks of one bit, with "
            "`bitwright train`",
        ),
        (
            Recipe(layers={"fc0": LayerRecipe(activation_bit_width=1)}),
            "recipe.layers.fc0.activation_bit_width: width must be 2 to 16 to calibrate, not 1; train networks of one "
            "bit, with `bitwright train`",
        ),
        (
            Recipe.floating(),
            "recipe.weight_bit_width: width must be 2 to 16 to calibrate, not 32; train networks of one bit, with "
            "`bitwright train`",
        ),
    ],
)
def test_width_that_calibration_cannot_give_is_refused(recipe: Recipe, says: str) -> None:
    with pytest.raises(ValueError) as refusal:
        quantize(observed(), recipe)
    assert str(refusal.value) == says


def test_no_data_is_refused() -> None:
    with pytest.raises(ValueError) as refusal:
        prepare(float_network(MLP), MLP, images(MLP, 0), CalibrationSettings())
    assert str(refusal.value) == ("calibration: data must be at least one input, not none; give more with --samples")


def test_batch_norm_that_never_saw_data_is_refused() -> None:
    with pytest.raises(ValueError) as refusal:
        prepare(MLP.build().eval(), MLP, images(MLP, 8), CalibrationSettings())
    assert str(refusal.value) == (
        "norm0: batch norm must have seen batches in training, not none; train the float network first"
    )


def test_activation_that_is_not_finite_is_refused() -> None:
    network: Any = float_network(MLP)
    with torch.no_grad():
        network.fc1.weight[0, 0] = float("inf")
    with pytest.raises(ValueError) as refusal:
        prepare(network, MLP, images(MLP, 8), CalibrationSettings(fold=False))
    assert str(refusal.value) == (
        "act1: activations must be finite on the calibration data, not NaN or infinite; train the float network again"
    )


def test_dead_channel_and_constant_input_have_scales() -> None:
    network: Any = float_network(MLP)
    with torch.no_grad():
        network.fc0.weight[0] = 0
        network.norm1.weight.zero_()
        network.norm1.bias.fill_(-1.0)  # act1 is zero everywhere
    prepared = prepare(network, MLP, torch.zeros(1, 1, 8, 8), CalibrationSettings())
    fixed: Any = quantize(prepared, SMALL.model_copy(update={"weight_scale": "per_channel"}))[0]
    assert float(fixed.act1.act_quant.scale().detach()) == 2.0**-12
    assert output(fixed, prepared.inputs).isfinite().all()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"samples": 0}, "--samples: number must be at least 1, not 0; 512 are usual"),
        ({"percentile": 101.0}, "--percentile: share must be above 50 and at most 100 percent, not 101; try 99.99"),
    ],
)
def test_setting_out_of_its_range_is_refused(settings: Any, says: str) -> None:  # noqa: ANN401
    with pytest.raises(ValueError) as refusal:
        CalibrationSettings(**settings)
    assert str(refusal.value) == says
