"""The clamp of Brevitas' activations, in one pass on CPUs, and one for its gradient. Imports torch.

Brevitas' own compares twice, selects twice and selects twice more for each gradient; values and gradients are the same.
"""

import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn

with warnings.catch_warnings():  # an optional kernel that this project has no use for
    warnings.filterwarnings("ignore", message="fast_hadamard_transform package not found")
    from brevitas.function import tensor_clamp


class _Clamp(torch.autograd.Function):
    """The clamp between constants; the gradient passes from bound to bound, both among that."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, least: float, most: float) -> Tensor:  # noqa: ANN401 - torch's own
        ctx.save_for_backward(x)
        ctx.bounds = least, most
        return torch.clamp(x, least, most)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        (x,) = ctx.saved_tensors
        least, most = ctx.bounds
        # One pass; a hard tanh stops the gradient at its bounds already, so they are moved by the least that there is
        below, above = _next(least, -math.inf, x.dtype), _next(most, math.inf, x.dtype)
        return torch.ops.aten.hardtanh_backward(gradient, x, below, above), None, None


def _next(value: float, towards: float, dtype: torch.dtype) -> float:
    """Return the next number of the type that torch compares values of ``dtype`` in."""
    compared = torch.promote_types(dtype, torch.float32)
    return torch.nextafter(torch.tensor(value, dtype=compared), torch.tensor(towards, dtype=compared)).item()


class Clamp(nn.Module):
    """What Brevitas calls a ``tensor_clamp_impl``.

    On other devices than CPUs, for a bound a channel, and for bounds that training learns, it is Brevitas' own. It
    holds no parameters and no buffers: checkpoints are the same with it and without.

    >>> x = torch.tensor([-3.0, -2.0, 0.5, 3.0], requires_grad=True)
    >>> y = Clamp()(x, torch.tensor(-2.0), torch.tensor(1.0))
    >>> y.tolist()
    [-2.0, -2.0, 0.5, 1.0]
    >>> y.sum().backward()
    >>> x.grad.tolist()
    [0.0, 1.0, 1.0, 0.0]
    """

    def __init__(self) -> None:
        # Brevitas' injection refuses nn.Module's own, which takes any arguments
        super().__init__()

    def forward(self, x: Tensor, min_val: Tensor, max_val: Tensor) -> Tensor:
        """Return ``x``, of any shape and on any device, clamped."""
        constant = not (min_val.requires_grad or max_val.requires_grad)
        if not constant or x.device.type != "cpu" or min_val.numel() != 1 or max_val.numel() != 1:
            return tensor_clamp(x, min_val, max_val)  # type: ignore[no-any-return]
        y = _Clamp.apply(x, min_val.item(), max_val.item())  # type: ignore[no-untyped-call]
        assert isinstance(y, Tensor)
        return y
