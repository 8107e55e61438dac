"""QONNX's quantisers, as integers: which code a float32 value gets."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint, format_of, fractional_bits

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Quantizer:
    """A `Quant` or `BipolarQuant` node's parameters, without zero point.

    Args:
        scale: Power of two, float32: a scalar ``()``, or one a channel, broadcastable to the tensor.
        bit_width: Of the codes; 1 for `BipolarQuant`.
        signed: Whether codes are two's complement.
        narrow: Whether the most negative code is left out.
        bipolar: Whether the codes are +1 and -1.
    """

    scale: Floats
    bit_width: int
    signed: bool
    narrow: bool
    bipolar: bool

    def codes(self, values: Floats) -> NDArray[np.int64]:
        """Return the codes of float32 values, as the operator computes them in float32.

        Source: QONNX `Quant` and `BipolarQuant` operators: divide, round half to even, clip; zero is +1.
        """
        if self.bipolar:
            return np.where(values >= 0, 1, -1).astype(np.int64)
        lowest, highest = self.range
        with np.errstate(over="ignore"):  # infinity saturates
            return np.asarray(np.clip(np.rint(values / self.scale), lowest, highest), np.int64)

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest code."""
        form = FixedPoint(self.bit_width, 0, self.signed, "AP_RND_CONV", "AP_SAT_SYM" if self.narrow else "AP_SAT")
        return (-1, 1) if self.bipolar else (form.lowest, form.highest)

    @property
    def uniform_scale(self) -> float | None:
        """The scale, where it is the same for every channel."""
        first = float(self.scale.reshape(-1)[0])
        return first if (self.scale == first).all() else None

    def format(self) -> Format:
        """Return the format of the codes: on the scale's grid where there is one scale, else whole numbers.

        Raises:
            ValueError: If a scale is not a power of two.
        """
        for scale in np.unique(self.scale):
            fractional_bits(float(scale))
        if self.bipolar:
            return Bipolar()
        return format_of(self.uniform_scale or 1.0, self.bit_width, self.signed, self.narrow)
