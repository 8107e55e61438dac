"""Symbolic integers against Python's, in alkaid's interpreter: every code of small ports."""

from collections.abc import Callable

import numpy as np
import pytest
from alkaid.trace import FVArray, trace
from alkaid.trace.passes import optimize
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitwright.export.operations import Integers
from bitwright.quant.fixed_point import shift_round
from bitwright.rtl.symbols import (
    HARDWARE,
    SOLVER,
    Symbol,
    Symbols,
    at_least,
    clipped,
    each,
    ends,
    floor_shift,
    inputs,
    larger,
    looked_up,
    low_bits,
    plus,
    shift_round_half_even,
    times,
    weighted,
)

MANY = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
FACTOR = st.sampled_from([-9, -4, -2, -1, 1, 2, 3, 8, 11])


def found(port: Symbols, result: Symbols, codes: Integers) -> Integers:
    """What the logic gives for codes ``(N, inputs)``."""
    logic = trace(FVArray(port, SOLVER, HARDWARE), FVArray(result, SOLVER, HARDWARE), optimize=False)
    return np.asarray(optimize(logic, retrace=False).predict(codes.astype(np.float64)), np.int64)


def agree(
    width: int, signed: bool, function: Callable[[Symbol], Symbol], wanted: Callable[[Integers], Integers]
) -> None:
    """Compare a function of one port on all its codes."""
    port = inputs((1,), width, signed=signed)
    lowest = -(1 << (width - 1)) if signed else 0
    codes = np.arange(lowest, lowest + (1 << width))
    assert (found(port, each(function, port), codes[:, None])[:, 0] == wanted(codes)).all()


def ports(test: Callable[..., None]) -> Callable[..., None]:
    """Draw a port, and a line of its codes, which may be negated, scaled and moved."""
    line = given(
        width=st.integers(1, 7),
        signed=st.booleans(),
        factor=FACTOR,
        offset=st.integers(-40, 40),
        number=st.integers(-50, 50),
    )
    return MANY(line(test))


@ports
def test_rounding_halves_to_even(width: int, signed: bool, factor: int, offset: int, number: int) -> None:
    shift = number % 9 - 2
    agree(
        width,
        signed,
        lambda x: shift_round_half_even(plus(times(x, factor), offset), shift),
        lambda x: shift_round(x * factor + offset, shift, "AP_RND_CONV"),
    )


@ports
def test_comparison(width: int, signed: bool, factor: int, offset: int, number: int) -> None:
    agree(
        width,
        signed,
        lambda x: at_least(plus(times(x, factor), offset), number),
        lambda x: (x * factor + offset >= number).astype(np.int64),
    )


@ports
def test_comparison_of_a_comparison(width: int, signed: bool, factor: int, offset: int, number: int) -> None:
    """Found by random graphs: alkaid compares negated values of two wrongly."""
    agree(
        width,
        signed,
        lambda x: at_least(plus(times(at_least(x, number % 8), factor), offset), offset + factor),
        lambda x: ((x >= number % 8) * factor + offset >= offset + factor).astype(np.int64),
    )


@ports
def test_saturation(width: int, signed: bool, factor: int, offset: int, number: int) -> None:
    interval = min(number, 0), max(number, 5)
    agree(
        width,
        signed,
        lambda x: clipped(plus(times(x, factor), offset), *interval),
        lambda x: np.clip(x * factor + offset, *interval),
    )


@pytest.mark.parametrize("interval", [(0, 15), (-3, 0), (-8, 7), (0, 1), (-1, 0)])
def test_saturated_values_are_known_to_be_so(interval: tuple[int, int]) -> None:
    (port,) = inputs((1,), 8, signed=True)
    assert ends(clipped(port, *interval)) == interval
    assert ends(clipped(times(port, -3), *interval)) == interval


@ports
def test_larger_of_two(width: int, signed: bool, factor: int, offset: int, number: int) -> None:
    agree(
        width,
        signed,
        lambda x: larger(times(x, factor), plus(times(x, -2), offset)),
        lambda x: np.maximum(x * factor, offset - 2 * x),
    )


@ports
def test_larger_of_two_comparisons(width: int, signed: bool, factor: int, offset: int, number: int) -> None:
    agree(
        width,
        signed,
        lambda x: larger(at_least(times(x, factor), number), at_least(times(x, -1), offset)),
        lambda x: ((x * factor >= number) | (-x >= offset)).astype(np.int64),
    )


