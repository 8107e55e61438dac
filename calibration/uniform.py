"""The textbook uniform quantiser: a scale, a zero point and a bit width.

`UniformGrid` quantises and dequantises; `symmetric` and `asymmetric` make one that holds a range; `fixed_point` gives
the hardware's name of one; `squared_error` and `signal_to_noise_db` tell what it costs.

Source: Jacob et al., Quantization and Training of Neural Networks, arXiv:1712.05877, section 2.1; ONNX
`QuantizeLinear` and QONNX `Quant`, which round half to even and saturate.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitwright.quant.fixed_point import FixedPoint, format_of

SMALLEST_SCALE = 2.0**-12
"""Scale of what is zero everywhere; the same as of `bitwright.quant.quantizer_scale`, which needs torch."""

MAX_BIT_WIDTH = 32

_SMALLEST_NORMAL = 2.0**-1022  # a scale below it, of data that small, would lose bits or be zero


@dataclass(frozen=True, eq=False)
class UniformGrid:
    """Values ``(code - zero_point) * scale``, with integer codes of ``bit_width`` bits.

    Args:
        scale: Value of one step; one number, or one per channel, shape ``(channels,)``.
        zero_point: The code of zero, shaped as ``scale``.
        bit_width: Bits of a code, sign included; 2 to 32.
        signed: Whether the code is two's complement.
        narrow_range: Whether the most negative code is left out. An unsigned grid has none, and stays as it is.
        axis: Of the values, the axis of the channels; none if one scale serves all.

    Raises:
        ValueError: If the bit width is out of range, a scale is not positive and finite, a zero point is no code, or
            there are channels and no axis or an axis and no channels.

    >>> grid = UniformGrid(scale=0.5, zero_point=0, bit_width=3, signed=True)
    >>> grid.quantize([-9.0, 0.25, 0.75, 9.0])
    array([-4,  0,  2,  3])
    >>> grid.dequantize([-4, 0, 2, 3])
    array([-2. ,  0. ,  1. ,  1.5])
    """

    scale: float | NDArray[np.float64]
    zero_point: int | NDArray[np.int64]
    bit_width: int
    signed: bool
    narrow_range: bool = False
    axis: int | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.bit_width <= MAX_BIT_WIDTH:
            raise ValueError(f"UniformGrid: bit_width must be 2 to {MAX_BIT_WIDTH}, not {self.bit_width!r}")
        scale, zero_point = np.array(self.scale, np.float64), np.array(self.zero_point, np.int64)
        if scale.ndim != (self.axis is not None) or scale.shape != zero_point.shape:
            raise ValueError(
                "UniformGrid: scale and zero_point must be single numbers without an axis, and one per channel with "
                f"one, not of shapes {scale.shape} and {zero_point.shape} with axis {self.axis}"
            )
        for value in scale[~((scale > 0) & np.isfinite(scale))].flat:
            raise ValueError(f"UniformGrid: scale must be positive and finite, not {float(value)!r}")
        for code in zero_point[(zero_point < self.lowest) | (zero_point > self.highest)].flat:
            raise ValueError(
                f"UniformGrid: zero_point must be a code, {self.lowest} to {self.highest}, not {int(code)!r}"
            )
        for array in (scale, zero_point):
            array.flags.writeable = False
        object.__setattr__(self, "scale", scale if self.axis is not None else float(scale))
        object.__setattr__(self, "zero_point", zero_point if self.axis is not None else int(zero_point))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, UniformGrid):
            return NotImplemented
        return (
            np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
            and (self.bit_width, self.lowest, self.highest, self.axis)
            == (other.bit_width, other.lowest, other.highest, other.axis)
        )

    __hash__ = None  # type: ignore[assignment]  # it may hold arrays

    @property
    def lowest(self) -> int:
        """Smallest code."""
        return -(1 << (self.bit_width - 1)) + self.narrow_range if self.signed else 0

    @property
    def highest(self) -> int:
        """Largest code."""
        return (1 << (self.bit_width - self.signed)) - 1

    def quantize(self, values: ArrayLike) -> NDArray[np.int64]:
        """Return the code of the nearest value, of two equally near the one whose distance to zero's code is even.

        Args:
            values: Numbers of any shape with the channels along ``axis``. What lies beyond the range saturates.

        Returns:
            Codes of the same shape.

        Raises:
            ValueError: If a value is not a number.
        """
        values = np.asarray(values, np.float64)
        if np.isnan(values).any():
            raise ValueError("UniformGrid: values must be numbers, not nan")
        scale, zero_point = self._stretched(values.ndim)
        with np.errstate(over="ignore"):  # infinitely many steps saturate like too many
            steps = np.rint(values / scale)
        return np.asarray(np.clip(steps, self.lowest - zero_point, self.highest - zero_point), np.int64) + zero_point

    def dequantize(self, codes: ArrayLike) -> NDArray[np.float64]:
        """Return the values of codes, of the same shape with the channels along ``axis``."""
        codes = np.asarray(codes, np.int64)
        scale, zero_point = self._stretched(codes.ndim)
        return np.asarray((codes - zero_point) * scale, np.float64)

    def _stretched(self, axes: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return scale and zero point with the axes of a tensor, one long but for the channels'."""
        shape = [1] * axes
        if self.axis is not None:
            shape[self.axis] = -1
        return np.reshape(np.asarray(self.scale), shape), np.reshape(np.asarray(self.zero_point), shape)


