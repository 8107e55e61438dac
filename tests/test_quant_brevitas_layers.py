"""The quantised layers, against the definition of their quantisers in NumPy's double precision."""

from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitwright.quant.brevitas_activations import STATISTICS_BATCHES, activation, sign
from bitwright.quant.brevitas_layers import conv2d, dense, input_quantizer
from bitwright.quant.fixed_point import fractional_bits
from bitwright.quant.latent_weights import clip_latent_weights, weighted_layers
from bitwright.quant.recipe import FLOAT, Recipe

WIDTHS = [2, 3, 6, 16]


def of_width(recipe: Recipe, weight_bit_width: int) -> Recipe:
    """Return the recipe of a layer with weights of a width."""
    return recipe.model_copy(update={"weight_bit_width": weight_bit_width})


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(1)
    torch.set_num_threads(1)


def array(tensor: Tensor) -> NDArray[np.float64]:
    """The values of a tensor, in double precision."""
    return tensor.detach().numpy().astype(np.float64)


def quantised(values: NDArray[Any], scale: Any, lowest: int, highest: int) -> NDArray[Any]:  # noqa: ANN401
    """Values on the grid of a scale: to nearest, halves to even, saturating."""
    return np.asarray(np.clip(np.rint(values / scale), lowest, highest) * scale)


def layer_of(kind: str, recipe: Recipe, width: int, *, bias: bool = False) -> Any:  # noqa: ANN401 - Brevitas' own
    """A layer of three outputs whose weights differ in size from output to output."""
    if kind == "dense":
        layer = dense(of_width(recipe, width), 20, 3, bias=bias)
    else:
        layer = conv2d(of_width(recipe, width), 2, 3, 5, bias=bias)
    with torch.no_grad():
        assert isinstance(layer.weight, Tensor)
        layer.weight.mul_(torch.tensor([0.25, 1.0, 8.0]).reshape(-1, *[1] * (layer.weight.dim() - 1)))
    return layer.eval()


@pytest.mark.parametrize("kind", ["dense", "conv2d"])
@pytest.mark.parametrize("scales", ["per_tensor", "per_channel"])
@pytest.mark.parametrize("width", WIDTHS)
def test_weight_lies_on_a_grid_of_powers_of_two(
    kind: str, scales: Literal["per_tensor", "per_channel"], width: int
) -> None:
    layer = layer_of(kind, Recipe(weight_bit_width=width, weight_scale=scales), width)
    weight = layer.quant_weight()
    scale, highest = array(weight.scale), 2 ** (width - 1) - 1
    assert len({fractional_bits(float(value)) for value in scale.flat}) == (3 if scales == "per_channel" else 1)
    assert scale.shape == ((3, *[1] * (layer.weight.dim() - 1)) if scales == "per_channel" else ())
    np.testing.assert_array_equal(array(weight.value), quantised(array(layer.weight), scale, -highest, highest))


@pytest.mark.parametrize("kind", ["dense", "conv2d"])
@pytest.mark.parametrize("scales", ["per_tensor", "per_channel"])
def test_binary_weight_is_the_sign_whatever_the_scales(kind: str, scales: Literal["per_tensor", "per_channel"]) -> None:
    layer = layer_of(kind, Recipe(weight_bit_width=1, weight_scale=scales), 1)
    with torch.no_grad():
        layer.weight.view(-1)[0] = 0.0
    np.testing.assert_array_equal(array(layer.quant_weight().value), np.where(array(layer.weight) >= 0, 1.0, -1.0))


@pytest.mark.parametrize("scales", ["per_tensor", "per_channel"])
@pytest.mark.parametrize("width", WIDTHS)
def test_bias_lies_on_the_grid_of_the_accumulator(scales: Literal["per_tensor", "per_channel"], width: int) -> None:
    recipe = Recipe(weight_bit_width=width, weight_scale=scales, bias_bit_width=4)
    layer = layer_of("dense", recipe, width, bias=True)
    zeros = input_quantizer(recipe, 0.0, 1.0).eval()(torch.zeros(1, 20))
    with torch.no_grad():
        layer.bias.mul_(5 * 2.0 ** (1 - width))  # some of them beyond four bits
    grid = array(layer.quant_weight().scale).ravel() * 2.0**-8
    np.testing.assert_array_equal(array(layer(zeros))[0], quantised(array(layer.bias), grid, -8, 7))


def test_layer_is_the_sum_of_products_of_its_quantised_parts() -> None:
    recipe = Recipe()
    layer = layer_of("dense", recipe, 6, bias=True)
    inputs = input_quantizer(recipe, 0.0, 1.0).eval()(torch.rand(7, 20))
    bias = array(layer(input_quantizer(recipe, 0.0, 1.0).eval()(torch.zeros(1, 20))))
    expected = array(inputs.value) @ array(layer.quant_weight().value).T + bias
    np.testing.assert_array_equal(array(layer(inputs)), expected)


