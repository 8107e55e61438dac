"""Bit widths of Brevitas' quantisers as parameters that training learns. Imports torch."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn

with warnings.catch_warnings():  # an optional kernel that this project has no use for
    warnings.filterwarnings("ignore", message="fast_hadamard_transform package not found")
    from brevitas.core.bit_width import BitWidthParameter
    from brevitas.core.function_wrapper import RoundSte, TensorClamp
    from brevitas.core.restrict_val import IntRestrictValue


def learn_bit_width(quantizer: Any, narrowest: int, channels: int | None = None) -> nn.Parameter:  # noqa: ANN401
    """Make the bit width of a quantiser a parameter that training learns, and return it.

    The parameter is what the width has above the narrowest; it is rounded on the way to the quantiser, and its gradient
    is that of scale and range. Brevitas' signed weights of one bit have the range from 0 to 0: they are zero.

    Args:
        quantizer: ``weight_quant`` or ``act_quant`` of a layer with at least ``narrowest`` bits, its first width.
        narrowest: Least bits. The caller keeps the parameter from falling below 0: Brevitas takes its magnitude.
        channels: If given, the weights of each output channel have a width of their own. Brevitas' own parameter is a
            scalar; all that it computes with it is elementwise.

    >>> from bitwright.quant.brevitas_activations import activation
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
