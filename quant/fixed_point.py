"""The fixed-point number format, spelt as Vitis HLS spells it."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Rounding = Literal["AP_TRN", "AP_RND", "AP_RND_CONV"]
Overflow = Literal["AP_WRAP", "AP_SAT", "AP_SAT_SYM"]

MAX_WIDTH = 63  # codes are kept in int64

_TEXT = re.compile(
    r"ap_(?P<u>u?)(?:fixed<(?P<width>\d+),(?P<integer>-?\d+)(?:,(?P<rounding>AP_\w+))?(?:,(?P<overflow>AP_\w+))?>"
    r"|int<(?P<int_width>\d+)>)"
)


@dataclass(frozen=True)
class FixedPoint:
    """A format whose values are ``code * 2**-fractional``, with integer codes of ``width`` bits.

    Args:
        width: Bits of the code, sign included; 1 to 63.
        integer: Bits left of the binary point, sign included, as in ``ap_fixed<width, integer>``. May be negative or
            greater than ``width``.
        signed: Whether the code is two's complement.
        rounding: How a finer value is brought onto the grid: ``AP_TRN`` toward minus infinity, ``AP_RND`` to nearest
            with halves up, ``AP_RND_CONV`` to nearest with halves to even (QONNX ``ROUND``).
        overflow: What a code out of range becomes: ``AP_WRAP`` modulo ``2**width``, ``AP_SAT`` the nearest end,
            ``AP_SAT_SYM`` the nearest end of the symmetric range (QONNX ``narrow``).

    Raises:
        ValueError: If the width is out of range, or a mode is unknown.

    Source: UG1399 (Vitis HLS), "Arbitrary Precision Fixed-Point Data Types".

    >>> FixedPoint(width=6, integer=2).ap_fixed
    'ap_fixed<6,2>'
    >>> FixedPoint(width=4, integer=4, signed=False).ap_fixed
    'ap_ufixed<4,4>'
    """

    width: int
    integer: int
    signed: bool = True
    rounding: Rounding = "AP_TRN"
    overflow: Overflow = "AP_WRAP"

    def __post_init__(self) -> None:
        if not 1 <= self.width <= MAX_WIDTH:
            raise ValueError(f"FixedPoint: width must be 1 to {MAX_WIDTH} bits, not {self.width!r}")
        if self.rounding not in get_args(Rounding):
            raise ValueError(f"FixedPoint: rounding must be one of {get_args(Rounding)}, not {self.rounding!r}")
        if self.overflow not in get_args(Overflow):
            raise ValueError(f"FixedPoint: overflow must be one of {get_args(Overflow)}, not {self.overflow!r}")

    @property
    def fractional(self) -> int:
        """Bits right of the binary point; negative when the step is greater than one."""
        return self.width - self.integer

    @property
    def step(self) -> float:
        """Value of one least significant bit."""
        return math.ldexp(1.0, -self.fractional)

    @property
    def lowest(self) -> int:
        """Smallest code."""
        if not self.signed:
            return 0
        return -(1 << (self.width - 1)) + (self.overflow == "AP_SAT_SYM")

    @property
    def highest(self) -> int:
        """Largest code."""
        return (1 << (self.width - self.signed)) - 1

    @property
    def ap_fixed(self) -> str:
        """The format as C++ of Vitis HLS writes it; modes are left out where they are the default."""
        modes = ""
        if self.overflow != "AP_WRAP":
            modes = f",{self.rounding},{self.overflow}"
        elif self.rounding != "AP_TRN":
            modes = f",{self.rounding}"
        return f"ap_{'' if self.signed else 'u'}fixed<{self.width},{self.integer}{modes}>"

    def holds(self, lowest: int, highest: int) -> bool:
        """Return whether every code from ``lowest`` to ``highest`` is a code of this format.

        >>> FixedPoint(width=4, integer=4).holds(-8, 7), FixedPoint(width=4, integer=4).holds(-8, 8)
        (True, False)
        """
        return self.lowest <= lowest and highest <= self.highest

    def plain(self) -> "FixedPoint":
        """Return the same grid and range without rounding or saturation, for values that are known to fit."""
        return replace(self, rounding="AP_TRN", overflow="AP_WRAP")

    def cast(self, codes: NDArray[np.int64], fractional: int) -> NDArray[np.int64]:
        """Bring codes of another binary point into this format, as a C++ assignment does.

        Args:
            codes: Integers of any shape, worth ``2**-fractional`` each.
            fractional: Bits right of the binary point of ``codes``.

        Returns:
            Codes of this format, of the same shape.

        >>> FixedPoint(3, 3, rounding="AP_RND_CONV", overflow="AP_SAT").cast(np.array([1, 3, 5, 99]), fractional=1)
        array([0, 2, 2, 3])
        """
        shift = fractional - self.fractional
        if shift < 0 and self.overflow != "AP_WRAP":  # the bits that int64 would lose are those that saturate
            codes = np.asarray(codes, dtype=np.int64)
            lowest, highest = -(-self.lowest >> -shift), self.highest >> -shift
            inside = np.clip(codes, lowest, highest) << -shift
            return np.where(codes < lowest, self.lowest, np.where(codes > highest, self.highest, inside))
        return self.overflowed(shift_round(codes, shift, self.rounding))

    def overflowed(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bring integers of this format's step into its range, by its overflow mode.

        >>> FixedPoint(width=3, integer=3).overflowed(np.array([3, 4, 5]))
        array([ 3, -4, -3])
        """
        if self.overflow != "AP_WRAP":
            return np.clip(codes, self.lowest, self.highest)
        codes = np.asarray(codes, dtype=np.int64)
        if self.signed:
            return (codes << (64 - self.width)) >> (64 - self.width)
        return codes & self.highest


