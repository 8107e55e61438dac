"""Quantised activations of any width, and the quantiser of a network's input. Imports torch.

Quantised activations travel as Brevitas' ``QuantTensor``, which is how a bias finds the scale of the accumulator that
it joins.
"""

import math
import warnings
from typing import Any

from torch import nn

with warnings.catch_warnings():  # an optional kernel that this project has no use for
    warnings.filterwarnings("ignore", message="fast_hadamard_transform package not found")
    import brevitas.nn
    from brevitas.core.restrict_val import RestrictValueType
    from brevitas.quant import (
        Int8ActPerTensorFixedPoint,
        SignedBinaryActPerTensorConst,
        Uint8ActPerTensorFixedPoint,
    )

from bitwright.quant.clamp import Clamp
from bitwright.quant.quantizer_scale import SMALLEST_SCALE
from bitwright.quant.recipe import FLOAT, Recipe, SignGradientName
from bitwright.quant.sign_gradient import sign_gradient as with_gradient
from bitwright.quant.sign_quantizer import SignQuantizer

qnn: Any = brevitas.nn  # ships no types

STATISTICS_BATCHES = 16
"""Training batches after which an activation's scale, so far a statistic of its values, becomes a learned parameter."""


class SignedAct(Int8ActPerTensorFixedPoint):  # type: ignore[misc]
    """Signed codes on a power-of-two scale."""

    tensor_clamp_impl = Clamp


class _UnsignedAct(Uint8ActPerTensorFixedPoint):  # type: ignore[misc]
    """Unsigned codes on a power-of-two scale."""

    tensor_clamp_impl = Clamp


class _BinaryAct(SignedBinaryActPerTensorConst):  # type: ignore[misc]
    """The binary activation, with the gradient of a hard tanh."""

    tensor_clamp_impl = Clamp


class _SignAct(SignedBinaryActPerTensorConst):  # type: ignore[misc]
    """The binary activation with a gradient of its own."""

    tensor_quant = SignQuantizer


def input_quantizer(recipe: Recipe, lowest: float, highest: float) -> nn.Module:
    """Return the quantiser of a network's input, with a constant power-of-two scale.

    Args:
        recipe: Gives ``input_bit_width``.
        lowest: Smallest value of the input; the quantiser is signed if it is negative.
        highest: Largest value of the input that need not saturate.

    Returns:
        A module from a float tensor of any shape to the same shape.

    >>> import torch
    >>> quantizer = input_quantizer(Recipe(input_bit_width=8), 0.0, 1.0).eval()
    >>> float(quantizer(torch.tensor([0.5])).scale) == 2.0**-8
    True
    """
    if recipe.input_bit_width == FLOAT:
        return nn.Identity()
    if recipe.input_bit_width == 1:
        return sign()
    largest = 2.0 ** math.ceil(math.log2(max(-lowest, highest)))
    return constant(recipe.input_bit_width, largest, signed=lowest < 0)


def constant(bit_width: int, largest: float, *, signed: bool) -> nn.Module:
    """Return a quantiser of any shape whose scale training does not change.

    Args:
        bit_width: 2 to 16, sign included.
        largest: Magnitude up to which values do not saturate, but for the last step; a power of two.
        signed: Whether it takes negative values.

    >>> import torch
    >>> constant(4, 2.0, signed=True)(torch.tensor([-9.0, 0.3, 9.0])).value.tolist()
    [-2.0, 0.25, 1.75]
    """
    return qnn.QuantIdentity(
        act_quant=SignedAct if signed else _UnsignedAct,
        bit_width=bit_width,
        scaling_impl_type="const",
        restrict_scaling_type=RestrictValueType.POWER_OF_TWO,
        # Brevitas divides this by 2 to the magnitude bits: the scale is a power of two because this is one
        scaling_init=largest,
        return_quant_tensor=True,
    )


def activation_of(layer: Recipe) -> nn.Module:
    """Return the activation behind a layer (see `activation`).

    Args:
        layer: Gives the bits, and the gradient of the sign (see `Recipe.layer`).
    """
    return activation(layer.activation_bit_width, sign_gradient=layer.sign_gradient)


def activation(
    bit_width: int, *, channels: int | None = None, axes: int = 2, sign_gradient: SignGradientName = "clipped"
) -> nn.Module:
    """Return the activation of a width: ReLU in float, quantised ReLU, or the sign.

    Args:
        bit_width: 1, 2 to 16, or 32.
        channels: If given, each channel has a scale of its own. The layer that follows must have no bias: a bias lies
            on the grid of one accumulator, and Brevitas knows the grid by a single scale.
        axes: Of the tensor: 2 for ``(N, C)``, 4 for ``(N, C, H, W)``.
        sign_gradient: What training takes for the gradient of the sign.

    >>> import torch
    >>> activation(1)(torch.tensor([-0.5, 0.0, 2.0])).value.tolist()
    [-1.0, 1.0, 1.0]
    """
    if bit_width == FLOAT:
        return nn.ReLU()
    if bit_width == 1:
        return sign(sign_gradient)
    settings: dict[str, Any] = {"return_quant_tensor": True}
    if channels is not None:
        settings = {
            "scaling_per_output_channel": True,
            "per_channel_broadcastable_shape": (1, channels, *[1] * (axes - 2)),
            "scaling_stats_permute_dims": (1, 0, *range(2, axes)),
            "return_quant_tensor": False,
        }
    return qnn.QuantReLU(
        act_quant=_UnsignedAct,
        bit_width=bit_width,
        collect_stats_steps=STATISTICS_BATCHES,
        scaling_min_val=SMALLEST_SCALE,
        **settings,
    )


def is_sign(module: nn.Module) -> bool:
    """Return whether a part of a network is an activation that gives signs alone.

    >>> is_sign(sign()), is_sign(activation(2)), is_sign(nn.ReLU())
    (True, False, False)
    """
    quantizer = getattr(module, "act_quant", None)
    return quantizer is not None and bool(quantizer.is_quant_enabled) and float(quantizer.bit_width()) == 1.0


def sign(gradient: SignGradientName = "clipped", *, scale: float = 1.0) -> nn.Module:
    """Return the binary activation: +1 where the input is not negative, else -1.

    Args:
        gradient: What training takes for its gradient (see `bitwright.quant.sign_gradient`). "clipped" is Brevitas'.
        scale: What +1 is worth; a power of two.

    Source: Courbariaux et al., Binarized Neural Networks, arXiv:1602.02830.
    """
    settings: dict[str, Any] = {"act_quant": _BinaryAct}
    if gradient != "clipped":
        settings = {"act_quant": _SignAct, "sign_gradient_impl": with_gradient(gradient)}
    return qnn.QuantIdentity(scaling_init=scale, return_quant_tensor=True, **settings)
