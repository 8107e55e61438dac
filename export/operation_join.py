"""Operations on two tensors: sums and products of branches, and channels put side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np

from bitwright.export.operation import Integers, Interval, Operation, Tensor
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import smallest_format


@dataclass(frozen=True, eq=False)
class Join(Operation):
    """What they share: two sources.

    Args:
        left: Name of the operation whose result is taken first.
        right: And second.
    """

    left: str
    right: str

    @property
    def sources(self) -> tuple[str, ...]:
        """Left and right."""
        return self.left, self.right


def _shifts(formats: Sequence[Format]) -> tuple[int, list[int]]:
    """Return the finer binary point, and how far each source's codes are shifted to it."""
    finest = max(form.fractional for form in formats)
    return finest, [finest - form.fractional for form in formats]


@dataclass(frozen=True, eq=False)
class Add(Join):
    """The sum of two tensors of one shape, brought to the finer of their binary points."""

    def result(self, sources: Sequence[Tensor]) -> Tensor:
        """Return the sum's interval, and the narrowest format that holds it."""
        left, right = sources
        finest, (up_left, up_right) = _shifts([left.format, right.format])
        interval = Interval(
            (left.interval.lowest << up_left) + (right.interval.lowest << up_right),
            (left.interval.highest << up_left) + (right.interval.highest << up_right),
            gcd(left.interval.stride << up_left, right.interval.stride << up_right),
        )
        return Tensor(left.shape, smallest_format(*interval.ends, fractional=finest), interval)

    def compute(self, codes: Sequence[Integers], formats: Sequence[Format]) -> Integers:
        """Shift and add."""
        _, (up_left, up_right) = _shifts(formats)
        return (codes[0] << up_left) + (codes[1] << up_right)


@dataclass(frozen=True, eq=False)
class Multiply(Join):
    """The product of two tensors of one shape, value by value: a gate, where one of them is 0 or 1.

    >>> from bitwright.quant.fixed_point import FixedPoint
    >>> gate, sums = FixedPoint(1, 1, signed=False), FixedPoint(4, 3)
    >>> Multiply("gated", "gate", "sums").compute([np.array([[0, 1]]), np.array([[5, -8]])], [gate, sums])
    array([[ 0, -8]])
    """

    def result(self, sources: Sequence[Tensor]) -> Tensor:
        """Return the interval of the corners' products, and the narrowest format that holds it."""
        left, right = (source.interval for source in sources)
        corners = [a * b for a in (left.lowest, left.highest) for b in (right.lowest, right.highest)]
        interval = Interval(np.minimum.reduce(corners), np.maximum.reduce(corners))
        fractional = sum(source.format.fractional for source in sources)
        return Tensor(sources[0].shape, smallest_format(*interval.ends, fractional=fractional), interval)

    def compute(self, codes: Sequence[Integers], formats: Sequence[Format]) -> Integers:
        """Multiply."""
        return codes[0] * codes[1]


@dataclass(frozen=True, eq=False)
class Concat(Join):
    """The channels of two tensors side by side: ``(N, ..., A)`` and ``(N, ..., B)`` to ``(N, ..., A + B)``.

    Both are brought to the finer of their binary points.
    """

    def result(self, sources: Sequence[Tensor]) -> Tensor:
        """Return both intervals side by side."""
        left, right = sources
        finest, ups = _shifts([left.format, right.format])
        lowest = np.concatenate([t.interval.lowest << up for t, up in zip(sources, ups, strict=True)])
        highest = np.concatenate([t.interval.highest << up for t, up in zip(sources, ups, strict=True)])
        both_bits = isinstance(left.format, Bipolar) and isinstance(right.format, Bipolar)
        interval = Interval(lowest, highest, 2 if both_bits else 1)
        form = Bipolar() if both_bits else smallest_format(*interval.ends, fractional=finest)
        return Tensor((*left.shape[:-1], left.shape[-1] + right.shape[-1]), form, interval)

    def compute(self, codes: Sequence[Integers], formats: Sequence[Format]) -> Integers:
        """Shift and put side by side."""
        _, ups = _shifts(formats)
        return np.concatenate([code << up for code, up in zip(codes, ups, strict=True)], axis=-1)
