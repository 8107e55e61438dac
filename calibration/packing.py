"""Integers of few bits without gaps, as a memory of a chip or a file holds them. Imports no torch."""

import numpy as np
from numpy.typing import NDArray


def pack(codes: NDArray[np.integer], bit_width: int) -> bytes:
    """Return integers as two's complement, one after the other, the lowest bit first; the last byte is filled up.

    Args:
        codes: Of any shape.
        bit_width: Of each; 1 to 63.

    Raises:
        ValueError: If the width is out of range, or a code does not fit, neither as a signed nor an unsigned integer.

    >>> pack(np.array([1, -1, 2]), 3).hex()
    'b900'
    """
    flat = np.asarray(codes, np.int64).reshape(-1, 1)
    if not 1 <= bit_width <= 63:
        raise ValueError(f"pack: bit_width must be 1 to 63, not {bit_width!r}")
    lowest, highest = -(1 << (bit_width - 1)), (1 << (bit_width - int((flat < 0).any()))) - 1
    for code in flat[(flat < lowest) | (flat > highest)]:
        raise ValueError(f"pack: code must be {lowest} to {highest}, not {int(code)}; pack with more bits")
    bits = (flat >> np.arange(bit_width)) & 1  # (codes, bit_width)
    return np.packbits(bits.astype(np.uint8), bitorder="little").tobytes()


def unpack(data: bytes, count: int, bit_width: int, *, signed: bool = True) -> NDArray[np.int64]:
    """Return the integers that were packed, ``(count,)``.

    Args:
        data: What `pack` returned.
        count: How many integers it holds.
        bit_width: Of each.
        signed: Whether they are two's complement.

    >>> unpack(pack(np.array([1, -1, 2]), 3), 3, 3).tolist()
    [1, -1, 2]
    """
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=count * bit_width, bitorder="little")
    worth = np.left_shift(np.int64(1), np.arange(bit_width, dtype=np.int64))
    if signed:
        worth[-1] = -worth[-1]
    return np.asarray(bits.reshape(count, bit_width) @ worth, np.int64)
