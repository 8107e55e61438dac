"""How large a program would be as logic that is used clock after clock, before anything is traced."""

from math import prod

import numpy as np

from bitwright.export.operations import Operation
from bitwright.export.program import Program
from bitwright.rtl.fold import Digits, Fold, Inputs, Lines
from bitwright.rtl.folded import plan
from bitwright.rtl.size import linear_lut, lut_estimates

INPUTS_BESIDE_UNROLLED = 1.35
"""Of bits taken part by part: a look-up of the weight stands before each product. Fitted, see `make bench-fold`."""

DIGITS_OF_ONE_BIT = 0.55
"""Of codes taken bit by bit: bits are packed into tables, sums of six at a time. Fitted, see `make bench-fold`."""


def folded_lut_estimates(program: Program, reuse_factor: int) -> dict[str, float]:
    """Return the LUT of each operation where an input comes every so many clocks, to some 30 % of alkaid's count.

    Args:
        program: A chain of operations.
        reuse_factor: Clocks from one input to the next, 1 or more.

    Raises:
        ValueError: If the program cannot be folded.

    >>> from bitwright.export.operations import Conv2d, Input
    >>> from bitwright.quant.fixed_point import FixedPoint
    >>> import numpy as np
    >>> code = FixedPoint(4, 4)
    >>> conv = Conv2d("conv", "x", np.full((2, 2, 1, 3), 5), code, None, (1, 1), (0, 0, 0, 0))
    >>> program = Program((Input("x", "", (9, 9, 1), code), conv))
    >>> folded_lut_estimates(program, 1)["conv"] / folded_lut_estimates(program, 4)["conv"]
    4.0
    """
    unrolled = lut_estimates(program)
    if reuse_factor == 1:
        return unrolled
    found: dict[str, float] = {}
    for step in plan(program, reuse_factor):
        names = (step.name,) if isinstance(step, Operation) else tuple(one.name for one in step.operations)
        found |= {name: unrolled[name] for name in names}
        if isinstance(step, Fold):
            found |= _folded(step, {name: unrolled[name] for name in names})
    return found


def _folded(step: Fold, unrolled: dict[str, float]) -> dict[str, float]:
    name, values = step.operation.name, prod(step.result.shape)
    match step:
        case Lines():
            share = step.lines / step.result.shape[0]
            return {name: lut * share for name, lut in unrolled.items()}
        case Inputs():
            return {name: unrolled[name] * INPUTS_BESIDE_UNROLLED / step.parts + values * step.result.format.width}
        case Digits():
            narrower = step.source.format.width - step.cell.width
            widths = step.cell.width, step.result.format.width - narrower
            packed = step.cell.width == 1 and np.abs(step.operation.weight).max(initial=0) > 1
            lut = linear_lut(step.operation, *widths, prod(step.result.shape[:-1]))
            return {name: lut * (DIGITS_OF_ONE_BIT if packed else 1) + values * step.result.format.width}
    raise TypeError(f"{name}: fold must be one of bitwright.rtl.fold, not {type(step).__name__}")
