"""Scales of Brevitas' quantisers: what they are kept as, and the least one. Imports torch."""

from typing import Any

import torch
from torch import Tensor

SMALLEST_SCALE = 2.0**-12
"""Scale of what is zero everywhere. Brevitas' own, 1e-10, is no power of two, and so far from the scales of living
channels that the accumulators that join them would need thirty bits."""


def set_scale(quantizer: Any, scale: Tensor) -> None:  # noqa: ANN401 - Brevitas' own
    """Store the scale of a quantiser whose scale is a parameter.

    Brevitas keeps the logarithm of the largest value, and rounds it up to a whole number: half a bit below that
    number, training moves it freely either way.

    Args:
        quantizer: ``weight_quant`` or ``act_quant`` of a layer in eval mode.
        scale: Powers of two, of the shape of the quantiser's scale.

    >>> from bitwright.quant.brevitas_activations import activation
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


def most_code(quantizer: Any) -> int:  # noqa: ANN401 - Brevitas' own
    """Return the largest magnitude of a weight's integer."""
    return (1 << (int(quantizer.bit_width()) - 1)) - 1
