"""Operations that end in a quantiser's format, each exact in its own way, and the exact multiply-add before a join."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bitwright.export.native_threshold import reached
from bitwright.export.operation import Integers, Interval, Shape, UnaryOperation
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint, shift_round, smallest_format


class Quantizing(UnaryOperation):
    """What ends in a quantiser's format, a field of each operation that does."""

    format: Format

    def result_interval(self, interval: Interval, shape: Shape) -> Interval:
        """Return the format's whole range."""
        return Interval.of_format(self.format, len(interval.lowest))

    def result_format(self, format: Format, interval: Interval) -> Format:  # noqa: A002
        """Return the quantiser's format."""
        return self.format


@dataclass(frozen=True, eq=False)
class Requantize(Quantizing):
    """Cast to a quantiser's format: a shift by its scale, half to even, saturated. The cheapest activation."""

    format: FixedPoint

    def run(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Shift, round, saturate."""
        return self.format.cast(codes, format.fractional)


@dataclass(frozen=True, eq=False)
class MultiplyAdd(Quantizing):
    """``clip(round_half_even((code * multiplier + offset) / 2**shift))`` a channel: batch norm into a quantiser.

    Args:
        multiplier: Integers ``(C,)``.
        offset: Integers ``(C,)``.
        shift: Bits right of the binary point of the sum, in steps of the result.
        format: Of the result; it rounds half to even and saturates.
    """

    multiplier: Integers
    offset: Integers
    shift: int
    format: FixedPoint

    def run(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Multiply, add, shift, round, saturate."""
        sums = codes * self.multiplier + self.offset
        return self.format.overflowed(shift_round(sums, self.shift, self.format.rounding))


MOST_COMPARED, MOST_COMPARED_NUMPY = 255, 8
"""Thresholds that are compared one after the other, in C++ and in NumPy; among more, each value is looked up."""


@dataclass(frozen=True, eq=False)
class Threshold(Quantizing):
    """Count the thresholds that a code reaches: any monotone quantiser, one bit or several, either direction a channel.

    A rising channel gives ``lowest + step * count``, a falling one ``highest - step * count``, where lowest and highest
    are the format's ends and the step of `Bipolar` is 2.

    Args:
        thresholds: Integers ``(C, K)``, ascending along K; a code reaches those that it is not below.
        rising: Booleans ``(C,)``.
        format: Of the result.
    """

    thresholds: Integers
    rising: NDArray[np.bool_]
    format: Format

    def run(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Compare and count: in C++ where it can be had and they are not too many."""
        if self.thresholds.shape[1] <= MOST_COMPARED:
            found = reached(codes, self._by_level, self._first, self._step)
            if found is not None:
                return found
        return self.run_numpy(codes)

    def run_numpy(self, codes: Integers) -> Integers:
        """Compare and count without C++."""
        count = np.zeros(codes.shape, np.int64)
        if self.thresholds.shape[1] <= MOST_COMPARED_NUMPY:
            for level in range(self.thresholds.shape[1]):
                count += codes >= self.thresholds[:, level]
        else:
            for channel, thresholds in enumerate(self.thresholds):
                count[..., channel] = np.searchsorted(thresholds, codes[..., channel], side="right")
        return self._first + self._step * count

    @cached_property
    def _by_level(self) -> Integers:
        """Thresholds ``(K, C)``."""
        return np.ascontiguousarray(self.thresholds.T)

    @cached_property
    def _first(self) -> Integers:
        """Results ``(C,)`` of a code that reaches none."""
        return np.where(self.rising, self.format.lowest, self.format.highest)

    @cached_property
    def _step(self) -> Integers:
        """What each threshold adds, ``(C,)``."""
        step = 2 if isinstance(self.format, Bipolar) else 1
        return np.where(self.rising, step, -step)


@dataclass(frozen=True, eq=False)
class Table(Quantizing):
    """Look up: any function of a code, rising and falling as it likes, the same for every channel.

    Args:
        entries: Results ``(V,)`` for the codes from ``lowest`` on; what lies beyond the table cannot occur.
        lowest: Code of the first entry.
        format: Of the result.
    """

    entries: Integers
    lowest: int
    format: Format

    def run(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Look up."""
        return np.asarray(self.entries[codes - self.lowest])


@dataclass(frozen=True, eq=False)
class Affine(UnaryOperation):
    """``code * multiplier + offset`` a channel, exactly: brings branches to one grid, subtracts a zero point.

    Args:
        multiplier: Integers ``(C,)``, none of them 0.
        offset: Integers ``(C,)``.
        fractional: Bits right of the result's binary point.
    """

    multiplier: Integers
    offset: Integers
    fractional: int

    def result_interval(self, interval: Interval, shape: Shape) -> Interval:
        """Return both ends, in order."""
        ends = np.stack([end * self.multiplier + self.offset for end in (interval.lowest, interval.highest)])
        same = bool((np.abs(self.multiplier) == np.abs(self.multiplier[0])).all())
        stride = interval.stride * int(abs(self.multiplier[0])) if same else 1
        return Interval(ends.min(axis=0), ends.max(axis=0), stride)

    def result_format(self, format: Format, interval: Interval) -> Format:  # noqa: A002
        """Return the narrowest format that holds the interval."""
        return smallest_format(*interval.ends, fractional=self.fractional)

    def run(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Multiply and add."""
        return codes * self.multiplier + self.offset
