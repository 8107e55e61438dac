"""Weights whose sums fit an accumulator of a wanted width, whatever the input. Imports torch.

The largest sum of an output is that of its positive weights times the largest input code, less its negative ones times
the smallest; the least sum the other way round. Weights for which both fit are kept as they are; the others are
thresholded: all of one sign come so much nearer to zero that the sums of their integers just fit.

Sources: Colbert et al., A2Q, arXiv:2308.13504 (the bound on the weights' magnitudes); A2Q+, arXiv:2401.10432 (the bound
for positive and negative weights apart, and thresholding as projection). A2Q+ makes the sums of both equal, which
leaves each half of the room; here each may fill its own.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

BISECTIONS = 24
"""Halvings of the interval in which a threshold lies: to the step of float32."""

ROUGH_BISECTIONS = 14
"""The same for weights that are not rounded yet."""

BIAS_SHARE_BITS = 2
"""How many bits a bias has less than the accumulator that it joins: it takes a quarter of the room at most."""

INSIDE = 0.49
"""How far from its integer, in steps, a weight is put that must round to it: the next training step moves it freely."""


@dataclass
class AccumulatorLimit:
    """What a layer's accumulator must hold.

    Args:
        bit_width: Of the accumulator, sign included.
        bias_bit_width: Of the layer's bias on the accumulator's grid; 0 without one.
        ends: Smallest and largest code of the layer's input, (0, 0) until the layer has seen one.
    """

    bit_width: int
    bias_bit_width: int
    ends: tuple[int, int] = (0, 0)

    @property
    def room(self) -> int:
        """The magnitude that is left to the weights' sums beside any bias.

        >>> AccumulatorLimit(12, 0).room, AccumulatorLimit(12, 10).room
        (2047, 1535)
        """
        return (1 << (self.bit_width - 1)) - 1 - ((1 << self.bias_bit_width) >> 1)


def bias_bit_width(accumulator_bit_width: int | None, wanted: int) -> int:
    """Return the bits of a layer's bias, of which a limited accumulator takes no more than a quarter of its values.

    >>> bias_bit_width(None, 16), bias_bit_width(12, 16), bias_bit_width(12, 4)
    (16, 10, 4)
    """
    if accumulator_bit_width is None:
        return wanted
    return min(wanted, accumulator_bit_width - BIAS_SHARE_BITS)


def limit_of(module: nn.Module) -> AccumulatorLimit | None:
    """Return the limit of a layer's accumulator, if it has one."""
    found = getattr(module, "accumulator_limit", None)
    return found if isinstance(found, AccumulatorLimit) else None


def codes_within(
    steps: Tensor, most: int, ends: tuple[int, int], lowest: Tensor | int, highest: Tensor | int
) -> Tensor:
    """Return the integers next to weights for which every sum fits.

    Args:
        steps: The weights in steps of their scale ``(C, K)``, C the outputs.
        most: Largest magnitude of an integer.
        ends: Smallest and largest code of the input; zero lies between.
        lowest: Least sum that fits, not above zero: of all outputs or of each ``(C,)``.
        highest: Greatest sum that fits, not below zero.

    Returns:
        ``(C, K)``, whole numbers. Where the nearest ones fit they are the nearest, halves to even.

    >>> codes_within(torch.tensor([[3.2, 2.6, -7.0]]), 7, (0, 10), -128, 50)
    tensor([[ 3.,  2., -7.]])
    """
    nearest = torch.round(steps).clamp(-most, most)
    over = ~_fits(nearest, ends, lowest, highest)
    if not bool(over.any()):
        return nearest
    steps, nearest = steps.detach(), nearest.clone()
    low, high = (torch.as_tensor(end, device=steps.device).expand(len(steps))[over] for end in (lowest, highest))
    nearest[over] = _thresholded(steps[over].clamp(-most, most), ends, low, high)
    return nearest


