"""Activations of one and a fraction bits: a second bit only where the sums of the first are large. Imports torch."""

from typing import Any

import torch
from torch import Tensor, nn

from bitwright.quant.brevitas_activations import sign
from bitwright.quant.recipe import SignGradientName
from bitwright.quant.values import values

FIRST_THRESHOLD = -1.5
"""With which training begins, of sums of +1 and -1: the authors' -1, where the first bit is worth 2/3."""

SLOPE = 0.25
"""Of what a gate's sign is taken of: in training, thresholds learn from sums that are no farther than 4 from them."""


class PrecisionGate(nn.Module):
    """A layer's sums over activations of two bits, of which the second is taken only where it pays.

    The bits of an activation ``x`` are ``high = sign(x)``, worth 1, and ``low = sign(x - high)``, worth a half:
    together the four values of a quantiser from -1.5 to 1.5. The layer's sums over ``high`` decide, value by value:
    from an output's threshold on, those over ``low`` are added. Both are sums of bits; with 1-bit weights XNOR and a
    count. One and the share of the sums that take the second bit is what an activation has of bits on average.

    A gate is the sign of what a sum is above its threshold, as 0 or 1; training takes the sign's usual gradient.

    Sources: Zhang et al., FracBNN, arXiv:2012.12206, section 3.1; Zhang et al., Precision Gating, arXiv:2002.07136.

    Args:
        outputs: Output channels of the layer; each has a threshold, which training learns.
        axes: Of a sum behind the channels: 2 for images, 0 for vectors.
        sign_gradient: What training takes for the gradient of both signs.

    >>> gate = PrecisionGate(1, axes=0).eval()
    >>> x = torch.tensor([[-2.0], [-0.5], [0.5], [2.0]])
    >>> gate(nn.Identity(), x).ravel().tolist()  # the threshold is -1.5: all have their second bit
    [-1.5, -0.5, 0.5, 1.5]
    >>> _ = gate.threshold.data.fill_(0.0)
    >>> gate(nn.Identity(), x).ravel().tolist()
    [-1.0, -1.0, 0.5, 1.5]
    """

    def __init__(self, outputs: int, *, axes: int = 2, sign_gradient: SignGradientName = "clipped") -> None:
        super().__init__()
        self.high, self.low = sign(sign_gradient), sign(sign_gradient, scale=0.5)
        self.threshold = nn.Parameter(torch.full((outputs, *[1] * axes), FIRST_THRESHOLD))
        # A sign, made 0 or 1 behind it: Brevitas exports quantisers of one unsigned bit as if their bits were -1 and 1
        self.open = sign()

    def forward(self, layer: nn.Module, x: Any) -> Tensor:  # noqa: ANN401 - a tensor, or Brevitas' own
        """Return the layer's sums ``(N, outputs, ...)`` for inputs ``(N, ...)``."""
        x = values(x)
        high = self.high(x)
        low = self.low(x - values(high))
        sums, more = values(layer(high)), values(layer(low))
        opened = values(self.open((sums - self.threshold) * SLOPE)) * 0.5 + 0.5
        return sums + opened * more
