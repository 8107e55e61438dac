"""The methods of calibration, each against the values themselves."""

import math
import re
from itertools import product
from typing import get_args

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import entropy  # type: ignore[import-untyped]

from bitwright.calibration.histogram import BINS, Distribution, Histogram
from bitwright.calibration.observers import (
    OCTAVES,
    SCALES_PER_OCTAVE,
    HistogramObserver,
    Method,
    Observer,
    divergence,
    expected_squared_error,
    observer,
)
from bitwright.calibration.uniform import SMALLEST_SCALE, UniformGrid, asymmetric, squared_error, symmetric

METHODS: tuple[Method, ...] = get_args(Method)
Values = NDArray[np.float64]

numbers = st.one_of(st.floats(-1e6, 1e6), st.integers(-64, 64).map(lambda code: code / 8))
samples = st.lists(numbers, min_size=1, max_size=40)


def drawn(name: str, size: int = 20_000) -> Values:
    """Values of a shape that networks have."""
    generator = np.random.default_rng(7)
    match name:
        case "normal":
            return generator.normal(size=size)
        case "rectified":
            return np.maximum(generator.normal(size=size), 0)
        case "heavy":
            return generator.standard_t(2.5, size=size)
        case "leaky":
            values = generator.laplace(size=size)
            return np.where(values < 0, 0.1 * values, values)
        case _:
            raise AssertionError(name)


SHAPES = ("normal", "rectified", "heavy", "leaky")


def shown(method: Method, *batches: object, axis: int | None = None) -> Observer:
    """An observer that has seen batches."""
    seen = observer(method, axis=axis)
    for batch in batches:
        seen.update(np.asarray(batch, np.float64))
    return seen


def distribution(values: object) -> Distribution:
    """The distribution of values."""
    seen = Histogram()
    seen.update(np.asarray(values, np.float64))
    (only,) = seen.distributions()
    return only


