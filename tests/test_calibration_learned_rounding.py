"""Weights rounded up or down as is learned: against NumPy's own error of the layer, and exact through lowering."""

import itertools
import re
from typing import Any

import numpy as np
import pytest
import torch
from brevitas.core.function_wrapper.learned_round import LearnedRoundSte
from float_networks import CNN, MLP, float_network, images
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from quick_export import quick_exports
from torch import Tensor, nn

from bitwright.calibration import learned_rounding
from bitwright.calibration.learned_rounding import learn_rounding, steps_to_take
from bitwright.calibration.post_training import Observed, prepare, quantize
from bitwright.calibration.settings import CalibrationSettings
from bitwright.cli.search_lowering import check, lowered
from bitwright.export.precision import needs
from bitwright.models.checkpoint import NetworkDescription, load, save
from bitwright.models.dataset import Split
from bitwright.quant.brevitas_layers import conv2d, dense, input_quantizer
from bitwright.quant.quantizer_scale import most_code, set_scale
from bitwright.quant.recipe import LayerRecipe, Recipe, Scale

Array = NDArray[np.float64]
WINDOWS = {
    "dense": {},
    "conv": {"kernel_size": 3},
    "padded and strided": {"kernel_size": 3, "padding": 1, "stride": 2},
    "depthwise": {"kernel_size": 3, "padding": 1, "groups": 4},
}


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned_rounding, "STEPS", 100)


def observed(description: NetworkDescription = MLP, **how: Any) -> Observed:  # noqa: ANN401
    """A network, prepared."""
    network = float_network(description)
    return prepare(network, description, images(description, 96), CalibrationSettings(**how))


def of_bits(bits: int, scale: Scale = "per_tensor", input_bits: int = 8) -> Recipe:
    """Of one layer, whose scale is set."""
    return Recipe(weight_bit_width=bits, input_bit_width=input_bits, weight_scale=scale, weight_scale_from="parameter")


