"""The operations of an integer program, against loops, fractions and PyTorch in double precision."""

import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bitwright.export import operation_linear
from bitwright.export.operations import (
    Add,
    Concat,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    Flatten,
    Input,
    Integers,
    Interval,
    Linear,
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

INT8 = FixedPoint(8, 8)
NARROW = format_of(0.5, 4, signed=True, narrow=True)
SEEDS = st.integers(0, 2**32 - 1)
IMAGE = (5, 6, 2)


def linear(kind: str, rng: np.random.Generator, *, bias: bool = True, largest: int = 9) -> Linear:
    """A layer of three outputs with random weights, for five values or for an `IMAGE`."""
    bias_codes = rng.integers(-largest, largest, 3) if bias else None
    if kind == "dense":
        return Dense("fc", "x", rng.integers(-largest, largest, (5, 3)), INT8, bias_codes)
    padding = (2, 0, 1, 1) if kind == "padded" else (0, 0, 0, 0)
    return Conv2d("conv", "x", rng.integers(-largest, largest, (3, 2, 2, 3)), INT8, bias_codes, (2, 1), padding)


def shape_of(kind: str) -> tuple[int, ...]:
    return (5,) if kind == "dense" else IMAGE


def random_interval(rng: np.random.Generator, channels: int) -> Interval:
    lowest = rng.integers(-20, 20, channels)
    return Interval(lowest, lowest + rng.integers(0, 20, channels))


def torch_conv(operation: Conv2d, codes: Integers) -> NDArray[np.float64]:
    top, left, bottom, right = operation.padding
    image = torch.from_numpy(codes.astype(np.float64)).permute(0, 3, 1, 2)
    image = torch.nn.functional.pad(image, (left, right, top, bottom))
    weight = torch.from_numpy(operation.weight.astype(np.float64)).permute(3, 2, 0, 1)
    bias = None if operation.bias is None else torch.from_numpy(operation.bias.astype(np.float64))
    result = torch.nn.functional.conv2d(image, weight, bias, stride=operation.stride)
    return result.permute(0, 2, 3, 1).numpy()


def half_even(value: Fraction) -> int:
    """The nearest integer; Python rounds fractions half to even."""
    return round(value)


@pytest.mark.parametrize("kind", ["dense", "plain", "padded"])
@settings(deadline=None, max_examples=60)
@given(seed=SEEDS)
def test_accumulator_never_leaves_its_interval(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    operation, shape = linear(kind, rng, bias=bool(seed % 2)), shape_of(kind)
    interval = random_interval(rng, shape[-1])
    codes = rng.integers(interval.lowest, interval.highest + 1, (20, *shape))
    found = operation.run(codes, INT8)
    bounds = operation.result_interval(interval, shape)
    assert (found >= bounds.lowest).all()
    assert (found <= bounds.highest).all()


@pytest.mark.parametrize("kind", ["dense", "plain"])
@settings(deadline=None, max_examples=60)
@given(seed=SEEDS)
def test_accumulator_reaches_both_ends_of_its_interval(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    operation, shape = linear(kind, rng), shape_of(kind)
    interval = random_interval(rng, shape[-1])
    bounds = operation.result_interval(interval, shape)
    for channel in range(3):
        taps = operation.weight[..., channel]  # of the first position: the input's top left corner
        for end, up in ((bounds.lowest, False), (bounds.highest, True)):
            codes = np.broadcast_to(interval.lowest, shape).copy()
            worst = np.where((taps > 0) == up, interval.highest, interval.lowest)
            codes[tuple(slice(0, size) for size in taps.shape)] = worst
            assert operation.run(codes[None], INT8).reshape(-1, 3)[0, channel] == end[channel]


def test_padding_widens_the_interval_to_zero() -> None:
    weight = np.array([1, 1], np.int64).reshape(1, 2, 1, 1)
    interval = Interval(np.array([3]), np.array([7]))
    plain, padded = (Conv2d("conv", "x", weight, INT8, None, (1, 1), pads) for pads in ((0, 0, 0, 0), (0, 1, 0, 0)))
    assert plain.result_interval(interval, (1, 2, 1)).ends == (6, 14)
    assert padded.result_interval(interval, (1, 2, 1)).ends == (0, 14)


def test_accumulator_is_as_wide_as_its_interval_on_the_grid_of_the_products() -> None:
    weight = np.array([[1, -2], [3, 1]])
    operation = Dense("fc", "x", weight, FixedPoint(3, 1), np.array([5, 0]))
    interval = operation.result_interval(Interval(np.array([0, 0]), np.array([7, 7])), (2,))
    assert interval.lowest.tolist() == [5, -14]
    assert interval.highest.tolist() == [33, 7]
    assert operation.result_format(FixedPoint(3, 2, signed=False), interval) == FixedPoint(7, 4)


@settings(deadline=None)
@given(seed=SEEDS)
def test_dense_multiplies_every_pair_and_adds_the_bias(seed: int) -> None:
    rng = np.random.default_rng(seed)
    operation = linear("dense", rng, bias=bool(seed % 2))
    codes = rng.integers(-128, 128, (3, 5))
    bias = [0] * 3 if operation.bias is None else operation.bias.tolist()
    weight = operation.weight.tolist()
    wanted = [[sum(row[k] * weight[k][c] for k in range(5)) + bias[c] for c in range(3)] for row in codes.tolist()]
    assert operation.run(codes, INT8).tolist() == wanted
    assert operation.result_shape((5,)) == (3,)


@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (1, 3)])
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 1, 1, 1), (2, 0, 1, 3)])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 2)])
def test_conv2d_agrees_with_torch(
    stride: tuple[int, int], padding: tuple[int, int, int, int], kernel: tuple[int, int]
) -> None:
    rng = np.random.default_rng(1)
    weight = rng.integers(-9, 9, (*kernel, 2, 3))
    operation = Conv2d("conv", "x", weight, INT8, rng.integers(-9, 9, 3), stride, padding)
    codes = rng.integers(-128, 128, (4, *IMAGE))
    found = operation.run(codes, INT8)
    np.testing.assert_array_equal(found, torch_conv(operation, codes))
    assert found.shape[1:] == operation.result_shape(IMAGE)