def _sums(codes: Tensor, ends: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the least and the greatest sum of each output ``(C,)``, exactly."""
    positive, negative = codes.clamp(min=0).double().sum(1), codes.clamp(max=0).double().sum(1)
    return positive * ends[0] + negative * ends[1], positive * ends[1] + negative * ends[0]


def _fits(codes: Tensor, ends: tuple[int, int], lowest: Tensor | int, highest: Tensor | int) -> Tensor:
    least, greatest = _sums(codes, ends)
    return (least >= lowest) & (greatest <= highest)


def _thresholded(
    steps: Tensor, ends: tuple[int, int], lowest: Tensor | int, highest: Tensor | int, *, whole: bool = True
) -> Tensor:
    """Return weights ``(C, K)`` nearer to zero by the least threshold with which they fit, rounded or not."""
    if ends[0] == 0:  # each sign has a bound of its own
        positive = _by_bisection(steps.clamp(min=0), ends, lowest, highest, whole=whole)
        return positive + _by_bisection(steps.clamp(max=0), ends, lowest, highest, whole=whole)
    return _by_bisection(steps, ends, lowest, highest, whole=whole)


def _by_bisection(
    steps: Tensor, ends: tuple[int, int], lowest: Tensor | int, highest: Tensor | int, *, whole: bool
) -> Tensor:
    def less(threshold: Tensor) -> Tensor:
        values = torch.relu(steps.abs() - threshold[:, None])
        return (torch.round(values) if whole else values) * steps.sign()

    too_low = torch.zeros(len(steps), dtype=steps.dtype, device=steps.device)
    fits = _fits(less(too_low), ends, lowest, highest)
    enough = torch.where(fits, too_low, steps.abs().amax(1))
    for _ in range(BISECTIONS if whole else ROUGH_BISECTIONS):
        middle = (too_low + enough) / 2
        fits = _fits(less(middle), ends, lowest, highest)
        too_low, enough = torch.where(fits, too_low, middle), torch.where(fits, middle, enough)
    return less(enough)


def projected(steps: Tensor, most: int, limit: AccumulatorLimit) -> Tensor:
    """Return weights ``(C, K)`` in steps, not rounded, nearest to given ones among those whose sums fit."""
    return _thresholded(steps.clamp(-most, most), limit.ends, -limit.room - 1, limit.room, whole=False)


def limited(weight: Tensor, scale: Tensor, most: int, limit: AccumulatorLimit) -> Tensor:
    """Return the integers of a layer's weights, with the weights' shape, for which every sum fits."""
    steps = (weight.detach() / scale).flatten(1)
    return codes_within(steps, most, limit.ends, -limit.room - 1, limit.room).reshape(weight.shape)


def best_scale(weight: Tensor, scale: Tensor, most: int, limit: AccumulatorLimit) -> Tensor:
    """Return the power of two, not below a given one, with which the limited integers are nearest to the weights.

    The fewer steps a weight has, the more of them an accumulator can add.

    Args:
        weight: ``(C, ...)``.
        scale: To begin with: a scalar, or one for each output ``(C, 1, ...)``.
        most: Largest magnitude of an integer.
        limit: Of the accumulator.
    """
    weight = weight.detach()
    errors, scales = [], []
    for _ in range(max(1, most.bit_length()) + 1):
        error = (limited(weight, scale, most, limit) * scale - weight).square().flatten(1).sum(1)
        errors.append(error if scale.numel() > 1 else error.sum()[None])
        scales.append(scale)
        scale = scale * 2
    best = torch.stack(errors).argmin(0)
    return torch.stack([each.flatten() for each in scales]).gather(0, best[None])[0].reshape(scales[0].shape)


def see_input(limit: AccumulatorLimit, quantised: Any) -> None:  # noqa: ANN401 - Brevitas' QuantTensor
    """Take the ends of a layer's input from a tensor.

    Raises:
        ValueError: If the input is not quantised, or no weight but zero fits.
    """
    if not hasattr(quantised, "bit_width"):
        raise ValueError("accumulator_bit_width: input of a limited layer must be quantised, not float; leave it out")
    bits = int(quantised.bit_width)
    if bits == 1:
        limit.ends = (-1, 1)
    elif bool(quantised.signed):
        limit.ends = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    else:
        limit.ends = (0, (1 << bits) - 1)
    largest = max(-limit.ends[0], limit.ends[1])
    if largest > limit.room:
        taken = (1 << limit.bias_bit_width) >> 1
        needed = limit.bit_width
        while (1 << (needed - 1)) - 1 - taken < largest:
            needed += 1
        raise ValueError(
            f"accumulator_bit_width: width must be at least {needed} for input codes of {bits} bits, not "
            f"{limit.bit_width}; no weight but zero would fit"
        )


def keep_within(weight: Tensor, scale: Tensor, most: int, limit: AccumulatorLimit) -> None:
    """Move weights, in place, as little as makes their nearest integers fit."""
    wanted = limited(weight, scale, most, limit)
    steps = weight.detach() / scale
    moved = wanted != torch.round(steps).clamp(-most, most)
    nearest = wanted + (steps - wanted).clamp(-INSIDE, INSIDE)
    weight.copy_(torch.where(moved, nearest * scale, weight))
