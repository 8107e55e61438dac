"""Integers of weights taken back toward zero until an accumulator holds every sum. Imports torch."""

import torch
from torch import Tensor

from bitwright.quant.accumulator_aware import AccumulatorLimit


def pulled_back(codes: Tensor, steps: Tensor, limit: AccumulatorLimit) -> Tensor:
    """Return integers that fit: of those rounded away from zero, as many as it takes are rounded toward it.

    The ones that rounding moved farthest come first.

    Args:
        codes: The weights' integers ``(C, K)``, each next to its weight.
        steps: The weights in steps of their scale ``(C, K)``. Rounded toward zero, every sum of them fits.
        limit: Of the accumulator.

    >>> limit = AccumulatorLimit(bit_width=8, bias_bit_width=0, ends=(0, 10))
    >>> pulled_back(torch.tensor([[5.0, 6.0, 3.0, -2.0]]), torch.tensor([[4.6, 5.2, 2.3, -1.4]]), limit)
    tensor([[ 5.,  5.,  2., -2.]])
    """
    lowest, highest = limit.ends
    toward = torch.where(codes.abs() > steps.abs(), steps.trunc(), codes)
    order = (codes - steps).abs().argsort(dim=1, descending=True, stable=True)
    # The greatest sum, then the least one, turned round
    for most, least, room in ((highest, lowest, limit.room), (-lowest, -highest, limit.room + 1)):
        greatest = (codes.clamp(min=0).double() * most + codes.clamp(max=0).double() * least).sum(1, keepdim=True)
        change = codes - toward
        relief = (change.clamp(min=0).double() * most + change.clamp(max=0).double() * least).gather(1, order)
        before = relief.cumsum(1) - relief
        taken = torch.zeros_like(codes, dtype=torch.bool).scatter(1, order, (relief > 0) & (before < greatest - room))
        codes = torch.where(taken, toward, codes)
    return codes
