"""The networks: float, fixed point and binary from one definition."""

import re
from typing import Any, Literal

import pytest
import torch
from torch import nn

from bitwright.models.network import STANDARDISED_RANGE, build
from bitwright.models.settings import ModelSettings
from bitwright.quant.recipe import LayerRecipe, Recipe

FIXED = Recipe()
BINARY = Recipe(weight_bit_width=1, activation_bit_width=1)
RECIPES = {"float": Recipe.floating(), "fixed": FIXED, "binary": BINARY}


def parameters(network: nn.Module) -> int:
    """How many numbers a network learns as weights, biases and batch norms; scales of quantisers are not counted."""
    named = network.named_parameters()
    return sum(value.numel() for name, value in named if name.endswith((".weight", ".bias")))


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("mlp", (1, 8, 8)),
        ("mlp", (16,)),
        ("cnn", (1, 8, 8)),
        ("cnn", (3, 5, 7)),
        ("lenet5", (1, 28, 28)),
        ("lenet5", (3, 32, 32)),
        ("cnv", (3, 32, 32)),
        ("vgg_small", (1, 8, 9)),
        ("resnet8", (3, 5, 7)),
        ("resnet20", (1, 4, 4)),
        ("fracbnn", (1, 8, 8)),
        ("mobilenet_v2", (1, 8, 11)),
    ],
)
def test_network_maps_inputs_to_finite_scores(kind: str, shape: tuple[int, ...], recipe: Recipe) -> None:
    network = build(ModelSettings.model_validate({"kind": kind, "hidden": (8, 7)}), recipe, shape, 10)
    scores = network(torch.rand(4, *shape))
    assert scores.shape == (4, 10)
    assert scores.isfinite().all()
    assert network.eval()(torch.rand(1, *shape)).shape == (1, 10)


@pytest.mark.parametrize("recipe", [Recipe.floating(), FIXED], ids=["float", "fixed"])
def test_lenet5_has_the_published_61706_parameters(recipe: Recipe) -> None:
    network = build(ModelSettings(kind="lenet5", batch_norm=False), recipe, (1, 28, 28), 10)
    layers = [parameters(nn.Sequential(layer)) for layer in network.children()]
    assert [count for count in layers if count] == [156, 2416, 48120, 10164, 850]
    assert sum(layers) == 61706


def test_images_of_28_are_padded_to_the_32_of_lenet5() -> None:
    small, large = (build(ModelSettings(kind="lenet5"), Recipe.floating(), (1, n, n), 10).eval() for n in (28, 32))
    large.load_state_dict(small.state_dict())
    images = torch.rand(2, 1, 28, 28)
    assert torch.equal(small(images), large(nn.functional.pad(images, [2] * 4)))


def test_channel_multiplier_widens_both_convolutions() -> None:
    network = build(ModelSettings(kind="lenet5", channel_multiplier=2), FIXED, (3, 32, 32), 10)
    shapes = {name: tuple(value.shape) for name, value in network.named_parameters()}
    assert shapes["conv1.weight"] == (12, 3, 5, 5)
    assert shapes["conv2.weight"] == (32, 12, 5, 5)
    assert shapes["fc1.weight"] == (120, 800)


def test_channel_multiplier_widens_every_layer_of_cnv() -> None:
    network = build(ModelSettings(kind="cnv", channel_multiplier=2), FIXED, (3, 32, 32), 10)
    shapes = {name: tuple(value.shape) for name, value in network.named_parameters()}
    assert shapes["conv0.weight"] == (128, 3, 3, 3)
    assert shapes["fc1.weight"] == (1024, 512)
    assert shapes["out.weight"] == (10, 1024)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_cnv_has_1542848_weights_and_no_bias(recipe: Recipe) -> None:
    network = build(ModelSettings(kind="cnv"), recipe, (3, 32, 32), 10)
    layers = {name: value for name, value in network.named_parameters() if "norm" not in name}
    counts = [value.numel() for name, value in layers.items() if name.endswith(".weight")]
    assert counts == [1728, 36_864, 73_728, 147_456, 294_912, 589_824, 131_072, 262_144, 5120]
    assert sum(counts) == 1_542_848
    assert not [name for name in layers if name.endswith(".bias")]


