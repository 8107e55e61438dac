"""The distribution of all values seen, in bounded memory, whatever the order and the batches they came in.

`Histogram` counts, for a tensor or for each channel of it; `Distribution` is what it counted of one of them.

The bins are as wide as a power of two, which is a function of the largest magnitude alone, and are aligned to zero. So
a bin is an exact union of finer ones: what was counted in finer bins is added up when a greater magnitude comes, and
the outcome is that of counting in the final bins from the start. Counts are whole numbers. Hence two histograms of the
same values are equal, not only close.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 4096
"""Bins of a histogram: one half for the negative values, one for the positive. The largest magnitude lies in the outer
half of the bins of its sign."""

_SIDE = BINS // 2
_FINEST = -1000  # exponent of the least bin width: its inverse is still a float


@dataclass(frozen=True, eq=False)
class Distribution:
    """How often each magnitude was seen, in one tensor or in one channel.

    Args:
        minimum: Smallest value, exact.
        maximum: Largest value, exact.
        zeros: How many values were exactly zero; they are in no bin.
        counts: How many values lay in each bin, from the most negative to the most positive, shape ``(BINS,)``. Bin
            ``BINS / 2 + k`` holds the values from ``k * width``, inclusive, to ``(k + 1) * width``; bin
            ``BINS / 2 - 1 - k`` their mirror image.
        width: Of one bin; a power of two.
    """

    minimum: float
    maximum: float
    zeros: int
    counts: NDArray[np.int64]
    width: float

    @property
    def count(self) -> int:
        """How many values were seen."""
        return self.zeros + int(self.counts.sum())

    @property
    def edges(self) -> NDArray[np.float64]:
        """Where the bins begin and end, shape ``(BINS + 1,)``."""
        with np.errstate(over="ignore"):  # beyond the greatest float there is no value either
            return self.width * np.arange(-_SIDE, _SIDE + 1, dtype=np.float64)

    def percentile(self, percent: float) -> float:
        """Return an upper bound of the least value that at least ``percent`` of 100 values do not exceed.

        It is at most one bin width too large, and never larger than the maximum.

        Args:
            percent: Above 0, at most 100. Read as the decimal number that it is written as.

        >>> seen = Histogram()
        >>> seen.update([-1.0, 0.0, 0.0, 1.0])
        >>> [seen.distributions()[0].percentile(percent) for percent in (25, 75, 100)]
        [-1.0, 0.0, 1.0]
        """
        counts = np.concatenate((self.counts[:_SIDE], [self.zeros], self.counts[_SIDE:]))
        ends = np.concatenate((self.edges[1 : _SIDE + 1], [0.0], self.edges[_SIDE + 1 :]))
        return min(self.maximum, _of_rank(counts, ends, percent))

    def percentile_of_magnitudes(self, percent: float) -> float:
        """Return the same of the magnitudes of the values."""
        counts = np.concatenate(([self.zeros], self.counts[_SIDE:] + self.counts[_SIDE - 1 :: -1]))
        ends = np.concatenate(([0.0], self.edges[_SIDE + 1 :]))
        return min(max(-self.minimum, self.maximum), _of_rank(counts, ends, percent))

    def mirrored(self) -> "Distribution":
        """Return the distribution of the values with their signs changed."""
        return Distribution(-self.maximum, -self.minimum, self.zeros, self.counts[::-1], self.width)

    def rectified(self) -> "Distribution":
        """Return the distribution of the values with zero instead of each that is negative."""
        counts = self.counts.copy()
        counts[:_SIDE] = 0
        zeros = self.count - int(counts.sum())
        return Distribution(max(0.0, self.minimum), max(0.0, self.maximum), zeros, counts, self.width)


class Histogram:
    """Counts of the values of a tensor, or of each channel of one, over any number of batches.

    Equal if all that they keep is equal: the axis, the counts, the numbers of exact zeros, the extremes.

    Args:
        axis: Of the values, the axis of the channels; none to count them all together.

    >>> seen = Histogram()
    >>> seen.update([0.0, 1.0])
    >>> seen.update([-3.0])
    >>> at_once = Histogram()
    >>> at_once.update([1.0, -3.0, 0.0])
    >>> seen == at_once, seen.count, seen.distributions()[0].minimum
    (True, 3, -3.0)
    """

    def __init__(self, axis: int | None = None) -> None:
        self.axis = axis
        self.count = 0
        """How many values were seen, of each channel."""
        self._start(channels=0)

    def _start(self, channels: int) -> None:
        self._minimum = np.full(channels, np.inf)
        self._maximum = np.full(channels, -np.inf)
        self._zeros = np.zeros(channels, np.int64)
        self._counts = np.zeros((channels, BINS), np.int64)
        self._exponents = np.full(channels, _FINEST, np.int64)

    @property
    def channels(self) -> int:
        """How many channels there are: one without an axis, none before the first value."""
        return len(self._minimum)

    def update(self, values: ArrayLike) -> None:
        """Count further values.

        Args:
            values: Numbers of any shape with the channels along ``axis``.

        Raises:
            ValueError: If a value is not finite, or the channels are not as many as before; nothing is counted then.
        """
        rows = by_channel(values, self.axis, self.channels or None)
        if not rows.size:
            return
        self._join(len(rows), rows.min(axis=1), rows.max(axis=1))
        self.count += rows.shape[1]
        zeros = (rows == 0).sum(axis=1)
        self._zeros += zeros
        self._counts += _counts(rows, self._exponents)
        self._counts[:, _SIDE] -= zeros

    def merge(self, other: "Histogram") -> None:
        """Count all that another histogram counted, which stays as it is.

        Raises:
            ValueError: If the other has another axis or another number of channels.
        """
        if self.axis != other.axis:
            raise ValueError(f"Histogram: axis of the other must be {self.axis!r}, as of this one, not {other.axis!r}")
        if not other.count:
            return
        self._join(other.channels, other._minimum, other._maximum)
        self.count += other.count
        self._zeros += other._zeros
        self._counts += _widened(other._counts, self._exponents - other._exponents)

    def distributions(self) -> list[Distribution]:
        """Return what was seen of each channel, or the one distribution of all; none before the first value."""
        return [
            Distribution(
                minimum=float(self._minimum[channel]),
                maximum=float(self._maximum[channel]),
                zeros=int(self._zeros[channel]),
                counts=self._counts[channel].copy(),
                width=math.ldexp(1.0, int(self._exponents[channel])),
            )
            for channel in range(self.channels)
        ]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return (
            (self.axis, self.count) == (other.axis, other.count)
            and np.array_equal(self._minimum, other._minimum)
            and np.array_equal(self._maximum, other._maximum)
            and np.array_equal(self._zeros, other._zeros)
            and np.array_equal(self._counts, other._counts)
        )

    __hash__ = None  # type: ignore[assignment]  # it changes

    def _join(self, channels: int, minimum: NDArray[np.float64], maximum: NDArray[np.float64]) -> None:
        """Make room for values of further extremes."""
        if not self.channels:
            self._start(channels)
        _same_channels(self.channels, channels)
        self._minimum = np.minimum(self._minimum, minimum)
        self._maximum = np.maximum(self._maximum, maximum)
        exponents = _exponents(np.maximum(-self._minimum, self._maximum))
        self._counts = _widened(self._counts, exponents - self._exponents)
        self._exponents = exponents


def by_channel(values: ArrayLike, axis: int | None, channels: int | None = None) -> NDArray[np.float64]:
    """Return values with one row per channel.

    Args:
        values: Numbers of any shape with the channels along ``axis``.
        axis: If none, all values are of one row.
        channels: How many there must be; if none, any number.

    Returns:
        Shape ``(channels, values of a channel)``.

    Raises:
        ValueError: If there is no such axis, if there are more or fewer channels, or if a value is not finite.

    >>> by_channel([[1, 2, 3], [4, 5, 6]], axis=1)
    array([[1., 4.],
           [2., 5.],
           [3., 6.]])
    """
    array = np.asarray(values, np.float64)
    if axis is None:
        rows = array.reshape(1, -1)
    elif -array.ndim <= axis < array.ndim:
        rows = np.moveaxis(array, axis, 0)
        rows = rows.reshape(len(rows), math.prod(rows.shape[1:]))
    else:
        raise ValueError(f"calibration: axis must be one of the {array.ndim} of the values, not {axis!r}")
    if channels is not None:
        _same_channels(channels, len(rows))
    finite = np.isfinite(rows)
    if not finite.all():
        raise ValueError(
            f"calibration: values must be finite, not {float(rows[~finite][0])!r}; "
            "look for a division by zero or an overflow in the network or its inputs"
        )
    return rows


def _same_channels(before: int, now: int) -> None:
    if before != now:
        raise ValueError(f"calibration: channels must be {before}, as of the values before, not {now}; check the axis")


def _of_rank(counts: NDArray[np.int64], ends: NDArray[np.float64], percent: float) -> float:
    """Return the end of the part in which the value of a percentile lies, of parts in ascending order."""
    upto = counts.cumsum()
    rank = math.ceil(Fraction(str(percent)) * int(upto[-1]) / 100)
    return float(ends[upto.searchsorted(rank)])


def _exponents(magnitudes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the binary logarithms of the least bin widths whose bins hold the magnitudes, shape ``(channels,)``."""
    mantissas, exponents = np.frexp(magnitudes)
    return np.where(mantissas == 0, _FINEST, np.maximum(exponents - (_SIDE.bit_length() - 1), _FINEST))


def _counts(rows: NDArray[np.float64], exponents: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count values, shape ``(channels, n)``, in bins, shape ``(channels, BINS)``; zeros count as positive."""
    channels = len(rows)
    # A product with a power of two is exact, but for what is lost of values in the innermost bins
    bins = (rows * np.ldexp(1.0, -exponents)[:, None]).astype(np.int64)  # (channels, n), toward zero
    bins += _SIDE
    bins -= rows < 0
    bins += BINS * np.arange(channels)[:, None]
    return np.bincount(bins.ravel(), minlength=channels * BINS).reshape(channels, BINS)


def _widened(counts: NDArray[np.int64], doublings: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the counts, shape ``(channels, BINS)``, of bins that are wider by a power of two for each channel."""
    counts = counts.copy()
    for doubling in set(doublings.tolist()) - {0}:
        rows = np.flatnonzero(doublings == doubling)
        merged = 1 << min(doubling, _SIDE.bit_length() - 1)  # then all of a sign are in one bin, as for any more
        sums = counts[rows].reshape(len(rows), BINS // merged, merged).sum(axis=2)
        counts[rows] = 0
        counts[rows, _SIDE - _SIDE // merged : _SIDE + _SIDE // merged] = sums
    return counts
