"""Rule: products of two tensors that the network computes, value by value; a gate is one whose factor is 0 or 1."""

import numpy as np

from bitwright.export.accumulator import UNIT_ROUNDOFF
from bitwright.export.line import Doubles
from bitwright.export.lower_numbers import widened, without_zero_point
from bitwright.export.lower_state import LoweringState, RefusalError, channel_array
from bitwright.export.lowered import Lowered
from bitwright.export.operations import Multiply
from bitwright.export.quantizer import is_power_of_two


def multiply_branches(state: LoweringState, name: str, left: Lowered, right: Lowered) -> Lowered:
    """Return the product of two tensors of one layout, without steps: codes are multiplied, and so are scales.

    Where both scales are powers of two and no product reaches 2**24, float32's products are exact. Otherwise each is
    rounded once, and what its factors were off by is multiplied too.
    """
    factors = []
    for factor in (left, right):
        if factor.near or factor.sum is not None:
            raise RefusalError(
                "factors must each lie on one grid, not be a sum of branches of unequal scales",
                "quantise the sum before the product",
            )
        factors.append(without_zero_point(state, widened(state, factor)))
    operation = state.add(Multiply(name, *(factor.operation for factor in factors)))
    channels = len(state.tensor(operation).interval.lowest)
    scales, reaches, noises = zip(*(_size(state, factor, channels) for factor in factors), strict=True)
    scale: Doubles = scales[0] * scales[1]
    largest = reaches[0] * reaches[1]
    noise: Doubles = noises[0] * (reaches[1] + noises[1]) + noises[1] * reaches[0]
    if not all(map(_are_powers_of_two, scales)) or (largest >= 2**24 * np.abs(scale)).any():
        noise = noise + UNIT_ROUNDOFF * (largest + noise)
    worth = np.asarray(scale[0]) if (scale == scale[0]).all() else scale
    return Lowered(operation, worth, factors[0].layout, noise=noise)


def _size(state: LoweringState, factor: Lowered, channels: int) -> tuple[Doubles, Doubles, Doubles]:
    """Return a factor's scale, its greatest magnitude, and how far float32 may be off; each ``(C,)``."""
    scale = channel_array(factor.scale, channels)
    interval = state.tensor(factor).interval
    reach = np.abs(scale) * np.maximum(np.abs(interval.lowest), np.abs(interval.highest))
    noise = channel_array(factor.noise, channels)
    return scale, reach, noise if _are_powers_of_two(scale) else noise + UNIT_ROUNDOFF * reach


def _are_powers_of_two(scale: Doubles) -> bool:
    return all(is_power_of_two(abs(float(worth))) for worth in np.unique(scale))
