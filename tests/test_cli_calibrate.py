"""`bitwright calibrate`: from a float run to a fixed-point one, as a user goes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from road import Bitwright
from safetensors.torch import load_file, save_file

from bitwright.cli.run_folder import EXPERIMENT
from bitwright.models import dataset
from bitwright.models.batches import accuracy
from bitwright.models.checkpoint import NetworkDescription, load, save
from bitwright.models.settings import ModelSettings
from bitwright.quant.recipe import Recipe

FOUR = ("--weight-bit-width", "4", "--activation-bit-width", "4")


def test_calibrated_run_is_exact_at_every_level(float_run: Path, bitwright: Bitwright) -> None:
    runs = float_run.parent
    outcome = bitwright("calibrate", float_run, "--runs-dir", runs, *FOUR, "--rounding", "gptq")
    assert outcome.status == 0, outcome.err
    run = runs / "digits_mlp_float_ptq_w4a4"
    for stage in ("export", "hls"):
        outcome = bitwright(stage, run)
        assert outcome.status == 0, outcome.err
    levels = json.loads((run / "verification.json").read_text())["levels"]
    assert {level["different"] for level in levels.values()} == {0}
    assert {level["compared"] for level in levels.values()} == {3600}
    figures = json.loads((run / "calibration.json").read_text())["accuracy"]["test"]
    assert levels["csim"]["accuracy"] == figures["fixed_point"]


def test_figures_are_those_of_the_networks(float_run: Path, bitwright: Bitwright) -> None:
    assert bitwright("calibrate", float_run, "--runs-dir", float_run.parent, *FOUR, "--name", "four").status == 0
    test = dataset.load_test("digits")
    inputs = torch.from_numpy(test.inputs.astype(np.float32) / np.float32(16))
    figures = json.loads((float_run.parent / "four" / "calibration.json").read_text())["accuracy"]["test"]
    for kind, folder in (("float", float_run), ("fixed_point", float_run.parent / "four")):
        network, description = load(folder / "checkpoint.safetensors")
        with torch.no_grad():
            found = network(inputs)
        scores = getattr(found, "value", found).numpy()
        assert figures[kind] == accuracy(scores, test.labels)
    assert description.recipe.weight_bit_width == 4


def test_checkpoint_alone_is_enough_beside_its_experiment(float_run: Path, bitwright: Bitwright) -> None:
    checkpoint = float_run / "checkpoint.safetensors"
    outcome = bitwright("calibrate", checkpoint, "--runs-dir", float_run.parent, "--name", "again")
    assert outcome.status == 0, outcome.err
    assert (float_run.parent / "again" / "checkpoint.safetensors").is_file()
    (float_run / EXPERIMENT).unlink()
    outcome = bitwright("calibrate", checkpoint)
    assert outcome.status == 2
    assert outcome.err == (
        f"{checkpoint}: checkpoint must lie beside its experiment.toml, which names the data set, not alone; copy "
        "that file too\n"
    )


def test_layer_has_the_width_that_the_command_line_gives_it(float_run: Path, bitwright: Bitwright) -> None:
    own = ("--set", "recipe.layers.fc1.weight_bit_width=2", "--set", "recipe.weight_scale=per_channel")
    outcome = bitwright("calibrate", float_run, "--runs-dir", float_run.parent, *own, "--name", "own")
    assert outcome.status == 0, outcome.err
    _, description = load(float_run.parent / "own" / "checkpoint.safetensors")
    assert description.recipe.layers["fc1"].weight_bit_width == 2
    assert description.recipe.weight_scale == "per_channel"
    assert "per channel" in outcome.out


def test_nothing_is_done_again_and_nothing_is_trained(float_run: Path, bitwright: Bitwright) -> None:
    arguments = ("calibrate", float_run, "--runs-dir", float_run.parent, *FOUR, "--name", "four")
    first = bitwright(*arguments)
    checkpoint = float_run.parent / "four" / "checkpoint.safetensors"
    written = checkpoint.stat().st_mtime_ns
    again = bitwright(*arguments)
    assert again.err == f"calibrate: {checkpoint} is up to date\n"
    assert again.out == first.out
    assert bitwright("train", float_run.parent / "four").err == f"train: {checkpoint} is up to date\n"
    assert checkpoint.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    "other",
    [
        ("--rounding", "gptq"),
        ("--method", "min_max", "--weight-method", "min_max"),
        ("--samples", "9"),
        ("--set", "seed=7"),
        ("--set", "data.validation_fraction=0.4"),
    ],
    ids=lambda other: other[1],
)
def test_other_settings_calibrate_again(other: tuple[str, ...], float_run: Path, bitwright: Bitwright) -> None:
    arguments = ("calibrate", float_run, "--runs-dir", float_run.parent, *FOUR, "--name", "four")
    assert bitwright(*arguments).status == 0
    run = float_run.parent / "four"
    before = (run / "calibration.json").read_text()
    again = bitwright(*arguments, *other)
    assert (again.status, "is up to date" in again.err) == (0, False)
    assert (run / "calibration.json").read_text() != before


def test_setting_of_the_project_is_kept_without_calibrating_again(float_run: Path, bitwright: Bitwright) -> None:
    arguments = ("calibrate", float_run, "--runs-dir", float_run.parent, *FOUR, "--name", "four")
    assert bitwright(*arguments).status == 0
    again = bitwright(*arguments, "--set", "hls.clock_period_ns=3.0")
    assert "is up to date" in again.err
    assert "clock_period_ns = 3.0" in (float_run.parent / "four" / EXPERIMENT).read_text()


def test_training_of_the_same_name_is_kept(float_run: Path, fixed_run: Path, bitwright: Bitwright) -> None:
    before = (fixed_run / "checkpoint.safetensors").read_bytes()
    outcome = bitwright("calibrate", float_run, "--runs-dir", fixed_run.parent, "--name", fixed_run.name)
    assert outcome.status == 0, outcome.err
    assert (fixed_run / "previous" / "1" / "checkpoint.safetensors").read_bytes() == before


def test_weights_of_one_bit_are_calibrated_before_a_batch_norm(float_run: Path, bitwright: Bitwright) -> None:
    runs = float_run.parent
    one = ("--set", "recipe.layers.fc0.weight_bit_width=1")
    outcome = bitwright("calibrate", float_run, "--runs-dir", runs, "--no-fold", *one, "--name", "bits")
    assert outcome.status == 0, outcome.err
    assert 'binary_weight_scale = "per_channel"' in (runs / "bits" / EXPERIMENT).read_text()
    outcome = bitwright("export", runs / "bits")
    assert outcome.status == 0, outcome.err
    levels = json.loads((runs / "bits" / "verification.json").read_text())["levels"]
    assert {level["different"] for level in levels.values()} == {0}


@pytest.mark.parametrize("key", ["start_from", "teacher"])
def test_training_cannot_start_or_learn_from_itself(key: str, fixed_run: Path, bitwright: Bitwright) -> None:
    start = fixed_run / "checkpoint.safetensors"
    outcome = bitwright("train", fixed_run, "--set", f"train.{key}={start}")
    assert outcome.status == 2
    assert outcome.err == (
        f"train.{key}: checkpoint must be of another run, not {str(start)!r} itself; give the new one a name of "
        "its own with --set name=...\n"
    )
    assert start.is_file()


def test_checkpoint_that_fits_nowhere_empties_nothing(fixed_run: Path, tmp_path: Path, bitwright: Bitwright) -> None:
    start = tmp_path / "other.safetensors"
    save_file({"conv9.weight": torch.ones(3, 3)}, start)
    outcome = bitwright("train", fixed_run, "--set", f"train.start_from={start}")
    assert outcome.status == 2
    assert "checkpoint must have a layer of the network that it starts, not none" in outcome.err
    assert (fixed_run / "checkpoint.safetensors").is_file()
    assert not (fixed_run / "previous").exists()


def test_another_teacher_trains_anew(float_run: Path, fixed_run: Path, tmp_path: Path, bitwright: Bitwright) -> None:
    teacher = tmp_path / "teacher.safetensors"
    shutil.copy(float_run / "checkpoint.safetensors", teacher)
    learning: list[str | Path] = ["train", fixed_run / EXPERIMENT, "--runs-dir", tmp_path, "--set", "name=taught"]
    learning += ["--set", "train.epochs=1", "--set", f"train.teacher={teacher}"]
    assert bitwright(*learning).status == 0
    first = (tmp_path / "taught" / "checkpoint.safetensors").read_bytes()
    assert "is up to date" in bitwright(*learning).err
    shutil.copy(fixed_run / "checkpoint.safetensors", teacher)
    assert bitwright(*learning).status == 0
    assert (tmp_path / "taught" / "checkpoint.safetensors").read_bytes() != first


def test_teacher_of_another_kind_of_input_empties_nothing(
    fixed_run: Path, tmp_path: Path, bitwright: Bitwright
) -> None:
    description = NetworkDescription(ModelSettings(hidden=(4,)), Recipe.floating(), (16,), 5)
    teacher = tmp_path / "jets.safetensors"
    save(teacher, description.build(), description)
    outcome = bitwright("train", fixed_run, "--set", f"train.teacher={teacher}")
    assert (outcome.status, outcome.err) == (
        2,
        f"{teacher}: input of the teacher must be (1, 8, 8) as the student's, not (16,); name another in "
        "train.teacher\n",
    )
    assert (fixed_run / "checkpoint.safetensors").is_file()


def test_finished_training_needs_its_start_no_more(float_run: Path, bitwright: Bitwright) -> None:
    runs = float_run.parent
    assert bitwright("calibrate", float_run, "--runs-dir", runs, *FOUR, "--name", "four").status == 0
    start = runs / "four" / "checkpoint.safetensors"
    further = ("--set", f"train.start_from={start}", "--set", "name=further", "--set", "train.epochs=1")
    assert bitwright("train", runs / "four" / EXPERIMENT, "--runs-dir", runs, *further).status == 0
    start.unlink()
    assert "is up to date" in bitwright("train", runs / "further").err
    outcome = bitwright("train", runs / "further", "--set", "train.epochs=2")
    assert (runs / "further" / "checkpoint.safetensors").is_file(), outcome.err
    assert outcome.status == 2


def test_calibrated_network_is_trained_further(float_run: Path, bitwright: Bitwright) -> None:
    runs = float_run.parent
    assert bitwright("calibrate", float_run, "--runs-dir", runs, *FOUR, "--name", "four").status == 0
    start = runs / "four" / "checkpoint.safetensors"
    further = ("--set", f"train.start_from={start}", "--set", "name=further", "--set", "train.epochs=1")
    outcome = bitwright("train", runs / "four" / EXPERIMENT, "--runs-dir", runs, *further)
    assert outcome.status == 0, outcome.err
    before, after = (load_file(runs / name / "checkpoint.safetensors") for name in ("four", "further"))
    assert before.keys() == after.keys()
    assert not torch.equal(before["fc0.weight"], after["fc0.weight"])
    assert (before["fc0.weight"] - after["fc0.weight"]).abs().max() < 0.3  # it went on from there


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--samples", "0"), "--samples: number must be at least 1, not 0; 512 are usual"),
        (
            ("--method", "percentile", "--percentile", "20"),
            "--percentile: share must be above 50 and at most 100 percent, not 20; try 99.99",
        ),
        (
            ("--name", ""),
            "--name: value must be a letter or digit, then letters, digits, '.', '_' and '-', not ''; choose such a "
            "name",
        ),
        (
            ("--set", "recipe.activation_bit_width=1"),
            "recipe.activation_bit_width: width must be 2 to 16 to calibrate, not 1; train networks of one bit, with "
            "`bitwright train`",
        ),
        (
            ("--set", "recipe.layers.fc7.weight_bit_width=4"),
            "recipe.layers: layer must be one of fc0, fc1, out, not 'fc7'; rename it",
        ),
        (
            ("--set", "recipe.weigth_bit_width=4"),
            "--set: recipe.weigth_bit_width: key must be a known one, not 'weigth_bit_width'; did you mean "
            "'weight_bit_width'?",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    arguments: tuple[str, ...], says: str, float_run: Path, bitwright: Bitwright
) -> None:
    outcome = bitwright("calibrate", float_run, "--runs-dir", float_run.parent, "--name", "bad", *arguments)
    assert outcome.status == 2
    assert outcome.err.splitlines()[-1] == says
    assert not (float_run.parent / "bad").exists()


def test_network_that_is_not_float_is_refused(fixed_run: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("calibrate", fixed_run, "--runs-dir", fixed_run.parent)
    assert outcome.status == 2
    assert outcome.err == (
        "recipe.weight_bit_width: width must be 32 (float) to calibrate, not 6; train the float network first, as "
        "configs/mnist_lenet5_float.toml does\n"
    )


def test_float_network_is_not_overwritten(float_run: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("calibrate", float_run, "--runs-dir", float_run.parent, "--name", float_run.name)
    assert outcome.status == 2
    assert outcome.err == (
        f"--name: run must be another than the float one, not {float_run.name}; choose another name\n"
    )


def test_damaged_checkpoint_is_refused(float_run: Path, bitwright: Bitwright) -> None:
    checkpoint = float_run / "checkpoint.safetensors"
    tensors = {name: value.clone() for name, value in load_file(checkpoint).items()}  # not of a mapped file
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    outcome = bitwright("calibrate", float_run, "--runs-dir", float_run.parent)
    assert outcome.status == 2
    assert outcome.err.startswith(f"{checkpoint}: checkpoint must be a safetensors file, not 100 bytes of something")
    save_file(tensors, checkpoint)
    outcome = bitwright("calibrate", float_run, "--runs-dir", float_run.parent)
    assert outcome.err.startswith(f"{checkpoint}: checkpoint must be one that `bitwright train` wrote")
    checkpoint.unlink()
    outcome = bitwright("calibrate", float_run, "--runs-dir", float_run.parent)
    assert outcome.err == (
        f"{checkpoint}: checkpoint must be an existing file, not missing; run `bitwright train {float_run}` first\n"
    )
