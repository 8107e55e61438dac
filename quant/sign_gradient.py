"""Gradients for the sign, whose own is zero: what training takes in its place. Imports torch.

Forward, all are the same sign: +1 where the input is not negative, else -1. A trained network has the same integers
whatever the gradient that it was trained with.
"""

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from bitwright.quant.recipe import SignGradientName


class _SignWithSlope(torch.autograd.Function):
    """The sign, with a slope in the place of its derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:  # noqa: ANN401 - torch's own
        ctx.save_for_backward(slope)
        return _sign(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        (slope,) = ctx.saved_tensors
        return gradient * slope, None


def _sign(x: Tensor) -> Tensor:
    return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)


class SignGradient(nn.Module):
    """The sign of a tensor of any shape, with the slope of a class of its own for training.

    It holds no parameters and no buffers: checkpoints are the same with each.
    """

    @abstractmethod
    def slope(self, x: Tensor) -> Tensor:
        """Return what takes the place of the sign's derivative at ``x``, of its shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Return +1 where ``x`` is not negative, else -1."""
        if not (torch.is_grad_enabled() and x.requires_grad):
            return _sign(x)
        result = _SignWithSlope.apply(x, self.slope(x.detach()))  # type: ignore[no-untyped-call]
        assert isinstance(result, Tensor)
        return result


class StraightThrough(SignGradient):
    """Slope 1 everywhere.

    Source: Bengio et al., Estimating or propagating gradients through stochastic neurons, arXiv:1308.3432.

    >>> StraightThrough().slope(torch.tensor([-2.0, 0.5])).tolist()
    [1.0, 1.0]
    """

    def slope(self, x: Tensor) -> Tensor:
        """Return ones."""
        return torch.ones_like(x)


class Clipped(SignGradient):
    """Slope 1 from -1 to 1, and 0 beyond: that of the sign as a hard tanh.

    Source: Courbariaux et al., Binarized Neural Networks, arXiv:1602.02830.

    >>> Clipped().slope(torch.tensor([-2.0, -1.0, 0.5])).tolist()
    [0.0, 1.0, 1.0]
    """

    def slope(self, x: Tensor) -> Tensor:
        """Return whether ``|x| <= 1``, as a number."""
        return (x.abs() <= 1).to(x.dtype)


class ApproxSign(SignGradient):
    """Slope ``2 - 2 |x|`` from -1 to 1, and 0 beyond: that of ``2 x + x^2`` below zero and ``2 x - x^2`` above.

    Source: Liu et al., Bi-Real Net, arXiv:1808.00278, section 3.3.

    >>> ApproxSign().slope(torch.tensor([-2.0, -0.5, 0.0])).tolist()
    [0.0, 1.0, 2.0]
    """

    def slope(self, x: Tensor) -> Tensor:
        """Return the triangle."""
        return (2 - 2 * x.abs()).clamp(min=0)


class SwishSign(SignGradient):
    """Slope ``b (2 - b x tanh(b x / 2)) / (1 + cosh(b x))`` with ``b = 5``; it is negative where ``|b x| > 2.4``.

    It is that of ``2 s(b x) (1 + b x (1 - s(b x))) - 1`` with the logistic function ``s``.

    Source: Darabi et al., BNN+: Improved binary network training, arXiv:1812.11800.

    >>> SwishSign().slope(torch.tensor([0.0])).tolist()
    [5.0]
    """

    STEEPNESS = 5.0

    def slope(self, x: Tensor) -> Tensor:
        """Return the slope; ``1 / (1 + cosh(u))`` is written as ``2 s(u) (1 - s(u))``, which does not overflow."""
        u = self.STEEPNESS * x
        logistic = torch.sigmoid(u)
        return 2 * self.STEEPNESS * logistic * (1 - logistic) * (2 - u * torch.tanh(u / 2))


class Annealed(SignGradient):
    """A gradient that follows the training.

    Attributes:
        progress: Share of the training that is done, 0 to 1 (see `set_progress`).
    """

    def __init__(self) -> None:
        super().__init__()
        self.progress = 0.0


class Tanh(Annealed):
    """Slope of ``k tanh(t x)``, wide at first and steep in the end: ``k t (1 - tanh(t x)^2)``.

    ``t`` goes from 0.1 to 10, its logarithm in proportion to the progress, and ``k = max(1 / t, 1)``.

    Source: Qin et al., Forward and backward information retention for accurate binary neural networks (IR-Net),
    arXiv:1909.10788, section 3.3, error decay estimator.

    >>> Tanh().slope(torch.tensor([0.0])).tolist()
    [1.0]
    """

    FIRST, LAST = 0.1, 10.0

    def slope(self, x: Tensor) -> Tensor:
        """Return the slope at the present progress."""
        t = self.FIRST * float((self.LAST / self.FIRST) ** self.progress)
        return max(1 / t, 1.0) * t * (1 - torch.tanh(t * x).square())


class ReSTE(Annealed):
    """Slope of ``sign(x) |x|^(1 / o)`` up to ``|x| = 1.5``, and 0 beyond: ``|x|^(1 / o - 1) / o``.

    Near zero it has no bound: up to ``|x| = 0.1`` the secant's slope is taken, ``0.1^(1 / o) / 0.1``. The power ``o``
    goes from 1, which is straight-through, to 3, in proportion to the progress.

    Source: Wu et al., Estimator meets equilibrium perspective: a rectified straight through estimator for binary neural
    networks training, arXiv:2308.16667, section 4.

    >>> ReSTE().slope(torch.tensor([-2.0, 0.5])).tolist()
    [0.0, 1.0]
    """

    LAST_POWER, WIDTH, SECANT = 3.0, 1.5, 0.1

    def slope(self, x: Tensor) -> Tensor:
        """Return the slope at the present progress."""
        power = 1 + (self.LAST_POWER - 1) * self.progress
        size = x.abs()
        curve = size.clamp(min=self.SECANT) ** (1 / power - 1) / power
        secant = self.SECANT ** (1 / power - 1)
        return torch.where(size <= self.SECANT, secant, curve) * (size <= self.WIDTH)


_BY_NAME: dict[SignGradientName, type[SignGradient]] = {
    "straight_through": StraightThrough,
    "clipped": Clipped,
    "approx_sign": ApproxSign,
    "tanh": Tanh,
    "swish_sign": SwishSign,
    "reste": ReSTE,
}


def sign_gradient(name: SignGradientName) -> SignGradient:
    """Return the sign with the gradient of a name.

    >>> sign_gradient("reste")(torch.tensor([-0.0, -3.0, 1.0])).tolist()
    [1.0, -1.0, 1.0]
    """
    return _BY_NAME[name]()


def set_progress(network: nn.Module, progress: float) -> None:
    """Tell every gradient that follows the training how far it is.

    Args:
        network: Changed in place.
        progress: Share of the training that is done.

    Raises:
        ValueError: If it is not 0 to 1.

    >>> follows = Tanh()
    >>> set_progress(nn.Sequential(follows), 0.5)
    >>> follows.progress
    0.5
    """
    if not 0 <= progress <= 1 or math.isnan(progress):
        raise ValueError(f"progress: share must be 0 to 1, not {progress}; divide the epochs done by all")
    for module in network.modules():
        if isinstance(module, Annealed):
            module.progress = progress
