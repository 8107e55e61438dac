"""The thermometer code: a number between 0 and 1 as many bits, as many of them +1 as it is large. Imports torch."""

from typing import Any

import torch
from torch import Tensor, nn

from bitwright.quant.brevitas_activations import sign
from bitwright.quant.values import values


class Thermometer(nn.Module):
    """Each channel as ``levels`` channels of +1 and -1: bit k is +1 where the value is at least ``(k + 1/2) / levels``.

    The bits of all channels for one level stand side by side, the lowest level first.

    Source: Zhang et al., FracBNN, arXiv:2012.12206, section 3.2.

    Args:
        channels: Of the input.
        levels: Bits a value; a power of two.

    Raises:
        ValueError: If ``levels`` is no power of two.

    >>> Thermometer(1, 4)(torch.tensor([0.0, 0.3, 0.9]).reshape(3, 1, 1, 1)).value.reshape(3, 4).tolist()
    [[-1.0, -1.0, -1.0, -1.0], [1.0, -1.0, -1.0, -1.0], [1.0, 1.0, 1.0, 1.0]]
    """

    thresholds: Tensor

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        if levels < 2 or levels & (levels - 1):
            raise ValueError(f"thermometer: levels must be a power of two above 1, not {levels}; use 32")
        self.doublings = levels.bit_length() - 1
        thresholds = ((torch.arange(levels) + 0.5) / levels).repeat_interleave(channels)
        self.register_buffer("thresholds", thresholds.reshape(1, -1, 1, 1), persistent=False)
        self.sign = sign()

    def forward(self, x: Any) -> Any:  # noqa: ANN401 - a tensor, or Brevitas' own
        """Map ``(N, C, H, W)`` to ``(N, levels * C, H, W)``."""
        x = values(x)
        for _ in range(self.doublings):
            x = torch.cat([x, x], dim=1)
        return self.sign(x - self.thresholds)
