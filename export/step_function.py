"""A monotone function from accumulator codes to a quantiser's codes, known exactly: every value was evaluated."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.export.operations import Integers, Interval

CHUNK_VALUES = 4_000_000


@dataclass(frozen=True, eq=False)
class StepFunction:
    """For each channel, the codes at which the result takes its next level.

    Args:
        thresholds: ``(C, K)``, ascending along K. The k-th level above the first is taken from ``thresholds[c, k]`` on.
            A threshold equal to the interval's lowest is always reached; one above its highest, never.
        rising: Whether levels rise with the code, ``(C,)``; where they fall, thresholds count the levels below the top.
        interval: The codes that can occur.
        levels: K + 1, the number of codes of the quantiser.
    """

    thresholds: Integers
    rising: NDArray[np.bool_]
    interval: Interval

    @property
    def levels(self) -> int:
        """Codes of the quantiser."""
        return int(self.thresholds.shape[1]) + 1


def tabulate(level: Callable[[Integers], Integers], interval: Interval, levels: int) -> StepFunction:
    """Evaluate a function on every code of an interval.

    Args:
        level: From codes ``(V, 1)`` to levels ``(V, C)``, 0 to ``levels - 1``.
        interval: The codes that can occur, a channel.
        levels: Number of levels.

    Returns:
        The same function as thresholds.

    Raises:
        ValueError: If it rises and falls in one channel.

    >>> interval = Interval(np.array([-2]), np.array([3]))
    >>> tabulate(lambda code: (code >= 1).astype(np.int64), interval, 2).thresholds
    array([[1]])
    """
    lowest, highest = interval.ends
    channels = len(interval.lowest)
    ends = level(np.array([[lowest], [highest]]))
    rising = ends[1] >= ends[0]
    codes_of = np.zeros((channels, levels), np.int64)  # how many codes have each level
    channel = np.arange(channels) * levels
    previous = ends[0]
    chunk = max(1, CHUNK_VALUES // channels)
    for start in range(lowest, highest + 1, chunk):
        codes = np.arange(start, min(start + chunk, highest + 1))[:, None]
        found = level(codes)  # (V, C)
        steps = np.diff(found, axis=0, prepend=previous[None])
        if ((steps != 0) & ((steps > 0) != rising)).any():
            raise ValueError("activation: function must rise or fall, not both; use a monotone activation")
        counts = np.bincount((found + channel).reshape(-1), minlength=channels * levels)
        codes_of += counts.reshape(channels, levels)
        previous = found[-1]
    codes_of = np.where(rising[:, None], codes_of, codes_of[:, ::-1])  # in the order in which the code meets them
    thresholds = lowest + codes_of[:, :-1].cumsum(axis=1)
    clipped = np.clip(thresholds, interval.lowest[:, None], interval.highest[:, None] + 1)
    return StepFunction(clipped, rising, interval)
