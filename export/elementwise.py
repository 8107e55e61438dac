"""The operations between an accumulator and the next quantiser: per-channel functions of one value, in float32.

Each is computed as the network computes it, one IEEE float32 operation after the other, and beside it, in float64, as
the line ``slope * x + offset`` that it would be without rounding: the first is exact, the second says where to look.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Elementwise:
    """One step.

    Args:
        kind: The operator, with the constant on its right-hand side; ``RSub`` has it on the left.
        constant: One a channel ``(C,)`` or a scalar ``()``; None for `Relu`.
    """

    kind: Literal["Mul", "Div", "Add", "Sub", "RSub", "Relu"]
    constant: Floats | None = None

    def __call__(self, values: Floats) -> Floats:
        """Return the function of ``(V, C)`` values."""
        match self.kind, self.constant:
            case "Relu", _:
                return np.maximum(values, np.float32(0))
            case "Mul", constant if constant is not None:
                return values * constant
            case "Div", constant if constant is not None:
                return values / constant
            case "Add", constant if constant is not None:
                return values + constant
            case "Sub", constant if constant is not None:
                return values - constant
            case "RSub", constant if constant is not None:
                return constant - values
        raise ValueError(f"{self.kind}: constant must be given, not {self.constant!r}")


@dataclass(frozen=True)
class Line:
    """``slope * x + offset`` a channel, float64 ``(C,)``."""

    slope: NDArray[np.float64]
    offset: NDArray[np.float64]

    def then(self, step: Elementwise) -> "Line":
        """Return the line after one more step; `Relu` bends it, which a quantiser from zero upward does too."""
        if step.kind == "Relu" or step.constant is None:
            return self
        constant = step.constant.astype(np.float64)
        match step.kind:
            case "Mul":
                return Line(self.slope * constant, self.offset * constant)
            case "Div":
                return Line(self.slope / constant, self.offset / constant)
            case "Add":
                return Line(self.slope, self.offset + constant)
            case "Sub":
                return Line(self.slope, self.offset - constant)
            case "RSub":
                return Line(-self.slope, constant - self.offset)