def single(kind: str, recipe: Recipe, seed: int = 1, spread: float = 0.4) -> Any:  # noqa: ANN401
    """An input quantiser and one layer of 4 inputs or channels and 4 outputs, with seeded weights."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    window: dict[str, Any] = WINDOWS[kind]
    layer: Any = dense(recipe, 36, 4, bias=False) if kind == "dense" else conv2d(recipe, 4, 4, bias=False, **window)
    with torch.no_grad():
        layer.weight.normal_(0, spread)
        layer.weight[1] *= 0.3
        per_output = layer.weight.abs().flatten(1).amax(1)
        largest = per_output if recipe.weight_scale == "per_channel" else per_output.amax()
        scale = 2.0 ** torch.round(torch.log2(largest / most_code(layer.weight_quant)))  # down: the largest saturate
        set_scale(layer.weight_quant, scale.reshape(layer.quant_weight().scale.shape))
    return nn.Sequential(input_quantizer(recipe, 0.0, 1.0), layer).eval()


def inputs_of(kind: str, count: int = 48, seed: int = 2) -> Tensor:
    """Inputs that are not centred, and alike in part: their products are not those of noise."""
    generator = torch.Generator().manual_seed(seed)
    shape = (36,) if kind == "dense" else (4, 7, 7)
    common = torch.rand(count, *[1] * len(shape), generator=generator)
    return (0.5 * common + 0.5 * torch.rand(count, *shape, generator=generator)).clamp(0, 1)


def outputs(kind: str, values: Array, weight: Array) -> Array:
    """What a layer makes of its inputs, in NumPy."""
    if kind == "dense":
        return np.asarray(values @ weight.T)
    window: Any = WINDOWS[kind]
    pad, stride, groups = window.get("padding", 0), window.get("stride", 1), window.get("groups", 1)
    padded = np.pad(values, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    seen = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], (2, 3))[:, :, ::stride, ::stride]
    parts = zip(np.split(seen, groups, axis=1), np.split(weight, groups), strict=True)
    return np.concatenate([np.einsum("nchwij,ocij->nohw", each, own) for each, own in parts], axis=1)


def errors(kind: str, network: Any, inputs: Tensor, weight: Array, rounded: Array) -> Array:  # noqa: ANN401
    """The squared error of each output, by NumPy."""
    with torch.no_grad():
        quantised = network[0](inputs).value.double().numpy()
    difference = outputs(kind, inputs.double().numpy(), weight) - outputs(kind, quantised, rounded)
    return np.asarray((np.moveaxis(difference, 1, 0).reshape(len(weight), -1) ** 2).sum(axis=1))


def double(values: Any) -> Array:  # noqa: ANN401
    """Of a tensor."""
    return np.asarray(values.detach().double().numpy())


@pytest.mark.parametrize("scale", ["per_tensor", "per_channel"])
@pytest.mark.parametrize("kind", WINDOWS)
def test_output_is_nearer_to_the_float_one_than_with_each_weight_to_the_nearest(
    kind: str, scale: Scale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learned_rounding, "STEPS", 300)
    network, inputs = single(kind, of_bits(3, scale)), inputs_of(kind)
    weight, step = double(network[1].weight), double(network[1].quant_weight().scale)
    nearest = np.clip(np.rint(weight / step), -3, 3) * step
    learn_rounding(network, inputs)
    learned = double(network[1].weight)
    before, after = (errors(kind, network, inputs, weight, each) for each in (nearest, learned))
    assert (after <= before).all()
    assert after.sum() < before.sum()
    if kind != "depthwise":  # of nine weights an output has, a few decide
        assert after.sum() < before.sum() / 2


def test_rounding_is_near_the_best_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the nine weights of a depthwise output, every rounding can be tried."""
    monkeypatch.setattr(learned_rounding, "STEPS", 1000)
    network, inputs = single("depthwise", of_bits(3, "per_channel")), inputs_of("depthwise", 8)
    weight, step = double(network[1].weight), double(network[1].quant_weight().scale)
    ways = itertools.product((np.floor, np.ceil), repeat=9)
    best = np.full(4, np.inf)
    for way in ways:
        codes = np.stack([each(weight[..., i // 3, i % 3] / step[..., 0, 0]) for i, each in enumerate(way)], axis=-1)
        tried = np.clip(codes, -3, 3).reshape(weight.shape) * step
        best = np.minimum(best, errors("depthwise", network, inputs, weight, tried))
    learn_rounding(network, inputs)
    found = errors("depthwise", network, inputs, weight, double(network[1].weight))
    assert (found >= best * (1 - 1e-6)).all()
    assert found.sum() < 1.2 * best.sum()


@settings(max_examples=8, deadline=None)
@given(
    kind=st.sampled_from(list(WINDOWS)),
    bits=st.integers(2, 8),
    input_bits=st.integers(2, 8),
    scale=st.sampled_from(["per_tensor", "per_channel"]),
    spread=st.sampled_from([0.01, 0.4, 8.0]),
    seed=st.integers(0, 99),
)
def test_weights_are_integers_next_to_the_float_ones_and_no_output_is_farther_off(
    kind: str,
    bits: int,
    input_bits: int,
    scale: Scale,
    spread: float,
    seed: int,
) -> None:
    recipe = of_bits(bits, scale, input_bits)
    network, inputs = single(kind, recipe, seed, spread), inputs_of(kind, 16, seed)
    layer, most = network[1], most_code(network[1].weight_quant)
    with torch.no_grad():
        step = layer.quant_weight().scale
        layer.weight[0].view(-1)[:3] = 0
        own = step.flatten()[2 if scale == "per_channel" else 0]
        layer.weight[2] = (layer.weight[2] / own).round() * own
    keys = set(network.state_dict())
    weight, step = double(layer.weight), double(step)
    learn_rounding(network, inputs)
    codes = double(layer.weight) / step
    low, high = (np.clip(rounded(weight / step), -most, most) for rounded in (np.floor, np.ceil))
    assert ((codes == low) | (codes == high)).all()
    np.testing.assert_array_equal(double(layer.quant_weight().value) / step, codes)
    nearest = np.clip(np.rint(weight / step), -most, most) * step
    before, after = (errors(kind, network, inputs, weight, each) for each in (nearest, codes * step))
    assert (after <= before * (1 + 1e-6)).all()
    assert not [each for each in network.modules() if isinstance(each, LearnedRoundSte)]
    assert set(network.state_dict()) - keys == {"1.weight_orig"}


def test_weights_beyond_the_range_saturate_and_outputs_without_weights_stay() -> None:
    network = single("dense", of_bits(3, "per_channel"))
    with torch.no_grad():
        step = network[1].quant_weight().scale.flatten()
        network[1].weight[0, :4] = step[0] * torch.tensor([3.4, 9.6, -3.4, -9.6])
        network[1].weight[3] = 0
    learn_rounding(network, inputs_of("dense"))
    assert (double(network[1].weight)[0, :4] / float(step[0])).tolist() == [3, 3, -3, -3]
    assert not network[1].weight[3].any()


def test_weights_of_inputs_that_are_always_zero_go_to_the_nearest() -> None:
    network, inputs = single("dense", of_bits(3)), inputs_of("dense")
    inputs[:, :9] = 0
    wanted = network[1].quant_weight().value[:, :9].detach().clone()
    learn_rounding(network, inputs)
    assert torch.equal(network[1].weight[:, :9], wanted)


def test_later_layers_make_up_for_what_earlier_ones_lost() -> None:
    """Without a bias correction, which would take the mean error off either way."""
    found = {}
    for how in ("nearest", "learned"):
        prepared = observed(rounding=how, correct_bias=False)
        network: Any = quantize(prepared, Recipe(weight_bit_width=3, activation_bit_width=4))[0]
        with torch.no_grad():
            found[how] = float((network(prepared.inputs) - prepared.network(prepared.inputs)).square().mean())
    assert found["learned"] < found["nearest"] / 2


@pytest.mark.parametrize(("description", "fold"), [(MLP, False), (CNN, True)], ids=["mlp", "cnn"])
def test_integers_of_the_program_are_those_of_pytorch(description: NetworkDescription, fold: bool) -> None:
    prepared = observed(description, rounding="learned", fold=fold)
    recipe = Recipe(weight_bit_width=4, activation_bit_width=4, weight_scale="per_channel")
    network = quantize(prepared, recipe)[0]
    split = Split(images(description, 64, seed=9).numpy(), np.zeros(64, np.int64))
    with quick_exports():
        proof = check(network, description.input_shape, split, 1.0)
    assert (proof.integers, proof.different) == (640, 0)


def test_same_data_give_the_same_weights_and_a_checkpoint_that_is_read_again(tmp_path: Any) -> None:  # noqa: ANN401
    prepared = observed(rounding="learned")
    recipe = Recipe(weight_bit_width=3, activation_bit_width=4)
    (network, description), (again, _) = quantize(prepared, recipe), quantize(prepared, recipe)
    save(tmp_path / "checkpoint.safetensors", network, description)
    states = [each.state_dict() for each in (network, again, load(tmp_path / "checkpoint.safetensors", description)[0])]
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name])
        assert torch.equal(value, states[2][name])
    assert {name for name in states[0] if "orig" in name or name.endswith("float_to_int_impl.value")} == set()


def test_weights_of_one_bit_are_left_alone_and_progress_counts_the_steps_of_the_others() -> None:
    prepared = observed(rounding="learned", fold=False)
    recipe = Recipe(weight_bit_width=3, activation_bit_width=4, layers={"fc1": LayerRecipe(weight_bit_width=1)})
    steps: list[int] = []
    network: Any = quantize(prepared, recipe, steps.append)[0]
    assert np.unique(np.abs(double(network.fc1.weight) / double(network.fc1.quant_weight().scale))).tolist() == [1.0]
    assert sum(steps) == steps_to_take(prepared.network, recipe) == 3 * learned_rounding.STEPS


def test_limited_accumulators_hold_every_sum() -> None:
    width = 11  # of which the learned rounding alone would take more
    prepared = observed(rounding="learned")
    recipe = Recipe(weight_bit_width=6, activation_bit_width=4, accumulator_bit_width=width)
    network, description = quantize(prepared, recipe)
    with quick_exports():
        program = lowered(network, description.input_shape).program
    found = [roles["accumulator"].format.width for roles in needs(program).values() if "accumulator" in roles]
    assert len(found) == 4
    assert max(found) == width


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weight_that_is_not_finite_is_refused(value: float) -> None:
    network = single("dense", of_bits(3))
    with torch.no_grad():
        network[1].weight[1, 2] = value
    message = "1.weight: weights must be finite to be rounded, not NaN or infinite; train the float network again"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        learn_rounding(network, inputs_of("dense"))
