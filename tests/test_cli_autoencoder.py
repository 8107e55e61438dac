"""An autoencoder as a user goes: trained, exported, simulated, compared, calibrated; every figure is its error."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from page_runs import Read, at, says
from quick_export import quick_exports
from road import CONFIGS, Bitwright

from bitwright.cli.experiment import Experiment, changed, read
from bitwright.cli.main import run as command
from bitwright.export.interface import output_values, read_interface
from bitwright.models.checkpoint import load
from bitwright.models.dataset import load as load_data
from bitwright.models.dataset import load_test
from bitwright.models.settings import ModelSettings, TrainSettings

CONFIG = CONFIGS / "digits_autoencoder_w8a8.toml"
SMALL = ("--set", "train.epochs=3", "--set", "model.hidden=[12, 6, 12]")
FLOAT = tuple(part for name in ("weight", "activation", "input") for part in ("--set", f"recipe.{name}_bit_width=32"))


def call(*arguments: str | Path) -> None:
    """Run a command line that must succeed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["bitwright", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            command()
        assert not stop.value.code


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with quick_exports():
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, small, trained for three epochs; tests only read it."""
    runs = tmp_path_factory.mktemp("runs")
    for stage in ("train", "export", "hls"):
        call(stage, CONFIG, "--runs-dir", runs, *SMALL)
    return runs / CONFIG.stem


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "runs" / made.name))


@pytest.fixture(scope="module")
def in_float(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float run of two epochs; tests only read it."""
    runs = tmp_path_factory.mktemp("float")
    call("train", CONFIG, "--runs-dir", runs, *SMALL, *FLOAT, "--set", "train.epochs=2", "--set", "name=plain")
    return runs / "plain"


def levels_of(run: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((run / "verification.json").read_text())["levels"]
    return found


def test_every_integer_is_the_same_at_every_level(made: Path) -> None:
    levels = levels_of(made)
    assert list(levels) == ["torch", "qonnx", "program", "csim"]
    assert {(level["compared"], level["different"], level["accuracy"]) for level in levels.values()} == {
        (360 * 64, 0, None)
    }
    outputs = [np.load(made / "outputs" / f"{level}.npy") for level in levels]
    assert all((codes == outputs[0]).all() for codes in outputs)


def test_error_is_of_each_levels_own_integers_and_below_that_of_the_mean_image(made: Path) -> None:
    test, train = load_test("digits"), load_data("digits").train
    wanted = test.inputs.reshape(360, 64) / 16
    mean_image = train.inputs.reshape(len(train), 64).mean(axis=0) / 16
    port = read_interface(made / "interface.json").output
    for level, found in levels_of(made).items():
        values = output_values(port, np.load(made / "outputs" / f"{level}.npy"))
        assert found["mean_squared_error"] == pytest.approx(np.mean((values - wanted) ** 2), rel=1e-12)
        assert found["mean_squared_error"] < np.mean((mean_image - wanted) ** 2)
    assert (np.load(made / "labels.npy") == test.labels).all()


def test_table_and_lines_say_the_error(run: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("verify", run, "--cached")
    assert outcome.status == 0, outcome.err
    assert "mean squared error" in outcome.out
    assert "accuracy" not in outcome.out
    assert f"{levels_of(run)['csim']['mean_squared_error']:.4g}" in outcome.out
    (run / ".stages" / "train.json").unlink()
    (run / "training" / "key").unlink()
    outcome = bitwright("train", run, "--set", "train.epochs=1", "--runs-dir", run.parent)
    assert outcome.status == 0, outcome.err
    metrics = json.loads((run / "metrics.json").read_text())
    assert "train: best of 1 epochs is 1; mean squared error " in outcome.err
    assert f"{metrics['validation_mean_squared_error']:.4g} on validation, " in outcome.err


def test_page_shows_the_error_of_its_files(made: Path, run: Path, bitwright: Bitwright) -> None:
    assert bitwright("page", run).status == 0
    found = Read(source=(run / "report.html").read_text())
    assert [(path, text) for path, text in found.shown if not says(text, at(found.json, path))] == []
    shown = dict(found.shown)
    assert not [path for path in shown if path.endswith("accuracy")]
    for index, level in enumerate(levels_of(made).values()):
        assert found.json["verdict"]["levels"][index]["mean_squared_error"] == level["mean_squared_error"]
        assert f"verdict.levels.{index}.mean_squared_error" in shown
    metrics = json.loads((made / "metrics.json").read_text())
    assert found.json["training"]["validation_mean_squared_error"] == metrics["validation_mean_squared_error"]
    assert "training.validation_mean_squared_error" in shown
    assert "Accuracy" not in found.text


def test_comparison_has_the_error_beside_a_classifiers_accuracy(
    made: Path, in_float: Path, fixed_run: Path, bitwright: Bitwright
) -> None:
    outcome = bitwright("compare", made, in_float, fixed_run, "--no-speed", "--format", "json")
    assert outcome.status == 0, outcome.err
    rows = json.loads(outcome.out)["rows"]
    assert [row["network"] for row in rows] == ["mlp 24-16", "autoencoder 12-6-12", "autoencoder 12-6-12"]
    assert (rows[0]["mean_squared_error"], rows[1]["accuracy"], rows[2]["accuracy"]) == (None, None, None)
    errors = {row["name"]: row["mean_squared_error"]["mean"] for row in rows[1:]}
    assert list(errors.values()) == sorted(errors.values())
    assert errors[made.name] == levels_of(made)["program"]["mean_squared_error"]
    sources = {row["name"]: row["runs"][0]["mean_squared_error_from"] for row in rows}
    assert sources == {fixed_run.name: None, made.name: "verification.json", in_float.name: "measured now"}
    table = bitwright("compare", made, fixed_run, "--no-speed", "--format", "md").out
    assert "mean squared error on test" in table
    assert "mean squared error" not in bitwright("compare", fixed_run, "--no-speed", "--format", "md").out
    lines = bitwright("compare", fixed_run, made, "--no-speed", "--format", "csv").out.splitlines()
    assert lines[0].count("mean_squared_error_mean") == 1
    assert bitwright("compare", made, in_float, "--no-speed", "--format", "html").status == 0


def test_calibrated_autoencoder_says_its_error_before_and_after(
    in_float: Path, tmp_path: Path, bitwright: Bitwright
) -> None:
    outcome = bitwright("calibrate", in_float, "--runs-dir", tmp_path, "--weight-bit-width", "5", "--name", "five")
    assert outcome.status == 0, outcome.err
    found = json.loads((tmp_path / "five" / "calibration.json").read_text())
    assert "accuracy" not in found
    test = load_test("digits")
    for kind, folder in (("float", in_float), ("fixed_point", tmp_path / "five")):
        network, _ = load(folder / "checkpoint.safetensors")
        with torch.no_grad():
            outputs = network(torch.from_numpy(test.inputs.astype(np.float32) / np.float32(16)))
        values = getattr(outputs, "value", outputs).numpy().astype(np.float64)
        error = found["mean_squared_error"]["test"][kind]
        assert error == pytest.approx(np.mean((values - test.inputs.reshape(360, 64) / 16) ** 2), rel=1e-12)
    before, after = (found["mean_squared_error"]["test"][kind] for kind in ("float", "fixed_point"))
    assert f"test: mean squared error {before:.4g} in float, {after:.4g} in fixed point" in outcome.out
    metrics = json.loads((tmp_path / "five" / "metrics.json").read_text())
    assert metrics["validation_mean_squared_error"] == found["mean_squared_error"]["validation"]["fixed_point"]
    page = Read(source=(tmp_path / "five" / "report.html").read_text())
    assert page.json["calibration"]["mean_squared_error"] == found["mean_squared_error"]
    assert "calibration.mean_squared_error.test.fixed_point" in dict(page.shown)


def test_pruned_autoencoder_says_its_error(made: Path, tmp_path: Path, bitwright: Bitwright) -> None:
    options = ("--share", "0.5", "--epochs", "0", "--name", "half")
    outcome = bitwright("prune", made, "--runs-dir", tmp_path, *options)
    assert outcome.status == 0, outcome.err
    report = json.loads((tmp_path / "half" / "pruning.json").read_text())
    before, pruned = (report[stage]["mean_squared_error"] for stage in ("before", "pruned"))
    assert before["test"] == pytest.approx(levels_of(made)["torch"]["mean_squared_error"], rel=1e-6)
    assert before["test"] < pruned["test"]
    assert f"mean squared error, test: {before['test']:.4g} before, {pruned['test']:.4g} pruned\n" in outcome.out
    metrics = json.loads((tmp_path / "half" / "metrics.json").read_text())
    assert metrics["validation_mean_squared_error"] == pruned["validation"]


def test_targets_that_are_gone_or_damaged_are_refused(run: Path, bitwright: Bitwright) -> None:
    path = run / "targets.npy"
    for content, message in (
        (None, f"{path}: array must be an existing file, not missing; run `bitwright export` first"),
        (
            np.zeros((360, 64), np.int64),
            f"{path}: array must be of floats, not another kind; delete it and export again",
        ),
        (
            np.full((360, 64), np.nan, np.float32),
            f"{path}: array must be of finite values, not NaN or infinite; delete it and export again",
        ),
    ):
        path.unlink(missing_ok=True)
        if content is not None:
            np.save(path, content)
        outcome = bitwright("verify", run, "--cached")
        assert (outcome.status, outcome.err.splitlines()[1:]) == (2, [message])


def test_what_goes_by_accuracies_refuses_an_autoencoder(
    in_float: Path, made: Path, tmp_path: Path, bitwright: Bitwright
) -> None:
    for arguments, message in (
        (
            ("search", in_float),
            f"{in_float}: network must be a classifier for a search, not an autoencoder; `bitwright calibrate` it to "
            "each width\n",
        ),
        (
            ("study", "widths", in_float),
            f"{in_float}: network must be a classifier for a study, not an autoencoder; calibrate it to each width, "
            "and see `bitwright compare`\n",
        ),
        (
            ("study", "estimators", CONFIG),
            f"{CONFIG}: network must be a classifier for a study, not an autoencoder; train each variant, and see "
            "`bitwright compare`\n",
        ),
        (
            ("pretrained", "--pack", made, "--out-dir", tmp_path),
            f"{made}: network must be a classifier, not an autoencoder; files of the package tell accuracies\n",
        ),
    ):
        outcome = bitwright(*arguments)
        assert (outcome.status, outcome.err) == (2, message)
    assert not (in_float / "study").exists()


def test_training_of_an_autoencoder_is_its_own_if_left_out() -> None:
    experiment = read(CONFIG)
    assert (experiment.train.loss, experiment.train.keep) == ("squared_error", "loss")
    built = Experiment(name="try", model=ModelSettings(kind="autoencoder"), train=TrainSettings(epochs=2, keep="last"))
    assert (built.train.loss, built.train.keep, built.train.epochs) == ("squared_error", "last", 2)
    alone = Experiment(name="try", model=ModelSettings(kind="autoencoder"))
    assert (alone.train.loss, alone.train.keep) == ("squared_error", "loss")
    assert changed(built, ["train.epochs=3"]).train.loss == "squared_error"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "train.loss=cross_entropy",
            "train.loss: value must be 'squared_error' for model.kind = 'autoencoder', not 'cross_entropy'; its "
            "outputs are no scores of classes",
        ),
        (
            "train.keep=accuracy",
            "train.keep: value must be 'loss' or 'last' for model.kind = 'autoencoder', not 'accuracy'; it names no "
            "classes",
        ),
        (
            "train.teacher=other.safetensors",
            "train.teacher: value must be empty for model.kind = 'autoencoder', not 'other.safetensors'; a student "
            "learns scores of classes",
        ),
        (
            "train.label_smoothing=0.1",
            "train.label_smoothing: value must be 0 for loss = 'squared_error', not 0.1; it smooths cross_entropy",
        ),
        (
            "model.tensor_train_rank=4",
            "model.tensor_train_rank: value must be 0 for kind = 'autoencoder', not 4; it is for mlp",
        ),
        ("model.kind=mlp", None),
    ],
    ids=["loss", "keep", "teacher", "smoothing", "tensor trains", "classifier"],
)
def test_experiment_that_cannot_be_is_refused(override: str, message: str | None) -> None:
    overrides = [override] if message else [override, "train.loss=squared_error"]
    message = message or (
        "train.loss: value must be 'cross_entropy' or 'squared_hinge' for model.kind = 'mlp', not 'squared_error'; "
        "that is for autoencoder"
    )
    with pytest.raises(ValueError) as refused:
        read(CONFIG, overrides)
    assert str(refused.value) == f"--set: {message}"