@pytest.mark.parametrize("gathered", [1, 2 * 90 + 1, 10**6])
def test_conv2d_gathers_images_in_any_number(gathered: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    conv = Conv2d("conv", "x", rng.integers(-8, 8, (3, 2, 3, 4)), INT8, rng.integers(-9, 9, 4), (1, 1), (0, 1, 0, 0))
    codes = rng.integers(-8, 8, (5, 3, 5, 3))  # an image has 5 windows of 18 values
    expected = np.concatenate([conv.run(codes[i : i + 1], INT8) for i in range(5)])
    monkeypatch.setattr(operation_linear, "GATHERED_VALUES", gathered)
    assert np.array_equal(conv.run(codes, INT8), expected)


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


@pytest.mark.parametrize("kind", ["dense", "plain", "padded"])
@pytest.mark.parametrize("largest", [2**3, 2**24, 2**50])
def test_products_are_exact_at_every_magnitude(kind: str, largest: int) -> None:
    rng = np.random.default_rng(largest)
    operation, shape = linear(kind, rng, largest=largest), shape_of(kind)
    form = FixedPoint(4, 4)
    codes = rng.integers(-8, 8, (3, *shape))
    shifted = np.zeros_like(operation.run(codes, form))
    for bit in range(51):  # one bit of the weights at a time: small numbers, exact on any path
        part = (np.abs(operation.weight) >> bit & 1) * np.sign(operation.weight)
        shifted += _with(operation, part, None).run(codes, form) << bit
    assert operation.bias is not None
    assert (operation.run(codes, form) == shifted + operation.bias).all()


def _with(operation: Linear, weight: Integers, bias: Integers | None) -> Linear:
    if isinstance(operation, Conv2d):
        return Conv2d("conv", "x", weight, INT8, bias, operation.stride, operation.padding)
    return Dense("fc", "x", weight, INT8, bias)


@pytest.mark.parametrize("limit", [2**24, 2**53])
def test_sum_just_above_what_a_float_holds_is_exact(limit: int) -> None:
    bit = FixedPoint(1, 1, signed=False)
    weight = np.array([limit, 1]).reshape(2, 1)
    assert Dense("fc", "x", weight, INT8, None).run(np.array([[1, 1]]), bit).tolist() == [[limit + 1]]
    conv = Conv2d("conv", "x", weight.reshape(1, 2, 1, 1), INT8, None, (1, 1), (0, 0, 0, 0))
    assert conv.run(np.ones((1, 1, 2, 1), np.int64), bit).tolist() == [[[[limit + 1]]]]


@pytest.mark.parametrize("code", [2**24 + 1, 2**53 + 1])
def test_code_just_above_what_a_float_holds_is_kept(code: int) -> None:
    conv = Conv2d("conv", "x", np.ones((1, 1, 1, 1), np.int64), INT8, None, (1, 1), (0, 0, 0, 0))
    wide = FixedPoint(60, 60)
    assert conv.run(np.array([[[[code]]]]), wide).tolist() == [[[[code]]]]
    assert Dense("fc", "x", np.ones((1, 1), np.int64), INT8, None).run(np.array([[code]]), wide).tolist() == [[code]]


def test_magnitude_bounds_every_partial_sum() -> None:
    operation = Dense("fc", "x", np.array([[3, 1], [-4, 0]]), INT8, np.array([-5, 6]))
    assert operation.magnitude(FixedPoint(4, 4)) == 7 * 8 + 5
    assert operation.magnitude(FixedPoint(4, 4, signed=False)) == 7 * 15 + 5
    assert operation.magnitude(Bipolar()) == 7 + 5
    assert Dense("fc", "x", operation.weight, INT8, None).magnitude(FixedPoint(4, 4)) == 7 * 8


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


def test_sums_of_bits_have_one_parity() -> None:
    interval = Interval.of_format(Bipolar(), 3)
    weight = np.array([[1, 3], [1, -1], [-1, 1]])
    found = Dense("fc", "x", weight, FixedPoint(3, 3), None).result_interval(interval, (3,))
    assert (found.lowest.tolist(), found.highest.tolist(), found.stride) == ([-3, -5], [3, 5], 2)


PADS = (2, 0, 1, 1)


def windowed(kind: str, rng: np.random.Generator) -> Linear:
    """A convolution of an `IMAGE`; a window somewhere lies wholly within it."""
    pads = PADS if kind.startswith("padded") else (0, 0, 0, 0)
    if kind.endswith("depthwise"):
        return DepthwiseConv2d("conv", "x", rng.integers(-9, 9, (3, 2, 2)), INT8, rng.integers(-9, 9, 2), (2, 1), pads)
    return Conv2d("conv", "x", rng.integers(-9, 9, (3, 2, 2, 3)), INT8, rng.integers(-9, 9, 3), (2, 1), pads)


def around_zero(rng: np.random.Generator, channels: int, stride: int) -> Interval:
    """What a format holds: zero too, as padding is."""
    lowest = -rng.integers(0, 20, channels) * stride
    return Interval(lowest, lowest + rng.integers(20, 40, channels) * stride, stride)


@pytest.mark.parametrize("kind", ["convolution", "padded convolution", "depthwise", "padded depthwise"])
@settings(deadline=None, max_examples=40)
@given(seed=SEEDS, stride=st.integers(1, 3))
def test_window_reaches_both_ends_of_its_interval_and_never_leaves_it(kind: str, seed: int, stride: int) -> None:
    rng = np.random.default_rng(seed)
    operation, interval = windowed(kind, rng), around_zero(rng, 2, stride)
    bounds = operation.result_interval(interval, IMAGE)
    for channel in range(operation.weight.shape[-1]):
        taps, own = operation.weight[..., channel], slice(None)
        if kind.endswith("depthwise"):
            taps, own = taps[..., None], slice(channel, channel + 1)
        for end, up in ((bounds.lowest, False), (bounds.highest, True)):
            worst = np.where((taps > 0) == up, interval.highest[own], interval.lowest[own])
            codes = np.zeros((1, *IMAGE), np.int64)
            codes[0, 2:5, 2:4, own] = worst
            assert end[channel] in operation.run(codes, INT8)[..., channel]
    codes = interval.lowest + stride * rng.integers(0, (interval.highest - interval.lowest) // stride + 1, (20, *IMAGE))
    assert_inside(operation.run(codes, INT8), bounds)


def assert_inside(codes: Integers, interval: Interval) -> None:
    assert (codes >= interval.lowest).all()
    assert (codes <= interval.highest).all()
    assert ((codes - interval.lowest) % interval.stride == 0).all()


@settings(deadline=None, max_examples=60)
@given(seed=SEEDS, stride=st.integers(1, 3), factor=st.integers(1, 3))
def test_stride_of_sums_divides_every_difference(seed: int, stride: int, factor: int) -> None:
    rng = np.random.default_rng(seed)
    operation = Dense("fc", "x", factor * rng.integers(-4, 5, (5, 3)), INT8, rng.integers(-9, 9, 3))
    lowest = rng.integers(-20, 20, 5)
    interval = Interval(lowest, lowest + stride * rng.integers(0, 9, 5), stride)
    codes = lowest + stride * rng.integers(0, (interval.highest - lowest) // stride + 1, (40, 5))
    bounds = operation.result_interval(interval, (5,))
    assert_inside(operation.run(codes, INT8), bounds)
    assert bounds.stride >= (stride * factor if stride > 1 and operation.weight.any() else 1)
