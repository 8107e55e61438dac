"""Splits, and the part of the training set that is held out."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitwright.models.data_split import Split, class_indices, hold_out


def numbered(samples: int) -> Split:
    """A split whose labels are the positions of its samples."""
    return Split(np.arange(samples, dtype=np.uint8).reshape(-1, 1, 1, 1), np.arange(samples, dtype=np.int64))


@given(st.integers(2, 200), st.floats(0.01, 0.5))
def test_hold_out_parts_the_set_without_loss_or_overlap(samples: int, fraction: float) -> None:
    train, held = hold_out(numbered(samples), fraction)
    together = np.concatenate([train.labels, held.labels])
    np.testing.assert_array_equal(np.sort(together), np.arange(samples))
    assert len(held) == max(1, round(samples * fraction))
    np.testing.assert_array_equal(train.inputs.ravel(), train.labels)


def test_hold_out_takes_the_end_of_a_fixed_permutation() -> None:
    _, held = hold_out(numbered(10), 0.3)
    assert held.labels.tolist() == [0, 3, 5]


@pytest.mark.parametrize("fraction", [0.0, -0.1, 0.51, float("nan")])
def test_fraction_outside_its_range_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match=rf"^validation: fraction must be above 0 and at most 0.5, not {fraction!r}$"):
        hold_out(numbered(10), fraction)


def test_labels_that_do_not_go_with_the_inputs_are_refused() -> None:
    message = "Split: labels must be of shape (3,), one for each input, not (2,)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Split(np.zeros((3, 16), np.float32), np.zeros(2, np.int64))


def test_empty_split_is_refused() -> None:
    message = "Split: labels must be of shape (1,), one for each input, not (0,)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Split(np.zeros((0, 16), np.float32), np.zeros(0, np.int64))


def test_class_indices_become_int64() -> None:
    indices = class_indices("file", np.array([0, 9, 3], np.uint8), classes=10)
    assert indices.dtype == np.int64
    assert indices.tolist() == [0, 9, 3]


@pytest.mark.parametrize("label", [-1, 10])
def test_label_of_no_class_is_refused(label: int) -> None:
    message = rf"^a\.bin: labels must be from 0 to 9, not {label}; replace the file, or delete it to .* again$"
    with pytest.raises(ValueError, match=message):
        class_indices("a.bin", np.array([0, label]), classes=10)


def test_no_labels_are_refused() -> None:
    message = "a.bin: samples must be at least 1, not 0; replace the file, or delete it to have it downloaded again"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        class_indices("a.bin", np.array([], np.uint8), classes=10)
