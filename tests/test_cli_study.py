"""`bitwright study`: figures that the single commands would give, kept on disk, and gone on with."""

import csv
import doctest
import json
import re
import shutil
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from float_networks import float_network
from road import CONFIGS, Bitwright

from bitwright.calibration.observers import observer
from bitwright.calibration.packing import unpack
from bitwright.calibration.uniform import squared_error
from bitwright.cli import stage_train, study_widths
from bitwright.cli.experiment import changed, read
from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_train import store_experiment, training_finished
from bitwright.cli.study_source import Source
from bitwright.export.torch_level import run_torch
from bitwright.models.batches import accuracy
from bitwright.models.checkpoint import NetworkDescription, load, save
from bitwright.models.dataset import load_test

WIDTHS = ("--bits", "2", "4", "--epochs", "1", "--seeds", "3", "5")
PAGE = Path(__file__).parents[1] / "docs" / "calibration.md"


@pytest.fixture(scope="session")
def _float_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = CONFIGS / "digits_mlp_float.toml"
    experiment = changed(read(config), ["name=float", "model.hidden=[12, 8]", "train.batch_size=128"])
    description = NetworkDescription(experiment.model, experiment.recipe, (1, 8, 8), 10)
    run = RunFolder(tmp_path_factory.mktemp("study") / "float")
    run.create()
    save(run.checkpoint, float_network(description), description)
    store_experiment(experiment, run)
    training_finished(experiment, run)
    return run.path


@pytest.fixture
def float_run(_float_run: Path, tmp_path: Path) -> Path:
    """The run of a small float network with random weights."""
    return Path(shutil.copytree(_float_run, tmp_path / "runs" / "float"))


def figures(run: Path, study: str) -> dict[str, Any]:
    """What a study wrote."""
    found: dict[str, Any] = json.loads((run / "study" / f"{study}.json").read_text())
    return found


def table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open() as file:
        return list(csv.DictReader(file))


