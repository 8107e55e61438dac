"""The operations of an integer program. Each runs itself, on int64, channels last: they are the oracle.

Arrays have a leading batch axis: ``(N, F)`` or ``(N, H, W, C)``; shapes in the types are without it. All values are
integer codes; what a code is worth is said by its format, and what the network's own scale was, by the interface.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint, shift_round, smallest_format

Integers = NDArray[np.int64]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Interval:
    """Smallest and largest code that a channel can take; arrays ``(C,)``, C the size of the last axis.

    >>> Interval(np.array([-2, 0]), np.array([3, 9])).ends
    (-2, 9)
    """

    lowest: Integers
    highest: Integers

    @property
    def ends(self) -> tuple[int, int]:
        """The interval of all channels together."""
        return int(self.lowest.min()), int(self.highest.max())

    @classmethod
    def of_format(cls, format: Format, channels: int) -> "Interval":  # noqa: A002 - the field's word
        """Return the whole range of a format."""
        return cls(np.full(channels, format.lowest, np.int64), np.full(channels, format.highest, np.int64))


@dataclass(frozen=True, eq=False)
class Operation:
    """A named step from the results of other operations to one tensor.

    Args:
        name: Unique; also the layer's name in the C++ project.
        source: Name of the operation whose result this one takes; empty for the input.
    """

    name: str
    source: str

    def result_shape(self, shape: Shape) -> Shape:
        """Return the shape of the result, without the batch axis."""
        return shape

    def result_interval(self, interval: Interval, shape: Shape) -> Interval:
        """Return what every channel of the result can be, given the source's interval and shape."""
        raise TypeError(f"{self.name}: operation must be one of bitwright.export.operations, not {type(self).__name__}")

    def result_format(self, format: Format, interval: Interval) -> Format:  # noqa: A002
        """Return the format of the result, given the source's format and the result's interval."""
        raise TypeError(f"{self.name}: operation must be one of bitwright.export.operations, not {type(self).__name__}")

    def run(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Compute the result's codes from the source's, which are of ``format``."""
        raise TypeError(f"{self.name}: operation must be one of bitwright.export.operations, not {type(self).__name__}")


@dataclass(frozen=True, eq=False)
class Input(Operation):
    """The integers that the host sends."""

    shape: Shape
    format: Format

    def result_shape(self, shape: Shape) -> Shape:
        """Return the input's shape."""
        return self.shape

    def result_interval(self, interval: Interval, shape: Shape) -> Interval:
        """Return the whole range of the input's format."""
        return Interval.of_format(self.format, self.shape[-1])

    def result_format(self, format: Format, interval: Interval) -> Format:  # noqa: A002
        """Return the input's format."""
        return self.format

    def run(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Return the codes as they are."""
        return codes


@dataclass(frozen=True, eq=False)
class Linear(Operation):
    """What dense layers and convolutions share: weights, and a bias on the accumulator's grid.

    Args:
        weight: Codes, the last axis being the output channel.
        weight_format: Their format.
        bias: Codes ``(C,)`` worth one step of the accumulator each, or None.
    """

    weight: Integers
    weight_format: Format
    bias: Integers | None

    def accumulator_fractional(self, format: Format) -> int:  # noqa: A002
        """Return the bits right of the accumulator's binary point."""
        return format.fractional + self.weight_format.fractional

    def result_format(self, format: Format, interval: Interval) -> Format:  # noqa: A002
        """Return the narrowest accumulator that the interval proves enough."""
        return smallest_format(*interval.ends, fractional=self.accumulator_fractional(format))

    def result_interval(self, interval: Interval, shape: Shape) -> Interval:
        """Return, for each output, the sums of each weight's least and greatest product with its input."""
        weight = self.weight.reshape(-1, self.weight.shape[-1])  # (taps * channels, C)
        repeat = weight.shape[0] // len(interval.lowest)
        lowest, highest = (np.tile(end, repeat)[:, None] for end in self._padded(interval))
        bias = 0 if self.bias is None else self.bias
        return Interval(
            np.minimum(weight * lowest, weight * highest).sum(axis=0) + bias,
            np.maximum(weight * lowest, weight * highest).sum(axis=0) + bias,
        )

    def _padded(self, interval: Interval) -> tuple[Integers, Integers]:
        return interval.lowest, interval.highest

    def magnitude(self, format: Format) -> int:  # noqa: A002
        """Return a bound on the magnitude of every partial sum, in any order of adding."""
        largest = max(abs(format.lowest), abs(format.highest))
        sums = np.abs(self.weight).reshape(-1, self.weight.shape[-1]).sum(axis=0) * largest
        return int((sums + (0 if self.bias is None else np.abs(self.bias))).max())

    def _product(self, rows: Integers, format: Format) -> Integers:  # noqa: A002
        """Multiply ``(R, K)`` by the weights ``(K, C)``, in floats where they are exact: BLAS knows no integers."""
        weight = self.weight.reshape(-1, self.weight.shape[-1])
        magnitude = self.magnitude(format)
        kind = np.float32 if magnitude < 2**24 else np.float64 if magnitude < 2**53 else np.int64
        result: Integers = (rows.astype(kind, copy=False) @ weight.astype(kind)).astype(np.int64)
        return result if self.bias is None else result + self.bias


@dataclass(frozen=True, eq=False)
class Dense(Linear):
    """``(N, K) -> (N, C)``; weight ``(K, C)``."""

    def result_shape(self, shape: Shape) -> Shape:
        """Return ``(C,)``."""
        return (self.weight.shape[1],)

    def result_interval(self, interval: Interval, shape: Shape) -> Interval:
        """As in `Linear`; the channels of a dense layer's input are all its values."""
        return super().result_interval(interval, shape)

    def run(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Multiply and add."""
        return self._product(codes, format)


@dataclass(frozen=True, eq=False)
class Conv2d(Linear):
    """``(N, H, W, C) -> (N, H', W', F)``; weight ``(KH, KW, C, F)``.

    Args:
        stride: Of rows and columns.
        padding: Zeros at top, left, bottom and right.
    """

    stride: tuple[int, int]
    padding: tuple[int, int, int, int]

    def result_shape(self, shape: Shape) -> Shape:
        """Return ``(H', W', F)``."""
        return (*self._positions(shape), self.weight.shape[-1])

    def _positions(self, shape: Shape) -> tuple[int, int]:
        top, left, bottom, right = self.padding
        rows = (shape[0] + top + bottom - self.weight.shape[0]) // self.stride[0] + 1
        return rows, (shape[1] + left + right - self.weight.shape[1]) // self.stride[1] + 1

    def _padded(self, interval: Interval) -> tuple[Integers, Integers]:
        if not any(self.padding):
            return interval.lowest, interval.highest
        return np.minimum(interval.lowest, 0), np.maximum(interval.highest, 0)

    def run(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Gather each position's window and multiply."""
        top, left, bottom, right = self.padding
        if any(self.padding):
            codes = np.pad(codes, ((0, 0), (top, bottom), (left, right), (0, 0)))
        height, width, channels, filters = self.weight.shape
        if self.magnitude(format) < 2**24:
            codes = codes.astype(np.float32)  # half the memory to gather
        windows = sliding_window_view(codes, (height, width), axis=(1, 2))  # (N, H', W', C, KH, KW)
        windows = windows[:, :: self.stride[0], :: self.stride[1]].transpose(0, 1, 2, 4, 5, 3)
        positions = windows.shape[:3]
        rows = windows.reshape(prod(positions), height * width * channels)  # (N * H' * W', KH * KW * C)
        return self._product(rows, format).reshape(*positions, filters)


@dataclass(frozen=True, eq=False)
class MaxPool2d(Operation):
    """Maximum of windows without padding: ``(N, H, W, C) -> (N, H', W', C)``."""

    kernel: tuple[int, int]
    stride: tuple[int, int]

    def result_shape(self, shape: Shape) -> Shape:
        """Return ``(H', W', C)``; rows and columns that fill no window are left out."""
        rows = (shape[0] - self.kernel[0]) // self.stride[0] + 1
        return rows, (shape[1] - self.kernel[1]) // self.stride[1] + 1, shape[2]

    def result_interval(self, interval: Interval, shape: Shape) -> Interval:
        """Return the source's interval."""
        return interval

    def result_format(self, format: Format, interval: Interval) -> Format:  # noqa: A002
        """Return the source's format."""
        return format

    def run(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Take the maximum over the offsets of the window."""
        rows, columns, _ = self.result_shape(codes.shape[1:])
        taps = (
            codes[:, i : i + rows * self.stride[0] : self.stride[0], j : j + columns * self.stride[1] : self.stride[1]]
            for i in range(self.kernel[0])
            for j in range(self.kernel[1])
        )
        result = next(taps).copy()
        for tap in taps:
            np.maximum(result, tap, out=result)
        return result


class Quantizing(Operation):
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
        """Compare and count."""
        if self.thresholds.shape[1] == 1:
            count = (codes >= self.thresholds[:, 0]).astype(np.int64)
        else:
            count = np.zeros(codes.shape, np.int64)
            for level in range(self.thresholds.shape[1]):
                count += codes >= self.thresholds[:, level]
        step = 2 if isinstance(self.format, Bipolar) else 1
        return np.where(self.rising, self.format.lowest + step * count, self.format.highest - step * count)


@dataclass(frozen=True, eq=False)
class Flatten(Operation):
    """``(N, H, W, C) -> (N, H * W * C)``, the channel running fastest."""

    def result_shape(self, shape: Shape) -> Shape:
        """Return the number of values."""
        return (prod(shape),)

    def result_interval(self, interval: Interval, shape: Shape) -> Interval:
        """Return the interval of each channel at each position."""
        repeat = prod(shape[:-1])
        return Interval(np.tile(interval.lowest, repeat), np.tile(interval.highest, repeat))

    def result_format(self, format: Format, interval: Interval) -> Format:  # noqa: A002
        """Return the source's format."""
        return format

    def run(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Reshape."""
        return codes.reshape(len(codes), prod(codes.shape[1:]))
