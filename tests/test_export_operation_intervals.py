"""Intervals of dense layers and convolutions: no sum is outside, both ends are reached, the stride divides all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_operations import IMAGE, INT8, SEEDS, linear, shape_of

from bitwright.export.operations import Conv2d, Dense, DepthwiseConv2d, Integers, Interval, Linear
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.fixed_point import FixedPoint


def random_interval(rng: np.random.Generator, channels: int) -> Interval:
    lowest = rng.integers(-20, 20, channels)
    return Interval(lowest, lowest + rng.integers(0, 20, channels))


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