def accuracy_of(checkpoint: Path) -> float:
    """A checkpoint's, on the digits' test set."""
    split = load_test("digits")
    values = split.inputs.astype(np.float32) * np.float32(1 / 16)
    return accuracy(run_torch(load(checkpoint)[0], values), split.labels)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is computed: a calibration or a training each."""
    calls: list[str] = []
    calibrated, train = Source.calibrated_accuracy, stage_train.train

    def calibrate_(*arguments: Any) -> float:  # noqa: ANN401 - as they come
        calls.append("PTQ")
        return calibrated(*arguments)

    def train_(*arguments: Any) -> None:  # noqa: ANN401
        calls.append("QAT")
        train(*arguments)

    monkeypatch.setattr(Source, "calibrated_accuracy", calibrate_)
    monkeypatch.setattr(study_widths, "train", train_)
    return calls


def test_widths_are_what_calibrate_and_train_give(float_run: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("study", "widths", float_run, *WIDTHS)
    assert outcome.status == 0, outcome.err
    found = figures(float_run, "widths")
    points = {
        (each["setting"]["kind"], each["setting"].get("bit_width"), each["setting"].get("seed")): each["result"]
        for each in found["points"]
    }
    assert len(points) == 1 + 2 * 2 * 2
    assert points["float", None, None] == {"accuracy": accuracy_of(float_run / "checkpoint.safetensors")}

    runs = float_run.parent
    widths = ("--weight-bit-width", "4", "--activation-bit-width", "4")
    assert bitwright("calibrate", float_run, *widths, "--set", "seed=5", "--runs-dir", runs, "--name", "c").status == 0
    calibrated = json.loads((runs / "c" / "calibration.json").read_text())["accuracy"]["test"]["fixed_point"]
    assert points["PTQ", 4, 5] == {"accuracy": calibrated}

    recipe = [f"recipe.{part}_bit_width={width}" for part, width in (("weight", 2), ("activation", 2), ("input", 8))]
    start = f"train.start_from={float_run / 'checkpoint.safetensors'}"
    more = [*recipe, start, "train.epochs=1", "seed=3", "name=t"]
    experiment = float_run / "experiment.toml"
    trained = bitwright("train", experiment, *(f"--set={each}" for each in more), "--runs-dir", runs)
    assert trained.status == 0, trained.err
    assert points["QAT", 2, 3] == {"accuracy": accuracy_of(runs / "t" / "checkpoint.safetensors")}

    rows = {(each["method"], int(each["bit_width"])): each for each in table(float_run / "study" / "widths.csv")}
    for kind, width in (("PTQ", 4), ("QAT", 2)):
        both = [points[kind, width, seed]["accuracy"] for seed in (3, 5)]
        assert float(rows[kind, width]["accuracy"]) == statistics.fmean(both)
        assert float(rows[kind, width]["standard_deviation"]) == statistics.stdev(both)
        assert f"{statistics.fmean(both):.2%} ± {100 * statistics.stdev(both):.2f}" in outcome.out
    assert (float_run / "study" / "widths.svg").read_text().startswith("<?xml")


def test_second_call_computes_nothing_and_more_widths_only_those(
    float_run: Path, bitwright: Bitwright, counted: list[str]
) -> None:
    assert bitwright("study", "widths", float_run, "--bits", "4", "--epochs", "1", "--seeds", "1").status == 0
    assert counted == ["PTQ", "QAT"]
    study = float_run / "study"
    before = {path.name: path.read_bytes() for path in study.iterdir() if path.is_file()}
    again = bitwright("study", "widths", float_run, "--bits", "4", "--epochs", "1", "--seeds", "1")
    assert (again.status, again.err) == (0, "study widths: all 3 points are up to date\n")
    assert {path.name: path.read_bytes() for path in study.iterdir() if path.is_file()} == before
    assert counted == ["PTQ", "QAT"]
    more = bitwright("study", "widths", float_run, "--bits", "4", "3", "--epochs", "1", "--seeds", "1")
    assert more.status == 0, more.err
    assert counted == ["PTQ", "QAT"] * 2
    assert len(table(study / "widths.csv")) == 5


def test_interrupted_study_goes_on_and_ends_alike(
    float_run: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch, counted: list[str]
) -> None:
    whole = Path(shutil.copytree(float_run, float_run.parent / "whole"))
    arguments = ("--bits", "4", "2", "--epochs", "1", "--seeds", "1")
    with monkeypatch.context() as patch:
        calibrated = Source.calibrated_accuracy

        def once(*of: Any) -> float:  # noqa: ANN401
            if counted:
                raise KeyboardInterrupt
            return calibrated(*of)

        patch.setattr(Source, "calibrated_accuracy", once)
        stopped = bitwright("study", "widths", float_run, *arguments)
    assert stopped.status == 130
    assert stopped.err.endswith("interrupted; the same command goes on from what is finished\n")
    assert [each["setting"]["kind"] for each in figures(float_run, "widths")["points"]] == ["float", "PTQ"]
    del counted[:]
    assert bitwright("study", "widths", float_run, *arguments).status == 0
    assert counted == ["PTQ", "QAT", "QAT"]
    assert bitwright("study", "widths", whole, *arguments).status == 0
    for name in ("widths.json", "widths.csv", "widths.svg"):
        assert (float_run / "study" / name).read_bytes() == (whole / "study" / name).read_bytes()


def test_points_of_another_network_are_not_taken(float_run: Path, bitwright: Bitwright) -> None:
    assert bitwright("study", "methods", float_run, "--bits", "4").status == 0
    network, description = load(float_run / "checkpoint.safetensors")
    with torch.no_grad():
        network.out.bias += 1.0  # type: ignore[union-attr, operator]
    save(float_run / "checkpoint.safetensors", network, description)
    before = figures(float_run, "methods")["network"]
    again = bitwright("study", "methods", float_run, "--bits", "4")
    assert "study methods: 6 of 6: " in again.err
    assert figures(float_run, "methods")["network"] != before


def test_methods_are_what_calibrate_gives(float_run: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("study", "methods", float_run, "--bits", "8", "2")
    assert outcome.status == 0, outcome.err
    rows = {
        (each["method"], int(each["activation_bit_width"])): float(each["accuracy"])
        for each in table(float_run / "study" / "methods.csv")
    }
    assert len(rows) == 5 * 2 + 1
    runs = float_run.parent
    for method in ("min_max", "mse"):
        options = ("--activation-bit-width", "2", "--method", method, "--runs-dir", runs, "--name", method)
        assert bitwright("calibrate", float_run, *options).status == 0
        wanted = json.loads((runs / method / "calibration.json").read_text())["accuracy"]["test"]["fixed_point"]
        assert rows[method, 2] == wanted


def test_scales_have_every_layers_error_and_the_accuracy_of_calibrate(float_run: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("study", "scales", float_run, "--bit-width", "3")
    assert outcome.status == 0, outcome.err
    rows = table(float_run / "study" / "scales.csv")
    assert len(rows) == 3 * 4 * 4
    least = {(each["layer"], each["method"], each["per_channel"], each["power_of_two"]): each for each in rows}
    for layer in ("fc0", "fc1", "out"):
        tensor, channel = (least[layer, "min_max", kind, "False"] for kind in ("False", "True"))
        assert float(channel["squared_error"]) < float(tensor["squared_error"])
    weight = load(float_run / "checkpoint.safetensors")[0].out.weight.detach().numpy()  # type: ignore[union-attr, operator]
    seen = observer("entropy", axis=0)
    seen.update(weight)  # no batch norm follows it
    wanted = squared_error(weight, seen.grid(3, signed=True, power_of_two=True, narrow_range=True))
    assert float(least["out", "entropy", "True", "True"]["squared_error"]) == pytest.approx(wanted, rel=1e-9)

    reached = {
        (each["method"], each["weight_scale"]): float(each["accuracy"])
        for each in table(float_run / "study" / "scales_accuracy.csv")
    }
    runs = float_run.parent
    options = ("--weight-bit-width", "3", "--weight-method", "min_max", "--runs-dir", runs, "--name", "c")
    calibrated = bitwright("calibrate", float_run, *options, "--set", "recipe.weight_scale=per_channel")
    assert calibrated.status == 0, calibrated.err
    wanted = json.loads((runs / "c" / "calibration.json").read_text())["accuracy"]["test"]["fixed_point"]
    assert reached["min_max", "per_channel"] == wanted


def test_int8_measures_files_and_integers_that_are_equal(float_run: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("study", "int8", float_run, "--repeats", "1")
    assert outcome.status == 0, outcome.err
    (point,) = figures(float_run, "int8")["points"]
    found, folder = point["result"], float_run / "study" / "int8"
    assert (found["integers_compared"], found["integers_different"], found["threads"]) == (3600, 0, 1)
    assert found["left_in_float"] == []
    sizes = {name: each["bytes"] for name, each in found["networks"].items()}
    files = ("float_state.pt", "int8_dynamic_state.pt", "integers.bin")
    assert list(sizes.values()) == [(folder / file).stat().st_size for file in files]
    in_float, integers = (found["networks"][name] for name in ("float", "8-bit integers, Bitwright"))
    assert in_float["accuracy"] == accuracy_of(float_run / "checkpoint.safetensors")
    assert integers["seconds_of_float"] == integers["seconds"] / in_float["seconds"]

    runs = float_run.parent
    assert bitwright("calibrate", float_run, "--runs-dir", runs, "--name", "c").status == 0
    wanted = json.loads((runs / "c" / "calibration.json").read_text())["accuracy"]["test"]["fixed_point"]
    assert integers["accuracy"] == wanted
    network: Any = load(runs / "c" / "checkpoint.safetensors")[0]
    weight = network.fc0.quant_weight()
    codes = torch.round(weight.value / weight.scale).int().numpy()
    first = unpack((folder / "integers.bin").read_bytes()[: codes.size], codes.size, 8)
    assert sorted(first) == sorted(codes.reshape(-1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("widths", "--bits", "1"), "--bits: width must be a whole number from 2 to 16, not '1'; try --bits 4"),
        (("widths", "--bits", "8", "17"), "--bits: width must be a whole number from 2 to 16, not '17'; try --bits 4"),
        (("methods", "--bits", "-4"), "--bits: width must be a whole number from 2 to 16, not '-4'; try --bits 4"),
        (
            ("widths", "--seeds", "one"),
            "--seeds: seed must be a whole number from 0 to 2147483647, not 'one'; try --seeds 4",
        ),
        (
            ("widths", "--set", "model.hidden=[8]"),
            "--set: key must be of recipe or train, not 'model.hidden'; --epochs and --seeds are options, and the rest "
            "is the float network's",
        ),
        (
            ("widths", "--set", "recipe.weight_bit_width=4"),
            "--set: key must be one that the study does not set itself, not 'recipe.weight_bit_width'; give --bits",
        ),
        (
            ("widths", "--set", " recipe.activation_bit_width = 4"),
            "--set: key must be one that the study does not set itself, not 'recipe.activation_bit_width'; give --bits",
        ),
        (
            ("widths", "--set", "recipe.input_bit_width=4"),
            "--set: key must be one that the study does not set itself, not 'recipe.input_bit_width'; give "
            "--input-bit-width",
        ),
        (
            ("widths", "--set", "train.start_from=x"),
            "--set: key must be one that the study does not set itself, not 'train.start_from'; it is the float "
            "network",
        ),
        (("scales", "--samples", "0"), "--samples: number must be at least 1, not 0; 512 are usual"),
    ],
)
def test_bad_option_is_refused_in_one_line(
    arguments: tuple[str, ...], message: str, float_run: Path, bitwright: Bitwright
) -> None:
    outcome = bitwright("study", arguments[0], float_run, *arguments[1:])
    assert (outcome.status, outcome.out, outcome.err) == (2, "", f"{message}\n")
    assert not list(float_run.glob("study/*.json"))


@pytest.mark.parametrize("study", ["widths", "scales", "methods", "int8"])
def test_run_that_is_missing_or_fixed_point_is_refused_in_one_line(
    study: str, float_run: Path, bitwright: Bitwright
) -> None:
    missing = float_run.parent / "none"
    outcome = bitwright("study", study, missing)
    line = f"{missing}: experiment must be a TOML file, not missing; see configs/ for examples\n"
    assert (outcome.status, outcome.out, outcome.err) == (2, "", line)

    fixed = RunFolder(float_run.parent / "fixed")
    fixed.create()
    (fixed.path / "experiment.toml").write_text('name = "fixed"\n')
    shutil.copy(float_run / "checkpoint.safetensors", fixed.checkpoint)
    outcome = bitwright("study", study, fixed.path)
    line = (
        f"{fixed.path}: run must be of a float network, not of one of 6 bits; train one first, as "
        "configs/mnist_lenet5_float.toml does\n"
    )
    assert (outcome.status, outcome.out, outcome.err) == (2, "", line)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"points": [1]}'])
def test_file_of_points_that_is_another_is_refused_in_one_line(
    text: str, float_run: Path, bitwright: Bitwright
) -> None:
    path = float_run / "study" / "methods.json"
    path.parent.mkdir()
    path.write_text(text)
    outcome = bitwright("study", "methods", float_run)
    line = f"{path}: file must be as `bitwright study` writes it, not another; delete it, and all is computed anew\n"
    assert (outcome.status, outcome.out, outcome.err) == (2, "", line)
    assert path.read_text() == text


def test_examples_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    examples = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    page = doctest.DocTestParser().get_doctest(examples, {}, PAGE.name, str(PAGE), 0)
    runner = doctest.DocTestRunner()
    runner.run(page)
    assert (runner.failures, runner.tries) == (0, len(page.examples))
    assert list(tmp_path.iterdir()) == []
