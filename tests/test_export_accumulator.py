"""Accumulators: what codes are worth in float32, and how far the network's own sums may lie from it."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import graph, program_integers
from numpy.typing import NDArray

from bitwright.export.accumulator import Accumulator
from bitwright.export.elementwise import Elementwise
from bitwright.export.lower import LoweredNetwork, lower
from bitwright.export.operations import Interval
from bitwright.quant.fixed_point import FixedPoint

Floats = NDArray[np.float32]
SCALES = st.floats(2.0**-9, 8.0, width=32)
INPUTS = 200


def accumulator(scale: Any, noise: Any = 0.0, zero_point: int = 0, *steps: Elementwise) -> Accumulator:  # noqa: ANN401
    interval = Interval(np.array([-9, -3]), np.array([8, 30]))
    return Accumulator(
        "fc", FixedPoint(8, 8), interval, np.asarray(scale, float), steps, zero_point, np.asarray(noise, float)
    )


# ---- what codes are worth --------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    scales=st.lists(SCALES, min_size=2, max_size=2),
    noise=st.lists(st.floats(0, 1), min_size=2, max_size=2),
    zero_point=st.integers(-300, 300),
    off=st.sampled_from([0.0, 1.0, -1.0, 0.25]),
)
def test_values_are_codes_from_the_zero_point_on_rounded_once(
    scales: list[float], noise: list[float], zero_point: int, off: float
) -> None:
    source = accumulator(scales, noise, zero_point, Elementwise("Sub", np.array([1.0, 2.0], np.float32)))
    codes = np.arange(-9, 31)
    values = source.values(codes[:, None], off)
    assert values.dtype == np.float32
    for code, row in zip(codes.tolist(), values, strict=True):
        for c in range(2):
            exact = (code - zero_point) * scales[c] + off * noise[c]
            assert row[c] == np.float32(exact) - np.float32(1 + c)


def test_value_that_is_no_number_is_refused() -> None:
    huge, nothing = (Elementwise("Mul", np.array(value, np.float32)) for value in (3e38, 0.0))
    says = "values must be numbers, not NaN; train again, a batch norm may have overflowed"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        accumulator(100.0, 0.0, 0, huge, nothing).values(np.array([[1]]))


def test_one_channel_stands_for_all_where_all_have_the_same_function() -> None:
    several, step = [0.3, 0.5], Elementwise("Mul", np.array([0.3, 0.5], np.float32))
    assert accumulator(0.3, 0.1, 5).is_uniform
    assert accumulator([0.3, 0.3], [0.1, 0.1]).is_uniform
    assert not accumulator(several).is_uniform
    assert not accumulator(0.3, 0.0, 0, step).is_uniform
    assert float(accumulator(0.3, several).hull().noise) == 0.5
    hull = accumulator([0.3, 0.3], 0.1, 5).hull()
    assert (hull.interval.ends, hull.channels, hull.zero_point) == ((-9, 30), 1, 5)
    assert (float(hull.scale), float(hull.noise)) == (0.3, 0.1)


def test_line_is_the_values_without_rounding() -> None:
    steps = Elementwise("Mul", np.array([0.3, -0.7], np.float32)), Elementwise("RSub", np.array(5, np.float32))
    source = accumulator([0.1, 3.3], 0.0, 7, *steps)
    codes = np.arange(-9, 31)[:, None]
    line = source.line()
    np.testing.assert_allclose(codes * line.slope + line.offset, source.values(codes), rtol=1e-5, atol=1e-5)


# ---- noise of sums in float32 ----------------------------------------------------------------------------------------


def sequential(terms: Floats) -> np.float32:
    total = np.float32(0)
    for term in terms:
        total = np.float32(total + term)
    return total


def pairwise(terms: Floats) -> np.float32:
    while len(terms) > 1:
        odd = terms[len(terms) // 2 * 2 :]
        terms = np.concatenate([terms[0 : len(terms) // 2 * 2 : 2] + terms[1::2], odd])
    return np.float32(terms[0])


def blocked(terms: Floats) -> np.float32:
    """Four lanes, as vector instructions add."""
    return sequential(np.array([sequential(terms[lane::4]) for lane in range(4)], np.float32))


def layer(
    weights: NDArray[np.floating[Any]], scales: tuple[float, float], zero_point: int, bias: float | None
) -> LoweredNetwork:
    """A dense layer of one output, of four-bit inputs and six-bit weights."""
    inputs = len(weights)
    quantisers = "q = UnsignedQuant (x, a, z, four) v = Quant (w, b, zero, six)"
    last = "y = MatMul (q, v)" if bias is None else "y = Gemm (q, v, c)"
    constants = {"a": scales[0], "z": float(zero_point), "b": scales[1], "six": 6.0, "w": weights}
    more = {} if bias is None else {"c": np.array([bias])}
    return lower(graph(f"{quantisers} {last}", (INPUTS, inputs), (INPUTS, 1), **constants, **more))


@settings(deadline=None, max_examples=40)
@given(
    inputs=st.integers(1, 30),
    scales=st.tuples(SCALES, SCALES),
    zero_point=st.sampled_from([0, 0, 3, 15]),
    bias=st.one_of(st.none(), st.floats(-100, 100, width=32)),
    powers=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_float32_sums_in_any_order_stay_within_the_noise(
    inputs: int, scales: tuple[float, float], zero_point: int, bias: float | None, powers: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    if powers:
        scales = 2.0 ** round(np.log2(scales[0])), 2.0 ** round(np.log2(scales[1]))
    weights = rng.integers(-32, 32, (inputs, 1))
    network = layer(weights * scales[1], scales, zero_point, bias)
    scale = network.output_line.slope[0]
    codes = rng.integers(0, 16, (INPUTS, inputs))
    values = ((codes - zero_point).astype(np.float32) * np.float32(scales[0])).astype(np.float32)
    found = program_integers(network, values)[:, 0]
    exact = found * scale + network.output_line.offset[0]
    factors = (weights[:, 0].astype(np.float32) * np.float32(scales[1])).astype(np.float32)
    last = [] if bias is None else [np.float32(bias)]
    for row, wanted in zip(values[:60], exact, strict=False):
        terms = np.array([*(row * factors), *last], np.float32)
        for add in (sequential, pairwise, blocked):
            total = float(add(rng.permutation(terms)))
            rounding = 2.0**-24 * abs(total) if bias is not None else 0.0  # the bias' own addition, a step behind
            assert abs(total - wanted) <= network.output_noise * scale * (1 + 1e-9) + rounding
    if powers and bias is None:
        assert network.output_noise == 0


@pytest.mark.parametrize("scale", [0.25, 0.3])
def test_noise_is_none_only_where_every_sum_is_exact(scale: float) -> None:
    rng = np.random.default_rng(1)
    network = layer(rng.integers(-32, 32, (9, 1)) * scale, (0.5, scale), 0, None)
    assert (network.output_noise == 0) is (scale == 0.25)
    assert network.output_noise < 1e-2  # of a step


def test_power_of_two_sums_beyond_what_float32_counts_have_noise() -> None:
    body = "q = Quant (x, one, zero, wide) v = Quant (w, one, zero, wide) y = MatMul (q, v)"
    weights = np.full((4, 1), 1 << 10)
    for count, exact in ((4, False), (1, True)):
        given_ = {"wide": 13.0, "w": weights[:count]}
        network = lower(graph(body, (2, count), (2, 1), **given_))
        assert (network.output_noise == 0) is exact
