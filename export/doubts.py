"""Sums that float32 does not decide: the order in which the network adds them does."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from bitwright.export.accumulator import UNIT_ROUNDOFF, Accumulator
from bitwright.export.activation_levels import levels_of, tabulated
from bitwright.export.operation import Integers
from bitwright.export.quantizer import ActivationQuantizer
from bitwright.export.step_function import StepFunction

WHOLE_BOUNDARIES = ("CEIL", "FLOOR", "UP", "DOWN")
"""Rounding modes whose boundaries are whole steps; those of the others are halves."""

TIE = 2.0**-44
"""Distance from a boundary, in steps, that is none: float64 computed it."""

FINE = 2.0**-24
"""Steps of the result that one code is worth on a grid so fine that some code lies next to every boundary."""

HALF_STRAIGHT = ("Clip", "LeakyRelu", "PRelu", "Relu", "ThresholdedRelu")
"""Functions that leave their value as it is on one side."""

FEW_ROUNDINGS = 4 * UNIT_ROUNDOFF
"""Relative error of a few operations of float32."""


@dataclass(frozen=True, eq=False)
class Doubts:
    """What float32 leaves undecided of a step function.

    Args:
        undecided: Sums that may round either way within the noise.
        ties: Those of them whose exact value lies on a boundary itself.
        first: Earliest code at which each step may lie, ``(C, K)``.
        last: Latest code at which each step may lie.
    """

    undecided: int
    ties: int
    first: Integers
    last: Integers

    def allow(self, steps: StepFunction) -> bool:
        """Return whether another function differs on undecided sums only."""
        return bool(((self.first <= steps.thresholds) & (steps.thresholds <= self.last)).all())


def doubts(source: Accumulator, quantizer: ActivationQuantizer, steps: StepFunction) -> Doubts:
    """Count the sums that may round either way within the noise, and those of them that lie on a boundary itself.

    A sum is decided where both ends of its noise get the same code. Of a monotone function, those that are not lie
    between the thresholds that the two ends would have.
    """
    if not source.noise.any():
        return Doubts(0, 0, steps.thresholds, steps.thresholds)
    level, levels = levels_of(source, quantizer)
    ends = np.stack([tabulated(level, source, levels, off).thresholds for off in (-1.0, 1.0)])
    first, last = ends.min(axis=0), ends.max(axis=0)
    undecided = int((-(-(last - first) // source.interval.stride)).sum())
    return Doubts(undecided, _ties(source, quantizer, steps) if undecided else 0, first, last)


def table_doubts(one: Accumulator, level: Callable[..., Integers], codes: Integers) -> tuple[int, int]:
    """Count the same for one channel whose function rises and falls, on codes ``(V, 1)``."""

    def differ(source: Accumulator) -> int:
        middle, below, above = (level(codes, source, off) for off in (0.0, -1.0, 1.0))
        return int(((below != middle) | (above != middle)).sum())

    return differ(one), differ(_slightly_off(one, codes))


def _slightly_off(source: Accumulator, codes: Integers) -> Accumulator:
    """Return an accumulator whose noise is that of a few roundings, for each code."""
    exact = np.maximum(np.abs(codes - source.zero_point), 1) * np.abs(source.scale)
    return replace(source, noise=np.minimum(FEW_ROUNDINGS * exact, source.noise))


def _ties(source: Accumulator, quantizer: ActivationQuantizer, steps: StepFunction) -> int:
    """Count the sums beside a step whose exact value lies on the step's own boundary.

    A curve such as a sigmoid meets no boundary but by chance; what is straight on one side is taken as that side.
    """
    half_straight = tuple(step for step in source.steps if step.kind not in HALF_STRAIGHT)
    line = replace(source, steps=half_straight).line()
    if not line.is_straight:
        return 0
    scale = np.broadcast_to(np.asarray(quantizer.scale, np.float64).reshape(-1), (source.channels,))
    slope, offset = line.slope / scale, line.offset / scale + quantizer.zero_point
    lowest, highest = quantizer.range
    above = np.arange(1, steps.levels)[:, None]  # (K, 1)
    upper = np.where(steps.rising, lowest + above, highest - above + 1)  # the code on the boundary's upper side
    if quantizer.bipolar:
        boundaries = [np.zeros_like(upper, np.float64)]
    elif quantizer.rounding in WHOLE_BOUNDARIES:
        boundaries = [upper.astype(np.float64), upper - 1.0]
    else:
        boundaries = [upper - 0.5]
    first, last = steps.thresholds.T, source.interval.highest
    count = 0
    for codes in (first, np.where(first > last, last, first - source.interval.stride)):  # (K, C)
        inside = (codes >= source.interval.lowest) & (codes <= last) & (np.abs(slope) > FINE)
        reached = slope * codes + offset
        near = [np.abs(reached - at) <= TIE * np.maximum(1.0, np.abs(reached)) for at in boundaries]
        count += int((inside & np.any(near, axis=0)).sum())
    return count
