"""`bitwright prune`: from a run to a sparser or smaller one, as a user goes."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from quick_export import quick_exports
from road import CONFIGS, Bitwright
from safetensors.torch import load_file

from bitwright.cli.experiment import read
from bitwright.cli.run_folder import EXPERIMENT
from bitwright.export.program_file import read as read_program
from bitwright.export.qonnx_file import load as load_graph
from bitwright.models import dataset
from bitwright.models.batches import accuracy
from bitwright.models.checkpoint import load

CHECKPOINT = "checkpoint.safetensors"


@pytest.fixture(autouse=True)
def quick() -> object:
    with quick_exports():
        yield


def report_of(run: Path) -> dict:  # type: ignore[type-arg]
    found: dict = json.loads((run / "pruning.json").read_text())  # type: ignore[type-arg]
    return found


@pytest.mark.parametrize("stages", [("export",), pytest.param(("export", "hls"), marks=pytest.mark.slow)])
def test_pruned_run_is_trained_further_and_exact(
    stages: tuple[str, ...], fixed_run: Path, bitwright: Bitwright
) -> None:
    outcome = bitwright("prune", fixed_run, "--runs-dir", fixed_run.parent, "--share", "0.6", "--epochs", "1")
    assert outcome.status == 0, outcome.err
    run = fixed_run.parent / "digits_mlp_w6a6_pruned"
    weights = load_file(run / CHECKPOINT)
    start = load_file(run / "pruned.safetensors")
    for name in ("fc0.weight", "fc1.weight", "out.weight"):
        zeros = start[name] == 0
        assert int(zeros.sum()) == int(0.6 * zeros.numel())
        assert not weights[name][zeros].any()
        assert not torch.equal(weights[name], start[name])
    for stage in stages:
        outcome = bitwright(stage, run)
        assert outcome.status == 0, outcome.err
    levels = json.loads((run / "verification.json").read_text())["levels"]
    assert {level["different"] for level in levels.values()} == {0}
    assert {level["compared"] for level in levels.values()} == {3600}
    last = levels["csim" if "hls" in stages else "program"]
    assert last["accuracy"] == report_of(run)["retrained"]["accuracy"]["test"]


def test_channels_leave_the_exported_graph(fixed_run: Path, bitwright: Bitwright) -> None:
    wanted = ("--structure", "channels", "--epochs", "0", "--name", "narrow")
    outcome = bitwright("prune", fixed_run, "--runs-dir", fixed_run.parent, *wanted)
    assert outcome.status == 0, outcome.err
    run = fixed_run.parent / "narrow"
    assert read(run / EXPERIMENT).model.widths == {"fc0": 12, "fc1": 8}
    assert bitwright("export", run).status == 0
    sizes = [tuple(t.dims) for t in load_graph(run / "model.qonnx.onnx").graph.initializer if len(t.dims) == 2]
    assert {tuple(sorted(size)) for size in sizes if min(size) > 1} == {(12, 64), (8, 12), (8, 10)}
    levels = json.loads((run / "verification.json").read_text())["levels"]
    assert [level["different"] for level in levels.values()] == [0, 0, 0]
    found = report_of(run)
    assert [layer["bits"] for layer in found["pruned"]["layers"]] == [6 * 64 * 12, 6 * 12 * 8, 6 * 8 * 10]
    assert bitwright("train", run).err == f"train: {run / CHECKPOINT} is up to date\n"


def test_channels_leave_a_network_with_branches_twice(fixed_run: Path, bitwright: Bitwright) -> None:
    runs = fixed_run.parent / "branches"
    small = ("model.kind=resnet8", "model.channel_multiplier=0.25", "train.epochs=1", "train.batch_size=256")
    settings = [part for override in small for part in ("--set", override)]
    assert bitwright("train", CONFIGS / "digits_cnn_w6a6.toml", "--runs-dir", runs, *settings).status == 0
    wanted = ("--runs-dir", runs, "--structure", "channels", "--epochs", "1")
    assert bitwright("prune", runs / "digits_cnn_w6a6", *wanted).status == 0
    once = read(runs / "digits_cnn_w6a6_pruned" / EXPERIMENT)
    assert once.model.widths == {"block0_conv1": 2, "block1_conv1": 4, "block2_conv1": 8}
    again = bitwright("prune", runs / "digits_cnn_w6a6_pruned", *wanted, "--name", "twice")
    assert again.status == 0, again.err
    assert read(runs / "twice" / EXPERIMENT).model.widths == {"block0_conv1": 1, "block1_conv1": 2, "block2_conv1": 4}
    assert bitwright("export", runs / "twice").status == 0
    levels = json.loads((runs / "twice" / "verification.json").read_text())["levels"]
    assert [level["different"] for level in levels.values()] == [0, 0, 0]
    sizes = {tuple(tensor.dims) for tensor in load_graph(runs / "twice" / "model.qonnx.onnx").graph.initializer}
    assert {(1, 4, 3, 3), (4, 1, 3, 3), (4, 8, 3, 3), (16, 4, 3, 3)} <= sizes


def test_network_with_a_teacher_is_pruned_without_training(
    fixed_run: Path, float_run: Path, bitwright: Bitwright
) -> None:
    taught = (f"train.teacher={float_run / CHECKPOINT}", "train.distillation_weight=0.7", "train.epochs=1")
    settings = [word for each in ("name=taught", *taught) for word in ("--set", each)]
    source = fixed_run.parent / "taught.toml"
    source.write_text((fixed_run / EXPERIMENT).read_text())
    outcome = bitwright("train", source, "--runs-dir", fixed_run.parent, *settings)
    assert outcome.status == 0, outcome.err
    arguments = ("--runs-dir", fixed_run.parent, "--epochs", "0", "--name", "bare")
    outcome = bitwright("prune", fixed_run.parent / "taught", *arguments)
    assert outcome.status == 0, outcome.err
    train = read(fixed_run.parent / "bare" / EXPERIMENT).train
    assert (train.teacher, train.distillation_weight) == ("", 0.5)


def test_figures_are_those_of_the_networks(fixed_run: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("prune", fixed_run, "--runs-dir", fixed_run.parent, "--structure", "2:4", "--epochs", "1")
    run = fixed_run.parent / "digits_mlp_w6a6_pruned"
    found = report_of(run)
    test = dataset.load_test("digits")
    inputs = torch.from_numpy(test.inputs.astype(np.float32) / np.float32(16))
    for stage, path in (
        ("before", fixed_run / CHECKPOINT),
        ("pruned", run / "pruned.safetensors"),
        ("retrained", run / CHECKPOINT),
    ):
        network, _ = load(path)
        with torch.no_grad():
            scores = network(inputs)
        wanted = accuracy(getattr(scores, "value", scores).numpy(), test.labels)
        assert found[stage]["accuracy"]["test"] == wanted
        assert f"{wanted:.2%} {'trained further' if stage == 'retrained' else stage}" in outcome.out
        codes = network.get_submodule("fc0").quant_weight().value  # type: ignore[operator]
        layer = found[stage]["layers"][0]
        assert (layer["name"], layer["weights"], layer["bits"]) == ("fc0", 1536, 6 * 1536)
        assert layer["nonzero"] == int(codes.count_nonzero())
    luts = found["before"]["lut"], found["retrained"]["lut"]
    assert all(now < first for first, now in zip(luts[0].values(), luts[1].values(), strict=True))
    assert bitwright("export", run).status == 0
    estimate = json.loads(bitwright("estimate", run, "--format", "json").out)
    assert luts[1]["unrolled"] == round(estimate["unrolled_lut"])
    assert luts[1]["hls4ml"] == pytest.approx(estimate["total"]["lut"], abs=1)
    program = read_program(load_graph(run / "model.lowered.onnx"))
    assert sum(int(np.count_nonzero(getattr(each, "weight", 0))) for each in program.operations) == sum(
        layer["nonzero"] for layer in found["retrained"]["layers"]
    )
    assert f"{luts[0]['unrolled']:,} before, {luts[1]['unrolled']:,} now" in outcome.out


def test_nothing_is_done_again_where_nothing_changed(fixed_run: Path, bitwright: Bitwright) -> None:
    arguments = ("prune", fixed_run, "--runs-dir", fixed_run.parent, "--epochs", "1")
    first = bitwright(*arguments)
    run = fixed_run.parent / "digits_mlp_w6a6_pruned"
    written = {name: (run / name).stat().st_mtime_ns for name in (CHECKPOINT, "pruned.safetensors", "pruning.json")}
    again = bitwright(*arguments)
    assert again.err == (
        f"prune: {run / 'pruned.safetensors'} is up to date\ntrain: {run / CHECKPOINT} is up to date\n"
    )
    assert again.out == first.out
    assert {name: (run / name).stat().st_mtime_ns for name in written} == written
    before = (run / CHECKPOINT).read_bytes()
    other = bitwright(*arguments, "--share", "0.7")
    assert other.status == 0, other.err
    assert (run / CHECKPOINT).read_bytes() != before
    assert (run / "previous" / "1" / CHECKPOINT).read_bytes() == before
    bare = bitwright(*arguments[:-1], "0", "--share", "0.7")
    assert bare.status == 0, bare.err
    assert (run / CHECKPOINT).read_bytes() == (run / "pruned.safetensors").read_bytes()
    assert "retrained" not in report_of(run)
    assert bitwright(*arguments, "--share", "0.7").out == other.out


def test_network_that_lost_nothing_is_trained_without_zeros(fixed_run: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("prune", fixed_run, "--runs-dir", fixed_run.parent, "--share", "0", "--epochs", "1")
    assert outcome.status == 0, outcome.err
    run = fixed_run.parent / "digits_mlp_w6a6_pruned"
    assert (report_of(run)["keep_zeros"], read(run / EXPERIMENT).train.keep_zeros) == (False, False)


def test_killed_training_goes_on(fixed_run: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("prune", fixed_run, "--runs-dir", fixed_run.parent, "--epochs", "2")
    assert bitwright(*arguments, "--name", "whole").status == 0
    with monkeypatch.context() as patch:
        from bitwright.models.training_state import ResumePoint  # noqa: PLC0415

        save = ResumePoint.on_train_epoch_end

        def save_and_stop(self: ResumePoint, trainer: object, pl_module: object) -> None:
            save(self, trainer, pl_module)  # type: ignore[arg-type]
            raise ValueError("stop: it must go on, not stop; call it again")

        patch.setattr(ResumePoint, "on_train_epoch_end", save_and_stop)
        assert bitwright(*arguments, "--name", "killed").status == 2
    run = fixed_run.parent / "killed"
    assert (run / "training" / "resume.ckpt").exists()
    assert bitwright(*arguments, "--name", "killed").status == 0
    assert load_file(run / CHECKPOINT).keys() == load_file(fixed_run.parent / "whole" / CHECKPOINT).keys()
    for name, value in load_file(run / CHECKPOINT).items():
        assert torch.equal(value, load_file(fixed_run.parent / "whole" / CHECKPOINT)[name]), name


def test_third_of_the_epochs_is_usual_and_settings_of_the_training_are_taken(
    fixed_run: Path, bitwright: Bitwright
) -> None:
    assert read(fixed_run / EXPERIMENT).train.epochs == 2
    own = ("--set", "train.learning_rate=0.001", "--set", "hls.clock_period_ns=4.0")
    outcome = bitwright("prune", fixed_run, "--runs-dir", fixed_run.parent, *own)
    assert outcome.status == 0, outcome.err
    run = fixed_run.parent / "digits_mlp_w6a6_pruned"
    settings = read(run / EXPERIMENT)
    assert (settings.train.epochs, settings.train.learning_rate, settings.train.keep_zeros) == (1, 0.001, True)
    assert settings.train.start_from == str(run / "pruned.safetensors")
    assert settings.hls.clock_period_ns == 4.0


def test_float_run_is_pruned_and_then_calibrated(float_run: Path, bitwright: Bitwright) -> None:
    runs = float_run.parent
    outcome = bitwright("prune", float_run, "--runs-dir", runs, "--epochs", "0")
    assert outcome.status == 0, outcome.err
    assert "no LUT of a float network; make it one of integers with `bitwright calibrate`" in outcome.err
    assert "LUT" not in outcome.out
    pruned = runs / "digits_mlp_float_pruned"
    assert bitwright("calibrate", pruned, "--runs-dir", runs, "--name", "small").status == 0
    zeros = load_file(pruned / CHECKPOINT)["fc0.weight"] == 0
    network, _ = load(runs / "small" / CHECKPOINT)
    assert int(zeros.sum()) == zeros.numel() // 2
    assert not network.get_submodule("fc0").quant_weight().value[zeros].any()  # type: ignore[operator]


def test_binary_run_loses_channels_and_nothing_else(binary_run: Path, bitwright: Bitwright) -> None:
    runs = binary_run.parent
    refused = bitwright("prune", binary_run, "--runs-dir", runs)
    assert (refused.status, refused.err) == (
        2,
        "fc0: weights must have 2 bits or more to be zero, not 1; take --structure channels, or train it with --set "
        "recipe.layers.fc0.weight_bit_width=2\n",
    )
    assert not (runs / "digits_mlp_w1a1_pruned").exists()
    outcome = bitwright("prune", binary_run, "--runs-dir", runs, "--structure", "channels", "--epochs", "1")
    assert outcome.status == 0, outcome.err
    run = runs / "digits_mlp_w1a1_pruned"
    assert read(run / EXPERIMENT).train.keep_zeros is False
    assert bitwright("export", run).status == 0
    levels = json.loads((run / "verification.json").read_text())["levels"]
    assert [level["different"] for level in levels.values()] == [0, 0, 0]


def test_what_cannot_be_is_refused_in_one_line(fixed_run: Path, bitwright: Bitwright) -> None:
    own = "the network and its data are those of the run"
    key = "--set: key must be seed, or of train or hls and not one that pruning sets, not"
    for arguments, message in (
        (("--share", "1"), "--share: value must be from 0 to below 1, not 1; 0.5 is a start"),
        (
            ("--structure", "rows"),
            "--structure: value must be weights, channels, or N:M with N below M, not 'rows'; 2:4 is usual",
        ),
        (("--set", "recipe.weight_bit_width=4"), f"{key} 'recipe.weight_bit_width'; {own}"),
        (("--set", "train.start_from=x"), f"{key} 'train.start_from'; {own}"),
        (
            ("--name", fixed_run.name),
            f"--name: run must be another than the one that is pruned, not {fixed_run.name}; choose another name",
        ),
        (
            ("--name", ""),
            "--name: value must be a letter or digit, then letters, digits, '.', '_' and '-', not ''; choose such a "
            "name",
        ),
        (
            ("--epochs", "1", "--set", "train.epochs=2"),
            "--set: train.epochs must be left out with --epochs 1, not said twice, as 'train.epochs=2'; leave one out",
        ),
        (
            ("--epochs", "0", "--set", "train.epochs=2"),
            "--set: train.epochs must be left out with --epochs 0, not said twice, as 'train.epochs=2'; leave one out",
        ),
        (("--share", "0.999", "--set", "train.epochs=0"), "--set: train.epochs: value must be greater than 0, not 0"),
    ):
        outcome = bitwright("prune", fixed_run, "--runs-dir", fixed_run.parent, *arguments)
        assert (outcome.status, outcome.err) == (2, f"{message}\n")
    assert {path.name for path in fixed_run.parent.iterdir()} == {fixed_run.name}


def test_run_that_is_not_trained_is_refused(tmp_path: Path, bitwright: Bitwright) -> None:
    config = CONFIGS / "digits_mlp_w6a6.toml"
    outcome = bitwright("prune", config, "--runs-dir", tmp_path)
    assert (outcome.status, outcome.err) == (
        2,
        f"{tmp_path / 'digits_mlp_w6a6' / CHECKPOINT}: checkpoint must be an existing file, not missing; run "
        f"`bitwright train {config}` first\n",
    )


def test_help_teaches(bitwright: Bitwright) -> None:
    outcome = bitwright("prune", "--help")
    assert outcome.status == 0
    words = re.sub(r"\s+", " ", outcome.out)
    assert "bitwright prune runs/digits_cnn_w1a1 --structure channels --share 0.25" in words


def test_zeros_of_the_first_pruning_outlast_a_second_one(fixed_run: Path, bitwright: Bitwright) -> None:
    runs = fixed_run.parent
    first = ("--share", "0.5", "--epochs", "0", "--name", "first")
    assert bitwright("prune", fixed_run, "--runs-dir", runs, *first).status == 0
    second = ("--structure", "channels", "--share", "0.25", "--epochs", "1", "--name", "second")
    outcome = bitwright("prune", runs / "first", "--runs-dir", runs, *second)
    assert outcome.status == 0, outcome.err
    before, after = (load_file(runs / "second" / f"{name}.safetensors") for name in ("pruned", "checkpoint"))
    zero = before["fc1.weight"] == 0
    assert zero.any()
    assert bool((after["fc1.weight"][zero] == 0).all())
