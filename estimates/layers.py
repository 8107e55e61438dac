"""Layers as the estimate sees them: sizes, widths and the kinds of their constants, from a program or from a report."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bitwright.export.operations import Integers
from bitwright.rtl.size import signed_digits

Arithmetic = Literal["multiply", "xnor", "weight_sign", "data_sign", "ternary"]
"""What a product is: a multiplication; XNOR of two bits; the data or their negative (1-bit weights); the weight or its
negative (1-bit data); data, their negative or nothing. Source: hls4ml 1.3.0, `nnet_mult.h`."""


@dataclass(frozen=True)
class Constants:
    """The weights of one output position, by what multiplying by them takes where they are known to the tool.

    Equal weights of one input share a product.

    Args:
        zero: Products that vanish.
        shift: Products that are a shift, or its negative.
        one_adder: Products that are the sum or difference of two shifts.
        other: Products of more digits.
    """

    zero: int
    shift: int
    one_adder: int
    other: int

    @staticmethod
    def of(weight: Integers) -> "Constants":
        """Count a matrix of weights ``(inputs, outputs)``.

        >>> Constants.of(np.array([[0, 1, 6, 21], [21, 21, -4, 3]]))
        Constants(zero=1, shift=2, one_adder=2, other=2)
        """
        zero = int((weight == 0).sum())
        kinds = np.zeros(4, np.int64)
        for row in weight:
            digits = signed_digits(np.unique(row[row != 0]))
            kinds += np.bincount(np.minimum(digits, 3), minlength=4)
        return Constants(zero, *kinds[1:].tolist())


@dataclass(frozen=True)
class Matrix:
    """A dense layer, or a convolution: the same small matrix at every output position.

    Args:
        name: Of the layer.
        kind: Of the layer; of a depthwise convolution each input belongs to one output.
        inputs: Values that the matrix reads at a position.
        outputs: Values that it gives.
        positions: Output positions; 1 for a dense layer.
        pixels: Input positions that a stream carries, padding included; a dense layer reads them all first.
        row_pixels: Those of one row, padding included.
        channels: Values at an input position.
        kernel_rows: Rows of the window.
        data_bits: Width of an input.
        weight_bits: Width of a weight.
        accumulator_bits: Width of a sum.
        result_bits: Width of an output.
        arithmetic: What a product is.
        bias: Whether some bias is not 0.
        constants: The weights.
    """

    name: str
    kind: Literal["dense", "conv", "depthwise"]
    inputs: int
    outputs: int
    positions: int
    pixels: int
    row_pixels: int
    channels: int
    kernel_rows: int
    data_bits: int
    weight_bits: int
    accumulator_bits: int
    result_bits: int
    arithmetic: Arithmetic
    bias: bool
    constants: Constants

    @property
    def products(self) -> int:
        """Products at one position, zeros included.

        A depthwise convolution has one for each input.
        """
        return self.inputs if self.kind == "depthwise" else self.inputs * self.outputs

    @property
    def taps(self) -> int:
        """Products that are summed for one output."""
        return self.products // self.outputs

    @property
    def multiplications(self) -> int:
        """Products of one inference."""
        return self.products * self.positions

    @property
    def additions_at_position(self) -> int:
        """Additions at one position: every product that is not 0 to a sum that starts at the bias, or at the first."""
        return max(0, self.products - self.constants.zero - (0 if self.bias else self.outputs))

    @property
    def additions(self) -> int:
        """Additions of one inference."""
        return self.additions_at_position * self.positions


@dataclass(frozen=True)
class Elementwise:
    """A layer that does the same to every value, or joins two.

    Args:
        name: Of the layer.
        kind: What it does, for people.
        positions: Positions that a stream carries.
        channels: Values at a position.
        result_bits: Width of a result.
        lut_a_value: LUT for one value.
        dsp_a_value: DSP for one value.
        table_bits: Of a look-up table for each value; 0 where there is none.
        constant_bits: Of all its constants.
        multiplications: Of one inference.
        additions: Of one inference.
        depth_adders: Additions or comparisons one after the other.
    """

    name: str
    kind: str
    positions: int
    channels: int
    result_bits: int
    lut_a_value: float
    dsp_a_value: float = 0.0
    table_bits: int = 0
    constant_bits: int = 0
    multiplications: int = 0
    additions: int = 0
    depth_adders: int = 1


@dataclass(frozen=True)
class Pool:
    """Max pooling.

    Args:
        name: Of the layer.
        kernel: Values of a window.
        kernel_rows: Rows of a window.
        positions: Output positions.
        pixels: Input positions.
        row_pixels: Those of one row.
        channels: Values at a position.
        bits: Width of a value.
    """

    name: str
    kernel: int
    kernel_rows: int
    positions: int
    pixels: int
    row_pixels: int
    channels: int
    bits: int


@dataclass(frozen=True)
class Move:
    """A layer that computes nothing: input, padding, reshape, transpose, repeat.

    Args:
        name: Of the layer.
        kind: What it does, for people.
        positions: Output positions that a stream carries.
        rows: Rows of them.
        channels: Values at a position.
        bits: Width of a value.
        copies: Whether hls4ml has a layer of its own for it in a stream; else it is wires.
        transfers_a_position: 1, or the channels where a changed template sends value by value.
    """

    name: str
    kind: str
    positions: int
    rows: int
    channels: int
    bits: int
    copies: bool = False
    transfers_a_position: int = 1


Layer = Matrix | Elementwise | Pool | Move
