"""Integers taken back toward zero until an accumulator holds every sum, against plain sums."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bitwright.calibration.accumulator_room import pulled_back
from bitwright.quant.accumulator_aware import AccumulatorLimit


def needed(codes: NDArray[np.float64], ends: tuple[int, int]) -> int:
    """The least bits that hold every sum of every output ``(C, K)``."""
    products = np.stack([codes * end for end in ends])
    greatest, least = products.max(axis=0).sum(axis=1).max(), products.min(axis=0).sum(axis=1).min()
    return 1 + max(int(greatest).bit_length(), int(-least - 1).bit_length() if least < 0 else 0)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    ends=st.sampled_from([(0, 15), (-8, 7), (-1, 1)]),
    more=st.integers(0, 2),
    outputs=st.integers(1, 3),
)
def test_sums_fit_and_no_weight_is_taken_back_needlessly(
    seed: int, ends: tuple[int, int], more: int, outputs: int
) -> None:
    random = np.random.default_rng(seed)
    steps = random.uniform(-1.5, 1.5, (outputs, 20))
    codes = np.where(random.random(steps.shape) < 0.5, np.floor(steps), np.ceil(steps))
    width = needed(np.trunc(steps), ends) + more
    found = pulled_back(torch.tensor(codes), torch.tensor(steps), AccumulatorLimit(width, 0, ends)).numpy()
    assert needed(found, ends) <= width
    assert ((found == codes) | (found == np.trunc(steps))).all()
    for output in range(outputs):
        taken = np.flatnonzero(found[output] != codes[output])
        if len(taken):
            last = taken[np.abs(codes[output] - steps[output])[taken].argmin()]
            kept = found.copy()
            kept[output, last] = codes[output, last]
            assert needed(kept, ends) > width