@pytest.mark.parametrize("width", WIDTHS)
def test_activation_is_unsigned_on_a_grid_of_powers_of_two(width: int) -> None:
    relu = activation(width)
    for _ in range(STATISTICS_BATCHES + 1):
        relu(3 * torch.randn(8, 5))
    relu.eval()
    values = torch.cat([torch.linspace(-4.0, 4.0, 999), torch.tensor([1e6])])
    y = relu(values)
    scale = float(y.scale.detach())
    assert 2.0 ** -fractional_bits(scale) == scale
    assert not y.signed
    np.testing.assert_array_equal(array(y.value), quantised(array(values), scale, 0, 2**width - 1))


@pytest.mark.parametrize(
    ("lowest", "highest", "largest_power"), [(0.0, 1.0, 1.0), (-8.0, 8.0, 8.0), (-1.0, 3.0, 4.0), (0.0, 0.2, 0.25)]
)
@pytest.mark.parametrize("width", [2, 5, 8, 16])
def test_input_scale_is_a_power_of_two_that_spans_the_range(
    width: int, lowest: float, highest: float, largest_power: float
) -> None:
    quantizer = input_quantizer(Recipe(input_bit_width=width), lowest, highest).eval()
    signed = lowest < 0
    scale = largest_power / 2 ** (width - signed)
    values = torch.linspace(-10.0, 10.0, 4001)
    ends = (-(2 ** (width - 1)), 2 ** (width - 1) - 1) if signed else (0, 2**width - 1)
    assert float(quantizer(values).scale) == scale
    np.testing.assert_array_equal(array(quantizer(values).value), quantised(array(values), scale, *ends))


def test_pixels_of_eight_bits_are_exact_at_the_input() -> None:
    pixels = torch.arange(256) / 256
    assert torch.equal(input_quantizer(Recipe(), 0.0, 1.0).eval()(pixels).value, pixels)


@pytest.mark.parametrize("layer", [sign(), activation(1), input_quantizer(Recipe(input_bit_width=1), 0.0, 1.0)])
def test_sign_of_zero_is_plus_one(layer: nn.Module) -> None:
    values = torch.tensor([-2.0, -1e-30, -0.0, 0.0, 1e-30, 2.0])
    assert layer.eval()(values).value.tolist() == [-1.0, -1.0, 1.0, 1.0, 1.0, 1.0]


def test_gradient_of_the_sign_passes_inside_the_unit_interval_only() -> None:
    values = torch.tensor([-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5], requires_grad=True)
    sign()(values).value.backward(torch.full((7,), 3.0))
    assert values.grad is not None
    assert values.grad.tolist() == [0.0, 3.0, 3.0, 3.0, 3.0, 3.0, 0.0]


def test_gradient_of_a_binary_weight_passes_everywhere_for_clipping_bounds_it() -> None:
    layer: Any = dense(Recipe(weight_bit_width=1), 4, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[-1.5, -0.5, 0.5, 1.5]]))
    layer(torch.ones(1, 4)).sum().backward()
    assert layer.weight.grad.tolist() == [[1.0, 1.0, 1.0, 1.0]]


def test_clipping_touches_binary_layers_only() -> None:
    recipe = Recipe(weight_bit_width=1)
    layers: list[Any] = [
        dense(of_width(recipe, 1), 3, 1, bias=False),
        conv2d(of_width(recipe, 1), 1, 3, 1, bias=False),
        dense(of_width(recipe, 2), 3, 1, bias=False),
        dense(of_width(recipe, FLOAT), 3, 1, bias=False),
        nn.BatchNorm1d(3),
    ]
    with torch.no_grad():
        for layer in layers:
            layer.weight.view(-1).copy_(torch.tensor([-3.0, 0.5, 3.0]))
    clip_latent_weights(weighted_layers(nn.Sequential(*layers)))
    clipped, kept = [-1.0, 0.5, 1.0], [-3.0, 0.5, 3.0]
    assert [layer.weight.view(-1).tolist() for layer in layers] == [clipped, clipped, kept, kept, kept]


def test_float_layers_are_torch_own() -> None:
    recipe = Recipe.floating()
    assert type(dense(of_width(recipe, FLOAT), 2, 2, bias=True)) is nn.Linear
    assert type(conv2d(of_width(recipe, FLOAT), 1, 2, 3, bias=True)) is nn.Conv2d
    assert type(activation(FLOAT)) is nn.ReLU
    assert type(input_quantizer(recipe, 0.0, 1.0)) is nn.Identity


@pytest.mark.parametrize("kind", ["dense", "conv2d"])
def test_bias_of_a_binary_layer_is_refused(kind: str) -> None:
    says = (
        r"^recipe: a layer with 1-bit weights must be without bias; let a batch norm follow it \(model\.batch_norm\)$"
    )
    with pytest.raises(ValueError, match=says):
        layer_of(kind, Recipe(weight_bit_width=1), 1, bias=True)