def test_cnv_narrows_images_to_one_position_of_256_channels() -> None:
    network = build(ModelSettings(kind="cnv"), Recipe.floating(), (3, 32, 32), 10).eval()
    shapes: dict[str, tuple[int, ...]] = {}
    for name, module in network.named_children():
        module.register_forward_hook(lambda _, __, result, name=name: shapes.update({name: tuple(result.shape[1:])}))
    network(torch.zeros(1, 3, 32, 32))
    convolutions = [(64, 30, 30), (64, 28, 28), (128, 12, 12), (128, 10, 10), (256, 3, 3), (256, 1, 1)]
    assert [shapes[f"conv{i}"] for i in range(6)] == convolutions
    assert (shapes["pool1"], shapes["pool3"]) == ((64, 14, 14), (128, 5, 5))
    assert [shapes[name] for name in ("flatten", "fc1", "fc2", "out")] == [(256,), (512,), (512,), (10,)]


def test_cnv_norms_every_layer_and_pools_activations() -> None:
    names = [name for name, _ in build(ModelSettings(kind="cnv"), BINARY, (3, 32, 32), 10).named_children()]
    assert names[4:11] == ["conv1", "norm1", "act1", "pool1", "conv2", "norm2", "act2"]
    assert names[-8:] == ["fc1", "fc1_norm", "fc1_act", "fc2", "fc2_norm", "fc2_act", "out", "out_norm"]


@pytest.mark.parametrize(("hidden", "count"), [((64, 64, 64), 59_210), ((256, 256, 256), 335_114)])
def test_float_mlp_has_a_weight_for_every_pair_and_a_bias_for_every_output(hidden: tuple[int, ...], count: int) -> None:
    network = build(ModelSettings(hidden=hidden, batch_norm=False), Recipe.floating(), (1, 28, 28), 10)
    assert parameters(network) == count


@pytest.mark.parametrize("kind", ["mlp", "lenet5"])
def test_batch_norm_takes_the_place_of_the_hidden_biases(kind: str) -> None:
    network = build(ModelSettings.model_validate({"kind": kind}), FIXED, (1, 28, 28), 10)
    biased = {name.partition(".")[0] for name, _ in network.named_parameters() if name.endswith(".bias")}
    assert {name for name in biased if not name.startswith("norm")} == {"out"}


@pytest.mark.parametrize("kind", ["mlp", "lenet5"])
def test_scores_of_a_binary_network_are_normed_and_without_bias(kind: str) -> None:
    network = build(ModelSettings.model_validate({"kind": kind}), BINARY, (1, 28, 28), 10)
    names = {name for name, _ in network.named_parameters() if name.startswith("out")}
    assert {"out.weight", "out_norm.weight", "out_norm.bias"} <= names
    assert "out.bias" not in names


def test_last_layer_of_its_own_width_has_a_bias_and_no_norm() -> None:
    recipe = Recipe(weight_bit_width=1, activation_bit_width=1, last_weight_bit_width=8)
    names = {name for name, _ in build(ModelSettings(), recipe, (16,), 5).named_parameters()}
    assert "out.bias" in names
    assert "out_norm.weight" not in names


def test_features_are_taken_to_eight_standard_deviations() -> None:
    network = build(ModelSettings(hidden=(8,)), FIXED, (16,), 5).eval()
    quantizer = network.get_submodule("input")
    assert STANDARDISED_RANGE == (-8.0, 8.0)
    assert quantizer(torch.tensor([-99.0, -8.0, 0.0, 7.9375, 99.0])).value.tolist() == [-8, -8, 0, 7.9375, 7.9375]


