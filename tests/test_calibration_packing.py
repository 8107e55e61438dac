"""Integers of few bits without gaps."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitwright.calibration.packing import pack, unpack


@given(st.data(), st.integers(1, 63), st.booleans())
def test_what_was_packed_is_unpacked(data: st.DataObject, bit_width: int, signed: bool) -> None:
    ends = (-(1 << (bit_width - 1)), (1 << (bit_width - 1)) - 1) if signed else (0, (1 << bit_width) - 1)
    codes = data.draw(st.lists(st.integers(*ends), max_size=9))
    packed = pack(np.array(codes, np.int64), bit_width)
    assert len(packed) == -(-len(codes) * bit_width // 8)
    assert unpack(packed, len(codes), bit_width, signed=signed).tolist() == codes


def test_eight_bits_are_bytes() -> None:
    codes = np.array([[0, 1], [-1, -128]])
    assert pack(codes, 8) == codes.astype(np.int8).tobytes()


@pytest.mark.parametrize(
    ("codes", "bit_width", "message"),
    [
        ([8], 3, "pack: code must be -4 to 7, not 8; pack with more bits"),
        ([-1, 4], 3, "pack: code must be -4 to 3, not 4; pack with more bits"),
        ([1], 0, "pack: bit_width must be 1 to 63, not 0"),
    ],
)
def test_code_or_width_out_of_range_is_refused(codes: list[int], bit_width: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        pack(np.array(codes), bit_width)
