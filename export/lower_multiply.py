"""Rule: products of two tensors that the network computes, value by value; a gate is one whose factor is 0 or 1."""

from dataclasses import replace
from math import prod

import numpy as np

from bitwright.export.accumulator import UNIT_ROUNDOFF
from bitwright.export.elementwise import after
from bitwright.export.layer_names import unique_name
from bitwright.export.line import Doubles
from bitwright.export.lower_numbers import widened, without_zero_point
from bitwright.export.lower_state import (
    LoweringState,
    RefusalError,
    channel_array,
    refuse_beyond_float64,
    with_powers_of_two,
)
from bitwright.export.lowered import Lowered
from bitwright.export.operations import Multiply, Threshold
from bitwright.export.quantizer import is_power_of_two
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.fixed_point import format_of


def multiply_branches(state: LoweringState, name: str, left: Lowered, right: Lowered) -> Lowered:
    """Return the product of two tensors of one layout: codes are multiplied, and so are scales.

    1. A factor of one bit with steps that make it 0 and another number, as ``sign(x) / 2 + 1 / 2``, is a gate.
    2. Any other factor has no steps.

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
        factors.append(_gate(state, factor) or without_zero_point(state, widened(state, _settled(factor))))
    reach = prod(_largest(state, factor) for factor in factors)
    refuse_beyond_float64("product", reach, "put a quantiser before one of its factors")
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


def _largest(state: LoweringState, factor: Lowered) -> float:
    """Return the greatest magnitude of a factor's codes."""
    return float(max(map(abs, state.tensor(factor).interval.ends)))


def _settled(factor: Lowered) -> Lowered:
    """Return a factor without steps but powers of two, which its scale takes."""
    factor = with_powers_of_two(factor)
    if factor.steps:
        raise RefusalError(
            f"factors must be accumulators or quantised, not the result of {factor.steps[-1].kind}",
            "put a quantiser between",
        )
    return factor


def _gate(state: LoweringState, factor: Lowered) -> Lowered | None:
    """Return one bit that is 0 or 1, where a factor's bit and its steps are 0 and a number; else None."""
    tensor = state.tensor(factor)
    if not isinstance(tensor.format, Bipolar) or not factor.steps:
        return None
    channels = tensor.shape[-1]
    codes = np.repeat([[-1], [1]], channels, axis=1)
    low, high = after(np.asarray(codes * factor.scale, np.float32), factor.steps)
    worth = (low + high).astype(np.float64)
    if ((low != 0) == (high != 0)).any():
        return None
    bit = format_of(1.0, 1, signed=False)
    name = unique_name(f"{factor.operation}_gate", state.names)
    gate = Threshold(name, factor.operation, np.where(high != 0, 1, 0)[:, None], np.asarray(high != 0), bit)
    return replace(factor, operation=state.add(gate), scale=worth, steps=())


def _size(state: LoweringState, factor: Lowered, channels: int) -> tuple[Doubles, Doubles, Doubles]:
    """Return a factor's scale, its greatest magnitude, and how far float32 may be off; each ``(C,)``."""
    scale = channel_array(factor.scale, channels)
    interval = state.tensor(factor).interval
    reach = np.abs(scale) * np.maximum(np.abs(interval.lowest), np.abs(interval.highest))
    noise = channel_array(factor.noise, channels)
    return scale, reach, noise if _are_powers_of_two(scale) else noise + UNIT_ROUNDOFF * reach


def _are_powers_of_two(scale: Doubles) -> bool:
    return all(is_power_of_two(abs(float(worth))) for worth in np.unique(scale))
