"""The smallest fixed-point multiplication and addition that is a given step function on every code that can occur."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.export.line import Line
from bitwright.export.operations import Integers
from bitwright.export.step_function import StepFunction

MAX_SHIFT = 32
MAX_PRODUCT = 2.0**51
"""The sum stays below 2**53: exact in float64 too, in which qonnx executes it."""
NO_LIMIT = 1 << 62


@dataclass(frozen=True, eq=False)
class Rounded:
    """``round_half_even((code * multiplier + offset) / 2**shift)``, integers ``(C,)``."""

    multiplier: Integers
    offset: Integers
    shift: int


def find_multiply_add(steps: StepFunction, line: Line, lowest_code: int) -> Rounded | None:
    """Search for the fewest fraction bits with which a rounded line agrees with a step function everywhere.

    For a given multiplier, every step asks that the rounded line be at or above a level at the step's first code, and
    below it at the code before: two linear constraints on the offset. Rounding half to even reaches an even level at
    exactly the half below it, an odd one only above. What saturates needs no constraint.

    Args:
        steps: The function.
        line: What it is without rounding, from code to quantiser code.
        lowest_code: The quantiser's smallest code, the level 0.

    Returns:
        The line, or None if none with up to 32 fraction bits agrees.
    """
    if not (np.isfinite(line.slope).all() and np.isfinite(line.offset).all()):
        return None
    moves = _moves(steps)
    if ((line.slope > 0) != steps.rising)[moves].any():
        return None
    # A channel that stands still needs no multiplier, and its line may lie anywhere beyond the range
    constant = lowest_code + _first_level(steps)
    slope, offset = np.where(moves, line.slope, 0.0), np.where(moves, line.offset, constant)
    channels = np.arange(len(slope))
    for shift in range(MAX_SHIFT + 1):
        exact = slope * 2.0**shift
        if np.abs(exact).max() * np.abs(steps.interval.ends).max() > MAX_PRODUCT:
            return None
        multipliers = np.stack([np.floor(exact), np.ceil(exact)]).astype(np.int64)
        multipliers = np.where(
            np.abs(multipliers[0] - exact) <= np.abs(multipliers[1] - exact), multipliers, multipliers[::-1]
        )
        bounds = [_offset_bounds(steps, multiplier, shift, lowest_code) for multiplier in multipliers]
        feasible = np.stack([lowest <= highest for lowest, highest in bounds])
        if feasible.any(axis=0).all():
            choice = feasible.argmax(axis=0)
            lowest, highest = (np.stack(ends)[choice, channels] for ends in zip(*bounds, strict=True))
            wanted = np.rint(np.clip(offset * 2.0**shift, -(2.0**60), 2.0**60)).astype(np.int64)
            return Rounded(multipliers[choice, channels], np.clip(wanted, lowest, highest), shift)
    return None


def _moves(steps: StepFunction) -> NDArray[np.bool_]:
    inside = (steps.thresholds > steps.interval.lowest[:, None]) & (steps.thresholds <= steps.interval.highest[:, None])
    return np.asarray(inside.any(axis=1))


def _first_level(steps: StepFunction) -> Integers:
    """Return the level ``(C,)`` at the first code of each channel's interval."""
    passed = (steps.thresholds <= steps.interval.lowest[:, None]).sum(axis=1)
    return np.asarray(np.where(steps.rising, passed, steps.levels - 1 - passed), np.int64)


def _offset_bounds(
    steps: StepFunction, multiplier: Integers, shift: int, lowest_code: int
) -> tuple[Integers, Integers]:
    """Return the smallest and the largest offset ``(C,)`` with which every step is where it must be."""
    count = steps.thresholds.shape[1]
    rising = steps.rising[:, None]
    # the code that the k-th step enters: from below for a rising channel, from above for a falling one
    k = np.arange(1, count + 1)
    level = np.where(rising, lowest_code + k, lowest_code + count - k + 1)  # (C, K): values < level | >= level
    first_after = steps.thresholds
    highest = steps.interval.highest[:, None]
    last_before = np.where(first_after > highest, highest, first_after - steps.interval.stride)
    reached = np.where(rising, first_after, last_before)  # here the line must be >= level
    below = np.where(rising, last_before, first_after)  # here it must be < level
    # In halves of a step: round_half_even(y) >= level  iff  2y >= 2*level - 1, or > where the level is odd
    half = (2 * level - 1) << shift  # twice the boundary, scaled
    odd = level % 2
    least = -((-(half + odd)) // 2) - reached * multiplier[:, None]
    most = (half - 1 + odd) // 2 - below * multiplier[:, None]
    inside_low = (reached >= steps.interval.lowest[:, None]) & (reached <= steps.interval.highest[:, None])
    inside_high = (below >= steps.interval.lowest[:, None]) & (below <= steps.interval.highest[:, None])
    return (
        np.where(inside_low, least, -NO_LIMIT).max(axis=1),
        np.where(inside_high, most, NO_LIMIT).min(axis=1),
    )
