"""QONNX's quantisers, as integers: which code a float32 value gets, and what a code is worth."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint, format_of, fractional_bits

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]

ROUNDINGS: Mapping[str, Callable[[Floats], Floats]] = {
    "ROUND": np.rint,
    "HALF_EVEN": np.rint,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda values: np.sign(values) * np.ceil(np.abs(values)),
    "DOWN": np.trunc,
    "HALF_UP": lambda values: np.sign(values) * np.floor(np.abs(values) + np.float32(0.5)),
    "HALF_DOWN": lambda values: np.sign(values) * np.ceil(np.abs(values) - np.float32(0.5)),
}
"""Rounding modes by QONNX's names. Source: qonnx 1.0.0, `resolve_rounding_mode`."""


class ActivationQuantizer(Protocol):
    """What ends an activation: `Quantizer` or `Truncation`."""

    @property
    def scale(self) -> Floats:
        """Worth of one code: ``()``, or one a channel ``(C,)``."""

    @property
    def zero_point(self) -> int:
        """Code of zero."""

    @property
    def rounding(self) -> str:
        """QONNX's name of the rounding mode."""

    @property
    def bipolar(self) -> bool:
        """Whether the codes are +1 and -1."""

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest code."""

    def codes(self, values: Floats) -> Integers:
        """Return the codes of float32 values ``(V, C)``."""

    def format(self) -> Format:
        """Return the format of the codes."""


@dataclass(frozen=True)
class Quantizer:
    """A `Quant` or `BipolarQuant` node's parameters.

    Args:
        scale: Float32: a scalar ``()``, or one a channel, broadcastable to the tensor.
        bit_width: Of the codes; 1 for `BipolarQuant`.
        signed: Whether codes are two's complement.
        narrow: Whether the most negative code is left out.
        bipolar: Whether the codes are +1 and -1.
        zero_point: Code of zero: a code is worth ``(code - zero_point) * scale``.
        rounding: QONNX's name of the rounding mode.
    """

    scale: Floats
    bit_width: int
    signed: bool
    narrow: bool
    bipolar: bool
    zero_point: int = 0
    rounding: str = "ROUND"

    def codes(self, values: Floats) -> Integers:
        """Return the codes of float32 values, as the operator computes them in float32.

        Source: QONNX `Quant` and `BipolarQuant` operators: divide, add the zero point, clip, round; zero is +1.
        """
        if self.bipolar:
            return np.where(values >= 0, 1, -1).astype(np.int64)
        with np.errstate(over="ignore"):  # infinity saturates
            steps = values / self.scale + np.float32(self.zero_point)
        return np.asarray(
            ROUNDINGS[self.rounding](np.clip(steps, np.float32(self.range[0]), np.float32(self.range[1]))), np.int64
        )

    def values(self, codes: Integers) -> Floats:
        """Return what codes are worth, in float32."""
        return np.asarray((codes - self.zero_point).astype(np.float32) * self.scale, np.float32)

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
        """Return the format of the codes: on the scale's grid where it is one power of two, else whole numbers."""
        return code_format(self.scale, self.bit_width, self.signed, self.narrow, self.bipolar)


@dataclass(frozen=True)
class Truncation:
    """A `Trunc` node's parameters: what remains of an integer when its last bits go.

    Args:
        input_scale: Worth of one integer before, ``()`` or ``(C,)``.
        input_zero_point: Integer of zero before.
        divisor: Power of two by which integers are divided.
        scale: Worth of one code after.
        zero_point: Code of zero after.
        bit_width: Of the codes.
        signed: Whether codes are two's complement.
        narrow: Whether the most negative code is left out.
        rounding: QONNX's name of the rounding mode.
    """

    input_scale: Floats
    input_zero_point: int
    divisor: float
    scale: Floats
    zero_point: int
    bit_width: int
    signed: bool
    narrow: bool
    rounding: str

    bipolar = False

    def codes(self, values: Floats) -> Integers:
        """Return the codes of float32 values. Source: qonnx 1.0.0, `trunc_v2`."""
        with np.errstate(over="ignore"):
            steps = np.rint(values / self.input_scale + np.float32(self.input_zero_point)) / np.float32(self.divisor)
        return np.asarray(
            ROUNDINGS[self.rounding](np.clip(steps, np.float32(self.range[0]), np.float32(self.range[1]))), np.int64
        )

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest code."""
        form = FixedPoint(self.bit_width, 0, self.signed, "AP_RND_CONV", "AP_SAT_SYM" if self.narrow else "AP_SAT")
        return form.lowest, form.highest

    def format(self) -> Format:
        """Return the format of the codes: on the scale's grid where it is one power of two, else whole numbers."""
        return code_format(self.scale, self.bit_width, self.signed, self.narrow, bipolar=False)


def code_format(scale: Floats, bit_width: int, signed: bool, narrow: bool, bipolar: bool) -> Format:
    """Return the format of a quantiser's codes: on the scale's grid where it is one power of two, else whole numbers.

    >>> code_format(np.float32(0.25), 4, True, False, False).ap_fixed
    'ap_fixed<4,2,AP_RND_CONV,AP_SAT>'
    >>> code_format(np.float32(0.3), 4, True, False, False).ap_fixed
    'ap_fixed<4,4,AP_RND_CONV,AP_SAT>'
    """
    if bipolar:
        return Bipolar()
    first = float(np.asarray(scale).reshape(-1)[0])
    grid = first if (np.asarray(scale) == first).all() and is_power_of_two(first) else 1.0
    return format_of(grid, bit_width, signed, narrow)


def is_power_of_two(value: float) -> bool:
    """Return whether a scale is a power of two that a fixed-point format can have."""
    try:
        fractional_bits(value)
    except ValueError:
        return False
    return True
