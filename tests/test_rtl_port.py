"""Integers to hexadecimal numbers and back."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitwright.rtl.port import Port


@given(
    values=st.integers(1, 9),
    width=st.integers(1, 20),
    signed=st.booleans(),
    step=st.sampled_from([1, 4]),
    seed=st.integers(0, 99),
)
def test_codes_come_back(values: int, width: int, signed: bool, step: int, seed: int) -> None:
    lowest = -(1 << (width - 1)) if signed else 0
    codes = step * np.random.default_rng(seed).integers(lowest, lowest + (1 << width), (5, values))
    port = Port(values, width, signed, bipolar=False, step=step)
    assert (port.codes(port.lines(codes)) == codes).all()


def test_first_value_stands_in_the_lowest_bits() -> None:
    assert Port(3, 3, signed=True, bipolar=False).lines(np.array([[1, -1, 2]])) == ["00b9"]
    assert int("0b9", 16) == 0b010_111_001


def test_plus_one_is_the_bit_1() -> None:
    port = Port(4, 1, signed=False, bipolar=True)
    assert port.lines(np.array([[1, -1, -1, 1]])) == ["09"]
    assert port.codes(["9"]).tolist() == [[1, -1, -1, 1]]
