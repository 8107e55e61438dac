"""The benchmark of a road, on a small network."""

from pathlib import Path

import pytest

from bitwright.cli.benchmark_cnv import Bench
from bitwright.cli.experiment import read
from bitwright.cli.run_folder import RunFolder


@pytest.mark.slow
def test_every_step_of_a_small_network_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "small.toml"
    path.write_text("[model]\nhidden = [4]\n")
    assert Bench(read(path), None, None, RunFolder(tmp_path / "run")).measure()
    said = capsys.readouterr().out
    for line in ("296 weights, 360 test images", "3,600 integers, 0 different", "  160 integers, 0 different", "equal"):
        assert line in said
