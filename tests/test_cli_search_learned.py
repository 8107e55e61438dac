"""`bitwright search --learn`: networks that learned their widths join the candidates, and are runs."""

import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest
from quick_search import FAST, quick_lowering
from road import Bitwright

from bitwright.cli.search_learn import learn_front
from bitwright.cli.search_state import begin
from bitwright.cli.search_wanted import Wanted
from bitwright.cli.stage_calibrate import read_float
from bitwright.models.checkpoint import load
from bitwright.quant.recipe import Recipe

LEARN = ("--target-accuracy", "0.999", *FAST[:-1], "3", "--learn", "2", "--learn-widths", "per_channel")
"""Out of reach, so that the greedy descent ends at once."""


@pytest.fixture(autouse=True)
def _quick_lowering(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_lowering(monkeypatch)


def test_learned_widths_join_the_candidates_and_their_networks_are_runs(float_run: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("search", float_run, "--runs-dir", float_run.parent, *LEARN)
    assert outcome.status == 1, outcome.err
    assert "search: learned 2 of 2, cost weighs 2: " in outcome.err
    points = json.loads((float_run / "search" / "learned.json").read_text())["points"]
    assert points[1]["bit_operations"] < points[0]["bit_operations"]
    lines = (float_run / "search" / "candidates.jsonl").read_text().splitlines()
    tried = [Recipe.model_validate(json.loads(line)["recipe"]) for line in lines]
    for number, point in enumerate(points, 1):
        recipe = Recipe.model_validate(point["recipe"])
        assert recipe in tried
        run = float_run / "search" / "learned" / str(number)
        _, description = load(run / "checkpoint.safetensors")
        for name, own in recipe.layers.items():
            assert description.recipe.layers[name] == own
            assert own.weight_bit_width == max(2, *point["weight_widths"][name])
    assert bitwright("export", run).status == 0
    levels = json.loads((run / "verification.json").read_text())["levels"]
    assert {level["different"] for level in levels.values()} == {0}


def test_accumulators_of_learned_networks_are_within_the_limit(float_run: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("search", float_run, "--runs-dir", float_run.parent, *LEARN, "--max-accumulator-bits", "14")
    assert outcome.status == 1, outcome.err
    points = json.loads((float_run / "search" / "learned.json").read_text())["points"]
    assert [point["accumulator_bits"] <= 14 for point in points] == [True, True]
    assert f", accumulators of {points[0]['accumulator_bits']} bits at most; " in outcome.err
    run = float_run / "search" / "learned" / "1"
    assert bitwright("export", run).status == 0
    levels = json.loads((run / "verification.json").read_text())["levels"]
    assert {level["different"] for level in levels.values()} == {0}
    layers = tomllib.loads((run / "precision.toml").read_text())
    bits = [int(own["accumulator"].split("<")[1].split(",")[0]) for own in layers.values() if "accumulator" in own]
    assert max(bits) == points[0]["accumulator_bits"]


def test_learning_goes_on_from_the_points_that_are_there(float_run: Path) -> None:
    search = begin(read_float(float_run, float_run.parent, ()), None, Wanted(learn=2, rounding="nearest", samples=64))
    recipes = learn_front(search)
    path, folder = float_run / "search" / "learned.json", float_run / "search" / "learned"
    whole, written = path.read_text(), path.stat().st_mtime_ns
    assert learn_front(search) == recipes
    assert path.stat().st_mtime_ns == written
    found = json.loads(whole)
    half = json.dumps(found | {"points": found["points"][:1]})
    path.write_text(half)
    shutil.rmtree(folder / "2")  # killed at the second point
    assert learn_front(search) == recipes
    assert path.read_text() == whole
    for wrong in ("{}", '{"setting": "a", "points"', "[]"):
        path.write_text(wrong)
        says = f"{path}: file must hold points as `bitwright search --learn` writes them, not something else; delete it"
        with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
            learn_front(search)
    path.write_text(half)
    (folder / "1" / "state.safetensors").write_bytes(b"none")
    says = f"{folder}/1/state.safetensors: state must be a safetensors file, not something else; delete {path}"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        learn_front(search)
    shutil.copy(folder / "1" / "checkpoint.safetensors", folder / "1" / "state.safetensors")
    says = f"{folder}/1/state.safetensors: state must be of this search, not of another; delete {path}"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        learn_front(search)
