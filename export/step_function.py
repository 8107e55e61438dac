"""A function from accumulator codes to a quantiser's codes, known exactly: as thresholds, or as a table."""

from collections.abc import Callable
from dataclasses import dataclass
from math import log2

import numpy as np
from numpy.typing import NDArray

from bitwright.export.operation import Integers, Interval

CHUNK_VALUES = 4_000_000
MOST_VALUES = 1 << 28
"""Evaluations that are made where nothing but every value is proof."""


class NotMonotoneError(ValueError):
    """The function rises and falls in one channel."""


@dataclass(frozen=True, eq=False)
class StepFunction:
    """For each channel, the codes at which the result takes its next level.

    Args:
        thresholds: ``(C, K)``, ascending along K. The k-th level above the first is taken from ``thresholds[c, k]`` on.
            A threshold equal to the interval's lowest is always reached; one above its highest, never.
        rising: Whether levels rise with the code, ``(C,)``; where they fall, thresholds count the levels below the top.
        interval: The codes that can occur.
    """

    thresholds: Integers
    rising: NDArray[np.bool_]
    interval: Interval

    @property
    def levels(self) -> int:
        """Codes of the quantiser."""
        return int(self.thresholds.shape[1]) + 1


def tabulate(
    level: Callable[[Integers], Integers], interval: Interval, levels: int, *, monotone: bool = False
) -> StepFunction:
    """Find where a function takes its levels.

    A function that is known to be monotone is searched by bisection, where that is less work; every other is evaluated
    on every code that can occur.

    Args:
        level: From codes ``(V, 1)`` or ``(V, C)`` to levels ``(V, C)``, 0 to ``levels - 1``.
        interval: The codes that can occur, a channel.
        levels: Number of levels.
        monotone: Whether the function is known to rise or fall in every channel.

    Returns:
        The same function as thresholds.

    Raises:
        NotMonotoneError: If it rises and falls in one channel.
        ValueError: If it must be evaluated on more codes than anybody can wait for.

    >>> interval = Interval(np.array([-2]), np.array([3]))
    >>> tabulate(lambda code: (code >= 1).astype(np.int64), interval, 2).thresholds
    array([[1]])
    """
    ends = level(np.stack([interval.lowest, interval.highest]))
    rising = ends[1] >= ends[0]
    lowest, highest = interval.ends
    codes = highest - lowest + 1
    if monotone and codes > (levels - 1) * log2(codes + 1):
        thresholds = _bisected(level, interval, levels, rising)
    else:
        if codes * len(interval.lowest) > MOST_VALUES:
            raise ValueError(
                f"reachable values must be at most {MOST_VALUES} before a function that may rise and fall, not "
                f"{codes * len(interval.lowest)}; use fewer bits, or Relu, LeakyRelu, HardTanh or batch norm only"
            )
        thresholds = _counted(level, interval, levels, rising)
    return StepFunction(thresholds, rising, interval)


def _counted(
    level: Callable[[Integers], Integers], interval: Interval, levels: int, rising: NDArray[np.bool_]
) -> Integers:
    """Evaluate every code, and count how many have each level."""
    lowest, highest = interval.ends
    channels = len(interval.lowest)
    codes_of = np.zeros((channels, levels), np.int64)  # how many codes have each level
    channel = np.arange(channels) * levels
    previous: Integers | None = None
    chunk = max(1, CHUNK_VALUES // channels)
    for start in range(lowest, highest + 1, chunk):
        codes = np.arange(start, min(start + chunk, highest + 1))[:, None]
        # A code that a channel cannot have counts as the nearest one below that it can
        reached = np.clip(codes, interval.lowest, interval.highest)
        reached = reached - (reached - interval.lowest) % interval.stride
        found = level(reached)  # (V, C)
        steps = np.diff(found, axis=0, prepend=found[:1] if previous is None else previous[None])
        if ((steps != 0) & ((steps > 0) != rising)).any():
            raise NotMonotoneError("activation: function must rise or fall, not both; use a monotone activation")
        counts = np.bincount((found + channel).reshape(-1), minlength=channels * levels)
        codes_of += counts.reshape(channels, levels)
        previous = found[-1]
    codes_of = np.where(rising[:, None], codes_of, codes_of[:, ::-1])  # in the order in which the code meets them
    thresholds = lowest + codes_of[:, :-1].cumsum(axis=1)
    return np.asarray(np.clip(thresholds, interval.lowest[:, None], interval.highest[:, None] + 1), np.int64)


def _bisected(
    level: Callable[[Integers], Integers], interval: Interval, levels: int, rising: NDArray[np.bool_]
) -> Integers:
    """Halve, for each channel and level at once, the codes among which the level is first reached."""
    stride = interval.stride
    wanted = np.arange(1, levels)[:, None]  # (K, 1)
    low = np.zeros((levels - 1, len(interval.lowest)), np.int64)  # first code that may reach it, in strides
    high = low + (interval.highest - interval.lowest) // stride + 1  # first code that surely does, or none
    while (low < high).any():
        middle = (low + high) // 2
        inside = np.minimum(interval.lowest + middle * stride, interval.highest)
        found = level(inside)  # (K, C)
        reached = np.where(rising, found, levels - 1 - found) >= wanted
        open_ = low < high
        high = np.where(open_ & reached, middle, high)
        low = np.where(open_ & ~reached, middle + 1, low)
    found_first = np.minimum(interval.lowest + low * stride, interval.highest + 1)  # (K, C)
    return np.ascontiguousarray(found_first.T)
