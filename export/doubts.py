"""Sums that float32 does not decide: the order in which the network adds them does."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bitwright.export.accumulator import Accumulator
from bitwright.export.activation_levels import levels_of, tabulated
from bitwright.export.line import Line
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
    return int(_differing(one, level, codes).sum()), int(_differing(_almost_exact(one, codes), level, codes).sum())


def _differing(source: Accumulator, level: Callable[..., Integers], codes: Integers) -> NDArray[np.bool_]:
    """Return at which codes ``(V, C)`` the noise changes the level."""
    middle, below, above = (level(codes, source, off) for off in (0.0, -1.0, 1.0))
    return np.asarray((below != middle) | (above != middle))


def _almost_exact(source: Accumulator, codes: Integers) -> Accumulator:
    """Return an accumulator that is computed in float64, of the noise that float64 has, for each code ``(V, C)``."""
    exact = np.maximum(np.abs(codes - source.zero_point), 1) * np.abs(source.scale)
    return replace(source, noise=np.minimum(TIE * exact, source.noise), fine=True)


def _ties(source: Accumulator, quantizer: ActivationQuantizer, steps: StepFunction) -> int:
    """Count the sums beside a step whose exact value lies on the step's own boundary.

    What is straight on one side is taken as that side. On a line, the exact value itself is looked at; on a curve, and
    on what steps by itself such as ``Ceil``, whether float64's last bits take the sum over the boundary.
    """
    first, last = steps.thresholds.T, source.interval.highest
    sides = (first, np.where(first > last, last, first - source.interval.stride))  # of each step, (K, C)
    inside = [(codes >= source.interval.lowest) & (codes <= last) for codes in sides]
    half_straight = tuple(step for step in source.steps if step.kind not in HALF_STRAIGHT)
    line = replace(source, steps=half_straight).line()
    if line.is_straight:
        near = [_on_boundary(line, source, quantizer, steps, codes) for codes in sides]
    else:
        level, _ = levels_of(source, quantizer)
        reached = [np.clip(codes, source.interval.lowest, last) for codes in sides]
        near = [_differing(_almost_exact(source, codes), level, codes) for codes in reached]
    return int(sum((among & at).sum() for among, at in zip(inside, near, strict=True)))


def _on_boundary(
    line: Line, source: Accumulator, quantizer: ActivationQuantizer, steps: StepFunction, codes: Integers
) -> NDArray[np.bool_]:
    """Return which of the codes ``(K, C)`` beside each step a line takes to the step's boundary."""
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
    reached = slope * codes + offset
    near = [np.abs(reached - at) <= TIE * np.maximum(1.0, np.abs(reached)) for at in boundaries]
    return np.asarray((np.abs(slope) > FINE) & np.any(near, axis=0))
