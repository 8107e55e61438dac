"""FracBNN: its thermometer, its gates, its shortcuts, its forms, what it refuses."""

import re
from typing import Any

import pytest
import torch
from torch import nn

from bitwright.models.fracbnn import FracBNN
from bitwright.models.network import build, layer_names, unactivated_layers
from bitwright.models.settings import ModelSettings
from bitwright.quant.carried import Carried
from bitwright.quant.precision_gate import PrecisionGate
from bitwright.quant.recipe import Recipe
from bitwright.quant.thermometer import Thermometer

IMAGE = (3, 32, 32)
FRACTIONAL = Recipe(weight_bit_width=1, activation_bit_width=2, last_weight_bit_width=8)
BINARY = Recipe(weight_bit_width=1, activation_bit_width=1, last_weight_bit_width=8)


def made(recipe: Recipe, **settings: Any) -> Any:  # noqa: ANN401 - layers by their names
    return build(ModelSettings(kind="fracbnn", **settings), recipe, IMAGE, 10)


def test_weights_are_those_of_a_resnet20_whose_first_layer_sees_96_bits() -> None:
    for recipe in (Recipe.floating(), FRACTIONAL, BINARY):
        counts = [m.weight.numel() for m in made(recipe).modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        assert sum(counts) == 96 * 16 * 9 + 9 * (6 * 16**2 + 16 * 32 + 5 * 32**2 + 32 * 64 + 5 * 64**2) + 640


def test_thermometer_is_the_published_code_of_bytes() -> None:
    bytes_ = torch.arange(256, dtype=torch.float64)
    found = Thermometer(1, 32)((bytes_ / 256).float().reshape(-1, 1, 1, 1)).value.reshape(256, 32)
    # Of the authors' code: bit k is +1 where k < round(byte / 8); halves apart, which they round to even
    wanted = torch.where(torch.arange(32) < torch.round(bytes_ / 8)[:, None], 1.0, -1.0)
    halves = bytes_ % 8 == 4
    assert (found == wanted)[~halves].all()
    assert (found.sum(1)[1:] >= found.sum(1)[:-1]).all()


def test_thermometer_puts_the_colours_of_a_level_side_by_side() -> None:
    image = torch.tensor([0.1, 0.4, 0.9]).reshape(1, 3, 1, 1)
    assert Thermometer(3, 2)(image).value.ravel().tolist() == [-1, 1, 1, -1, -1, 1]


@pytest.mark.parametrize("threshold", [-100.0, 0.0, 1.0, 100.0])
def test_gate_adds_the_second_bits_sums_where_those_of_the_first_reach_the_threshold(threshold: float) -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(7, 5, bias=False), 2 * torch.randn(64, 7)
    gate = PrecisionGate(5, axes=0).eval()
    gate.threshold.data.fill_(threshold)
    high = torch.where(x >= 0, 1.0, -1.0)
    low = torch.where(x - high >= 0, 0.5, -0.5)
    sums = layer(high)
    wanted = torch.where(sums >= threshold, sums + layer(low), sums)
    assert (gate(layer, x) == wanted).all()


def test_threshold_and_input_of_a_gate_have_gradients() -> None:
    torch.manual_seed(0)
    gate, x = PrecisionGate(5, axes=0), torch.randn(64, 7, requires_grad=True)
    gate(nn.Linear(7, 5, bias=False), x).square().sum().backward()
    assert x.grad is not None
    assert gate.threshold.grad is not None
    assert (gate.threshold.grad != 0).all()
    assert (x.grad != 0).any()


def test_two_bits_are_gated_and_other_widths_are_not() -> None:
    gates = {bits: _gates(made(Recipe(weight_bit_width=1, activation_bit_width=bits))) for bits in (1, 2, 4)}
    assert gates == {1: 0, 2: 18, 4: 0}
    float_form = made(Recipe.floating())
    assert _gates(float_form) == 0
    assert isinstance(float_form.block3_conv1_act, Carried)


def _gates(network: nn.Module) -> int:
    return sum(isinstance(module, PrecisionGate) for module in network.modules())


def test_shortcut_that_changes_the_shape_averages_pixels_and_repeats_channels() -> None:
    network = made(Recipe.floating()).eval()
    seen: dict[str, torch.Tensor] = {}
    network.block3_conv1.register_forward_hook(lambda _, given, __: seen.update(before=given[0]))
    network.block3_conv1_sum_norm.register_forward_hook(lambda _, given, __: seen.update(total=given[0]))
    nn.init.zeros_(network.block3_conv1_norm.weight)
    network(torch.rand(2, *IMAGE))
    halved = seen["before"].reshape(2, 16, 16, 2, 16, 2).mean(dim=(3, 5))
    torch.testing.assert_close(seen["total"], torch.cat([halved, halved], dim=1))


def test_layers_are_named_and_the_first_has_no_activation() -> None:
    names = layer_names(ModelSettings(kind="fracbnn"), IMAGE, 10)
    assert names[:3] == ("conv", "block0_conv1", "block0_conv2")
    assert len(names) == 20
    assert unactivated_layers(ModelSettings(kind="fracbnn"), IMAGE, 10) == ("conv",)


@pytest.mark.parametrize(
    ("shape", "recipe", "settings", "says"),
    [
        (
            (3, 30, 32),
            FRACTIONAL,
            {},
            "model.kind: sides of images of fracbnn must be multiples of 4, not 30x32; use kind = 'resnet20'",
        ),
        (
            IMAGE,
            FRACTIONAL.model_copy(update={"input_bit_width": 4}),
            {},
            "recipe.input_bit_width: width must be at least 5 for fracbnn, not 4; its input becomes a thermometer code "
            "of 32 bits",
        ),
        (
            IMAGE,
            FRACTIONAL.model_copy(update={"first_activation_bit_width": 1}),
            {},
            "recipe.first_activation_bit_width: value must be left out for kind = 'fracbnn', not 1; no activation is "
            "behind its first layer; set those before others in recipe.layers",
        ),
        (
            IMAGE,
            Recipe(),
            {"batch_norm": False},
            "model.batch_norm: value must be true for kind = 'fracbnn', not false; delete the key",
        ),
        (
            IMAGE,
            Recipe(),
            {"channel_multiplier": 0.1},
            "model.channel_multiplier: channels of fracbnn must double from stage to stage, not be 2, 3, 6; take a "
            "multiple of 1/16",
        ),
    ],
)
def test_what_it_cannot_be_is_refused(
    shape: tuple[int, int, int], recipe: Recipe, settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        FracBNN(shape, 10, recipe, ModelSettings(kind="fracbnn", **settings))


def test_levels_that_are_no_power_of_two_are_refused() -> None:
    says = "thermometer: levels must be a power of two above 1, not 12; use 32"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        Thermometer(3, 12)
