"""Thresholds counted by the executor's C++, against plain comparisons of Python's integers."""

import shutil
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.export import native_threshold, operation_quantize
from bitwright.export.native import library
from bitwright.export.native_threshold import reached
from bitwright.export.operations import Integers, Threshold
from bitwright.quant.fixed_point import FixedPoint

SEEDS = st.integers(0, 2**32 - 1)
INT16 = FixedPoint(16, 16)

needs_library = pytest.mark.skipif(
    shutil.which("g++") is None or library() is None, reason="g++ is not on the PATH, or this machine has no AVX2"
)


def counted(codes: Integers, thresholds: Integers, first: Integers, step: Integers) -> list[list[int]]:
    """Results of codes ``(N, C)``, one at a time."""
    return [
        [
            int(first[c]) + int(step[c]) * sum(code >= threshold for threshold in thresholds[:, c].tolist())
            for c, code in enumerate(row)
        ]
        for row in codes.tolist()
    ]


@needs_library
@settings(deadline=None)
@given(seed=SEEDS, rows=st.integers(0, 40), channels=st.integers(1, 300), levels=st.integers(0, 9))
def test_every_code_is_compared_with_the_thresholds_of_its_channel(
    seed: int, rows: int, channels: int, levels: int
) -> None:
    rng = np.random.default_rng(seed)
    codes, thresholds = rng.integers(-9, 10, (rows, channels)), rng.integers(-9, 10, (levels, channels))
    first, step = rng.integers(-100, 100, channels), rng.choice(np.array([-2, -1, 1, 2]), channels)
    found = reached(codes, thresholds, first, step)
    assert found is not None
    assert found.tolist() == counted(codes, thresholds, first, step)


@needs_library
def test_codes_of_64_bits_and_codes_that_are_not_in_order_in_memory() -> None:
    ends = np.iinfo(np.int64)
    codes = np.array([[ends.min, ends.max], [ends.max, ends.min]])
    found = reached(codes.T, np.array([[ends.min, ends.max]]), np.zeros(2, np.int64), np.ones(2, np.int64))
    assert found is not None
    assert found.tolist() == [[1, 1], [1, 0]]


@pytest.mark.parametrize("levels", [1, 8, 9, 255, 256])
@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, shape=st.sampled_from([(5, 3), (2, 4, 3, 1), (0, 3), (3, 2, 2, 70)]))
def test_with_and_without_the_library(levels: int, seed: int, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    channels = shape[-1]
    thresholds = np.sort(rng.integers(-300, 300, (channels, levels)), axis=1)
    form = FixedPoint(9, 9) if levels == 256 else FixedPoint(8, 8)
    act = Threshold("act", "x", thresholds, rng.integers(0, 2, channels).astype(bool), form)
    codes = rng.integers(-320, 320, shape)
    found = act.run(codes, INT16)
    assert found.tolist() == act.run_numpy(codes).tolist()
    assert (found.shape, found.dtype) == (shape, np.dtype(np.int64))


@needs_library
def test_one_row_of_thresholds_is_of_all_channels_and_others_are_refused() -> None:
    codes = np.array([[-3, -2, -1, 0, 1, 2]])
    one = np.array([[0]]), np.array([0]), np.array([1])
    found = reached(codes, *one)
    assert found is not None
    assert found.tolist() == [[0, 0, 0, 1, 1, 1]]
    with pytest.raises(ValueError, match="broadcast"):
        reached(codes, np.zeros((1, 2), np.int64), *one[1:])


def test_without_the_library_numpy_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_threshold, "library", lambda: None)
    act = Threshold("act", "x", np.array([[0, 5]]), np.array([False]), FixedPoint(2, 2, signed=False))
    assert act.run(np.array([[-1], [0], [5]]), INT16).tolist() == [[3], [2], [1]]


@needs_library
def test_the_library_counts_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Integers:  # noqa: ANN401
        raise AssertionError("NumPy must not be asked")

    monkeypatch.setattr(operation_quantize.Threshold, "run_numpy", refuse)
    act = Threshold("act", "x", np.array([[0]]), np.array([True]), FixedPoint(1, 1, signed=False))
    assert act.run(np.array([[-1], [0]]), INT16).tolist() == [[0], [1]]
