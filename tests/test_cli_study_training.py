"""Studies of trainings, as `bitwright study orders`: what single trainings give, kept; refused in one line."""

import csv
import doctest
import json
import re
import statistics
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from road import CONFIGS, Bitwright

from bitwright.cli import stage_train, study_training
from bitwright.export.torch_level import run_torch
from bitwright.models.batches import accuracy
from bitwright.models.checkpoint import load
from bitwright.models.dataset import load_test
from bitwright.models.settings import Order
from bitwright.quant.recipe import BinaryScale, SignGradientName

BINARY = CONFIGS / "digits_cnn_w1a1.toml"
MOBILE = CONFIGS / "digits_mobilenet_v2_w1a1.toml"
SMALL = ("--set", "model.channel_multiplier=0.5", "--set", "train.batch_size=256")
PAGE = Path(__file__).parents[1] / "docs" / "training.md"


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the runs that are asked for, in order."""
    names: list[str] = []
    train = stage_train.train

    def train_(experiment: Any, *more: Any) -> None:  # noqa: ANN401 - as they come
        names.append(experiment.name)
        train(experiment, *more)

    monkeypatch.setattr(study_training, "train", train_)
    return names


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The experiments that would be trained; the accuracy of the first is 0, of the next 0.01."""
    experiments: list[Any] = []

    def pretend(_: object, experiment: Any) -> float:  # noqa: ANN401 - an experiment
        experiments.append(experiment)
        return (len(experiments) - 1) / 100

    monkeypatch.setattr(study_training.TrainingSource, "trained_accuracy", pretend)
    return experiments


def table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open() as file:
        return list(csv.DictReader(file))


def accuracy_of(checkpoint: Path) -> float:
    """A checkpoint's, on the digits' test set."""
    split = load_test("digits")
    values = split.inputs.astype(np.float32) * np.float32(1 / 16)
    return accuracy(run_torch(load(checkpoint)[0], values), split.labels)


def test_points_are_what_train_gives_and_are_kept(tmp_path: Path, bitwright: Bitwright, trained: list[str]) -> None:
    study = ("study", "binary-scales", BINARY, "--epochs", "1", "--seeds", "3", *SMALL, "--runs-dir", tmp_path)
    outcome = bitwright(*study)
    assert outcome.status == 0, outcome.err
    assert trained == [f"binary_scales_{scale}_s3" for scale in get_args(BinaryScale)]
    folder = tmp_path / "digits_cnn_w1a1" / "study"
    more = ("recipe.binary_weight_scale=per_channel", "train.epochs=1", "seed=3", "name=alone")
    alone = bitwright("train", BINARY, *SMALL, *(f"--set={each}" for each in more), "--runs-dir", tmp_path)
    assert alone.status == 0, alone.err
    rows = {row["binary_weight_scale"]: row for row in table(folder / "binary_scales.csv")}
    assert float(rows["per_channel"]["accuracy"]) == accuracy_of(tmp_path / "alone" / "checkpoint.safetensors")
    assert (folder / "binary_scales.svg").read_text().startswith("<?xml")

    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    again = bitwright(*study)
    assert (again.status, again.err) == (0, "study binary_scales: all 3 points are up to date\n")
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert len(trained) == 3


@pytest.mark.parametrize(
    ("study", "key", "values", "config"),
    [
        ("estimators", "recipe.sign_gradient", get_args(SignGradientName), BINARY),
        ("binary-scales", "recipe.binary_weight_scale", get_args(BinaryScale), BINARY),
        ("orders", "model.order", get_args(Order), BINARY),
        ("depthwise", "model.depthwise_bit_width", ("1", "2", "4", "8"), MOBILE),
        ("bottlenecks", "model.bottleneck_bit_width", ("1", "2", "4", "8"), MOBILE),
    ],
)
def test_study_varies_one_setting_and_the_seed(
    study: str,
    key: str,
    values: tuple[str, ...],
    config: Path,
    tmp_path: Path,
    bitwright: Bitwright,
    pretended: list[Any],
) -> None:
    outcome = bitwright("study", study, config, "--epochs", "2", "--seeds", "1", "4", "--runs-dir", tmp_path)
    assert outcome.status == 0, outcome.err
    section, name = key.split(".")
    assert [(each.seed, str(getattr(getattr(each, section), name))) for each in pretended] == [
        (seed, value) for seed in (1, 4) for value in values
    ]
    plain = {each.model_copy(update={section: None, "seed": 0, "name": ""}).model_dump_json() for each in pretended}
    assert len(plain) == 1
    assert {each.train.epochs for each in pretended} == {2}
    assert len({each.name for each in pretended}) == len(pretended)

    file = tmp_path / config.stem / "study" / study.replace("-", "_")
    rows = table(file.with_suffix(".csv"))
    assert [row[name] for row in rows] == list(values)
    lines = file.with_suffix(".md").read_text().splitlines()
    for place, row in enumerate(rows):
        both = [place / 100, (place + len(values)) / 100]
        mean, deviation = statistics.fmean(both), statistics.stdev(both)
        assert (float(row["accuracy"]), float(row["standard_deviation"])) == (mean, deviation)
        assert (float(row["lowest"]), float(row["highest"]), row["seeds"]) == (both[0], both[1], "2")
        assert lines[2 + place] == f"| `{row[name]}` | {mean:.2%} ± {100 * deviation:.2f} |"
        assert f"{mean:.2%} ± {100 * deviation:.2f}" in outcome.out


