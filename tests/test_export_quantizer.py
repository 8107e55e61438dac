"""Integer quantisers, against qonnx's operators executed."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from qonnx.custom_op.general.bipolar_quant import binary_quant
from qonnx.custom_op.general.quant import quant

from bitwright.export.quantizer import Floats, Quantizer
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.fixed_point import FixedPoint

FLOATS = st.floats(width=32, allow_nan=False, allow_subnormal=False)
EXPONENTS = st.integers(-12, 8)
# Halves and their neighbours, where rounding is decided
TIES = [np.nextafter(np.float32(k + 0.5), np.float32(way)) for k in range(-9, 9) for way in (-99, k + 0.5, 99)]


def scales(exponents: list[int]) -> Floats:
    return np.array([2.0**exponent for exponent in exponents], np.float32)


@settings(deadline=None)
@given(
    values=arrays(np.float32, (6, 2), elements=FLOATS),
    exponents=st.lists(EXPONENTS, min_size=2, max_size=2),
    bit_width=st.integers(1, 16),
    kind=st.sampled_from([(True, False), (True, True), (False, False)]),
)
def test_codes_are_those_of_the_quant_operator(
    values: Floats,
    exponents: list[int],
    bit_width: int,
    kind: tuple[bool, bool],
) -> None:
    signed, narrow = kind
    scale = scales(exponents)
    values = np.concatenate([values, np.array(TIES, np.float32).reshape(-1, 2) * scale])
    values[0] = 3e38  # overflows where the scale is below one
    with np.errstate(over="ignore"):
        wanted = quant(values, scale, np.float32(0), np.array(bit_width, np.float32), signed, narrow, "ROUND")
    codes = Quantizer(scale, bit_width, signed, narrow, bipolar=signed and bit_width == 1).codes(values)
    assert codes.dtype == np.int64
    assert (codes * scale.astype(np.float64) == wanted).all()


@settings(deadline=None)
@given(values=arrays(np.float32, 6, elements=FLOATS), exponent=EXPONENTS)
def test_codes_are_those_of_the_bipolar_quant_operator(values: Floats, exponent: int) -> None:
    scale = np.float32(2.0**exponent)
    values = np.concatenate([values, np.array([0.0, -0.0, 1e-45, -1e-45], np.float32)])
    codes = Quantizer(np.array(scale), 1, signed=True, narrow=False, bipolar=True).codes(values)
    assert (codes * scale == binary_quant(values, scale)).all()


@settings(deadline=None)
@given(bit_width=st.integers(1, 16), kind=st.sampled_from([(True, False), (True, True), (False, False)]))
def test_range_is_reached_at_both_ends_and_format_has_it(bit_width: int, kind: tuple[bool, bool]) -> None:
    signed, narrow = kind
    quantizer = Quantizer(scales([-3]), bit_width, signed, narrow, bipolar=signed and bit_width == 1)
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


@pytest.mark.parametrize("bipolar", [True, False])
def test_scale_that_is_no_power_of_two_has_no_format(bipolar: bool) -> None:
    quantizer = Quantizer(np.array([0.5, 0.75], np.float32), 1, signed=True, narrow=False, bipolar=bipolar)
    says = "scale: value must be a power of two, not 0.75; set restrict_scaling_type to POWER_OF_TWO"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        quantizer.format()
