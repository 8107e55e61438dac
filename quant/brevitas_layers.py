"""Brevitas layers for any width: float, fixed point with power-of-two scales, binary. Imports torch.

Every function returns an ordinary `torch.nn.Module`. Quantised activations travel as Brevitas' ``QuantTensor``, which
is how a bias finds the scale of the accumulator that it joins.
"""

import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn

with warnings.catch_warnings():  # an optional kernel that this project has no use for
    warnings.filterwarnings("ignore", message="fast_hadamard_transform package not found")
    import brevitas.nn
    from brevitas.core.bit_width import BitWidthParameter
    from brevitas.core.function_wrapper import RoundSte, TensorClamp
    from brevitas.core.restrict_val import IntRestrictValue, RestrictValueType
    from brevitas.quant import (
        Int8ActPerTensorFixedPoint,
        Int8WeightPerTensorFixedPoint,
        Int16Bias,
        SignedBinaryActPerTensorConst,
        SignedBinaryWeightPerTensorConst,
        Uint8ActPerTensorFixedPoint,
    )

from bitwright.quant.accumulator_aware import (
    AccumulatorLimit,
    best_scale,
    bias_bit_width,
    keep_within,
    limit_of,
    see_input,
)
from bitwright.quant.recipe import FLOAT, Recipe

qnn: Any = brevitas.nn  # ships no types

STATISTICS_BATCHES = 16
"""Training batches after which an activation's scale, so far a statistic of its values, becomes a learned parameter."""


SMALLEST_SCALE = 2.0**-12
"""Scale of what is zero everywhere. Brevitas' own, 1e-10, is no power of two, and so far from the scales of living
channels that the accumulators that join them would need thirty bits."""


def input_quantizer(recipe: Recipe, lowest: float, highest: float) -> nn.Module:
    """Return the quantiser of a network's input, with a constant power-of-two scale.

    Args:
        recipe: Gives ``input_bit_width``.
        lowest: Smallest value of the input; the quantiser is signed if it is negative.
        highest: Largest value of the input that need not saturate.

    Returns:
        A module from a float tensor of any shape to the same shape.

    >>> quantizer = input_quantizer(Recipe(input_bit_width=8), 0.0, 1.0).eval()
    >>> float(quantizer(torch.tensor([0.5])).scale) == 2.0**-8
    True
    """
    if recipe.input_bit_width == FLOAT:
        return nn.Identity()
    if recipe.input_bit_width == 1:
        return sign()
    signed = lowest < 0
    base = Int8ActPerTensorFixedPoint if signed else Uint8ActPerTensorFixedPoint
    return qnn.QuantIdentity(
        act_quant=base,
        bit_width=recipe.input_bit_width,
        scaling_impl_type="const",
        restrict_scaling_type=RestrictValueType.POWER_OF_TWO,
        # Brevitas divides this by 2 to the magnitude bits: the scale is a power of two because this is one
        scaling_init=2.0 ** math.ceil(math.log2(max(-lowest, highest))),
        return_quant_tensor=True,
    )


def dense(layer: Recipe, in_features: int, out_features: int, *, bias: bool) -> nn.Module:
    """Return a dense layer ``(N, in_features) -> (N, out_features)``.

    A binary layer has no bias: a threshold or a batch norm follows it.

    Args:
        layer: Gives the bits of the weights and of the bias, and the kind of scale (see `Recipe.layer`).
        in_features: Values of one input.
        out_features: Values of one output.
        bias: Whether it has one.

    Raises:
        ValueError: If a binary layer is asked for a bias.
    """
    if layer.is_float:
        return nn.Linear(in_features, out_features, bias=bias)
    return _limited(qnn.QuantLinear(in_features, out_features, bias=bias, **_weights(layer, bias)), layer)


def conv2d(
    layer: Recipe,
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    bias: bool,
) -> nn.Module:
    """Return a convolution ``(N, in_channels, H, W) -> (N, out_channels, H', W')``.

    Args:
        layer: Gives the bits of the weights and of the bias, and the kind of scale (see `Recipe.layer`).
        in_channels: Of the input.
        out_channels: Of the output.
        kernel_size: Rows and columns of the window.
        stride: Rows and columns from one window to the next.
        padding: Rows and columns of zeros at each edge.
        groups: Parts of the channels that do not see each other; as many as there are channels: depthwise.
        bias: Whether it has one.

    Raises:
        ValueError: If a binary layer is asked for a bias.
    """
    window: dict[str, Any] = {"stride": stride, "padding": padding, "groups": groups}
    if layer.is_float:
        return nn.Conv2d(in_channels, out_channels, kernel_size, bias=bias, **window)
    settings = _weights(layer, bias)
    return _limited(qnn.QuantConv2d(in_channels, out_channels, kernel_size, bias=bias, **window, **settings), layer)