def symmetric(
    lowest: ArrayLike,
    highest: ArrayLike,
    bit_width: int,
    *,
    signed: bool,
    power_of_two: bool = False,
    narrow_range: bool = False,
    axis: int | None = None,
) -> UniformGrid:
    """Return the finest grid with zero point 0 that holds a range.

    Args:
        lowest: Smallest value to hold; one number, or one per channel, shape ``(channels,)``. An unsigned grid does
            not heed it: what is negative becomes zero, as of a ReLU.
        highest: Largest value to hold, shaped as ``lowest``.
        bit_width: Bits of a code.
        signed: Whether the codes are two's complement.
        power_of_two: Whether the scale must be a power of two; it is then the smallest that holds the range.
        narrow_range: Whether the most negative code is left out.
        axis: Axis of the channels, if there are any.

    Returns:
        The grid. Its scale is ``SMALLEST_SCALE`` where the range is nothing but zero.

    Raises:
        ValueError: If a range is empty or not finite, or `UniformGrid` refuses.

    >>> symmetric(-1.0, 0.5, 8, signed=True, power_of_two=True).scale
    0.0078125
    """
    low, high = _range("symmetric", lowest, highest)
    codes = UniformGrid(1.0, 0, bit_width, signed, narrow_range)
    below = -low if signed else np.zeros_like(low)
    below, above = np.maximum(below, 0.0), np.maximum(high, 0.0)
    scale = _usable(np.maximum(above / codes.highest, below / max(1, -codes.lowest)), np.maximum(above, below))
    if power_of_two:
        scale = _next_power_of_two(scale)
        # The quotient was rounded, perhaps down onto a power of two
        scale = np.where((above > codes.highest * scale) | (below > -codes.lowest * scale), 2 * scale, scale)
    return UniformGrid(scale, np.zeros(scale.shape, np.int64), bit_width, signed, narrow_range, axis)


def asymmetric(
    lowest: ArrayLike,
    highest: ArrayLike,
    bit_width: int,
    *,
    signed: bool = False,
    power_of_two: bool = False,
    narrow_range: bool = False,
    axis: int | None = None,
) -> UniformGrid:
    """Return the finest grid that holds a range and zero, with a zero point of its own.

    A free scale is the range divided by the steps, and rounding the zero point may move the ends by half a step; a
    power of two is the smallest whose grid holds both ends.

    Args:
        lowest: Smallest value to hold; one number, or one per channel, shape ``(channels,)``. Zero if positive.
        highest: Largest value to hold, shaped as ``lowest``. Zero if negative.
        bit_width: Bits of a code.
        signed: Whether the codes are two's complement.
        power_of_two: Whether the scale must be a power of two.
        narrow_range: Whether the most negative code is left out.
        axis: Axis of the channels, if there are any.

    Returns:
        The grid. Its scale is ``SMALLEST_SCALE`` where the range is nothing but zero.

    Raises:
        ValueError: If a range is empty or not finite, or `UniformGrid` refuses.

    >>> grid = asymmetric(-1.0, 3.0, 2)
    >>> grid.zero_point, grid.dequantize([0, 1, 2, 3])
    (1, array([-1.33333333,  0.        ,  1.33333333,  2.66666667]))
    """
    low, high = _range("asymmetric", lowest, highest)
    below, above = np.maximum(-low, 0.0), np.maximum(high, 0.0)
    codes = UniformGrid(1.0, 0, bit_width, signed, narrow_range)
    steps = codes.highest - codes.lowest
    scale = _usable(above / steps + below / steps, np.maximum(above, below))
    if power_of_two:
        scale = _next_power_of_two(scale)
        scale = np.where(np.ceil(below / scale) + np.ceil(above / scale) > steps, 2 * scale, scale)
        beneath = np.ceil(below / scale)
    else:
        beneath = np.minimum(np.rint(below / scale), steps)
    zero_point = codes.lowest + beneath.astype(np.int64)
    return UniformGrid(scale, zero_point, bit_width, signed, narrow_range, axis)