def test_changed_settings_are_trained_anew_and_more_seeds_only_those(
    tmp_path: Path, bitwright: Bitwright, pretended: list[Any]
) -> None:
    def study(*more: str) -> int:
        before = len(pretended)
        outcome = bitwright("study", "orders", BINARY, "--epochs", "1", *more, "--runs-dir", tmp_path)
        assert outcome.status == 0, outcome.err
        return len(pretended) - before

    assert study("--seeds", "1") == 4
    assert study("--seeds", "1", "2") == 4
    assert study("--seeds", "1", "--set", "train.learning_rate=0.02") == 4
    assert study("--seeds", "1", "--set", "recipe.sign_gradient=tanh") == 4
    assert study("--seeds", "1", "--set", "train.logger=tensorboard") == 0
    assert study("--seeds", "2", "--set", "data.validation_fraction=0.2") == 4


def test_interrupted_study_goes_on(
    tmp_path: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch, pretended: list[Any]
) -> None:
    arguments = ("study", "orders", BINARY, "--seeds", "1", "--runs-dir", tmp_path)
    with monkeypatch.context() as patch:

        def once(_: object, experiment: Any) -> float:  # noqa: ANN401 - an experiment
            if pretended:
                raise KeyboardInterrupt
            pretended.append(experiment)
            return 0.5

        patch.setattr(study_training.TrainingSource, "trained_accuracy", once)
        assert bitwright(*arguments).status == 130
    assert bitwright(*arguments).status == 0
    assert [each.model.order for each in pretended] == list(get_args(Order))
    points = json.loads((tmp_path / "digits_cnn_w1a1/study/orders.json").read_text())["points"]
    assert [each["result"]["accuracy"] for each in points] == [0.5, 0.01, 0.02, 0.03]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("orders", "digits_mlp_w1a1.toml"),
            "{}: model.kind must be one of cnn, lenet5, cnv, not 'mlp'; the other networks have one order only",
        ),
        (
            ("orders", "digits_cnn_w6a6.toml", "--set", "model.batch_norm=false"),
            "{}: model.batch_norm must be true, not false; try --set model.batch_norm=true",
        ),
        (
            ("depthwise", "digits_cnn_w1a1.toml"),
            "{}: network must have depthwise layers to be studied, not be cnn; use model.kind = 'mobilenet_v2'",
        ),
        (
            (
                "bottlenecks",
                "digits_mobilenet_v2_w1a1.toml",
                "--set",
                "recipe.weight_bit_width=32",
                "--set",
                "recipe.activation_bit_width=32",
                "--set",
                "recipe.input_bit_width=32",
                "--set",
                "recipe.first_weight_bit_width=32",
                "--set",
                "recipe.last_weight_bit_width=32",
            ),
            "{}: recipe must have widths to be studied, not be float; try --set recipe.weight_bit_width=1",
        ),
        (
            ("estimators", "digits_cnn_w6a6.toml", "--set", "recipe.input_bit_width=1"),
            "{}: weights or activations must be of 1 bit to be studied, not of 6; try --set recipe.weight_bit_width=1",
        ),
        (
            ("binary-scales", "digits_cnn_w6a6.toml", "--set", "recipe.activation_bit_width=1"),
            "{}: weights must be of 1 bit to be studied, not of 6; try --set recipe.weight_bit_width=1",
        ),
        (
            ("estimators", "digits_cnn_w1a1.toml", "--set", "recipe.sign_gradient=tanh"),
            "--set: key must be another than recipe.sign_gradient, train.epochs and seed, not 'recipe.sign_gradient'; "
            "the study varies the first, and --epochs and --seeds are options",
        ),
        (
            ("binary-scales", "digits_cnn_w1a1.toml", "--set", "train.devices=2"),
            "--set: key must be one that the study does not set itself, not 'train.devices'; each training takes one",
        ),
        (
            ("orders", "digits_cnn_w1a1.toml", "--seeds", "one"),
            "--seeds: seed must be a whole number from 0 to 2147483647, not 'one'; try --seeds 4",
        ),
    ],
)
def test_what_cannot_be_studied_is_refused_in_one_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path, bitwright: Bitwright
) -> None:
    config = CONFIGS / arguments[1]
    outcome = bitwright("study", arguments[0], config, *arguments[2:], "--runs-dir", tmp_path)
    assert (outcome.status, outcome.out, outcome.err) == (2, "", message.format(config) + "\n")
    assert list(tmp_path.iterdir()) == []


def test_examples_of_the_page_run() -> None:
    examples = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    page = doctest.DocTestParser().get_doctest(examples, {}, PAGE.name, str(PAGE), 0)
    runner = doctest.DocTestRunner()
    runner.run(page)
    assert (runner.failures, runner.tries) == (0, len(page.examples))
    assert page.examples