def activation_of(layer: Recipe) -> nn.Module:
    """Return the activation behind a layer (see `activation`).

    Args:
        layer: Gives the bits (see `Recipe.layer`).
    """
    return activation(layer.activation_bit_width)


def activation(bit_width: int, *, channels: int | None = None, axes: int = 2) -> nn.Module:
    """Return the activation of a width: ReLU in float, quantised ReLU, or the sign with the straight-through gradient.

    Args:
        bit_width: 1, 2 to 16, or 32.
        channels: If given, each channel has a scale of its own. The layer that follows must have no bias: a bias lies
            on the grid of one accumulator, and Brevitas knows the grid by a single scale.
        axes: Of the tensor: 2 for ``(N, C)``, 4 for ``(N, C, H, W)``.

    >>> activation(1)(torch.tensor([-0.5, 0.0, 2.0])).value.tolist()
    [-1.0, 1.0, 1.0]
    """
    if bit_width == FLOAT:
        return nn.ReLU()
    if bit_width == 1:
        return sign()
    settings: dict[str, Any] = {"return_quant_tensor": True}
    if channels is not None:
        settings = {
            "scaling_per_output_channel": True,
            "per_channel_broadcastable_shape": (1, channels, *[1] * (axes - 2)),
            "scaling_stats_permute_dims": (1, 0, *range(2, axes)),
            "return_quant_tensor": False,
        }
    return qnn.QuantReLU(
        act_quant=Uint8ActPerTensorFixedPoint,
        bit_width=bit_width,
        collect_stats_steps=STATISTICS_BATCHES,
        scaling_min_val=SMALLEST_SCALE,
        **settings,
    )


def sign() -> nn.Module:
    """Return the binary activation: +1 where the input is not negative, else -1.

    The gradient passes where the input lies in [-1, 1] (straight-through estimator with clipping).

    Source: Courbariaux et al., Binarized Neural Networks, arXiv:1602.02830.
    """
    return qnn.QuantIdentity(act_quant=SignedBinaryActPerTensorConst, scaling_init=1.0, return_quant_tensor=True)


def set_scale(quantizer: Any, scale: Tensor) -> None:  # noqa: ANN401 - Brevitas' own
    """Store the scale of a quantiser whose scale is a parameter.

    Brevitas keeps the logarithm of the largest value, and rounds it up to a whole number: half a bit below that
    number, training moves it freely either way.

    Args:
        quantizer: ``weight_quant`` or ``act_quant`` of a layer in eval mode.
        scale: Powers of two, of the shape of the quantiser's scale.

    >>> layer = activation(4).eval()
    >>> set_scale(layer.act_quant, torch.tensor(0.25))
    >>> float(layer(torch.ones(1)).scale.detach())
    0.25
    """
    implementation = getattr(quantizer, "fused_activation_quant_proxy", quantizer).tensor_quant
    levels = implementation.int_scaling_impl(quantizer.bit_width())
    value = torch.log2(scale * levels) - 0.5
    missing, unexpected = implementation.scaling_impl.load_state_dict({"value": value}, strict=False)
    assert not missing
    assert not unexpected


def learn_bit_width(quantizer: Any, narrowest: int, channels: int | None = None) -> nn.Parameter:  # noqa: ANN401
    """Make the bit width of a quantiser a parameter that training learns, and return it.

    The parameter is what the width has above the narrowest; it is rounded on the way to the quantiser, and its gradient
    is that of scale and range. Brevitas' signed weights of one bit have the range from 0 to 0: they are zero.

    Args:
        quantizer: ``weight_quant`` or ``act_quant`` of a layer with at least ``narrowest`` bits, its first width.
        narrowest: Least bits. The caller keeps the parameter from falling below 0: Brevitas takes its magnitude.
        channels: If given, the weights of each output channel have a width of their own. Brevitas' own parameter is a
            scalar; all that it computes with it is elementwise.

    >>> layer = activation(4).train()
    >>> width = learn_bit_width(layer.act_quant, narrowest=2)
    >>> float(width.detach()), float(learned_bit_width(layer.act_quant).detach())
    (2.0, 4.0)
    """
    implementation = getattr(quantizer, "fused_activation_quant_proxy", quantizer).tensor_quant
    start = int(implementation.msb_clamp_bit_width_impl())
    width = BitWidthParameter(start, min_bit_width=narrowest, restrict_bit_width_impl=IntRestrictValue(RoundSte()))
    if channels is not None:
        axes = quantizer.tracked_parameter_list[0].dim()
        width.bit_width_offset = nn.Parameter(torch.full((channels, *[1] * (axes - 1)), float(start - narrowest)))
    implementation.msb_clamp_bit_width_impl = width
    # As where Brevitas builds a quantiser with such a width: the gradient of what saturates is the range's
    implementation.int_quant.tensor_clamp_impl = TensorClamp()
    return width.bit_width_offset


