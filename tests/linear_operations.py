"""Dense layers and convolutions of random weights, as operations of a program."""

import numpy as np
from hypothesis import strategies as st

from bitwright.export.operations import Conv2d, Dense, Linear
from bitwright.quant.fixed_point import FixedPoint

INT8 = FixedPoint(8, 8)
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
