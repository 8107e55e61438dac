"""Operations that multiply by weights and add: dense layers and convolutions."""

from dataclasses import dataclass
from functools import cached_property
from math import gcd

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from bitwright.export.operation import Integers, Interval, Shape, UnaryOperation
from bitwright.export.packed import PackedLayer, levels_of, pack
from bitwright.quant.bipolar import Format
from bitwright.quant.fixed_point import FixedPoint, smallest_format

GATHERED_VALUES = 500_000
"""Values of the windows that a convolution gathers at a time, unless those of one image are more."""


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

    @property
    def only_adds(self) -> bool:
        """Whether it multiplies by nothing: unsigned weights of one bit, all one, as the sum of a window has them."""
        return self.weight_format == FixedPoint(1, 1, signed=False) and bool((self.weight == 1).all())

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

    def magnitudes(self, format: Format) -> NDArray[np.float64]:  # noqa: A002
        """Return the bound of each output channel ``(C,)``: the sum of all products' greatest magnitudes.

        In float64, which below 2**53 is exact, and beyond does not wrap as 64 bits would.
        """
        largest = float(max(abs(format.lowest), abs(format.highest)))
        sums = np.abs(self.weight).reshape(-1, self.weight.shape[-1]).sum(axis=0, dtype=np.float64) * largest
        return np.asarray(sums + (0 if self.bias is None else np.abs(self.bias)), np.float64)

    def _exact_kind(self, format: Format) -> type[np.float32 | np.float64 | np.int64]:  # noqa: A002
        """Return the fastest type that holds every partial sum exactly: BLAS knows no integers."""
        magnitude = self.magnitude(format)
        return np.float32 if magnitude < 2**24 else np.float64 if magnitude < 2**53 else np.int64

    def _packed(self, format: Format, *, padded: bool = False) -> PackedLayer | None:  # noqa: A002
        """Return the weights as bits, where each is +1 or -1 and the codes have few bits."""
        if format not in self._packed_layers:
            levels = levels_of(format, padded=padded)
            weight = self.weight.reshape(-1, self.weight.shape[-1])
            self._packed_layers[format] = None if levels is None else pack(weight, self.bias, levels)
        return self._packed_layers[format]

    @cached_property
    def _packed_layers(self) -> dict[Format, PackedLayer | None]:
        return {}


@dataclass(frozen=True, eq=False)
class Dense(Linear):
    """``(N, K) -> (N, C)``; weight ``(K, C)``."""

    def result_shape(self, shape: Shape) -> Shape:
        """Return ``(C,)``."""
        return (self.weight.shape[1],)

    def run(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Multiply and add: weights of one bit on packed words, others with BLAS."""
        packed = self._packed(format)
        result = None if packed is None else packed.dense(codes)
        return self.run_blas(codes, format) if result is None else result

    def run_blas(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Multiply and add with BLAS, whatever the weights."""
        kind = self._exact_kind(format)
        result: Integers = (codes.astype(kind, copy=False) @ self.weight.astype(kind)).astype(np.int64)
        return result if self.bias is None else result + self.bias


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
        """Multiply and add at each position: weights of one bit on packed words, others with BLAS."""
        packed = self._packed(format, padded=any(self.padding))
        height, width = self.weight.shape[:2]
        result = None if packed is None else packed.conv2d(codes, (height, width), self.stride, self.padding)
        return self.run_blas(codes, format) if result is None else result

    def run_blas(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Gather each position's window and multiply, few images at a time, so that what is gathered stays in cache."""
        kind = self._exact_kind(format)
        height, width, channels, filters = self.weight.shape
        rows, columns, _ = self.result_shape(codes.shape[1:])
        windows = sliding_window_view(self._padded(codes).astype(kind, copy=False), (height, width), axis=(1, 2))
        windows = windows[:, :: self.stride[0], :: self.stride[1]].transpose(0, 1, 2, 4, 5, 3)  # (N, H', W', KH, KW, C)
        weight = self.weight.reshape(height * width * channels, filters).astype(kind)
        result = np.empty((len(codes), rows, columns, filters), np.int64)
        size = max(1, min(len(codes), GATHERED_VALUES // max(1, rows * columns * len(weight))))
        gathered = np.empty((size, *windows.shape[1:]), kind)
        for start in range(0, len(codes), size):
            block = result[start : start + size]
            gathered[: len(block)] = windows[start : start + size]
            products = gathered[: len(block)].reshape(-1, len(weight)) @ weight  # (images * H' * W', F)
            block[...] = products.reshape(block.shape)
        if self.bias is not None:
            result += self.bias
        return result


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