def learned_bit_width(quantizer: Any) -> Tensor:  # noqa: ANN401 - Brevitas' own
    """Return the rounded width of a quantiser, ``()`` or ``(C, 1, ...)``, with the gradient of the one learned."""
    return getattr(quantizer, "fused_activation_quant_proxy", quantizer).tensor_quant.msb_clamp_bit_width_impl()


def clip_latent_weights(network: nn.Module) -> None:
    """Put the float weights behind quantised ones where they belong, in place, after a step of training.

    Those of binary layers are clipped to [-1, 1]: their gradient passes everywhere; unclipped, they would grow without
    any effect on the sign and hardly ever change it again (arXiv:1602.02830, section 1.4). Those of layers with a
    limited accumulator are put where every sum fits (see `limit_accumulators`).
    """
    with torch.no_grad():
        for module in network.modules():
            weight = getattr(module, "weight", None)
            if isinstance(weight, Tensor) and _is_binary(module):
                weight.clamp_(-1.0, 1.0)
    limit_accumulators(network)


def limit_accumulators(network: nn.Module) -> None:
    """Move the weights of every layer with a limited accumulator, in place, to where all its sums fit.

    Layers that have seen no input yet stay as they are.

    Source: projected gradient descent; thresholding as projection is that of A2Q+, arXiv:2401.10432.
    """
    with torch.no_grad():
        for module in network.modules():
            limit = limit_of(module)
            if limit is not None and limit.ends != (0, 0):
                weight: Any = module.weight
                quantizer: Any = module.weight_quant
                keep_within(weight, quantizer.scale(), most_code(quantizer), limit)


def most_code(quantizer: Any) -> int:  # noqa: ANN401 - Brevitas' own
    """Return the largest magnitude of a weight's integer."""
    return (1 << (int(quantizer.bit_width()) - 1)) - 1


def _limited(module: Any, layer: Recipe) -> nn.Module:  # noqa: ANN401 - Brevitas' own
    """Let a layer remember what its accumulator must hold, and see its inputs while it is trained."""
    if layer.accumulator_bit_width is not None:
        bias = 0 if module.bias is None else bias_bit_width(layer.accumulator_bit_width, layer.bias_bit_width)
        module.accumulator_limit = AccumulatorLimit(layer.accumulator_bit_width, bias)
        module.register_forward_pre_hook(_see_training)
    return module


def _see_training(module: Any, inputs: tuple[Any, ...]) -> None:  # noqa: ANN401 - Brevitas' own
    """Take the input's codes; before the first input, choose the scale that training begins with."""
    if not module.training:
        return
    see_input(module.accumulator_limit, inputs[0])
    quantizer = module.weight_quant
    if not quantizer.tensor_quant.scaling_impl.init_done:
        with torch.no_grad():
            scale, most = quantizer.scale(), most_code(quantizer)
            set_scale(quantizer, best_scale(module.weight, scale, most, module.accumulator_limit))


def _has_statistics(layer: Recipe) -> bool:
    """Return whether the scale is that of the largest weight. Of a limited layer it is not: fewer steps may fit."""
    return layer.weight_scale_from == "statistics" and layer.accumulator_bit_width is None


def _is_binary(module: nn.Module) -> bool:
    quantizer = getattr(module, "weight_quant", None)
    return quantizer is not None and bool(quantizer.is_quant_enabled) and float(quantizer.bit_width()) == 1.0


def _weights(layer: Recipe, bias: bool) -> dict[str, object]:
    if layer.weight_bit_width == 1:
        if layer.accumulator_bit_width is not None:
            raise ValueError(
                "recipe: accumulator_bit_width must be left out of a layer with 1-bit weights, not "
                f"{layer.accumulator_bit_width}; only weights of 2 to 16 bits are limited"
            )
        if bias:
            raise ValueError(
                "recipe: a layer with 1-bit weights must be without bias; let a batch norm follow it (model.batch_norm)"
            )
        return {"weight_quant": SignedBinaryWeightPerTensorConst, "weight_scaling_init": 1.0}
    return {
        "weight_quant": Int8WeightPerTensorFixedPoint,
        "weight_bit_width": layer.weight_bit_width,
        "weight_scaling_min_val": SMALLEST_SCALE,
        "weight_scaling_per_output_channel": layer.weight_scale == "per_channel",
        "weight_scaling_impl_type": "stats" if _has_statistics(layer) else "parameter_from_stats",
        "bias_quant": Int16Bias if bias else None,
        **({"bias_bit_width": bias_bit_width(layer.accumulator_bit_width, layer.bias_bit_width)} if bias else {}),
    }
