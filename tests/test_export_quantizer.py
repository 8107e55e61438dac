"""Integer quantisers, against qonnx's operators executed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from qonnx.custom_op.general.bipolar_quant import binary_quant
from qonnx.custom_op.general.quant import quant
from qonnx.custom_op.general.trunc import trunc_v2

from bitwright.export.quantizer import ROUNDINGS, Floats, Quantizer, Truncation, code_format, is_power_of_two
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.fixed_point import FixedPoint

FLOATS = st.floats(width=32, allow_nan=False, allow_subnormal=False)
EXPONENTS = st.integers(-12, 8)
SCALES = st.one_of(EXPONENTS.map(lambda exponent: 2.0**exponent), st.floats(2.0**-12, 2.0**8, width=32))
KINDS = st.sampled_from([(True, False), (True, True), (False, False)])
MODES = st.sampled_from(sorted(ROUNDINGS))
# Halves and their neighbours, where rounding is decided
TIES = [np.nextafter(np.float32(k + 0.5), np.float32(way)) for k in range(-9, 9) for way in (-99, k + 0.5, 99)]


def scales(exponents: list[int]) -> Floats:
    return np.array([2.0**exponent for exponent in exponents], np.float32)


@settings(deadline=None)
@given(
    values=arrays(np.float32, (6, 2), elements=FLOATS),
    scale=st.lists(SCALES, min_size=2, max_size=2).map(lambda found: np.array(found, np.float32)),
    bit_width=st.integers(1, 16),
    kind=KINDS,
    mode=MODES,
    zero_point=st.one_of(st.just(0), st.integers(-300, 300)),
)
def test_codes_and_values_are_those_of_the_quant_operator(
    values: Floats, scale: Floats, bit_width: int, kind: tuple[bool, bool], mode: str, zero_point: int
) -> None:
    signed, narrow = kind
    bipolar = signed and bit_width == 1
    zero_point = 0 if bipolar else zero_point
    ties = np.array(TIES, np.float32).reshape(-1, 2)
    values = np.concatenate([values, ties * scale, (ties - np.float32(zero_point)) * scale])
    values[0] = 3e38  # overflows where the scale is below one
    with np.errstate(over="ignore"):
        wanted = quant(values, scale, np.float32(zero_point), np.float32(bit_width), signed, narrow, mode)
    quantizer = Quantizer(scale, bit_width, signed, narrow, bipolar, zero_point, mode)
    codes = quantizer.codes(values)
    assert codes.dtype == np.int64
    assert quantizer.range[0] <= codes.min() <= codes.max() <= quantizer.range[1]
    assert wanted.dtype == np.float32
    assert (quantizer.values(codes) == wanted).all()


@settings(deadline=None)
@given(values=arrays(np.float32, 6, elements=FLOATS), exponent=EXPONENTS)
def test_codes_are_those_of_the_bipolar_quant_operator(values: Floats, exponent: int) -> None:
    scale = np.float32(2.0**exponent)
    values = np.concatenate([values, np.array([0.0, -0.0, 1e-45, -1e-45], np.float32)])
    codes = Quantizer(np.array(scale), 1, signed=True, narrow=False, bipolar=True).codes(values)
    assert (codes * scale == binary_quant(values, scale)).all()


@settings(deadline=None)
@given(
    integers=arrays(np.int64, (8, 2), elements=st.integers(-(2**15), 2**15)),
    scale=st.lists(SCALES, min_size=2, max_size=2).map(lambda found: np.array(found, np.float32)),
    shift=st.integers(0, 8),
    bit_width=st.integers(1, 16),
    kind=KINDS,
    mode=MODES,
    zero_after=st.one_of(st.just(0), st.integers(-40, 40)),
    noise=st.sampled_from([0.0, 2.0**-22, -(2.0**-22)]),
)
def test_truncated_codes_are_those_of_the_trunc_operator(
    integers: NDArray[np.int64],
    scale: Floats,
    shift: int,
    bit_width: int,
    kind: tuple[bool, bool],
    mode: str,
    zero_after: int,
    noise: float,
) -> None:
    """Of floats that are integers on their grid, and a little off it."""
    signed, narrow = kind
    divisor = 2.0**shift
    zero_point = zero_after * int(divisor)
    values = ((integers - zero_point).astype(np.float32) * scale * np.float32(1 + noise)).astype(np.float32)
    output_scale = scale * np.float32(divisor)
    wanted = trunc_v2(
        values, scale, np.float32(zero_point), 32, narrow, signed, output_scale, np.float32(bit_width), mode
    )
    truncation = Truncation(
        scale, zero_point, divisor, output_scale, zero_after, bit_width, signed, narrow, rounding=mode
    )
    codes = truncation.codes(values)
    assert truncation.range[0] <= codes.min() <= codes.max() <= truncation.range[1]
    assert ((codes - zero_after).astype(np.float32) * output_scale == wanted).all()


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("ROUND", [-2, -2, 0, 0, 2, 2]),
        ("HALF_EVEN", [-2, -2, 0, 0, 2, 2]),
        ("CEIL", [-2, -1, 0, 1, 2, 3]),
        ("FLOOR", [-3, -2, -1, 0, 1, 2]),
        ("UP", [-3, -2, -1, 1, 2, 3]),
        ("DOWN", [-2, -1, 0, 0, 1, 2]),
        ("HALF_UP", [-3, -2, -1, 1, 2, 3]),
        ("HALF_DOWN", [-2, -1, 0, 0, 1, 2]),
    ],
)
def test_rounding_modes_by_hand(mode: str, wanted: list[int]) -> None:
    quantizer = Quantizer(np.array(0.5, np.float32), 4, signed=True, narrow=False, bipolar=False, rounding=mode)
    assert quantizer.codes(np.array([-1.25, -0.75, -0.25, 0.25, 0.75, 1.25], np.float32)).tolist() == wanted


def test_zero_point_moves_codes_before_they_are_clipped() -> None:
    quantizer = Quantizer(np.array(0.5, np.float32), 4, signed=False, narrow=False, bipolar=False, zero_point=3)
    codes = quantizer.codes(np.array([-9, -1.5, 0, 1, 6, 7], np.float32))
    assert codes.tolist() == [0, 0, 3, 5, 15, 15]
    assert quantizer.values(codes).tolist() == [-1.5, -1.5, 0, 1, 6, 6]


@settings(deadline=None)
@given(bit_width=st.integers(1, 16), kind=KINDS, scale=SCALES, zero_point=st.integers(-300, 300))
def test_range_is_reached_at_both_ends_and_format_has_it(
    bit_width: int, kind: tuple[bool, bool], scale: float, zero_point: int
) -> None:
    signed, narrow = kind
    bipolar = signed and bit_width == 1
    quantizer = Quantizer(np.array(scale, np.float32), bit_width, signed, narrow, bipolar, zero_point)
    ends = quantizer.codes(np.array([-np.inf, np.inf], np.float32))
    assert tuple(ends) == quantizer.range
    assert (quantizer.format().lowest, quantizer.format().highest) == quantizer.range


def test_format_lies_on_the_grid_of_one_scale_and_counts_steps_where_there_are_several() -> None:
    uniform, several = scales([-3, -3]), scales([-3, 2])
    modes = {"rounding": "AP_RND_CONV", "overflow": "AP_SAT"}
    formats = [Quantizer(scale, 4, signed=True, narrow=False, bipolar=False) for scale in (uniform, several)]
    assert [quantizer.uniform_scale for quantizer in formats] == [0.125, None]
    assert formats[0].format() == FixedPoint(4, 1, **modes)  # type: ignore[arg-type]
    assert formats[1].format() == FixedPoint(4, 4, **modes)  # type: ignore[arg-type]
    assert Quantizer(several, 1, signed=True, narrow=False, bipolar=True).format() == Bipolar()


@pytest.mark.parametrize("scale", [np.array([0.5, 0.75], np.float32), np.array(0.75, np.float32)])
def test_codes_on_a_scale_that_is_no_power_of_two_are_whole_numbers(scale: Floats) -> None:
    form = FixedPoint(3, 3, signed=True, rounding="AP_RND_CONV", overflow="AP_SAT_SYM")
    assert Quantizer(scale, 3, signed=True, narrow=True, bipolar=False).format() == form
    assert code_format(scale, 3, signed=True, narrow=True, bipolar=False) == form
    assert code_format(scale, 1, signed=True, narrow=False, bipolar=True) == Bipolar()
    truncation = Truncation(scale, 0, 2.0, scale * 2, 0, 3, signed=True, narrow=True, rounding="FLOOR")
    assert truncation.format() == form


@pytest.mark.parametrize(
    ("value", "found"), [(1.0, True), (2.0**-30, True), (0.75, False), (0.0, False), (-2.0, False)]
)
def test_power_of_two_is_told(value: float, found: bool) -> None:
    assert is_power_of_two(value) is found
