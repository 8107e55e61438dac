"""The fixed-point format, against rational arithmetic."""

import re
from fractions import Fraction
from math import floor, inf, nan
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitwright.quant.fixed_point import (
    FixedPoint,
    Overflow,
    Rounding,
    format_of,
    fractional_bits,
    parse_ap_fixed,
    shift_round,
    smallest_format,
)

formats = st.builds(
    FixedPoint,
    width=st.integers(1, 63),
    integer=st.integers(-70, 70),
    signed=st.booleans(),
    rounding=st.sampled_from(get_args(Rounding)),
    overflow=st.sampled_from(get_args(Overflow)),
)
codes64 = st.integers(-(2**63), 2**63 - 1)
intervals = st.tuples(st.integers(-(2**62), 2**62 - 1), st.integers(-(2**62), 2**62 - 1)).map(sorted)


def rounded(value: Fraction, mode: Rounding) -> int:
    """The whole number that a rounding mode makes of a rational one, by the words of UG1399."""
    if mode == "AP_TRN":
        return floor(value)
    if mode == "AP_RND":
        return floor(value + Fraction(1, 2))
    return round(value)  # Python's, of a fraction: to nearest, halves to even


def power_of_two(exponent: int) -> Fraction:
    """Two to a power of any sign."""
    return Fraction(2**exponent) if exponent >= 0 else Fraction(1, 2**-exponent)


def assigned(value: Fraction, to: FixedPoint) -> Fraction:
    """The value that a format keeps of a rational one, by the words of UG1399."""
    step = power_of_two(-to.fractional)
    code = rounded(value / step, to.rounding)
    codes: int = 2**to.width
    highest = codes // 2 - 1 if to.signed else codes - 1
    lowest = 0 if not to.signed else -highest if to.overflow == "AP_SAT_SYM" else -highest - 1
    if to.overflow != "AP_WRAP":
        return max(lowest, min(highest, code)) * step
    code %= codes
    return (code - codes if code > highest else code) * step


@given(formats)
def test_text_of_a_format_is_read_back_as_that_format(given_format: FixedPoint) -> None:
    assert parse_ap_fixed(given_format.ap_fixed) == given_format


@given(formats, codes64, st.integers(-70, 70))
def test_cast_is_the_assignment_of_rational_arithmetic(to: FixedPoint, code: int, fractional: int) -> None:
    (cast,) = to.cast(np.array([code]), fractional).tolist()
    assert cast * power_of_two(-to.fractional) == assigned(code * power_of_two(-fractional), to)


@pytest.mark.parametrize("rounding", get_args(Rounding))
@pytest.mark.parametrize("overflow", get_args(Overflow))
@pytest.mark.parametrize("signed", [True, False])
def test_cast_of_every_small_code_is_exact(rounding: Rounding, overflow: Overflow, signed: bool) -> None:
    to = FixedPoint(3, 2, signed, rounding, overflow)
    codes = range(-64, 64)
    expected = [assigned(Fraction(code, 8), to) * 2 for code in codes]
    assert to.cast(np.array(codes), 3).tolist() == expected


@given(formats, codes64)
def test_cast_is_idempotent(to: FixedPoint, code: int) -> None:
    once = to.cast(np.array([code]), 3)
    assert to.cast(once, to.fractional).tolist() == once.tolist()


@given(codes64, st.integers(0, 80), st.sampled_from(get_args(Rounding)))
def test_shift_rounds_the_quotient(code: int, shift: int, mode: Rounding) -> None:
    assert shift_round(np.array([code]), shift, mode).tolist() == [rounded(Fraction(code, 2**shift), mode)]


@given(formats)
def test_range_holds_its_ends_and_nothing_beyond(given_format: FixedPoint) -> None:
    lowest, highest = given_format.lowest, given_format.highest
    assert given_format.holds(lowest, highest)
    assert not given_format.holds(lowest - 1, highest)
    assert not given_format.holds(lowest, highest + 1)


def test_symmetric_saturation_leaves_the_lowest_code_out() -> None:
    symmetric = FixedPoint(4, 4, overflow="AP_SAT_SYM")
    assert (symmetric.lowest, symmetric.highest) == (-7, 7)
    assert symmetric.cast(np.array([-9, -8, -7, 8]), 0).tolist() == [-7, -7, -7, 7]
    assert symmetric.plain() == FixedPoint(4, 4)


