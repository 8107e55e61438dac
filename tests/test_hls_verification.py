"""The verdict counts what differs, and nothing else."""

import json
import re

import numpy as np
import pytest

from bitwright.export.interface import OFF_GRID, Interface, Port
from bitwright.hls.verification import verify

PORT = Port((2,), "flat", "ap_fixed<8,8>", (1.0, 10.0), (0.0, 5.0), (2,), (0,))
FACTS = Interface(PORT, PORT, (), (), {}, (2,))
DOUBTFUL = Interface(PORT, PORT, (), (), {"act1": 0.25}, (2,))
CODES = np.array([[30, 2], [1, 1], [50, 4]])
LABELS = np.array([0, 1, 1])


def test_equal_levels_are_exact() -> None:
    found = verify({"csim": CODES, "torch": CODES}, LABELS, FACTS, {"torch": 1.25})
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
    found = verify({"torch": CODES, "qonnx": CODES, "csim": other}, LABELS, FACTS, {})
    assert [level.different for level in found.levels.values()] == [0, 0, 1]
    assert not found.exact


def test_float_that_is_no_integer_counts_even_at_the_reference() -> None:
    torch = CODES.copy()
    torch[2, 0] = OFF_GRID
    found = verify({"torch": torch, "program": CODES}, LABELS, FACTS, {})
    assert [level.different for level in found.levels.values()] == [1, 1]


def test_accuracy_is_of_the_dequantised_output() -> None:
    assert verify({"program": CODES}, np.array([0, 1, 0]), FACTS, {}).levels["program"].accuracy == 1.0


def test_level_of_another_shape_is_refused() -> None:
    message = "outputs/csim.npy: integers must be of shape (3, 2), not (2, 2); delete it and run again"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        verify({"torch": CODES, "csim": CODES[:2]}, LABELS, FACTS, {})


def test_what_float32_leaves_undecided_is_told_and_is_no_excuse() -> None:
    other = CODES.copy()
    other[2, 1] = 5
    levels = {"qonnx": CODES, "program": other, "csim": other}
    found = verify(levels, None, DOUBTFUL, {})
    assert (found.exact, found.accepted, found.chip_exact) == (False, False, True)
    facts = json.loads(found.text())
    assert (facts["exact"], facts["undecided"], facts["largest_error"]) == (False, {"act1": 0.25}, 10.0)


@pytest.mark.parametrize(("doubts", "accepted"), [(DOUBTFUL, True), (FACTS, False)])
def test_flag_accepts_what_float32_leaves_undecided_and_nothing_else(doubts: Interface, accepted: bool) -> None:
    other = CODES.copy()
    other[2, 1] = 5
    assert verify({"qonnx": CODES, "program": other}, None, doubts, {}, approximate=True).accepted is accepted
    broken = verify({"qonnx": CODES, "program": other, "csim": CODES}, None, doubts, {}, approximate=True)
    assert not broken.accepted
    assert not broken.chip_exact
