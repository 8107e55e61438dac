"""The histogram: it must depend on the values alone, exactly."""

import re
from fractions import Fraction
from math import ceil, frexp, inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bitwright.calibration.histogram import BINS, Distribution, Histogram, by_channel

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-8, 8),
    st.integers(-64, 64).map(lambda code: code / 8),  # of these, many lie on the edge of a bin, or are zero
)
samples = st.lists(numbers, min_size=1, max_size=40)
percents = st.one_of(st.floats(0.01, 100), st.sampled_from([50.0, 99.0, 99.9, 99.99, 100.0]))


def histogram(values: object, axis: int | None = None) -> Histogram:
    """The histogram of values seen at once."""
    seen = Histogram(axis)
    seen.update(np.asarray(values, np.float64))
    return seen


def distribution(values: object) -> Distribution:
    """The distribution of values seen at once."""
    (only,) = histogram(values).distributions()
    return only


@st.composite
def batches(draw: st.DrawFn) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Values of two channels, shape ``(n, 2)``, and the same values in another order and in batches, some empty."""
    rows = draw(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=20))
    cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=5)))
    return np.array(rows), np.split(np.array(draw(st.permutations(rows))), cuts)


@given(batches(), st.sampled_from([None, 0, 1, -1]))
def test_histogram_depends_on_neither_order_nor_batches(
    given_batches: tuple[NDArray[np.float64], list[NDArray[np.float64]]], axis: int | None
) -> None:
    values, parts = given_batches
    if axis == 0:
        values, parts = values.T, [part.T for part in parts]
    seen = Histogram(axis)
    for part in parts:
        seen.update(part)
    assert seen == histogram(values, axis)


@given(batches(), st.integers(0, 5), st.sampled_from([None, 1]))
def test_merged_histograms_are_the_histogram_of_all_values(
    given_batches: tuple[NDArray[np.float64], list[NDArray[np.float64]]], first: int, axis: int | None
) -> None:
    values, parts = given_batches
    one, other = Histogram(axis), Histogram(axis)
    for number, part in enumerate(parts):
        (one if number < first else other).update(part)
    before = [one_of.counts.tolist() for one_of in other.distributions()]
    one.merge(other)
    assert one == histogram(values, axis)
    assert [one_of.counts.tolist() for one_of in other.distributions()] == before


@given(samples)
def test_every_value_is_counted_in_its_bin(values: list[float]) -> None:
    seen = distribution(values)
    expected = [0] * BINS
    for value in filter(None, values):
        inward = int(abs(Fraction(value)) / Fraction(seen.width))
        expected[BINS // 2 + inward if value > 0 else BINS // 2 - 1 - inward] += 1
    assert seen.counts.tolist() == expected
    assert (seen.minimum, seen.maximum) == (min(values), max(values))
    assert (seen.zeros, seen.count) == (values.count(0.0), len(values))


@given(st.lists(st.floats(2.0**-980, 2.0**1000), min_size=1))
def test_width_is_the_least_power_of_two_for_the_largest_magnitude(values: list[float]) -> None:
    width = distribution(values).width
    assert width * (BINS // 4) <= max(values) < width * (BINS // 2)
    assert frexp(width)[0] == 0.5


def test_counts_are_those_of_numpy() -> None:
    values = np.random.default_rng(0).exponential(size=10_000)
    seen = distribution(values)
    assert seen.counts.tolist() == np.histogram(values, seen.edges)[0].tolist()


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_channel_is_counted_as_if_alone(axis: int) -> None:
    values = np.random.default_rng(0).normal(size=(3, 4, 5)) * [0.0, 1e-3, 1.0, 1e3, -7.0]
    alone = [distribution(channel) for channel in np.moveaxis(values, axis, 0)]
    for one, other in zip(histogram(values, axis).distributions(), alone, strict=True):
        assert one.counts.tolist() == other.counts.tolist()
        assert (one.minimum, one.maximum, one.zeros, one.width) == (
            other.minimum,
            other.maximum,
            other.zeros,
            other.width,
        )


@given(samples, percents)
def test_percentile_is_that_of_the_values_to_a_bin(values: list[float], percent: float) -> None:
    seen = distribution(values)
    exact = sorted(values)[ceil(Fraction(str(percent)) * len(values) / 100) - 1]
    assert Fraction(exact) <= Fraction(seen.percentile(percent)) <= Fraction(exact) + Fraction(seen.width)
    magnitudes = distribution(np.abs(values))
    assert seen.percentile_of_magnitudes(percent) == magnitudes.percentile(percent)


@pytest.mark.parametrize("percent", [0.1, 1, 50, 90, 99, 99.9, 99.99, 100])
def test_percentile_is_that_of_numpy_to_a_bin(percent: float) -> None:
    values = np.random.default_rng(0).laplace(size=12_345)
    seen = distribution(values)
    exact = np.percentile(values, percent, method="inverted_cdf")
    assert exact <= seen.percentile(percent) <= exact + seen.width
    mirrored = seen.mirrored()
    of_negated = np.percentile(-values, percent, method="inverted_cdf")
    assert of_negated <= mirrored.percentile(percent) <= of_negated + seen.width


def test_percentile_is_read_as_the_decimal_number_that_is_written() -> None:
    seen = distribution(np.arange(1, 1001))
    assert Fraction(99.9) > Fraction("99.9")  # of 1000 values it would be the last
    assert 999 <= seen.percentile(99.9) < 1000


@given(samples)
def test_mirrored_and_rectified_are_the_distributions_of_such_values(values: list[float]) -> None:
    seen = distribution(values)
    mirrored, rectified = seen.mirrored(), seen.rectified()
    expected = distribution(np.negative(values))
    assert mirrored.counts.tolist() == expected.counts.tolist()
    assert (mirrored.minimum, mirrored.maximum, mirrored.zeros) == (-max(values), -min(values), seen.zeros)
    positive = np.maximum(values, 0)
    assert (rectified.minimum, rectified.maximum) == (positive.min(), positive.max())
    assert (rectified.zeros, rectified.count) == ((positive == 0).sum(), len(values))
    assert rectified.counts[BINS // 2 :].tolist() == seen.counts[BINS // 2 :].tolist()


def test_histogram_of_nothing_but_zero_has_empty_bins() -> None:
    seen = distribution([0.0, -0.0])
    assert (seen.zeros, seen.counts.any(), seen.percentile(100)) == (2, np.False_, 0.0)


def test_histogram_of_no_values_is_that_which_was_not_updated() -> None:
    seen = histogram([])
    assert seen == Histogram()
    assert (seen.count, seen.channels, seen.distributions()) == (0, 0, [])


def test_memory_does_not_grow_with_the_values() -> None:
    seen = Histogram()
    for scale in range(20):
        seen.update(np.linspace(-1, 1, 10_001) * 3.0**scale)
    assert seen.count == 200_020
    assert [len(one.counts) for one in seen.distributions()] == [BINS]


def test_histograms_are_equal_only_if_all_is() -> None:
    seen = histogram([0.5, 2.0])
    for other in ([0.5, 2.1], [0.6, 2.0], [0.5, 2.0, 0.0], [0.5, 2.0, 1.0], [0.5, -2.0]):
        assert seen != histogram(other)
    assert histogram([[1.0]], axis=0) != histogram([[1.0]], axis=1)
    assert seen != 2


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_value_that_is_not_finite_is_refused_and_nothing_is_counted(value: float) -> None:
    seen = histogram([1.0])
    says = (
        f"calibration: values must be finite, not {value}; "
        "look for a division by zero or an overflow in the network or its inputs"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        seen.update([2.0, value])
    assert seen == histogram([1.0])


@pytest.mark.parametrize(("shape", "axis"), [((2, 3), 2), ((2, 3), -3), ((), 0)])
def test_axis_that_values_do_not_have_is_refused(shape: tuple[int, ...], axis: int) -> None:
    says = f"calibration: axis must be one of the {len(shape)} of the values, not {axis}"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        by_channel(np.zeros(shape), axis)


def test_other_number_of_channels_is_refused_and_nothing_is_counted() -> None:
    seen = histogram(np.ones((2, 3)), axis=1)
    says = r"^calibration: channels must be 3, as of the values before, not 2; check the axis$"
    with pytest.raises(ValueError, match=says):
        seen.update(np.ones((3, 2)))
    with pytest.raises(ValueError, match=says):
        seen.merge(histogram(np.ones((3, 2)), axis=1))
    assert seen == histogram(np.ones((2, 3)), axis=1)


def test_merge_with_another_axis_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^Histogram: axis of the other must be 1, as of this one, not None$"):
        Histogram(1).merge(Histogram())
