"""The uniform quantiser, against PyTorch's and against the fixed-point format."""

import math
import re
from collections.abc import Callable
from math import inf, nan

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bitwright.calibration.uniform import (
    SMALLEST_SCALE,
    UniformGrid,
    asymmetric,
    fixed_point,
    shift_of,
    signal_to_noise_db,
    squared_error,
    symmetric,
)
from bitwright.quant import quantizer_scale
from bitwright.quant.fixed_point import FixedPoint

Maker = Callable[..., UniformGrid]
Measure = Callable[[object, UniformGrid], float]

MAKERS: tuple[Maker, ...] = (symmetric, asymmetric)

GRID = UniformGrid(scale=0.5, zero_point=0, bit_width=4, signed=True)
CHANNELS = UniformGrid(np.array([0.5, 2.0]), np.array([0, 1]), bit_width=4, signed=True, axis=0)

magnitudes = st.floats(2.0**-40, 2.0**40)
numbers = st.one_of(magnitudes, magnitudes.map(lambda magnitude: -magnitude), st.just(0.0))
ranges = st.tuples(numbers, numbers).map(sorted)
bit_widths = st.integers(2, 16)


@st.composite
def grids(draw: st.DrawFn, *, power_of_two: bool | None = None) -> UniformGrid:
    """Any grid of one scale: of 2 to 16 bits, of all kinds."""
    make = draw(st.sampled_from(MAKERS))
    lowest, highest = draw(ranges)
    return make(
        lowest,
        highest,
        draw(bit_widths),
        signed=draw(st.booleans()),
        power_of_two=draw(st.booleans()) if power_of_two is None else power_of_two,
        narrow_range=draw(st.booleans()),
    )


def ends(grid: UniformGrid) -> tuple[float, float]:
    """The least and the greatest value of a grid."""
    lowest, highest = grid.dequantize([grid.lowest, grid.highest]).tolist()
    return lowest, highest


@given(grids(), st.integers(0, 2**32))
def test_quantising_is_that_of_torch(grid: UniformGrid, seed: int) -> None:
    # Torch multiplies by the inverse in float32, so values stay off the middle between two codes
    steps = np.random.default_rng(seed).integers(-40, 40, 50) + np.random.default_rng(seed).uniform(-0.4, 0.4, 50)
    values = (steps * grid.scale).astype(np.float32)
    expected = torch.fake_quantize_per_tensor_affine(
        torch.from_numpy(values), float(grid.scale), int(grid.zero_point), grid.lowest, grid.highest
    )
    np.testing.assert_allclose(grid.dequantize(grid.quantize(values)), expected, rtol=1e-6)


@pytest.mark.parametrize("zero_point", [-8, 0, 3])
def test_halves_are_rounded_as_by_torch(zero_point: int) -> None:
    values = torch.arange(-60, 60) / 8
    expected = torch.fake_quantize_per_tensor_affine(values, 0.25, zero_point, -8, 7)
    grid = UniformGrid(scale=0.25, zero_point=zero_point, bit_width=4, signed=True)
    assert grid.dequantize(grid.quantize(values.numpy())).tolist() == expected.tolist()


def test_channels_are_quantised_as_by_torch() -> None:
    values = torch.randn((3, 4, 5), generator=torch.Generator().manual_seed(1)) * 4
    scale, zero_point = torch.tensor([0.25, 0.5, 1.0, 2.0]), torch.tensor([0, 3, 7, 15], dtype=torch.int32)
    expected = torch.fake_quantize_per_channel_affine(values, scale, zero_point, 1, 0, 15)
    for axis in (1, -2):
        grid = UniformGrid(scale.numpy().astype(np.float64), zero_point.numpy(), bit_width=4, signed=False, axis=axis)
        assert grid.dequantize(grid.quantize(values.numpy())).tolist() == expected.tolist()


@given(grids(), st.lists(numbers, min_size=1))
def test_quantising_twice_is_quantising_once(grid: UniformGrid, values: list[float]) -> None:
    once = grid.quantize(values)
    assert grid.quantize(grid.dequantize(once)).tolist() == once.tolist()