@given(intervals, st.integers(-70, 70))
def test_smallest_format_holds_its_interval_and_no_narrower_one_does(interval: list[int], fractional: int) -> None:
    lowest, highest = interval
    smallest = smallest_format(lowest, highest, fractional)
    assert smallest.fractional == fractional
    assert smallest.holds(lowest, highest)
    narrower = [FixedPoint(width, width, signed) for width in range(1, smallest.width) for signed in (True, False)]
    assert not any(other.holds(lowest, highest) for other in narrower)


@pytest.mark.parametrize("lowest", range(-9, 10))
def test_smallest_format_of_every_small_interval_is_tight(lowest: int) -> None:
    for highest in range(lowest, 10):
        smallest = smallest_format(lowest, highest)
        assert smallest.holds(lowest, highest)
        assert smallest.width == 1 or not FixedPoint(smallest.width - 1, 0, smallest.signed).holds(lowest, highest)


@pytest.mark.parametrize(
    ("lowest", "highest", "text"),
    [
        (-1, 0, "ap_fixed<1,1>"),
        (-1, -1, "ap_fixed<1,1>"),
        (0, 0, "ap_ufixed<1,1>"),
        (0, 1, "ap_ufixed<1,1>"),
        (-1, 1, "ap_fixed<2,2>"),
        (-4, -4, "ap_fixed<3,3>"),
        (-(2**62), 0, "ap_fixed<63,63>"),
        (0, 2**63 - 1, "ap_ufixed<63,63>"),
    ],
)
def test_smallest_format_of_a_special_interval(lowest: int, highest: int, text: str) -> None:
    assert smallest_format(lowest, highest).ap_fixed == text


def test_empty_interval_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^smallest_format: lowest must be at most highest \(2\), not 3$"):
        smallest_format(3, 2)


def test_interval_too_wide_for_int64_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^FixedPoint: width must be 1 to 63 bits, not 64$"):
        smallest_format(-(2**63), 0)


@pytest.mark.parametrize("width", [0, -1, 64])
def test_width_out_of_range_is_refused(width: int) -> None:
    with pytest.raises(ValueError, match=rf"^FixedPoint: width must be 1 to 63 bits, not {width}$"):
        FixedPoint(width, 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "ap_fixed<4,2,AP_RND_ZERO>",
            "FixedPoint: rounding must be one of ('AP_TRN', 'AP_RND', 'AP_RND_CONV'), not 'AP_RND_ZERO'",
        ),
        (
            "ap_fixed<4,2,AP_RND,AP_SAT_ZERO>",
            "FixedPoint: overflow must be one of ('AP_WRAP', 'AP_SAT', 'AP_SAT_SYM'), not 'AP_SAT_ZERO'",
        ),
    ],
)
def test_mode_that_is_not_kept_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        parse_ap_fixed(text)


@pytest.mark.parametrize("text", ["", "float", "ap_fixed<4>", "ap_fixed<4,2", "ap_int<4,2>", "ap_fixed<-4,2>"])
def test_text_of_no_format_is_refused(text: str) -> None:
    says = f"ap_fixed: text must be ap_[u]fixed<W,I[,Q[,O]]> or ap_[u]int<W>, not {text!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        parse_ap_fixed(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ap_int<7>", FixedPoint(7, 7)),
        ("ap_uint<1>", FixedPoint(1, 1, signed=False)),
        (" ap_fixed< 8, -2 > ", FixedPoint(8, -2)),
    ],
)
def test_other_spellings_are_read(text: str, expected: FixedPoint) -> None:
    assert parse_ap_fixed(text) == expected


@given(st.integers(-1023, 1074))
def test_fractional_bits_of_every_power_of_two_are_found(fractional: int) -> None:
    assert fractional_bits(2.0**-fractional) == fractional


@pytest.mark.parametrize("scale", [0.3, 0.0, nan, inf, -inf, -0.5, 3.0])
def test_scale_off_power_of_two_is_refused(scale: float) -> None:
    says = f"scale: value must be a power of two, not {scale!r}; set restrict_scaling_type to POWER_OF_TWO"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        fractional_bits(scale)


@given(st.integers(1, 63), st.integers(-20, 20), st.booleans(), st.booleans())
def test_format_of_a_quantiser_has_its_step_and_its_range(
    width: int, exponent: int, signed: bool, narrow: bool
) -> None:
    found = format_of(2.0**exponent, width, signed, narrow)
    assert found.step == 2.0**exponent
    assert found.highest == 2 ** (width - signed) - 1
    assert found.lowest == (-(2 ** (width - 1)) + narrow if signed else 0)
    assert found.rounding == "AP_RND_CONV"
