"""Brevitas' quantiser of one bit, with any gradient of the sign. Imports torch."""

import warnings

from torch import Tensor, nn

with warnings.catch_warnings():  # an optional kernel that this project has no use for
    warnings.filterwarnings("ignore", message="fast_hadamard_transform package not found")
    from brevitas.core.quant.binary import BinaryQuant

from bitwright.quant.sign_gradient import SignGradient


class SignQuantizer(BinaryQuant):  # type: ignore[misc]
    """The sign times a scale; to Brevitas and to its export a binary quantiser like its own.

    Args:
        scaling_impl: Gives the scale; of weights, it may depend on them.
        sign_gradient_impl: The sign, with its gradient.

    >>> import torch
    >>> from brevitas.core.scaling import ConstScaling
    >>> from bitwright.quant.sign_gradient import Clipped
    >>> SignQuantizer(ConstScaling(0.5), Clipped())(torch.tensor([-3.0, 0.0]))[0].tolist()
    [-0.5, 0.5]
    """

    def __init__(self, scaling_impl: nn.Module, sign_gradient_impl: SignGradient) -> None:
        super().__init__(scaling_impl)
        self.sign_gradient_impl = sign_gradient_impl

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the quantised values of ``x``, of its shape; their scale, zero point and bit width."""
        scale = self.scaling_impl(x)
        return self.sign_gradient_impl(x) * scale, scale, self.zero_point(), self.bit_width()