@given(grids(), st.floats(0, 1))
def test_error_within_the_range_is_at_most_half_a_step(grid: UniformGrid, where: float) -> None:
    lowest, highest = ends(grid)
    value = lowest + where * (highest - lowest)
    error = abs(value - grid.dequantize(grid.quantize(value)))
    assert error <= grid.scale * (0.5 + 1e-9)


@given(grids())
def test_zero_is_a_value_of_every_grid(grid: UniformGrid) -> None:
    assert grid.quantize(0.0) == grid.zero_point
    assert grid.dequantize(grid.quantize(-0.0)) == 0.0


@given(grids())
def test_what_is_beyond_the_range_becomes_its_end(grid: UniformGrid) -> None:
    assert grid.quantize([-inf, -1e308, 1e308, inf]).tolist() == [grid.lowest] * 2 + [grid.highest] * 2


@given(ranges, bit_widths, st.booleans(), st.booleans())
def test_symmetric_power_of_two_is_the_smallest_that_holds_the_range(
    interval: list[float], bit_width: int, signed: bool, narrow_range: bool
) -> None:
    lowest, highest = interval
    assume(highest > 0 or (signed and lowest < 0))
    grid = symmetric(lowest, highest, bit_width, signed=signed, power_of_two=True, narrow_range=narrow_range)

    def holds(scale: float) -> bool:
        return grid.highest * scale >= highest and (not signed or grid.lowest * scale <= lowest)

    assert grid.scale == 2.0 ** shift_of(float(grid.scale))
    assert (holds(float(grid.scale)), holds(float(grid.scale) / 2)) == (True, False)


@given(ranges, bit_widths, st.booleans())
def test_asymmetric_power_of_two_is_the_smallest_that_holds_the_range(
    interval: list[float], bit_width: int, signed: bool
) -> None:
    lowest, highest = min(0.0, interval[0]), max(0.0, interval[1])
    assume(lowest < highest)
    grid = asymmetric(interval[0], interval[1], bit_width, signed=signed, power_of_two=True)
    half = 2.0 ** shift_of(float(grid.scale)) / 2
    assert ends(grid)[0] <= lowest
    assert ends(grid)[1] >= highest
    assert math.ceil(highest / half) - math.floor(lowest / half) > 2**bit_width - 1


@given(ranges, bit_widths, st.booleans(), st.booleans())
def test_free_scale_holds_the_range_to_half_a_step_and_no_more(
    interval: list[float], bit_width: int, signed: bool, narrow_range: bool
) -> None:
    lowest, highest = min(0.0, interval[0]), max(0.0, interval[1])
    assume(lowest < highest)
    grid = asymmetric(interval[0], interval[1], bit_width, signed=signed, narrow_range=narrow_range)
    assert grid.scale * (grid.highest - grid.lowest) == pytest.approx(highest - lowest)
    assert ends(grid)[0] == pytest.approx(lowest, abs=float(grid.scale) * 0.5001)
    even = symmetric(interval[0], interval[1], bit_width, signed=True, narrow_range=True)
    assert ends(even)[1] == pytest.approx(max(highest, -lowest))


def test_channels_have_the_grids_that_they_would_have_alone() -> None:
    lowest, highest = np.array([-1.0, 0.0, 0.0]), np.array([3.0, 0.3, 0.0])
    for make in MAKERS:
        for power_of_two in (False, True):
            grid = make(lowest, highest, 5, signed=True, power_of_two=power_of_two, axis=2)
            alone = [
                make(low, high, 5, signed=True, power_of_two=power_of_two)
                for low, high in zip(lowest, highest, strict=True)
            ]
            assert np.asarray(grid.scale).tolist() == [one.scale for one in alone]
            assert np.asarray(grid.zero_point).tolist() == [one.zero_point for one in alone]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("power_of_two", [False, True])
