"""The page of a calibrated run, and of a search's winner: its numbers are those of calibration.json and search.json."""

import copy
import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from page_runs import CALIBRATED, CALIBRATION, LOSSES, METRICS, SEARCH, SETTINGS, WANTED, Read, at, says, searched_run
from road import Bitwright

from bitwright.calibration.candidate import Candidate
from bitwright.calibration.layer_errors import LayerError
from bitwright.calibration.sensitivity import Sensitivity as LayerLoss
from bitwright.calibration.settings import CalibrationSettings
from bitwright.cli.experiment import Experiment, changed, read
from bitwright.cli.page import write_page
from bitwright.cli.page_calibration import CalibratedTensor
from bitwright.cli.page_search import CandidateEntry, Sensitivity
from bitwright.cli.run_folder import RunFolder
from bitwright.cli.search_wanted import Wanted
from bitwright.quant.recipe import Recipe

HOSTILE = "<img src=x onerror=alert(1)>\"'&"
FURTHER = [f"bitwright {stage} small.toml" for stage in ("export", "hls", "rtl", "synth")]
STALE = "calibration.json: calibration must be of the run's weights, not of those before its training; delete the file"
CHANGED = "calibration.json: calibration must be as `bitwright calibrate` wrote it, not changed; calibrate again"
SEARCH_CHANGED = "search.json: search must be as `bitwright search` wrote it, not changed; search again"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run of a search's winner, that tests only read."""
    return searched_run(tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture
def searched(made: RunFolder, tmp_path: Path) -> RunFolder:
    """The run of a search's winner that a test may change."""
    return RunFolder(Path(shutil.copytree(made.path, tmp_path / "small")))


@pytest.fixture
def calibrated(searched: RunFolder) -> RunFolder:
    """A calibrated run that a test may change."""
    (searched.path / "search.json").unlink()
    return searched


def page(run: RunFolder) -> Read:
    """Write the page and read it."""
    return Read(source=write_page(run).read_text())


def put(run: RunFolder, name: str, content: Mapping[str, Any], path: str, value: object) -> None:
    """Write a file with another value at a path."""
    found = copy.deepcopy(dict(content))
    *parents, last = path.split(".")
    place: Any = at(found, ".".join(parents)) if parents else found
    place[int(last) if isinstance(place, list) else last] = value
    (run.path / name).write_text(json.dumps(found))


@pytest.mark.parametrize(
    ("written", "read_as"),
    [(LayerError, CalibratedTensor), (Candidate, CandidateEntry), (LayerLoss, Sensitivity)],
)
def test_files_are_read_with_the_fields_that_are_written(written: type, read_as: type) -> None:
    assert [one.name for one in fields(written)] == [one.name for one in fields(read_as)]


def test_every_number_shown_is_the_embedded_one(made: RunFolder) -> None:
    found = page(made)
    assert [(path, text) for path, text in found.shown if not says(text, at(found.json, path))] == []
    assert found.json["problems"] == []
    shown = {path for path, _ in found.shown}
    assert len([path for path in shown if path.startswith("calibration.")]) == 1 + 4 + 8 + 7 * 3 - 1
    assert {f"search.sensitivity.{i}.loss" for i in range(len(LOSSES))} < shown


def test_calibration_is_that_of_the_file(made: RunFolder) -> None:
    calibration = page(made).json["calibration"]
    assert {name: calibration[name] for name in ("source", "accuracy", "layers")} == {
        name: CALIBRATION[name] for name in ("source", "accuracy", "layers")
    }


def test_settings_stand_in_words(made: RunFolder) -> None:
    assert page(made).json["calibration"]["settings"] == {
        "inputs observed": 1024,
        "ranges of activations": "a percentile",
        "ranges of weights": "least squared error",
        "percentile": 99.5,
        "rounding of weights": "a layer's together (GPTQ)",
        "batch norms": "kept",
        "ranges of neighbouring layers": "made alike",
        "mean error of each channel": "taken off its bias",
    }


def test_search_is_that_of_the_file(made: RunFolder) -> None:
    search = page(made).json["search"]
    names = ("float_accuracy", "target_accuracy", "candidates", "sensitivity")
    assert {name: search[name] for name in names} == {name: SEARCH[name] for name in names}
    assert (search["cost"], search["budget"], search["images"], search["layers"]) == (
        "weight_bits",
        None,
        144,
        ["conv", "out"],
    )


def test_front_is_that_of_the_file(made: RunFolder) -> None:
    names = ("accuracy", "weight_bits", "bit_operations", "integers_compared", "different")
    front = page(made).json["search"]["front"]
    wanted = SEARCH["front"]
    assert isinstance(wanted, list)
    assert [{name: point[name] for name in names} for point in front] == [
        {name: point[name] for name in names} for point in wanted
    ]
    assert [(point["weights"], point["activations"], point["winner"]) for point in front] == [
        ("2 5", "2", False),
        ("3 5", "2", True),
        ("6 7", "2", False),
    ]
    assert [point["lut"] for point in front] == [round(point["lut"]) for point in wanted] == [3475, 3523, 7225]


def test_reasons_are_those_of_the_recipe(made: RunFolder) -> None:
    why = tomllib.loads(CALIBRATED)["recipe"]["layers"]["conv"]["why"]
    assert page(made).json["search"]["reasons"] == [
        {"layer": "conv", "weight_bit_width": 3, "activation_bit_width": 2, "why": why}
    ]


def test_every_chart_has_a_name_in_words(made: RunFolder) -> None:
    source = page(made).source
    charts = re.findall(r"<svg [^>]*aria-label=\"([^\"]+)\">\s*<title>([^<]+)</title>", source)
    assert len(charts) == source.count("<svg ")
    assert [name for name, _ in charts][:6] == [
        "Accuracy against bits of weights",
        "Sensitivity of conv",
        "Sensitivity of out",
        "Range of conv before and after",
        "Range of act1 before and after",
        "Range of out before and after",
    ]


def test_calibrated_run_has_no_training_and_no_search(calibrated: RunFolder) -> None:
    found = page(calibrated)
    headings = re.findall(r"<h2>([^<]+)</h2>", found.source)
    assert headings[:3] == ["Calibration", "Ranges before and after", "Network"]
    assert (found.json["training"], found.json["search"]) == (None, None)


def test_sections_of_a_search_stand_in_order(made: RunFolder) -> None:
    headings = re.findall(r"<h2>([^<]+)</h2>", page(made).source)
    assert headings[:5] == [
        "Calibration",
        "Search",
        "Sensitivity of each layer",
        "Ranges before and after",
        "Network",
    ]


def test_search_for_a_budget_has_no_target(searched: RunFolder) -> None:
    wanted = {**WANTED, "max_accuracy_loss": None, "max_bits": 3000}
    put(searched, "search.json", SEARCH, "wanted", wanted)
    found = page(searched)
    assert (found.json["search"]["budget"], found.json["search"]["target_accuracy"]) == (3000, None)
    assert ("search.budget", "3,000") in found.shown
    assert 'class="target"' not in found.source
    assert "--max-bits 3000" in found.json["commands"][0]


DAMAGED = {
    "source": 3,
    "source/hostile": HOSTILE,
    "settings.rounding": "always",
    "settings.samples": 0,
    "settings.percentile": 20.0,
    "accuracy.test.fixed_point": 1.5,
    "accuracy.validation": {},
    "layers": None,
    "layers.0.bit_width": 0,
    "layers.0.lowest": 2.0,
    "layers.1.highest": float("nan"),
    "layers.1.highest_held": 1e300,
    "layers.2.signal_to_noise_db": "12",
}


@pytest.mark.parametrize("path", DAMAGED)
def test_damaged_calibration_is_named_and_the_others_stay(path: str, searched: RunFolder) -> None:
    put(searched, "calibration.json", CALIBRATION, path.partition("/")[0], DAMAGED[path])
    found = page(searched)
    assert found.json["problems"] == [CHANGED]
    assert CHANGED in found.text
    assert (found.json["calibration"], found.json["commands"]) == (None, [])
    assert found.json["search"]["candidates"] == 83
    assert found.json["network"]["weights"] == 12 + 60 + 25 + 20


DAMAGED_SEARCH = {
    "wanted.cost": "area",
    "wanted.target_accuracy": 0.5,
    "float_accuracy": -0.5,
    "candidates": 1.5,
    "winner.recipe.weight_bit_width": 20,
    "front.0.accuracy": None,
    "front.1.weight_bits": -1,
    "front.1.lut": float("inf"),
    "front.2.recipe.layers": {"conv": 3},
    "sensitivity.0.part": "bias",
    "sensitivity.0.loss": 2.0,
}


@pytest.mark.parametrize("path", DAMAGED_SEARCH)
def test_damaged_search_is_named_and_the_others_stay(path: str, searched: RunFolder) -> None:
    put(searched, "search.json", SEARCH, path, DAMAGED_SEARCH[path])
    found = page(searched)
    assert found.json["problems"] == [SEARCH_CHANGED]
    assert found.json["search"] is None
    assert found.json["calibration"]["source"] == "small_float"
    assert found.json["commands"][0].startswith("bitwright calibrate runs/small_float ")


@pytest.mark.parametrize("name", ["calibration.json", "search.json"])
def test_files_that_are_no_json_are_named(name: str, searched: RunFolder) -> None:
    (searched.path / name).write_bytes(b"\xff{")
    assert page(searched).json["problems"] == [CHANGED if name == "calibration.json" else SEARCH_CHANGED]


@pytest.mark.parametrize("winner", [None, {**SEARCH["winner"], "recipe": {"layers": {}}}])  # type: ignore[dict-item]
def test_search_without_its_winner_is_refused(winner: object, searched: RunFolder) -> None:
    put(searched, "search.json", SEARCH, "winner", winner)
    problem = "search.json: front must hold the winner, not others alone; search again"
    assert page(searched).json["problems"] == [problem]


def test_search_for_lut_that_nobody_counted_is_refused(searched: RunFolder) -> None:
    found = copy.deepcopy(SEARCH)
    found["wanted"] = {**WANTED, "cost": "lut"}
    put(searched, "search.json", found, "front.0.lut", None)
    problem = "search.json: LUT of every point must be counted, not left out; search again"
    assert page(searched).json["problems"] == [problem]


def test_search_of_another_winner_is_refused(searched: RunFolder) -> None:
    text = CALIBRATED.replace("weight_bit_width = 5", "weight_bit_width = 4")
    (searched.path / "experiment.toml").write_text(text)
    found = page(searched)
    problem = "search.json: winner must have this run's recipe, not another; delete the file, or search again"
    assert (found.json["problems"], found.json["search"]) == ([problem], None)


def test_calibration_before_a_training_is_refused(searched: RunFolder) -> None:
    searched.metrics.write_text(json.dumps(METRICS))
    found = page(searched)
    assert found.json["problems"] == [STALE]
    assert (found.json["calibration"], found.json["search"]) == (None, None)
    assert found.json["training"]["epochs"] == 2
    assert found.json["commands"] == ["bitwright train small.toml", *FURTHER]


def test_experiment_that_cannot_be_read_leaves_the_search(searched: RunFolder) -> None:
    (searched.path / "experiment.toml").write_text("[recipe]\nwidth = 3\n")
    found = page(searched)
    (problem,) = found.json["problems"]
    assert problem.startswith("experiment.toml: recipe.width: key must be a known one, not 'width'; ")
    assert (found.json["search"]["reasons"], found.json["commands"]) == ([], [])


def test_run_of_no_epochs_without_its_calibration_names_no_command(calibrated: RunFolder) -> None:
    (calibrated.path / "calibration.json").unlink()
    found = page(calibrated)
    assert (found.json["training"], found.json["commands"], found.json["problems"]) == (None, [], [])


def test_names_of_others_stay_text(searched: RunFolder) -> None:
    put(searched, "calibration.json", CALIBRATION, "layers.0.name", HOSTILE)
    put(searched, "search.json", SEARCH, "sensitivity.0.layer", HOSTILE)
    text = CALIBRATED.replace("weights of 2 bits reached 71.00%", HOSTILE.replace('"', '\\"'))
    (searched.path / "experiment.toml").write_text(text)
    found = page(searched)
    assert {"img", "script"} & set(found.tags) == {"script"}
    assert not [name for name in found.names if name.startswith("on") or name in ("src", "href", "style")]
    assert found.text.count(HOSTILE) >= 3
    assert [(path, text) for path, text in found.shown if not says(text, at(found.json, path))] == []


def test_password_of_the_storage_is_not_on_the_page(made: RunFolder) -> None:
    assert not re.search("secret|postgresql|someone", page(made).source)


def test_command_calibrates_with_the_same_settings(
    calibrated: RunFolder, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = page(calibrated).json["commands"]
    assert others == FURTHER
    given: list[Any] = []

    def calibrate(*arguments: object) -> RunFolder:
        given.extend(arguments)
        return calibrated

    monkeypatch.setattr("bitwright.cli.stage_calibrate.calibrate", calibrate)
    assert bitwright(*shlex.split(first)[1:]).status == 0
    source, _, _, overrides, widths, settings, name = given
    assert (source, name) == (Path("runs/small_float"), "small")
    assert settings == CalibrationSettings(**SETTINGS)  # type: ignore[arg-type]
    base = Recipe.model_validate({**widths, "weight_scale_from": "parameter"})
    again = changed(Experiment(name="small", recipe=base), ["model.batch_norm=false", *overrides])
    wanted = read(calibrated.path / "experiment.toml")
    assert again.recipe == wanted.recipe.without_reasons()
    assert (again.seed, again.data) == (wanted.seed, wanted.data)


def test_command_searches_for_the_same(
    searched: RunFolder, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = page(searched).json["commands"]
    assert others == FURTHER
    given: list[Any] = []

    def search(*arguments: object) -> bool:
        given.extend(arguments)
        return True

    monkeypatch.setattr("bitwright.cli.stage_search.search", search)
    assert bitwright(*shlex.split(first)[1:]).status == 0
    assert given[0] == Path("runs/small_float")
    assert set(given[3]) == {"seed=7", "data.validation_fraction=0.1"}
    assert given[4] == Wanted(**{**WANTED, "storage": None, "name": "small"})  # type: ignore[arg-type]
