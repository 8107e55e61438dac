"""Operations that multiply by weights and add: dense layers and convolutions."""

from dataclasses import dataclass
from math import gcd, prod

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bitwright.export.operation import Integers, Interval, Shape, UnaryOperation
from bitwright.quant.bipolar import Format
from bitwright.quant.fixed_point import smallest_format


@dataclass(frozen=True, eq=False)
class Linear(UnaryOperation):
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
        lowest, highest = (end[:, None] for end in self._ends(interval))
        weight = self.weight.reshape(-1, *lowest.shape[:1], self.weight.shape[-1])  # (taps, channels, C)
        bias = 0 if self.bias is None else self.bias
        return Interval(
            np.minimum(weight * lowest, weight * highest).sum(axis=(0, 1)) + bias,
            np.maximum(weight * lowest, weight * highest).sum(axis=(0, 1)) + bias,
            self._stride(interval),
        )

    def _ends(self, interval: Interval) -> tuple[Integers, Integers]:
        return interval.lowest, interval.highest

    def _stride(self, interval: Interval) -> int:
        """Return the step of the sums: one input's next code moves a sum by a weight times the inputs' stride."""
        if interval.stride == 1 or self.weight.size == 0:
            return 1
        return interval.stride * max(1, gcd(*np.unique(np.abs(self.weight)).tolist()))

    def magnitude(self, format: Format) -> int:  # noqa: A002
        """Return a bound on the magnitude of every partial sum, in any order of adding."""
        return int(self.magnitudes(format).max())

    def magnitudes(self, format: Format) -> Integers:  # noqa: A002
        """Return the bound of each output channel ``(C,)``: the sum of all products' greatest magnitudes."""
        largest = max(abs(format.lowest), abs(format.highest))
        sums = np.abs(self.weight).reshape(-1, self.weight.shape[-1]).sum(axis=0) * largest
        return np.asarray(sums + (0 if self.bias is None else np.abs(self.bias)), np.int64)

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

    def run(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Multiply and add."""
        return self._product(codes, format)


@dataclass(frozen=True, eq=False)
class _Window(Linear):
    """What convolutions share: a window that moves over rows and columns.

    Args:
        stride: Of rows and columns.
        padding: Zeros at top, left, bottom and right.
    """

    stride: tuple[int, int]
    padding: tuple[int, int, int, int]

    def result_shape(self, shape: Shape) -> Shape:
        """Return ``(H', W', F)``."""
        top, left, bottom, right = self.padding
        rows = (shape[0] + top + bottom - self.weight.shape[0]) // self.stride[0] + 1
        return rows, (shape[1] + left + right - self.weight.shape[1]) // self.stride[1] + 1, self.weight.shape[-1]

    def _ends(self, interval: Interval) -> tuple[Integers, Integers]:
        if not any(self.padding):
            return interval.lowest, interval.highest
        return np.minimum(interval.lowest, 0), np.maximum(interval.highest, 0)

    def _stride(self, interval: Interval) -> int:
        return 1 if any(self.padding) else super()._stride(interval)

    def _padded(self, codes: Integers) -> Integers:
        if not any(self.padding):
            return codes
        top, left, bottom, right = self.padding
        return np.pad(codes, ((0, 0), (top, bottom), (left, right), (0, 0)))


@dataclass(frozen=True, eq=False)
class Conv2d(_Window):
    """``(N, H, W, C) -> (N, H', W', F)``; weight ``(KH, KW, C, F)``."""

    def run(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Gather each position's window and multiply."""
        codes = self._padded(codes)
        height, width, channels, filters = self.weight.shape
        if self.magnitude(format) < 2**24:
            codes = codes.astype(np.float32)  # half the memory to gather
        windows = sliding_window_view(codes, (height, width), axis=(1, 2))  # (N, H', W', C, KH, KW)
        windows = windows[:, :: self.stride[0], :: self.stride[1]].transpose(0, 1, 2, 4, 5, 3)
        positions = windows.shape[:3]
        rows = windows.reshape(prod(positions), height * width * channels)  # (N * H' * W', KH * KW * C)
        return self._product(rows, format).reshape(*positions, filters)


@dataclass(frozen=True, eq=False)
class DepthwiseConv2d(_Window):
    """Each channel by itself: ``(N, H, W, C) -> (N, H', W', C)``; weight ``(KH, KW, C)``.

    With weights of one it sums windows: average pooling, but for the division.
    """

    def result_interval(self, interval: Interval, shape: Shape) -> Interval:
        """Return the sums of each weight's least and greatest product with its channel."""
        lowest, highest = self._ends(interval)
        bias = 0 if self.bias is None else self.bias
        return Interval(
            np.minimum(self.weight * lowest, self.weight * highest).sum(axis=(0, 1)) + bias,
            np.maximum(self.weight * lowest, self.weight * highest).sum(axis=(0, 1)) + bias,
            self._stride(interval),
        )

    def run(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Add one tap of the window after the other."""
        rows, columns, _ = self.result_shape(codes.shape[1:])
        codes = self._padded(codes)
        (down, across), (height, width) = self.stride, self.weight.shape[:2]
        result = np.zeros((len(codes), rows, columns, self.weight.shape[-1]), np.int64)
        for i in range(height):
            for j in range(width):
                tap = codes[:, i : i + (rows - 1) * down + 1 : down, j : j + (columns - 1) * across + 1 : across]
                result += tap * self.weight[i, j]
        return result if self.bias is None else result + self.bias
