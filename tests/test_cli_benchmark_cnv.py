"""The benchmark of a road: its measure, and the whole of it on a small network."""

import time
from pathlib import Path

import numpy as np
import pytest

from bitwright.cli.benchmark_cnv import Bench, measured
from bitwright.cli.experiment import read
from bitwright.cli.run_folder import RunFolder


def fill(mebibytes: int) -> int:
    """A step that holds so much memory, and takes a quarter of a second."""
    time.sleep(0.25)
    return int(np.ones(mebibytes << 20, np.uint8).sum(dtype=np.int64)) >> 20


def fail() -> None:
    """A step that is refused."""
    raise ValueError("step: network must be another, not this one")


def test_cost_is_the_steps_own_seconds_and_peak() -> None:
    (few, cost), (many, larger) = measured(fill, 1), measured(fill, 300)
    assert (few, many) == (1, 300)
    assert cost.seconds >= 0.25
    assert cost.gibibytes is not None
    assert larger.gibibytes is not None
    assert 0.25 < larger.gibibytes - cost.gibibytes < 0.4


def test_refusal_of_a_step_is_passed_on() -> None:
    with pytest.raises(ValueError, match=r"^step: network must be another, not this one$"):
        measured(fail)


@pytest.mark.slow
def test_every_step_of_a_small_network_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "small.toml"
    path.write_text("[model]\nhidden = [4]\n")
    assert Bench(read(path), None, None, RunFolder(tmp_path / "run")).measure()
    said = capsys.readouterr().out
    for line in ("296 weights, 360 test images", "3,600 integers, 0 different", "  160 integers, 0 different", "equal"):
        assert line in said
