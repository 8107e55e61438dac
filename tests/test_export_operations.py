"""The operations of an integer program that have no weights, against loops, fractions and PyTorch."""

import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_operations import IMAGE, INT8, SEEDS

from bitwright.export.operations import (
    Add,
    Concat,
    Flatten,
    Input,
    Interval,
    MaxPool2d,
    Multiply,
    MultiplyAdd,
    Operation,
    Requantize,
    Tensor,
    Threshold,
)
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.fixed_point import FixedPoint, format_of

NARROW = format_of(0.5, 4, signed=True, narrow=True)


def half_even(value: Fraction) -> int:
    """The nearest integer; Python rounds fractions half to even."""
    return round(value)


@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (3, 1)])
@pytest.mark.parametrize("kernel", [(2, 2), (3, 1), (5, 6)])
def test_max_pool_agrees_with_torch(kernel: tuple[int, int], stride: tuple[int, int]) -> None:
    codes = np.random.default_rng(1).integers(-128, 128, (4, *IMAGE))
    operation = MaxPool2d("pool", "x", kernel, stride)
    image = torch.from_numpy(codes.astype(np.float64)).permute(0, 3, 1, 2)
    wanted = torch.nn.functional.max_pool2d(image, kernel, stride).permute(0, 2, 3, 1).numpy()
    found = operation.run(codes, INT8)
    np.testing.assert_array_equal(found, wanted)
    assert found.shape[1:] == operation.result_shape(IMAGE)


def test_max_pool_leaves_its_source_format_interval_and_codes_as_they_are() -> None:
    operation, interval = MaxPool2d("pool", "x", (2, 2), (2, 2)), Interval(np.array([1, 2]), np.array([3, 4]))
    codes = np.arange(8).reshape(1, 2, 2, 2)
    assert operation.run(codes, INT8).tolist() == [[[[6, 7]]]]
    assert codes.reshape(-1).tolist() == list(range(8))
    assert operation.result_interval(interval, (2, 2, 2)) is interval
    assert operation.result_format(INT8, interval) is INT8


@settings(deadline=None)
@given(
    codes=st.lists(st.integers(-(2**23), 2**23), min_size=1, max_size=20),
    fractional=st.integers(-3, 12),
    exponent=st.integers(-6, 6),
    bit_width=st.integers(2, 8),
    signed=st.booleans(),
    narrow=st.booleans(),
)
def test_requantize_rounds_the_exact_quotient_half_to_even_and_saturates(
    codes: list[int], fractional: int, exponent: int, bit_width: int, signed: bool, narrow: bool
) -> None:
    form = format_of(2.0**exponent, bit_width, signed, narrow)
    lowest = -(2 ** (bit_width - 1)) + narrow if signed else 0
    highest = 2 ** (bit_width - signed) - 1
    values = [Fraction(code) * Fraction(2) ** (-fractional - exponent) for code in codes]
    wanted = [min(max(half_even(value), lowest), highest) for value in values]
    source = FixedPoint(30, 30 - fractional)
    assert Requantize("act", "fc", form).run(np.array([codes]).T, source).reshape(-1).tolist() == wanted


@settings(deadline=None)
@given(
    codes=st.lists(st.integers(-(2**23), 2**23), min_size=2, max_size=2),
    multiplier=st.lists(st.integers(-(2**20), 2**20), min_size=2, max_size=2),
    offset=st.lists(st.integers(-(2**50), 2**50), min_size=2, max_size=2),
    shift=st.integers(0, 40),
    narrow=st.booleans(),
)
def test_multiply_add_rounds_the_exact_sum_half_to_even_and_saturates(
    codes: list[int], multiplier: list[int], offset: list[int], shift: int, narrow: bool
) -> None:
    form = format_of(1.0, 6, signed=True, narrow=narrow)
    operation = MultiplyAdd("act", "fc", np.array(multiplier), np.array(offset), shift, form)
    exact = [Fraction(x * m + o, 2**shift) for x, m, o in zip(codes, multiplier, offset, strict=True)]
    wanted = [min(max(half_even(value), -32 + narrow), 31) for value in exact]
    assert operation.run(np.array([codes]), INT8).tolist() == [wanted]


@pytest.mark.parametrize("form", [Bipolar(), format_of(1.0, 1, signed=False), format_of(0.5, 3, signed=True), NARROW])
@settings(deadline=None)
@given(seed=SEEDS)
def test_threshold_counts_up_or_down_from_an_end_of_the_format(form: Bipolar | FixedPoint, seed: int) -> None:
    rng = np.random.default_rng(seed)
    step = 2 if isinstance(form, Bipolar) else 1
    count = (form.highest - form.lowest) // step
    thresholds = np.sort(rng.integers(-9, 9, (2, count)), axis=1)
    rising = rng.integers(0, 2, 2).astype(bool)
    codes = np.arange(-10, 11).repeat(2).reshape(-1, 2)
    wanted = []
    for row in codes.tolist():
        passed = [sum(1 for threshold in thresholds[c].tolist() if row[c] >= threshold) for c in range(2)]
        ends = [(form.lowest, step) if up else (form.highest, -step) for up in rising]
        wanted.append([end + move * k for (end, move), k in zip(ends, passed, strict=True)])
    assert Threshold("act", "fc", thresholds, rising, form).run(codes, INT8).tolist() == wanted


