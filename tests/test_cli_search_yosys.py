"""Points of a front, synthesised."""

import json
from pathlib import Path

import pytest
from float_networks import MLP, float_network, images

from bitwright.calibration.candidate import Candidate
from bitwright.calibration.moves import uniform
from bitwright.calibration.post_training import prepare, quantize
from bitwright.calibration.settings import CalibrationSettings
from bitwright.cli import search_yosys
from bitwright.cli.search_lowering import check
from bitwright.cli.search_yosys import yosys_lut
from bitwright.models.data_split import Split
from bitwright.rtl.design import FACTS


def test_small_point_is_synthesised_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = uniform(("fc0", "fc1", "fc2", "out"), 2, 2, 2)
    network = quantize(prepare(float_network(MLP), MLP, images(MLP, 32), CalibrationSettings()), recipe)[0]
    few = images(MLP, 20).numpy()
    lowering = check(network, (1, 8, 8), Split(few, few[:, 0, 0, 0].astype(int)), 1.0)
    candidate = Candidate(recipe, 0.5, 0, 0, lowering.lut, 20)
    found = yosys_lut(candidate, lowering, tmp_path, "setting")
    (figures,) = tmp_path.glob("*/xcup/yosys.json")
    assert found == json.loads(figures.read_text())["cells"]["lut"] > 0
    assert (figures.parents[1] / "rtl" / FACTS).is_file()
    written = figures.stat().st_mtime_ns
    assert yosys_lut(candidate, lowering, tmp_path, "setting") == found
    assert figures.stat().st_mtime_ns == written
    monkeypatch.setattr(search_yosys, "MOST_LUT", 1)
    assert yosys_lut(candidate, lowering, tmp_path, "setting") is None
