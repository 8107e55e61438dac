"""How large a program would be as unrolled logic, before anything is traced."""

from math import log2, prod

import numpy as np

from bitwright.export.operations import (
    Add,
    Affine,
    DepthwiseConv2d,
    Integers,
    Linear,
    MaxPool2d,
    Multiply,
    MultiplyAdd,
    Operation,
    Requantize,
    Table,
    Tensor,
    Threshold,
)
from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar

LUT_INPUTS = 6

SHARED = 0.45
"""Adders of a constant matrix that are left when common sums are shared. Fitted, see `make bench-rtl`."""

SHARED_SIGNS = 0.18
"""Where all weights are +1, -1 or 0. Fitted, see `make bench-rtl`."""

LUT_PER_BIT_PRODUCT = 1.15
"""Of 1-bit products, packed into tables, with the adders of their results. Fitted, see `make bench-rtl`."""


def lut_estimates(program: Program) -> dict[str, float]:
    """Return the LUT that each operation takes as logic of its own for every product, to some 30 %.

    Constant multiplications are additions: one for each digit of the weight in signed-digit form but the first, as wide
    as the sum; common ones are shared. Source of the form: Avizienis, Signed-digit number representations, 1961.

    >>> from bitwright.export.operations import Dense, Input
    >>> from bitwright.quant.fixed_point import FixedPoint
    >>> code = FixedPoint(4, 4)
    >>> program = Program((Input("x", "", (2,), code), Dense("fc", "x", np.array([[1], [5]]), code, None)))
    >>> round(lut_estimates(program)["fc"], 1)
    5.0
    """
    tensors = program.tensors
    return {
        operation.name: _lut(operation, [tensors[name] for name in operation.sources], tensors[operation.name])
        for operation in program.operations[1:]
    }


def signed_digits(codes: Integers) -> Integers:
    """Return how many digits of +1 and -1 each integer takes, at least.

    >>> signed_digits(np.array([0, 1, 6, 7, -5]))
    array([0, 1, 2, 2, 2])
    """
    magnitude = np.abs(np.asarray(codes, np.int64))
    return np.asarray(np.bitwise_count(magnitude ^ (3 * magnitude)), np.int64)


def _lut(operation: Operation, sources: list[Tensor], result: Tensor) -> float:
    values, width = prod(result.shape), result.format.width
    given = sources[0].format.width
    match operation:
        case Linear():
            positions = prod(result.shape[:-1])
            if isinstance(sources[0].format, Bipolar):
                return positions * int((operation.weight != 0).sum()) * LUT_PER_BIT_PRODUCT
            return linear_lut(operation, given, width, positions)
        case MultiplyAdd():
            adders = signed_digits(operation.multiplier).mean() + (operation.offset != 0).mean()
            return float(values * (adders * given + 2 * width))
        case Affine():
            return float(values * (signed_digits(operation.multiplier).mean()) * width)
        case Threshold():
            return float(values * (operation.thresholds.shape[1] * (given / 2 + 1)))
        case Requantize():
            return float(values * (2 * width + given / 2))
        case MaxPool2d():
            return float(values * (prod(operation.kernel) - 1) * 1.5 * width)
        case Table():
            size = max(0.0, log2(len(operation.entries)) - LUT_INPUTS)
            return float(values * width * 2**size)
        case Add():
            return float(values * width)
        case Multiply():
            narrow, wide = sorted(source.format.width for source in sources)
            return float(values * (narrow * wide / 2 + (narrow - 1) * wide))  # a selection a bit, and their sum
        case _:
            return 0.0


def linear_lut(operation: Linear, given: int, found: int, positions: int) -> float:
    """Return the LUT of an operation with weights on codes.

    Args:
        operation: A dense layer or a convolution.
        given: Bits of an input.
        found: Bits of a result.
        positions: Places where a convolution stands; 1 of a dense layer.
    """
    digits = int(signed_digits(operation.weight).sum())
    outputs = operation.weight.shape[-1]
    sharing = SHARED_SIGNS if np.abs(operation.weight).max(initial=0) == 1 else SHARED
    adders = max(0, digits - outputs) * (1.0 if isinstance(operation, DepthwiseConv2d) else sharing)
    # Partial sums grow from the width of an input to that of the result
    return float(positions * (adders + (operation.bias is not None) * outputs) * (given + found) / 2)
