"""A function of one value without its rounding: a straight line a channel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """``slope * x + offset`` a channel, float64 ``(C,)``; NaN where the function is no line."""

    slope: Doubles
    offset: Doubles

    @property
    def is_straight(self) -> bool:
        """Whether the function is a line in every channel."""
        return bool(np.isfinite(self.slope).all() and np.isfinite(self.offset).all())

    def bent(self) -> "Line":
        """Return a line that is none."""
        return Line(np.full_like(self.slope, np.nan), np.full_like(self.offset, np.nan))
