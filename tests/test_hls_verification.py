"""The verdict counts what differs, and nothing else."""

import json
import re
from dataclasses import replace

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
    equal = {"compared": 6, "different": 0, "accuracy": 2 / 3, "mean_squared_error": None}
    assert json.loads(found.text()) == {
        "exact": True,
        "test_set": 3,
        "levels": {
            "torch": {**equal, "seconds": 1.25},
            "csim": {**equal, "seconds": 0.0},
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


def test_squared_error_is_of_each_levels_dequantised_output() -> None:
    targets = np.array([[30, 25], [2, 15], [50, 41]], np.float32)  # the outputs are 30, 25; 1, 15; 50, 45
    levels = verify({"torch": CODES, "program": CODES + 1}, None, FACTS, {}, targets=targets).levels
    assert [level.accuracy for level in levels.values()] == [None, None]
    assert [level.mean_squared_error for level in levels.values()] == [17 / 6, (1 + 100 + 0 + 100 + 1 + 196) / 6]


def test_squared_error_is_to_targets_in_the_networks_order() -> None:
    turned = Port((2, 1, 2), "channels_last", "ap_fixed<8,8>", 0.5, 0.0, (2, 2, 1), (1, 2, 0))
    codes, targets = np.array([[2, 4, 6, 8]]), np.array([[1.0, 3.0, 2.0, 4.5]], np.float32)
    level = verify({"csim": codes}, None, replace(FACTS, output=turned), {}, targets=targets).levels["csim"]
    assert level.mean_squared_error == 0.25 / 4


def test_squared_error_of_what_is_no_integer_is_unknown() -> None:
    codes = CODES.copy()
    codes[2, 0] = OFF_GRID
    levels = verify({"torch": codes, "program": CODES}, None, FACTS, {}, targets=np.zeros((3, 2), np.float32)).levels
    assert levels["torch"].mean_squared_error is None
    assert levels["program"].mean_squared_error == (30**2 + 25**2 + 1 + 15**2 + 50**2 + 45**2) / 6


def test_more_targets_than_outputs_are_refused() -> None:
    message = "targets.npy: values must be of shape (3, 2), not (4, 2); delete it and export again"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        verify({"torch": CODES}, None, FACTS, {}, targets=np.zeros((4, 2), np.float32))


def test_level_of_another_shape_is_refused() -> None:
    message = "outputs/csim.npy: integers must be of shape (3, 2), not (2, 2); delete it and run again"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        verify({"torch": CODES, "csim": CODES[:2]}, LABELS, FACTS, {})


def test_level_that_ran_the_first_inputs_is_compared_on_these() -> None:
    other = CODES[:2].copy()
    other[1, 0] += 1
    for csim, different in ((CODES[:2], 0), (other, 1)):
        found = verify({"torch": CODES, "program": CODES, "csim": csim}, LABELS, FACTS, {}, first={"csim": 2})
        assert (found.levels["csim"].compared, found.levels["csim"].different) == (4, different)
        assert (found.exact, found.chip_exact, found.fewer) == (different == 0, different == 0, {"csim": 2})
    message = "outputs/csim.npy: integers must be of shape (2, 2), not (1, 2); delete it and run again"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        verify({"torch": CODES, "csim": CODES[:1]}, LABELS, FACTS, {}, first={"csim": 2})


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
