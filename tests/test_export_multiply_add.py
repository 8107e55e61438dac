"""The search for one multiplier and one adder: what it finds is the step function, on every code."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bitwright.export.line import Line
from bitwright.export.multiply_add import MAX_PRODUCT, MAX_SHIFT, find_multiply_add
from bitwright.export.operations import Integers, Interval, MultiplyAdd
from bitwright.export.step_function import StepFunction, tabulate
from bitwright.quant.fixed_point import FixedPoint, format_of

ACCUMULATOR = FixedPoint(24, 24)
MANY = st.floats(-4, 4, width=32)
TINY_OR_HUGE = st.builds(lambda sign, exponent: sign * 2.0**exponent, st.sampled_from([-1, 1]), st.integers(-60, 60))
CONSTANTS = st.one_of(MANY, TINY_OR_HUGE, st.just(0.0), st.sampled_from([0.5, -0.5, 0.25, 0.75, -1.5, 0.3, 1 / 3]))
CHANNELS = st.tuples(CONSTANTS, CONSTANTS, st.integers(-300, 300), st.integers(0, 600))


def network_codes(codes: Integers, slope: Any, offset: Any, form: FixedPoint) -> Integers:  # noqa: ANN401
    """What a network computes: one float32 product, one float32 sum, round, clip."""
    values = codes.astype(np.float32) * np.float32(slope) + np.float32(offset)
    return np.asarray(np.clip(np.rint(values), form.lowest, form.highest), np.int64)


def step_function(interval: Interval, slope: Any, offset: Any, form: FixedPoint) -> StepFunction:  # noqa: ANN401
    levels = form.highest - form.lowest + 1
    return tabulate(lambda codes: network_codes(codes, slope, offset, form) - form.lowest, interval, levels)


def agrees(interval: Interval, slope: Any, offset: Any, form: FixedPoint) -> int | None:  # noqa: ANN401
    """Return the shift found, after comparing on every code; None if no affine was found."""
    slope, offset = (np.asarray(values, np.float64) for values in (slope, offset))
    steps = step_function(interval, slope, offset, form)
    found = find_multiply_add(steps, Line(slope, offset), form.lowest)
    if found is None:
        return None
    codes = np.arange(interval.ends[0], interval.ends[1] + 1)[:, None]
    inside = (codes >= interval.lowest) & (codes <= interval.highest)
    got = MultiplyAdd("act", "fc", found.multiplier, found.offset, found.shift, form).run(codes, ACCUMULATOR)
    assert (got == network_codes(codes, slope, offset, form))[inside].all()
    assert 0 <= found.shift <= MAX_SHIFT
    return found.shift


@settings(deadline=None)
@given(
    channels=st.lists(
        st.tuples(CONSTANTS, CONSTANTS, st.integers(-300, 300), st.integers(0, 600)), min_size=1, max_size=3
    ),
    bit_width=st.integers(2, 8),
    kind=st.sampled_from([(True, False), (True, True), (False, False)]),
)
@example(channels=[(0.5, 0.0, -50, 100)], bit_width=4, kind=(True, False))
@example(channels=[(-0.5, 0.5, -50, 100)], bit_width=4, kind=(False, False))
@example(channels=[(0.0, 3.5, 0, 0), (2.0**60, -0.5, -9, 20)], bit_width=8, kind=(True, True))
def test_affine_is_the_network_on_every_code(
    channels: list[tuple[float, float, int, int]], bit_width: int, kind: tuple[bool, bool]
) -> None:
    slope, offset, lowest, size = (np.array(column) for column in zip(*channels, strict=True))
    agrees(Interval(lowest, lowest + size), slope, offset, format_of(1.0, bit_width, *kind))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("offset", [0.0, 0.25, -0.5, 1.5])
@pytest.mark.parametrize("slope", [0.5, 0.25, 0.75, 1.5])
def test_slopes_with_exact_ties_take_the_bits_that_they_have(slope: float, offset: float, sign: int) -> None:
    interval = Interval(np.array([-200]), np.array([200]))
    shift = agrees(interval, [sign * slope], [offset], format_of(1.0, 6, signed=True))
    assert shift is not None
    assert shift <= 2


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("bit_width", [4, 6, 8])
def test_batch_norms_of_every_sign_have_an_affine(seed: int, bit_width: int) -> None:
    rng = np.random.default_rng(seed)
    slope, offset = rng.normal(0, 0.2, 16).astype(np.float32), rng.normal(0, 9, 16).astype(np.float32)
    interval = Interval(np.full(16, -900), rng.integers(0, 900, 16))
    shift = agrees(interval, slope, offset, format_of(1.0, bit_width, signed=False))
    assert shift is not None
    assert shift <= 20  # 1800 codes need some 11 bits


def test_channel_that_stands_still_is_its_level() -> None:
    form = format_of(1.0, 4, signed=True)
    interval = Interval(np.array([-9, -9, -9]), np.array([9, 9, 9]))
    slope, offset = np.array([0.0, 1e-9, 0.3]), np.array([3.0, -1e9, 0.0])
    steps = step_function(interval, slope, offset, form)
    found = find_multiply_add(steps, Line(slope, offset), form.lowest)
    assert found is not None
    assert found.multiplier[:2].tolist() == [0, 0]
    got = MultiplyAdd("act", "fc", found.multiplier, found.offset, found.shift, form).run(
        np.zeros((1, 3), int), ACCUMULATOR
    )
    assert got.tolist() == [[3, -8, 0]]


@pytest.mark.parametrize(("slope", "offset"), [(np.inf, 0.0), (1.0, np.nan), (-1.0, 0.0), (2.0**50, 0.0)])
def test_line_that_is_not_finite_or_falls_the_other_way_or_is_too_steep_has_no_affine(
    slope: float, offset: float
) -> None:
    steps = StepFunction(np.array([[0, 3, 6]]), np.array([True]), Interval(np.array([-9]), np.array([9])))
    assert find_multiply_add(steps, Line(np.array([slope]), np.array([offset])), 0) is None
    assert find_multiply_add(steps, Line(np.array([1 / 3]), np.array([0.5])), 0) is not None


def test_line_whose_sums_float64_could_not_hold_has_no_affine() -> None:
    steps = StepFunction(np.array([[0, 0, 0]]), np.array([True]), Interval(np.array([-9]), np.array([9])))
    found = [find_multiply_add(steps, Line(np.array([2.0**e]), np.array([2.0])), 0) for e in (47, 48)]
    assert [affine is None for affine in found] == [False, True]


def test_steps_on_no_line_have_no_affine() -> None:
    steps = StepFunction(np.array([[0, 1, 50]]), np.array([True]), Interval(np.array([-9]), np.array([99])))
    assert find_multiply_add(steps, Line(np.array([0.5]), np.array([0.0])), 0) is None


@settings(deadline=None, max_examples=40)
@given(exponent=st.floats(0, 24), bit_width=st.integers(2, 12))
def test_sum_is_exact_in_float64_on_every_code(exponent: float, bit_width: int) -> None:
    form = format_of(1.0, bit_width, signed=False)
    end = int(2.0**exponent)
    slope, offset = 0.7 * form.highest / end, 0.123
    middle = np.arange(form.highest)
    thresholds = np.ceil((middle + 0.5 - offset) / slope).astype(np.int64)[None]
    steps = StepFunction(thresholds.clip(-end, end + 1), np.array([True]), Interval(np.array([-end]), np.array([end])))
    found = find_multiply_add(steps, Line(np.array([slope]), np.array([offset])), 0)
    if found is not None:
        largest = end * abs(int(found.multiplier[0])) + abs(int(found.offset[0]))
        assert largest < 2**53
    assert MAX_PRODUCT < 2**53