@ports
def test_low_bits_and_the_rest(width: int, signed: bool, factor: int, offset: int, number: int) -> None:
    shift = number % 6
    agree(
        width,
        signed,
        lambda x: plus(
            times(floor_shift(plus(times(x, factor), offset), shift), 1 << shift),
            low_bits(plus(times(x, factor), offset), shift) if shift else 0,
        ),
        lambda x: x * factor + offset,
    )


@MANY
@given(multiplier=st.integers(1, (1 << 24) - 1), offset=st.integers(-(1 << 29), 1 << 29), shift=st.integers(10, 23))
def test_multiplication_addition_and_rounding_of_large_numbers(multiplier: int, offset: int, shift: int) -> None:
    """Found on the jet tagger: alkaid takes constants for float32's, of 24 bits."""
    lowest, highest = 0, 63
    agree(
        12,
        signed=True,
        function=lambda x: shift_round_half_even(
            clipped(plus(times(x, multiplier), offset), lowest << shift, highest << shift), shift
        ),
        wanted=lambda x: np.clip(shift_round(x * multiplier + offset, shift, "AP_RND_CONV"), lowest, highest),
    )


@MANY
@given(offset=st.integers(-(1 << 30), 1 << 30), number=st.integers(-9000, 9000))
def test_comparison_and_maximum_beside_large_constants(offset: int, number: int) -> None:
    agree(
        12,
        signed=True,
        function=lambda x: at_least(plus(times(x, 5), offset), offset + number),
        wanted=lambda x: (x * 5 >= number).astype(np.int64),
    )
    agree(
        12,
        signed=True,
        function=lambda x: larger(plus(times(x, 5), offset), offset + number),
        wanted=lambda x: np.maximum(x * 5, number) + offset,
    )


@ports
def test_table(width: int, signed: bool, factor: int, offset: int, number: int) -> None:
    lowest = -(1 << width) * abs(factor) - 40
    entries = np.random.default_rng(number + 50).integers(-20, 20, 1 - 2 * lowest)
    agree(
        width,
        signed,
        lambda x: looked_up(plus(times(x, factor), offset), entries, lowest),
        lambda x: entries[x * factor + offset - lowest],
    )


@MANY
@given(
    inner=st.tuples(st.integers(-3, 1), st.integers(0, 3)),
    outputs=st.integers(1, 3),
    negated=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_weighted_sums(inner: tuple[int, int], outputs: int, negated: bool, seed: int) -> None:
    """Of narrow values too, down to bits: alkaid packs those, and reads negated ones wrongly."""
    rng = np.random.default_rng(seed)
    weight = rng.integers(-3, 4, (8, outputs))
    sign = rng.choice([-1, 1], 8) if negated else np.ones(8, np.int64)
    port = inputs((8,), 3, signed=True)
    turned = each(lambda x, s: times(clipped(x, *inner), s), port, sign)
    codes = rng.integers(-4, 4, (200, 8))
    assert (found(port, weighted(turned, weight), codes) == (np.clip(codes, *inner) * sign) @ weight).all()


def test_constant_that_alkaid_cannot_hold_is_refused() -> None:
    (port,) = inputs((1,), 4, signed=False)
    with pytest.raises(ValueError) as refusal:
        plus(port, -(1 << 31) - 1)
    assert str(refusal.value) == "constants must be below 2**31 in RTL, not -2147483649; use fewer bits"


def test_constant_that_grows_beyond_what_alkaid_holds_is_refused() -> None:
    (port,) = inputs((1,), 4, signed=False)
    with pytest.raises(ValueError) as refusal:
        plus(plus(port, (1 << 30) + 1), (1 << 30) + 2)
    assert str(refusal.value) == "constants must be below 2**31 in RTL, not 2147483651; use fewer bits"


def test_factor_that_alkaid_cannot_hold_is_refused() -> None:
    (port,) = inputs((1,), 4, signed=False)
    with pytest.raises(ValueError) as refusal:
        times(port, 1 << 24)
    assert str(refusal.value) == "weights must be below 2**24 in RTL, not 16777216; use fewer bits"
