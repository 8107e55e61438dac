"""The one-bit format of binary networks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.quant.fixed_point import FixedPoint


@dataclass(frozen=True)
class Bipolar:
    """Values +1 and -1, one wire each: the bit 1 is +1, the bit 0 is -1.

    Multiplying two of them is XNOR; a dot product counts matches. (Courbariaux et al., arXiv:1602.02830, section 1.5.)

    >>> Bipolar().bits(np.array([-1, 1]))
    array([0, 1])
    """

    width: int = 1
    lowest: int = -1
    highest: int = 1
    fractional: int = 0
    step: float = 1.0

    def holds(self, lowest: int, highest: int) -> bool:
        """Return whether the interval lies within [-1, 1]; its values must be odd."""
        return self.lowest <= lowest and highest <= self.highest

    def bits(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the wire's bit, 0 or 1, of every +1 and -1."""
        return (codes + 1) >> 1


Format = FixedPoint | Bipolar
"""How the integers of a tensor are kept."""