@pytest.mark.parametrize(
    "operation",
    [
        Requantize("act", "fc", NARROW),
        MultiplyAdd("act", "fc", np.ones(2, np.int64), np.ones(2, np.int64), 1, NARROW),
        Threshold("act", "fc", np.zeros((2, 14), np.int64), np.ones(2, bool), NARROW),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_activation_has_the_format_of_its_quantiser_and_its_whole_range(operation: Any) -> None:  # noqa: ANN401
    interval = operation.result_interval(Interval(np.array([3, 3]), np.array([4, 4])), (2,))
    assert interval.lowest.tolist() == [-7, -7]
    assert interval.highest.tolist() == [7, 7]
    assert operation.result_format(INT8, interval) == operation.format
    assert operation.result_shape((3, 4, 2)) == (3, 4, 2)


def test_flatten_runs_through_the_channels_fastest() -> None:
    codes = np.arange(24).reshape(2, 2, 3, 2)  # (N, H, W, C)
    operation = Flatten("flatten", "x")
    wanted = [[codes[n, i, j, c] for i in range(2) for j in range(3) for c in range(2)] for n in range(2)]
    assert operation.run(codes, INT8).tolist() == wanted
    assert operation.result_shape((2, 3, 2)) == (12,)
    interval = operation.result_interval(Interval(np.array([1, -2]), np.array([3, 4])), (2, 3, 2))
    assert interval.lowest.tolist() == [1, -2] * 6
    assert interval.highest.tolist() == [3, 4] * 6
    assert operation.result_format(INT8, interval) is INT8


@pytest.mark.parametrize("form", [Bipolar(), FixedPoint(3, 1), FixedPoint(3, 1, signed=False)])
def test_input_is_everything_that_its_format_holds(form: Bipolar | FixedPoint) -> None:
    operation = Input("x", "", (2, 3), form)
    tensor = operation.result(())
    assert tensor.interval.lowest.tolist() == [form.lowest] * 3
    assert tensor.interval.highest.tolist() == [form.highest] * 3
    assert (tensor.shape, tensor.format) == ((2, 3), form)
    codes = np.ones((1, 2, 3), np.int64)
    assert operation.run(codes, form) is codes


@pytest.mark.parametrize("ask", ["result", "compute"])
def test_operation_of_no_kind_is_refused(ask: str) -> None:
    says = "op: operation must be one of bitwright.export.operations, not Operation"
    with pytest.raises(TypeError, match=f"^{re.escape(says)}$"):
        getattr(Operation("op"), ask)(*[()] * (1 + (ask == "compute")))


@pytest.mark.parametrize(("left", "right"), [((INT8, 3), (FixedPoint(4, 2, signed=False), -2))])
def test_add_brings_both_to_the_finer_grid(left: tuple[FixedPoint, int], right: tuple[FixedPoint, int]) -> None:
    tensors = [Tensor((1,), form, Interval.of_format(form, 1)) for form, _ in (left, right)]
    operation = Add("sum", "a", "b")
    result = operation.result(tensors)
    finest = max(left[0].fractional, right[0].fractional)
    value = operation.compute([np.array([[code]]) for _, code in (left, right)], [left[0], right[0]])[0, 0]
    assert value * 2.0**-finest == left[1] * left[0].step + right[1] * right[0].step
    assert result.format.fractional == finest
    assert result.interval.ends == (
        (left[0].lowest << finest - left[0].fractional) + (right[0].lowest << finest - right[0].fractional),
        (left[0].highest << finest - left[0].fractional) + (right[0].highest << finest - right[0].fractional),
    )


@given(
    left=st.builds(FixedPoint, st.integers(1, 9), st.integers(-3, 9), st.booleans()),
    right=st.builds(FixedPoint, st.integers(1, 9), st.integers(-3, 9), st.booleans()),
)
def test_product_holds_every_pair_of_codes_and_no_more(left: FixedPoint, right: FixedPoint) -> None:
    tensors = [Tensor((1,), form, Interval.of_format(form, 1)) for form in (left, right)]
    result = Multiply("product", "a", "b").result(tensors)
    worths = [[Fraction(code) / 2**form.fractional for code in (form.lowest, form.highest)] for form in (left, right)]
    products = [a * b * 2**result.format.fractional for a in worths[0] for b in worths[1]]
    assert result.interval.ends == (min(products), max(products))
    assert isinstance(result.format, FixedPoint)
    assert result.format.holds(*result.interval.ends)
    pairs = np.meshgrid(*(np.arange(form.lowest, form.highest + 1) for form in (left, right)))
    codes = Multiply("product", "a", "b").compute([p.reshape(-1, 1) for p in pairs], [left, right])
    assert codes.ravel().tolist() == [a * b for a, b in zip(*(p.ravel().tolist() for p in pairs), strict=True)]


def test_concatenated_bits_stay_bits() -> None:
    tensors = [Tensor((2, 1, size), Bipolar(), Interval.of_format(Bipolar(), size)) for size in (1, 3)]
    result = Concat("both", "a", "b").result(tensors)
    assert (result.shape, result.format, result.interval.stride) == ((2, 1, 4), Bipolar(), 2)