def of_bins(counts: dict[int, int]) -> Distribution:
    """A distribution whose bins are as wide as one, given by where the bins begin."""
    array = np.zeros(BINS, np.int64)
    for begin, count in counts.items():
        array[BINS // 2 + begin] = count
    return Distribution(min(counts), max(counts) + 1, 0, array, 1.0)


def scales(values: Values, bit_width: int, *, signed: bool, part: int) -> list[float]:
    """The scales that a search may try: that which holds all values, and so many parts of each octave below."""
    widest = symmetric(values.min(), values.max(), bit_width, signed=signed, power_of_two=part == 1).scale
    return [float(widest) * 2 ** (-smaller / part) for smaller in range((OCTAVES - 1) * part + 1)]


@settings(deadline=None)  # hundreds of grids are tried
@given(st.data(), samples, st.sampled_from(["min_max", "percentile", "mse", "entropy"]))
def test_grid_depends_on_neither_order_nor_batches(data: st.DataObject, values: list[float], method: Method) -> None:
    shuffled = data.draw(st.permutations(values))
    seen, at_once = shown(method, *np.array_split(shuffled, 3)), shown(method, values)
    for even, power_of_two in ((True, True), (True, False), (False, True)):
        kind = {"symmetric": even, "power_of_two": power_of_two}
        assert seen.grid(4, **kind) == at_once.grid(4, **kind)


@settings(deadline=None)
@given(samples, st.sampled_from(METHODS), st.integers(2, 16), st.booleans(), st.booleans(), st.booleans())
@example(values=[1e-300, -1e300], method="mse", bit_width=2, signed=False, narrow_range=False, even=True)
@example(values=[-1e-300, 1e300], method="mse", bit_width=16, signed=True, narrow_range=False, even=False)
def test_grid_is_of_the_kind_that_was_asked_for(
    values: list[float], method: Method, bit_width: int, signed: bool, narrow_range: bool, even: bool
) -> None:
    grid = shown(method, values).grid(bit_width, signed=signed, symmetric=even, narrow_range=narrow_range)
    assert (grid.bit_width, grid.signed, grid.narrow_range, grid.axis) == (bit_width, signed, narrow_range, None)
    assert np.frexp(grid.scale)[0] == 0.5
    assert not even or grid.zero_point == 0


@given(samples, st.integers(2, 16), st.booleans())
def test_min_max_holds_all_values(values: list[float], bit_width: int, even: bool) -> None:
    grid = shown("min_max", values).grid(bit_width, symmetric=even)
    errors = grid.dequantize(grid.quantize(values)) - values
    assert np.abs(errors).max() <= grid.scale / 2
    make = symmetric if even else asymmetric
    signed = even and min(values) < 0
    assert grid == make(min(values), max(values), bit_width, signed=signed, power_of_two=True)


def test_moving_average_is_of_the_extremes_of_the_batches() -> None:
    seen = observer("moving_average", momentum=0.25)
    for batch in ([-1.0, 4.0], [0.0, 8.0], [-5.0, 0.0]):
        seen.update(batch)
    lowest = (-1.0 * 0.75 + 0.0 * 0.25) * 0.75 - 5.0 * 0.25
    highest = (4.0 * 0.75 + 8.0 * 0.25) * 0.75 + 0.0 * 0.25
    assert seen.grid(8, symmetric=False, power_of_two=False) == asymmetric(lowest, highest, 8)


def test_moving_average_depends_on_the_order() -> None:
    there, back = shown("moving_average", [1.0], [9.0]), shown("moving_average", [9.0], [1.0])
    assert there.grid(8) != back.grid(8)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("percent", [90.0, 99.0, 99.9, 100.0])
def test_percentile_is_that_of_numpy_to_a_bin(name: str, percent: float) -> None:
    values = drawn(name, size=19_999)  # of 20,000, 99.9 % are 19,980 values, but 19,981 to numpy
    width = distribution(values).width
    seen = observer("percentile", percentile=percent)
    seen.update(values)
    highest = seen.grid(8, signed=True, narrow_range=True, power_of_two=False).scale * 127
    exact = np.percentile(np.abs(values), percent, method="inverted_cdf")
    assert exact * (1 - 1e-12) <= highest <= exact + width
    span = seen.grid(8, symmetric=False, power_of_two=False).scale * 255
    low, high = (np.percentile(sign * values, percent, method="inverted_cdf") for sign in (-1, 1))
    assert (max(low, 0) + high) * (1 - 1e-12) <= span <= max(low, 0) + high + 2 * width


@given(st.lists(numbers, min_size=1, max_size=40), st.integers(2, 12), st.floats(0.001, 10), st.booleans())
def test_expected_error_is_that_of_the_values_to_a_bin(
    values: list[float], bit_width: int, part: float, signed: bool
) -> None:
    seen = distribution(values)
    grid = UniformGrid(part * (max(map(abs, values)) or 1) / 2**bit_width, 0, bit_width, signed)
    expected = np.sqrt(expected_squared_error(seen, grid)) * seen.width
    assert abs(expected - np.sqrt(squared_error(values, grid))) <= seen.width / np.sqrt(3) * (1 + 1e-6) + 1e-12


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("bit_width", [2, 3, 4, 6, 8, 12])
def test_power_of_two_of_least_squared_error_is_that_of_the_values(name: str, bit_width: int) -> None:
    values = drawn(name)
    grid = shown("mse", values).grid(bit_width)
    tried = scales(values, bit_width, signed=grid.signed, part=1)
    errors = {scale: squared_error(values, UniformGrid(scale, 0, bit_width, grid.signed)) ** 0.5 for scale in tried}
    best, second = sorted(errors.values())[:2]
    bound = 2 * distribution(values).width / np.sqrt(3)  # `expected_squared_error`, for the found and for the best
    assert errors[float(grid.scale)] <= best + bound
    if second > best + bound:
        assert errors[float(grid.scale)] == best
    if bit_width <= 6:  # of so coarse grids the histogram tells the errors closely
        assert errors[float(grid.scale)] == best


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("bit_width", [2, 4, 8])
def test_free_scale_of_least_squared_error_is_that_of_the_values(name: str, bit_width: int) -> None:
    values = drawn(name)
    grid = shown("mse", values).grid(bit_width, power_of_two=False)
    found = squared_error(values, grid) ** 0.5

    def least(part: int) -> float:  # of so many scales an octave
        tried = scales(values, bit_width, signed=grid.signed, part=part)
        return math.sqrt(min(squared_error(values, UniformGrid(scale, 0, bit_width, grid.signed)) for scale in tried))

    assert found <= least(SCALES_PER_OCTAVE) + 2 * distribution(values).width / np.sqrt(3)
    assert found <= 1.01 * least(40)  # and of finer steps between the scales there is no more to gain


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("power_of_two", [True, False])
@pytest.mark.parametrize("bit_width", [2, 3, 6])
def test_asymmetric_grid_of_least_squared_error_is_that_of_the_values(
    name: str, power_of_two: bool, bit_width: int
) -> None:
    values = drawn(name, size=2000)
    found = shown("mse", values).grid(bit_width, symmetric=False, power_of_two=power_of_two)
    widest = asymmetric(values.min(), values.max(), bit_width, power_of_two=power_of_two).scale
    tried = product([float(widest) * 2 ** (-smaller / (1 if power_of_two else 4)) for smaller in range(8)], range(64))
    grids = [UniformGrid(*pair, bit_width, signed=False) for pair in tried if pair[1] < 2**bit_width]
    best = min(squared_error(values, grid) for grid in grids) ** 0.5
    assert squared_error(values, found) ** 0.5 <= best * 1.02 + 2 * distribution(values).width / np.sqrt(3)


def test_divergence_is_that_of_the_example_of_tensorrt() -> None:
    # Slide "Quantize distribution": [1, 0, 2, 3, 5, 3, 1, 7] in two parts; code 1 has the bins from 2 to 6
    seen = of_bins(dict(zip(range(2, 10), [1, 0, 2, 3, 5, 3, 1, 7], strict=True)))
    found = divergence(seen, UniformGrid(4.0, 0, 2, signed=False))
    assert found == pytest.approx(entropy([1, 0, 2, 3, 5, 3, 1, 7], [2, 0, 2, 2, 4, 4, 4, 4]))


@pytest.mark.parametrize(
    ("outermost", "reference", "candidate"),
    [
        ({12: 4, 13: 2}, [4, 8], [3, 3]),  # what lies beyond is added to the reference alone
        ({13: 2}, [0, 8], [0, 2]),
        ({12: 4}, [4, 6], [2, 2]),  # a bin that only the reference fills has its share, too
        ({}, [0, 6], [0, 1]),  # nothing there: one value
    ],
)
def test_what_lies_beyond_the_range_is_in_the_last_bin_of_the_reference(
    outermost: dict[int, int], reference: list[int], candidate: list[int]
) -> None:
    seen = of_bins({2: 3, 3: 1, 6: 5, 50: 5, 100: 1} | outermost)
    found = divergence(seen, UniformGrid(4.0, 0, 2, signed=False))
    assert found == pytest.approx(entropy([3, 1, 5, *reference], [2, 2, 5, *candidate]))


def test_divergence_of_both_signs_has_two_last_bins() -> None:
    seen = of_bins({-90: 4, -8: 3, -3: 1, -1: 9, 0: 2, 5: 1, 80: 6})
    # Codes -2 to 1, worth 4 each: their bins begin at -10, -6, -2 and 2, and the last ends at 6
    reference, candidate = [4, 3, 1, 9, 2, 7], [1.5, 1.5, 1, 5.5, 5.5, 1]
    assert divergence(seen, UniformGrid(4.0, 0, 2, signed=True)) == pytest.approx(entropy(reference, candidate))
    assert divergence(seen, UniformGrid(4.0, 2, 2, signed=False)) == pytest.approx(entropy(reference, candidate))


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("bit_width", [2, 3, 4, 6, 8])
def test_entropy_has_the_least_divergence_of_the_powers_of_two(name: str, bit_width: int) -> None:
    values = drawn(name)
    grid = shown("entropy", values).grid(bit_width)
    width = distribution(values).width
    counts, edges = np.histogram(values[values != 0], np.arange(-BINS // 2, BINS // 2 + 1) * width)
    divergences: dict[float, float] = {}
    for scale in scales(values, bit_width, signed=grid.signed, part=1):
        codes = np.rint((edges[:-1] + width / 2) / scale)
        inside = np.flatnonzero((grid.lowest <= codes) & (codes <= grid.highest))
        reference = counts[inside].astype(float)
        reference[[0, -1]] += counts[: inside[0]].sum(), counts[inside[-1] + 1 :].sum()
        candidate = np.zeros(len(inside))
        for code in range(grid.lowest, grid.highest + 1):
            of_code = (codes[inside] == code) & (reference > 0)
            if of_code.any():
                candidate[of_code] = max(1, counts[inside][of_code].sum()) / of_code.sum()
        if scale >= width:
            divergences[scale] = float(entropy(reference, candidate))
    assert grid.scale == min(divergences, key=lambda scale: divergences[scale])


def test_grids_finer_than_the_bins_hold_all_values_by_entropy() -> None:
    values = drawn("normal")
    assert shown("entropy", values).grid(16) == shown("min_max", values).grid(16)


@pytest.mark.parametrize("method", ["percentile", "mse", "entropy"])
def test_single_value_far_out_is_clipped(method: Method) -> None:
    values = np.append(drawn("normal"), 40.0)
    assert shown(method, values).grid(4).scale < shown("min_max", values).grid(4).scale / 2


def test_least_squared_error_gives_up_a_value_six_octaves_out() -> None:
    values = drawn("normal", size=100_000) * 0.01
    with_one = np.append(values, 1.0)
    grid = shown("mse", values).grid(4)
    assert shown("mse", with_one).grid(4) == grid
    assert shown("min_max", with_one).grid(4).scale == grid.scale * 2**6


@pytest.mark.parametrize("method", METHODS)
def test_channel_has_the_grid_that_it_would_have_alone(method: Method) -> None:
    values = drawn("normal", 3000).reshape(2, 3, 500) * np.array([1.0, 0.0, 40.0])[:, None]
    for even, power_of_two in product((True, False), repeat=2):
        grid = shown(method, *values, axis=0).grid(4, symmetric=even, power_of_two=power_of_two)
        alone = [
            shown(method, *values[:, channel]).grid(4, signed=even, symmetric=even, power_of_two=power_of_two)
            for channel in range(3)
        ]
        assert np.asarray(grid.scale).tolist() == [one.scale for one in alone]
        assert np.asarray(grid.zero_point).tolist() == [one.zero_point for one in alone]
        assert (grid.axis, grid.signed) == (0, even)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("power_of_two", [True, False])
def test_scale_of_nothing_but_zero_is_the_smallest(method: Method, power_of_two: bool) -> None:
    for even in (True, False):
        grid = shown(method, [0.0, 0.0]).grid(8, symmetric=even, power_of_two=power_of_two)
        assert (grid.scale, grid.zero_point) == (SMALLEST_SCALE, 0)
    dead = shown(method, [[0.0, 1.0], [0.0, 0.5]], axis=1).grid(8, power_of_two=power_of_two)
    assert np.asarray(dead.scale)[0] == SMALLEST_SCALE


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.3, -0.3, 1e-300, -1e30])
def test_single_value_is_held(method: Method, value: float) -> None:
    for even, power_of_two in product((True, False), repeat=2):
        grid = shown(method, value).grid(8, symmetric=even, power_of_two=power_of_two)
        assert abs(grid.dequantize(grid.quantize(value)) - value) <= grid.scale * 0.51


@pytest.mark.parametrize("method", METHODS)
def test_negative_values_are_as_zeros_to_an_unsigned_grid(method: Method) -> None:
    values = drawn("leaky")
    for power_of_two in (True, False):
        grid = shown(method, values).grid(4, signed=False, power_of_two=power_of_two)
        assert grid == shown(method, np.maximum(values, 0)).grid(4, power_of_two=power_of_two)
    assert shown(method, [-1.0, -2.0]).grid(4, signed=False).scale == SMALLEST_SCALE


def test_observers_may_share_a_histogram() -> None:
    values, histogram = drawn("heavy"), Histogram()
    by_error, by_entropy = HistogramObserver("mse", histogram), HistogramObserver("entropy", histogram)
    by_error.update(values)
    assert by_error.grid(8) == shown("mse", values).grid(8)
    assert by_entropy.grid(8) == shown("entropy", values).grid(8)


@pytest.mark.parametrize("method", METHODS)
def test_grid_of_nothing_is_refused(method: Method) -> None:
    says = f"{method}: data must have been seen, not none; call update with at least one value"
    for seen in (observer(method), shown(method, []), shown(method, np.zeros((0, 3)), axis=1)):
        with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
            seen.grid(8)


@pytest.mark.parametrize("method", METHODS)
def test_batch_that_is_refused_changes_nothing(method: Method) -> None:
    seen = shown(method, [[0.5, 1.0]], axis=1)
    with pytest.raises(
        ValueError, match=r"^calibration: channels must be 2, as of the values before, not 3; check the"
    ):
        seen.update([[1.0, 2.0, 3.0]])
    with pytest.raises(
        ValueError, match=r"^calibration: values must be finite, not inf; look for a division by zero or"
    ):
        seen.update([[1.0, np.inf]])
    assert seen.grid(8) == shown(method, [[0.5, 1.0]], axis=1).grid(8)


def test_unknown_method_is_refused() -> None:
    says = f"observer: method must be one of {METHODS}, not 'median'"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        observer("median")  # type: ignore[arg-type]


@pytest.mark.parametrize("percentile", [50.0, 100.1, 0.999, float("nan")])
def test_percentile_out_of_range_is_refused(percentile: float) -> None:
    says = f"observer: percentile must be above 50 and at most 100, not {percentile}"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        observer("percentile", percentile=percentile)


@pytest.mark.parametrize("momentum", [0.0, 1.1])
def test_momentum_out_of_range_is_refused(momentum: float) -> None:
    says = f"observer: momentum must be above 0 and at most 1, not {momentum}"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        observer("moving_average", momentum=momentum)