def test_scale_of_nothing_but_zero_is_that_of_dead_weights(make: Maker, power_of_two: bool) -> None:
    grid = make(0.0, 0.0, 8, signed=True, power_of_two=power_of_two)
    assert grid.scale == SMALLEST_SCALE == quantizer_scale.SMALLEST_SCALE
    assert grid.quantize(0.0) == grid.zero_point


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("magnitude", [5e-324, 1e-310, 1e300])
def test_extreme_range_has_a_grid(make: Maker, magnitude: float) -> None:
    grid = make(-magnitude, magnitude, 8, signed=True, power_of_two=True)
    assert 2.0 ** shift_of(float(grid.scale)) == grid.scale
    assert grid.scale <= max(2.0**-1022, 4 * magnitude / 255)
    assert abs(grid.dequantize(grid.quantize(magnitude)) - magnitude) <= grid.scale / 2


@given(grids(power_of_two=True), st.lists(st.integers(-(2**40), 2**40), min_size=1), st.integers(-20, 20))
def test_fixed_point_format_rounds_and_saturates_as_the_grid(
    grid: UniformGrid, codes: list[int], exponent: int
) -> None:
    assume(grid.zero_point == 0)
    fractional = exponent - shift_of(float(grid.scale))
    cast = fixed_point(grid).cast(np.array(codes), fractional)
    assert cast.tolist() == grid.quantize(np.ldexp(np.array(codes, np.float64), -fractional)).tolist()


def test_fixed_point_format_of_a_grid_has_its_bits() -> None:
    assert fixed_point(GRID) == FixedPoint(4, 3, signed=True, rounding="AP_RND_CONV", overflow="AP_SAT")
    narrow = UniformGrid(scale=0.5, zero_point=0, bit_width=4, signed=True, narrow_range=True)
    assert (fixed_point(narrow).overflow, fixed_point(narrow).lowest) == ("AP_SAT_SYM", narrow.lowest)


def test_squared_error_is_the_mean_over_the_values() -> None:
    values = np.random.default_rng(0).normal(size=(2, 1000)) * 3
    alone = [squared_error(values[channel], UniformGrid((0.5, 2.0)[channel], 0, 4, signed=True)) for channel in (0, 1)]
    both = UniformGrid(np.array([0.5, 2.0]), np.array([0, 0]), 4, signed=True, axis=0)
    assert squared_error(values, both) == pytest.approx(np.mean(alone))
    ratio = np.mean(values**2) / squared_error(values, both)
    assert signal_to_noise_db(values, both) == pytest.approx(10 * np.log10(ratio))


def test_noise_of_a_step_is_that_of_the_textbook() -> None:
    values = np.linspace(-1, 1, 2_000_001)  # a uniform distribution has 6.02 dB for each bit
    assert signal_to_noise_db(values, symmetric(-1, 1, 12, signed=True)) == pytest.approx(20 * np.log10(4096), abs=0.01)


def test_values_of_the_grid_have_no_noise() -> None:
    assert signal_to_noise_db([0.0, 0.5, -4.0], GRID) == inf
    assert signal_to_noise_db([0.0, 0.0], GRID) == inf


def test_grids_are_equal_if_their_values_are() -> None:
    same = UniformGrid(np.array([0.5, 2.0]), np.array([0, 1]), bit_width=4, signed=True, axis=0)
    other = UniformGrid(np.array([0.5, 2.0]), np.array([0, 0]), bit_width=4, signed=True, axis=0)
    narrow = UniformGrid(scale=0.5, zero_point=0, bit_width=4, signed=True, narrow_range=True)
    assert same == CHANNELS
    assert other != CHANNELS
    assert narrow != GRID
    assert GRID != 0.5


def test_scales_of_a_grid_stay_as_they_are() -> None:
    scale = np.array([0.5, 2.0])
    grid = UniformGrid(scale, np.array([0, 1]), bit_width=4, signed=True, axis=0)
    scale[0] = 7
    assert np.asarray(grid.scale).tolist() == [0.5, 2.0]
    with pytest.raises(ValueError, match=r"^assignment destination is read-only$"):
        np.asarray(grid.scale)[0] = 7