@pytest.mark.parametrize("size", [(8, 8), (28, 32)])
def test_image_of_another_size_than_lenet5s_is_refused(size: tuple[int, int]) -> None:
    says = f"model.kind: images of lenet5 must be 28x28 or 32x32, not {size[0]}x{size[1]}; use kind = 'mlp'"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        build(ModelSettings(kind="lenet5"), FIXED, (1, *size), 10)


def test_image_of_another_size_than_cnvs_is_refused() -> None:
    says = "model.kind: images of cnv must be 32x32, not 28x28; use kind = 'mlp'"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        build(ModelSettings(kind="cnv"), FIXED, (1, 28, 28), 10)


@pytest.mark.parametrize("kind", ["lenet5", "cnv", "vgg_small", "resnet8", "resnet20", "fracbnn", "mobilenet_v2"])
def test_features_for_a_network_of_images_are_refused(kind: str) -> None:
    says = f"model.kind: input of {kind} must be images (C, H, W), not (16,); use kind = 'mlp'"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        build(ModelSettings.model_validate({"kind": kind}), FIXED, (16,), 5)


@pytest.mark.parametrize(
    "key", ["weight_bit_width", "activation_bit_width", "input_bit_width", "last_weight_bit_width"]
)
def test_binary_layer_without_batch_norm_is_refused(key: str) -> None:
    says = "model.batch_norm: value must be true where a width is 1 bit, not False; binary layers have no bias"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        build(ModelSettings(batch_norm=False), Recipe.model_validate({key: 1}), (16,), 5)


def test_layers_have_the_widths_that_the_recipe_gives_them() -> None:
    layers = {"fc1": LayerRecipe(weight_bit_width=2, activation_bit_width=3), "out": LayerRecipe(weight_bit_width=4)}
    network: Any = build(ModelSettings(hidden=(8, 8)), Recipe(layers=layers), (1, 8, 8), 10)
    assert [int(getattr(network, name).weight_quant.bit_width()) for name in ("fc0", "fc1", "out")] == [6, 2, 4]
    assert [int(getattr(network, name).act_quant.bit_width()) for name in ("act0", "act1")] == [6, 3]


def test_layer_of_no_bits_is_left_out() -> None:
    layers = {"fc1": LayerRecipe(weight_bit_width=0)}
    network = build(ModelSettings(hidden=(8, 8, 4)), Recipe(layers=layers), (1, 8, 8), 10)
    names = [name for name, _ in network.named_children()]
    assert names == ["input", "flatten", "fc0", "norm0", "act0", "fc2", "norm2", "act2", "out", "out_norm"]
    assert network.eval()(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize(
    ("kind", "name", "own", "says"),
    [
        (
            "mlp",
            "fc9",
            {"weight_bit_width": 4},
            "recipe.layers: layer must be one of fc0, fc1, out, not 'fc9'; rename it",
        ),
        (
            "mlp",
            "fc0",
            {"weight_bit_width": 0},
            "recipe.layers.fc0.weight_bit_width: width must be 1 to 16 for a layer from 64 to 8 values, not 0; "
            "only one with as many outputs as inputs can be left out",
        ),
        (
            "cnn",
            "conv",
            {"weight_bit_width": 0},
            "recipe.layers.conv.weight_bit_width: width must be 1 to 16, not 0; only hidden layers of an MLP can be "
            "left out",
        ),
        (
            "mlp",
            "out",
            {"activation_bit_width": 4},
            "recipe.layers.out.activation_bit_width: key must be of a layer with an activation behind it, "
            "not of the last one; delete it",
        ),
    ],
)
def test_recipe_of_a_layer_that_cannot_be_is_refused(
    kind: Literal["mlp", "cnn"], name: str, own: dict[str, int], says: str
) -> None:
    recipe = Recipe(layers={name: LayerRecipe.model_validate(own)})
    with pytest.raises(ValueError) as refusal:
        build(ModelSettings(kind=kind, hidden=(8, 8)), recipe, (1, 8, 8), 10)
    assert str(refusal.value) == says
