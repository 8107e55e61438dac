"""`pretrained:NAME` and `bitwright pretrained`, as a user goes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from road import Bitwright

from bitwright.cli.run_folder import EXPERIMENT
from bitwright.models.pretrained_file import names, read


def test_network_of_the_package_reaches_csim_without_training(tmp_path: Path, bitwright: Bitwright) -> None:
    for stage in ("export", "hls"):
        outcome = bitwright(stage, "pretrained:digits_mlp_w1a1", "--runs-dir", tmp_path)
        assert outcome.status == 0, outcome.err
    run = tmp_path / "digits_mlp_w1a1"
    levels = json.loads((run / "verification.json").read_text())["levels"]
    assert sorted(levels) == ["csim", "program", "qonnx", "torch"]
    assert {level["different"] for level in levels.values()} == {0}
    assert {level["accuracy"] for level in levels.values()} == {read("digits_mlp_w1a1").accuracy["test"]}
    assert "is up to date" in bitwright("train", run).err


def test_unpacking_goes_on_where_it_was_killed(tmp_path: Path, bitwright: Bitwright) -> None:
    arguments = ("train", "pretrained:digits_mlp_w6a6", "--runs-dir", tmp_path)
    assert bitwright(*arguments).status == 0
    run = tmp_path / "digits_mlp_w6a6"
    (run / "metrics.json").unlink()
    outcome = bitwright(*arguments)
    assert (outcome.status, "is up to date" in outcome.err) == (0, True)
    assert (run / "metrics.json").is_file()


def test_run_of_the_user_is_not_overwritten(fixed_run: Path, tmp_path: Path, bitwright: Bitwright) -> None:
    run = tmp_path / "digits_mlp_w6a6"
    shutil.copytree(fixed_run, run)
    before = (run / "checkpoint.safetensors").read_bytes()
    outcome = bitwright("export", "pretrained:digits_mlp_w6a6", "--runs-dir", tmp_path)
    assert (outcome.status, outcome.err) == (
        2,
        f"{run}: folder must be free for pretrained:digits_mlp_w6a6, not hold a run of another origin; give "
        f"--runs-dir another folder, or {run} for that run\n",
    )
    assert (run / "checkpoint.safetensors").read_bytes() == before


def test_training_of_the_user_is_neither_lost_nor_passed_off(tmp_path: Path, bitwright: Bitwright) -> None:
    name = "pretrained:digits_mlp_w1a1"
    assert bitwright("train", name, "--runs-dir", tmp_path, "--set", "train.epochs=1").status == 0
    run = tmp_path / "digits_mlp_w1a1"
    before = (run / "checkpoint.safetensors").read_bytes()
    for lost in ("nothing", "metrics.json"):  # trained to the end, and killed before
        (run / lost).unlink(missing_ok=True)
        outcome = bitwright("export", name, "--runs-dir", tmp_path)
        assert (outcome.status, outcome.err) == (
            2,
            f"{run}: folder must be free for {name}, not hold a run of another origin; give --runs-dir another folder, "
            f"or {run} for that run\n",
        )
        assert (run / "checkpoint.safetensors").read_bytes() == before


def test_unknown_network_is_refused(tmp_path: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("export", "pretrained:lenet6", "--runs-dir", tmp_path)
    assert outcome.status == 2
    assert outcome.err == (
        f"pretrained:lenet6: network must be one of {', '.join(names())}, not 'lenet6'; choose one\n"
    )
    assert not list(tmp_path.iterdir())


def test_list_names_every_network(bitwright: Bitwright) -> None:
    outcome = bitwright("pretrained")
    assert outcome.status == 0
    assert all(f"pretrained:{name}" in outcome.out for name in names())


def test_run_is_packed(fixed_run: Path, tmp_path: Path, bitwright: Bitwright) -> None:
    run = tmp_path / "mine"
    shutil.copytree(fixed_run, run)
    assert bitwright("export", run).status == 0
    outcome = bitwright("pretrained", "--pack", run, "--out-dir", tmp_path)
    assert outcome.status == 0, outcome.err
    found = read("mine", tmp_path)
    level = json.loads((run / "verification.json").read_text())["levels"]["program"]
    assert found.accuracy["test"] == level["accuracy"]
    assert found.experiment["name"] == fixed_run.name
    packed = (tmp_path / "mine.safetensors").read_bytes()
    outcome = bitwright("pretrained", "--pack", run, "--out-dir", tmp_path)
    assert (outcome.status, outcome.err) == (
        2,
        f"{tmp_path / 'mine.safetensors'}: file must be a new one, not one that is there; delete it, or choose another "
        "--name\n",
    )
    assert (tmp_path / "mine.safetensors").read_bytes() == packed


def test_run_that_differs_is_not_packed(fixed_run: Path, tmp_path: Path, bitwright: Bitwright) -> None:
    run = tmp_path / "mine"
    shutil.copytree(fixed_run, run)
    assert bitwright("export", run).status == 0
    output = run / "outputs" / "program.npy"
    np.save(output, np.load(output) + 1)
    outcome = bitwright("pretrained", "--pack", run, "--out-dir", tmp_path)
    assert (outcome.status, outcome.err) == (
        2,
        f"{run}: run must be exact at every level, not differ; see `bitwright diff {run}`\n",
    )
    assert not (tmp_path / "mine.safetensors").exists()


@pytest.mark.parametrize("name", names())
def test_experiment_of_each_network_is_read_again(name: str, tmp_path: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("train", f"pretrained:{name}", "--runs-dir", tmp_path)
    assert (outcome.status, "is up to date" in outcome.err) == (0, True)
    assert (tmp_path / name / EXPERIMENT).is_file()
