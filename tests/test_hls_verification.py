"""The verdict counts what differs, and nothing else."""

import json
import re

import numpy as np
import pytest

from bitwright.export.interface import OFF_GRID, Port
from bitwright.hls.verification import verify

PORT = Port((2,), "flat", "ap_fixed<8,8>", (1.0, 10.0), (0.0, 5.0))
CODES = np.array([[30, 2], [1, 1], [50, 4]])
LABELS = np.array([0, 1, 1])


def test_equal_levels_are_exact() -> None:
    found = verify({"csim": CODES, "torch": CODES}, LABELS, PORT, {"torch": 1.25})
    assert found.exact
    assert json.loads(found.text()) == {
        "exact": True,
        "test_set": 3,
        "levels": {
            "torch": {"compared": 6, "different": 0, "accuracy": 2 / 3, "seconds": 1.25},
            "csim": {"compared": 6, "different": 0, "accuracy": 2 / 3, "seconds": 0.0},
        },
    }


def test_one_different_integer_is_counted_at_its_level() -> None:
    other = CODES.copy()
    other[1, 1] = 2
    found = verify({"torch": CODES, "qonnx": CODES, "csim": other}, LABELS, PORT, {})
    assert [level.different for level in found.levels.values()] == [0, 0, 1]
    assert not found.exact


def test_float_that_is_no_integer_counts_even_at_the_reference() -> None:
    torch = CODES.copy()
    torch[2, 0] = OFF_GRID
    found = verify({"torch": torch, "program": CODES}, LABELS, PORT, {})
    assert [level.different for level in found.levels.values()] == [1, 1]


def test_accuracy_is_of_the_dequantised_output() -> None:
    assert verify({"program": CODES}, np.array([0, 1, 0]), PORT, {}).levels["program"].accuracy == 1.0


def test_level_of_another_shape_is_refused() -> None:
    message = "outputs/csim.npy: integers must be of shape (3, 2), not (2, 2); delete it and run again"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        verify({"torch": CODES, "csim": CODES[:2]}, LABELS, PORT, {})