@given(st.integers(-1074, 1023))
def test_shift_of_every_power_of_two_is_found(shift: int) -> None:
    assert shift_of(2.0**shift) == shift


@pytest.mark.parametrize("scale", [0.3, 0.0, nan, inf, -0.5])
def test_shift_of_another_scale_is_refused(scale: float) -> None:
    says = f"shift_of: scale must be a power of two, not {scale!r}; make the grid with power_of_two=True"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        shift_of(scale)


@pytest.mark.parametrize("bit_width", [1, 33])
def test_bit_width_out_of_range_is_refused(bit_width: int) -> None:
    with pytest.raises(ValueError, match=rf"^UniformGrid: bit_width must be 2 to 32, not {bit_width}$"):
        UniformGrid(scale=1.0, zero_point=0, bit_width=bit_width, signed=True)


@pytest.mark.parametrize("scale", [0.0, -1.0, nan, inf])
def test_scale_that_is_not_positive_and_finite_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match=rf"^UniformGrid: scale must be positive and finite, not {scale}$"):
        UniformGrid(scale=scale, zero_point=0, bit_width=4, signed=True)


@pytest.mark.parametrize(("zero_point", "narrow_range"), [(-9, False), (8, False), (-8, True)])
def test_zero_point_that_is_no_code_is_refused(zero_point: int, narrow_range: bool) -> None:
    lowest = -8 + narrow_range
    with pytest.raises(ValueError, match=rf"^UniformGrid: zero_point must be a code, {lowest} to 7, not {zero_point}$"):
        UniformGrid(1.0, zero_point, bit_width=4, signed=True, narrow_range=narrow_range)


@pytest.mark.parametrize(
    ("scale", "zero_point", "axis", "has"),
    [
        (1.0, 0, 1, "() and () with axis 1"),
        (np.ones(2), np.zeros(2, np.int64), None, "(2,) and (2,) with axis None"),
        (np.ones(2), np.zeros(3, np.int64), 0, "(2,) and (3,) with axis 0"),
    ],
)
def test_channels_without_an_axis_and_an_axis_without_channels_are_refused(
    scale: float | NDArray[np.float64], zero_point: int | NDArray[np.int64], axis: int | None, has: str
) -> None:
    says = (
        "UniformGrid: scale and zero_point must be single numbers without an axis, and one per channel with one, "
        f"not of shapes {has}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        UniformGrid(scale, zero_point, bit_width=4, signed=True, axis=axis)


def test_value_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^UniformGrid: values must be numbers, not nan$"):
        GRID.quantize([1.0, nan])


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(("lowest", "highest"), [(1.0, -1.0), (nan, 1.0), (0.0, inf), (-inf, 0.0)])
def test_range_that_is_empty_or_not_finite_is_refused(make: Maker, lowest: float, highest: float) -> None:
    says = f"{make.__name__}: range must be finite and its lowest value at most its highest, not {lowest} to {highest}"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        make(lowest, highest, 8, signed=True)


def test_fixed_point_format_of_channels_or_of_a_zero_point_is_refused() -> None:
    says = "fixed_point: grid must be of one scale, not one per channel of axis 0; ask channel by channel"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        fixed_point(CHANNELS)
    with pytest.raises(ValueError, match=r"^fixed_point: zero_point must be 0, not 3; make a symmetric grid$"):
        fixed_point(UniformGrid(scale=0.5, zero_point=3, bit_width=4, signed=True))
    with pytest.raises(ValueError, match=r"^shift_of: scale must be a power of two, not 0\.3; make the grid with"):
        fixed_point(UniformGrid(scale=0.3, zero_point=0, bit_width=4, signed=True))


@pytest.mark.parametrize("measure", [squared_error, signal_to_noise_db])
def test_error_of_no_values_is_refused(measure: Measure) -> None:
    with pytest.raises(ValueError, match=rf"^{measure.__name__}: values must be at least one, not none$"):
        measure([], GRID)
