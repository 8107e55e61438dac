"""Max pooling, and its opposite in size: repeating rows and columns."""

from dataclasses import dataclass

import numpy as np

from bitwright.export.operation import Integers, Shape, UnaryOperation
from bitwright.quant.bipolar import Format


@dataclass(frozen=True, eq=False)
class MaxPool2d(UnaryOperation):
    """Maximum of windows without padding: ``(N, H, W, C) -> (N, H', W', C)``."""

    kernel: tuple[int, int]
    stride: tuple[int, int]

    def result_shape(self, shape: Shape) -> Shape:
        """Return ``(H', W', C)``; rows and columns that fill no window are left out."""
        rows = (shape[0] - self.kernel[0]) // self.stride[0] + 1
        return rows, (shape[1] - self.kernel[1]) // self.stride[1] + 1, shape[2]

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


@dataclass(frozen=True, eq=False)
class Upsample(UnaryOperation):
    """Repeat each row and each column: ``(N, H, W, C) -> (N, H * factors[0], W * factors[1], C)``."""

    factors: tuple[int, int]

    def result_shape(self, shape: Shape) -> Shape:
        """Return the larger shape."""
        return shape[0] * self.factors[0], shape[1] * self.factors[1], shape[2]

    def run(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Repeat."""
        return codes.repeat(self.factors[0], axis=1).repeat(self.factors[1], axis=2)