def shift_round(codes: NDArray[np.int64], shift: int, rounding: Rounding) -> NDArray[np.int64]:
    """Divide integers by ``2**shift`` and round.

    Args:
        codes: Integers of any shape.
        shift: Bits to drop; negative to append zeros.
        rounding: As in `FixedPoint`.

    Returns:
        Integers of the same shape. Of appended zeros, the lowest 64 bits.

    >>> shift_round(np.array([-3, -1, 1, 3]), 1, "AP_RND_CONV")
    array([-2,  0,  0,  2])
    """
    codes = np.asarray(codes, dtype=np.int64)
    if shift <= 0:
        return codes << -shift
    shift = min(shift, 64)  # beyond, int64 codes are less than half a step, as they are at 64
    floor = codes >> shift
    half = (codes >> (shift - 1)) & 1  # the first dropped bit
    match rounding:
        case "AP_TRN":
            return floor
        case "AP_RND":
            return floor + half
        case "AP_RND_CONV":
            beyond_half = codes & ((1 << (shift - 1)) - 1) != 0
            return np.asarray(floor + (half & (beyond_half | (floor & 1))), np.int64)


def parse_ap_fixed(text: str) -> FixedPoint:
    """Read a format from its C++ text.

    Args:
        text: ``ap_fixed<W,I[,Q[,O]]>``, ``ap_ufixed<...>``, ``ap_int<W>`` or ``ap_uint<W>``; blanks are ignored.

    Returns:
        The format.

    Raises:
        ValueError: If the text is none of these.

    >>> parse_ap_fixed("ap_ufixed<6, 1, AP_RND_CONV, AP_SAT>")
    FixedPoint(width=6, integer=1, signed=False, rounding='AP_RND_CONV', overflow='AP_SAT')
    """
    found = _TEXT.fullmatch(re.sub(r"\s", "", text))
    if not found:
        raise ValueError(f"ap_fixed: text must be ap_[u]fixed<W,I[,Q[,O]]> or ap_[u]int<W>, not {text!r}")
    part: Mapping[str, str | None] = found.groupdict()
    width = int(part["width"] or part["int_width"] or 0)
    return FixedPoint(
        width=width,
        integer=width if part["integer"] is None else int(part["integer"]),
        signed=not part["u"],
        rounding=part["rounding"] or "AP_TRN",  # type: ignore[arg-type]  # __post_init__ checks it
        overflow=part["overflow"] or "AP_WRAP",  # type: ignore[arg-type]
    )


def smallest_format(lowest: int, highest: int, fractional: int = 0) -> FixedPoint:
    """Return the narrowest format that holds every code of an interval.

    Args:
        lowest: Smallest code.
        highest: Largest code.
        fractional: Bits right of the binary point.

    Returns:
        An unsigned format if ``lowest`` is not negative, else a signed one; no rounding, no saturation.

    Raises:
        ValueError: If the interval is empty, or needs more than 63 bits.

    >>> smallest_format(-5, 20, fractional=2)
    FixedPoint(width=6, integer=4, signed=True, rounding='AP_TRN', overflow='AP_WRAP')
    """
    if lowest > highest:
        raise ValueError(f"smallest_format: lowest must be at most highest ({highest}), not {lowest!r}")
    signed = lowest < 0
    magnitude = max((~int(code) if code < 0 else int(code)).bit_length() for code in (lowest, highest))
    width = max(1, magnitude + signed)
    return FixedPoint(width=width, integer=width - fractional, signed=signed)


def format_of(scale: float, bit_width: int, signed: bool, narrow: bool = False) -> FixedPoint:
    """Return the format of an integer quantiser: rounds half to even, and saturates.

    Args:
        scale: Value of one least significant bit. A power of two.
        bit_width: Bits of the integer, sign included.
        signed: Whether the integer is two's complement.
        narrow: Whether the most negative code is left out.

    Returns:
        The format whose step is ``scale``; every value agrees exactly.

    Raises:
        ValueError: If ``scale`` is not a positive power of two.

    Source: QONNX `Quant` operator; UG1399, ap_fixed.

    >>> format_of(scale=0.25, bit_width=4, signed=True).ap_fixed
    'ap_fixed<4,2,AP_RND_CONV,AP_SAT>'
    """
    return FixedPoint(
        width=bit_width,
        integer=bit_width - fractional_bits(scale),
        signed=signed,
        rounding="AP_RND_CONV",
        overflow="AP_SAT_SYM" if narrow else "AP_SAT",
    )


def fractional_bits(scale: float) -> int:
    """Return ``f`` such that ``scale == 2**-f``.

    Raises:
        ValueError: If ``scale`` is not a positive power of two.

    >>> fractional_bits(0.125), fractional_bits(4.0)
    (3, -2)
    """
    mantissa, exponent = math.frexp(scale) if math.isfinite(scale) else (0.0, 0)
    if mantissa != 0.5:
        raise ValueError(
            f"scale: value must be a power of two, not {scale!r}; set restrict_scaling_type to POWER_OF_TWO"
        )
    return 1 - exponent
