"""Operations that move values and compute none."""

from dataclasses import dataclass
from math import prod

import numpy as np

from bitwright.export.operation import Integers, Interval, Shape, UnaryOperation
from bitwright.quant.bipolar import Format


def _of_positions(interval: Interval, shape: Shape) -> tuple[Integers, Integers]:
    """Return the ends of every value of a tensor, each of its shape."""
    return np.broadcast_to(interval.lowest, shape), np.broadcast_to(interval.highest, shape)


def _of_channels(lowest: Integers, highest: Integers, stride: int) -> Interval:
    """Return the interval of the last axis from every value's."""
    channels = lowest.shape[-1]
    ends = lowest.reshape(-1, channels).min(axis=0), highest.reshape(-1, channels).max(axis=0)
    uneven = stride > 1 and bool(((lowest.reshape(-1, channels) - ends[0]) % stride).any())
    return Interval(*ends, stride=1 if uneven else stride)


@dataclass(frozen=True, eq=False)
class Reshape(UnaryOperation):
    """Another shape, in the same order of values.

    Args:
        shape: Of the result.
    """

    shape: Shape

    def result_shape(self, shape: Shape) -> Shape:
        """Return the new shape."""
        return self.shape

    def result_interval(self, interval: Interval, shape: Shape) -> Interval:
        """Return the interval of what became the last axis."""
        new = self.result_shape(shape)
        lowest, highest = (ends.reshape(new) for ends in _of_positions(interval, shape))
        return _of_channels(lowest, highest, interval.stride)

    def run(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Reshape."""
        return codes.reshape(len(codes), *self.result_shape(codes.shape[1:]))


@dataclass(frozen=True, eq=False)
class Flatten(Reshape):
    """``(N, H, W, C) -> (N, H * W * C)``, the channel running fastest."""

    shape: Shape = ()

    def result_shape(self, shape: Shape) -> Shape:
        """Return the number of values."""
        return (prod(shape),)


@dataclass(frozen=True, eq=False)
class Transpose(UnaryOperation):
    """Axes in another order.

    Args:
        axes: For each axis of the result, the source's; without the batch.
    """

    axes: tuple[int, ...]

    def result_shape(self, shape: Shape) -> Shape:
        """Return the sizes in the new order."""
        return tuple(shape[axis] for axis in self.axes)

    def result_interval(self, interval: Interval, shape: Shape) -> Interval:
        """Return the interval of what became the last axis."""
        lowest, highest = (ends.transpose(self.axes) for ends in _of_positions(interval, shape))
        return _of_channels(lowest, highest, interval.stride)

    def run(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Transpose."""
        return np.ascontiguousarray(codes.transpose(0, *(axis + 1 for axis in self.axes)))