def shift_of(scale: float) -> int:
    """Return ``k`` such that ``scale == 2**k``.

    Raises:
        ValueError: If the scale is not a positive power of two.

    >>> shift_of(0.125), shift_of(4.0)
    (-3, 2)
    """
    mantissa, exponent = math.frexp(scale) if math.isfinite(scale) else (0.0, 0)
    if mantissa != 0.5:
        raise ValueError(f"shift_of: scale must be a power of two, not {scale!r}; make the grid with power_of_two=True")
    return exponent - 1


def fixed_point(grid: UniformGrid) -> FixedPoint:
    """Return the fixed-point format with the grid's values, rounding and saturation.

    Raises:
        ValueError: If the grid has channels, a zero point, or a scale that is not a power of two.

    >>> fixed_point(UniformGrid(scale=0.25, zero_point=0, bit_width=4, signed=True)).ap_fixed
    'ap_fixed<4,2,AP_RND_CONV,AP_SAT>'
    """
    if grid.axis is not None:
        raise ValueError(
            f"fixed_point: grid must be of one scale, not one per channel of axis {grid.axis}; ask channel by channel"
        )
    if grid.zero_point != 0:
        raise ValueError(f"fixed_point: zero_point must be 0, not {grid.zero_point!r}; make a symmetric grid")
    shift_of(float(grid.scale))
    return format_of(float(grid.scale), grid.bit_width, grid.signed, grid.narrow_range)


def squared_error(values: ArrayLike, grid: UniformGrid) -> float:
    """Return the mean of the squared errors of quantising, in the square of the values' unit.

    Args:
        values: Numbers of any shape with the channels along the grid's axis; at least one.
        grid: Quantises them.

    Raises:
        ValueError: If there are no values, or one is not a number.

    >>> squared_error([0.0, 0.5, 1.0, 1.0], UniformGrid(scale=1.0, zero_point=0, bit_width=2, signed=True))
    0.0625
    """
    values = _some("squared_error", values)
    return float(np.mean((values - grid.dequantize(grid.quantize(values))) ** 2))


def signal_to_noise_db(values: ArrayLike, grid: UniformGrid) -> float:
    """Return the mean square of the values over that of their errors, in decibels; infinite if no value changes.

    Args:
        values: As of `squared_error`.
        grid: Quantises them.

    Raises:
        ValueError: If there are no values, or one is not a number.

    >>> round(signal_to_noise_db([0.0, 1.1], UniformGrid(scale=1.0, zero_point=0, bit_width=2, signed=True)), 2)
    20.83
    """
    values = _some("signal_to_noise_db", values)
    noise = squared_error(values, grid)
    return 10.0 * math.log10(float(np.mean(values**2)) / noise) if noise else math.inf


def _some(where: str, values: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(values, np.float64)
    if not values.size:
        raise ValueError(f"{where}: values must be at least one, not none")
    return values


def _range(where: str, lowest: ArrayLike, highest: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low, high = np.broadcast_arrays(np.asarray(lowest, np.float64), np.asarray(highest, np.float64))
    for ends in zip(low.flat, high.flat, strict=True):
        if not -math.inf < ends[0] <= ends[1] < math.inf:
            raise ValueError(
                f"{where}: range must be finite and its lowest value at most its highest, "
                f"not {float(ends[0])!r} to {float(ends[1])!r}"
            )
    return low, high


def _usable(scale: NDArray[np.float64], magnitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace the scale of nothing but zero, and bring one too small for a float's full precision up to that."""
    return np.where(magnitude == 0, SMALLEST_SCALE, np.maximum(scale, _SMALLEST_NORMAL))


def _next_power_of_two(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the smallest powers of two that are not smaller than the values."""
    mantissa, exponent = np.frexp(values)
    with np.errstate(over="ignore"):  # the grid refuses what is not finite
        return np.asarray(np.ldexp(1.0, exponent - (mantissa == 0.5)), np.float64)
