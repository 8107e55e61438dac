"""Brevitas layers for any width: float, fixed point with power-of-two scales, binary. Imports torch.

Every function returns an ordinary `torch.nn.Module`.
"""

import warnings
from typing import Any

import torch
from torch import nn

with warnings.catch_warnings():  # an optional kernel that this project has no use for
    warnings.filterwarnings("ignore", message="fast_hadamard_transform package not found")
    from brevitas.core.function_wrapper import RoundSte
    from brevitas.core.restrict_val import RestrictValueType
    from brevitas.inject.enum import ScalingImplType, StatsOp
    from brevitas.quant import Int8WeightPerTensorFixedPoint, Int16Bias, SignedBinaryWeightPerTensorConst

from bitwright.quant.accumulator_aware import AccumulatorLimit, best_scale, bias_bit_width, see_input
from bitwright.quant.brevitas_activations import activation_of as activation_of
from bitwright.quant.brevitas_activations import input_quantizer as input_quantizer
from bitwright.quant.brevitas_activations import qnn
from bitwright.quant.quantizer_scale import SMALLEST_SCALE, most_code, set_scale
from bitwright.quant.recipe import Recipe
from bitwright.quant.sign_gradient import StraightThrough, sign_gradient
from bitwright.quant.sign_quantizer import SignQuantizer


class _SignWeight(SignedBinaryWeightPerTensorConst):  # type: ignore[misc]
    """Binary weights with a gradient or a scale of their own."""

    tensor_quant = SignQuantizer


class _ScaledSignWeight(_SignWeight):
    """Binary weights whose scale is the power of two next to the mean of the magnitudes.

    Source: Rastegari et al., XNOR-Net, arXiv:1603.05279, section 3.1, for the mean.
    """

    scaling_impl_type = ScalingImplType.STATS
    scaling_stats_op = StatsOp.AVE
    restrict_scaling_type = RestrictValueType.POWER_OF_TWO
    restrict_value_float_to_int_impl = RoundSte
    scaling_min_val = SMALLEST_SCALE


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
        return _binary_weights(layer)
    return {
        "weight_quant": Int8WeightPerTensorFixedPoint,
        "weight_bit_width": layer.weight_bit_width,
        "weight_scaling_min_val": SMALLEST_SCALE,
        "weight_scaling_per_output_channel": layer.weight_scale == "per_channel",
        "weight_scaling_impl_type": "stats" if _has_statistics(layer) else "parameter_from_stats",
        "bias_quant": Int16Bias if bias else None,
        **({"bias_bit_width": bias_bit_width(layer.accumulator_bit_width, layer.bias_bit_width)} if bias else {}),
    }


def _binary_weights(layer: Recipe) -> dict[str, object]:
    """Return the settings of 1-bit weights.

    The latent weights lie in [-1, 1], where `clip_latent_weights` keeps them: the straight-through gradient and the
    clipped one are the same there. The polynomial of Bi-Real Net is for activations alone; its weights are
    straight-through.
    """
    passes = layer.sign_gradient in ("straight_through", "clipped", "approx_sign")
    if passes and layer.binary_weight_scale == "none":
        return {"weight_quant": SignedBinaryWeightPerTensorConst, "weight_scaling_init": 1.0}
    gradient = StraightThrough() if passes else sign_gradient(layer.sign_gradient)
    settings: dict[str, object] = {"weight_sign_gradient_impl": gradient}
    if layer.binary_weight_scale == "none":
        return {**settings, "weight_quant": _SignWeight, "weight_scaling_init": 1.0}
    per_channel = layer.binary_weight_scale == "per_channel"
    return {**settings, "weight_quant": _ScaledSignWeight, "weight_scaling_per_output_channel": per_channel}
