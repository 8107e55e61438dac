"""What a command's argument and --set mean together: what would change nothing is refused by its name."""

import re
from pathlib import Path

import pytest
from road import CONFIGS, Bitwright

from bitwright.cli.experiment import changed, read
from bitwright.cli.named_run import exported, made, resolve
from bitwright.cli.run_folder import EXPERIMENT, RunFolder
from bitwright.cli.stage_train import store_experiment

CONFIG = CONFIGS / "digits_mlp_w1a1.toml"
OWN = ["train.epochs=2", "recipe.layers.fc1.weight_bit_width=3"]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A folder with an experiment, and a checkpoint and a program that only their names tell apart."""
    folder = RunFolder(tmp_path / CONFIG.stem)
    folder.create()
    store_experiment(changed(read(CONFIG), OWN), folder)
    folder.checkpoint.write_text("weights")
    folder.lowered.write_text("program")
    return folder


def refusal(run: RunFolder, key: str, has: str, wanted: str, remedy: str) -> str:
    """The line that refuses a setting."""
    return f"--set: {key} must be {has} as in {run.path / EXPERIMENT}, not {wanted}; {remedy}\n"


TRAIN = "`bitwright train` makes a run of other settings"
HLS = "it is of the hls4ml project, which `bitwright hls` writes"


@pytest.mark.parametrize("command", ["export", "hls", "verify", "diff", "rtl", "synth", "estimate", "page"])
@pytest.mark.parametrize("by_folder", [True, False])
def test_setting_that_the_run_does_not_have_is_refused(
    command: str, by_folder: bool, run: RunFolder, bitwright: Bitwright
) -> None:
    argument = [run.path] if by_folder else [CONFIG, "--runs-dir", run.path.parent]
    before = sorted(run.path.rglob("*"))
    settings = ["--set", "train.epochs=2", "--set", "recipe.weight_bit_width=4"]
    outcome = bitwright(command, *argument, *settings)
    says = refusal(run, "recipe.weight_bit_width", "1", "4", TRAIN)
    assert (outcome.status, outcome.out, outcome.err) == (2, "", says)
    assert sorted(run.path.rglob("*")) == before


@pytest.mark.parametrize(
    ("override", "key", "has", "wanted"),
    [
        ("seed = 7", "seed", "1", "7"),
        ("train.epochs=3", "train.epochs", "2", "3"),
        ("model.hidden=[8]", "model.hidden", "[128, 64, 64]", "[8]"),
        ("data.name=mnist", "data.name", "'digits'", "'mnist'"),
        ("recipe.layers.fc1.weight_bit_width=4", "recipe.layers.fc1.weight_bit_width", "3", "4"),
        ("recipe.layers.out.weight_bit_width=4", "recipe.layers.out.weight_bit_width", "left out", "4"),
    ],
)
def test_refusal_names_the_key_and_both_values(
    override: str, key: str, has: str, wanted: str, run: RunFolder, bitwright: Bitwright
) -> None:
    more = ["--set", "hls.io_type=io_stream"] * (key == "data.name")
    assert bitwright("hls", run.path, "--set", override, *more).err == refusal(run, key, has, wanted, TRAIN)


@pytest.mark.parametrize("command", ["verify", "diff", "synth", "page"])
def test_project_is_of_other_settings_by_hls_alone(command: str, run: RunFolder, bitwright: Bitwright) -> None:
    outcome = bitwright(command, run.path, "--set", "hls.reuse_factor=4")
    says = refusal(run, "hls.reuse_factor", "1", "4", HLS)
    assert (outcome.status, outcome.err) == (2, says)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("export", "checkpoint.safetensors: checkpoint must be a safetensors file, not 7 bytes of something else"),
        ("hls", "model.lowered.onnx: model must be an ONNX file, not 7 bytes of something else"),
        ("estimate", "model.lowered.onnx: model must be an ONNX file, not 7 bytes of something else"),
    ],
)
def test_settings_of_the_project_go_on_to_the_command(
    command: str, says: str, run: RunFolder, bitwright: Bitwright
) -> None:
    outcome = bitwright(command, run.path, "--set", "hls.reuse_factor=4")
    assert outcome.err.startswith(f"{run.path}/{says}")


def test_design_takes_part_and_period_of_all_settings_of_the_project(run: RunFolder, bitwright: Bitwright) -> None:
    other = bitwright("rtl", run.path, "--set", "hls.part=xc7z020clg400-1", "--set", "hls.clock_period_ns=4.0")
    assert other.err.startswith(f"{run.lowered}: model must be an ONNX file, not 7 bytes of something else")
    outcome = bitwright("rtl", run.path, "--set", "hls.reuse_factor=4")
    assert outcome.err == refusal(run, "hls.reuse_factor", "1", "4", HLS)


@pytest.mark.parametrize(
    ("edit", "key", "has", "wanted"),
    [
        (("weight_bit_width = 1", "weight_bit_width = 4"), "recipe.weight_bit_width", "1", "4"),
        (("[128, 64, 64]", "[128, 64]"), "model.hidden", "[128, 64, 64]", "[128, 64]"),
        (('"digits"', '"mnist"'), "data.name", "'digits'", "'mnist'"),
    ],
    ids=["recipe", "model", "data"],
)
@pytest.mark.parametrize("command", ["export", "rtl"])
def test_file_that_was_edited_after_the_training_is_refused(
    command: str, edit: tuple[str, str], key: str, has: str, wanted: str, tmp_path: Path, bitwright: Bitwright
) -> None:
    file, runs = tmp_path / CONFIG.name, RunFolder(tmp_path / "runs" / CONFIG.stem)
    runs.create()
    store_experiment(read(CONFIG), runs)
    runs.checkpoint.touch()
    runs.lowered.touch()
    assert edit[0] in CONFIG.read_text()
    file.write_text(CONFIG.read_text().replace(*edit, 1))
    outcome = bitwright(command, file, "--runs-dir", runs.path.parent)
    says = (
        f"{file}: {key} must be {has} as in {runs.path / EXPERIMENT}, not {wanted}; name the run's folder to go on "
        "from it, or run `bitwright train`\n"
    )
    assert (outcome.status, outcome.out, outcome.err) == (2, "", says)


def test_other_training_of_a_file_is_said(run: RunFolder, tmp_path: Path, bitwright: Bitwright) -> None:
    file = tmp_path / CONFIG.name
    file.write_text(f"{CONFIG.read_text()}\n[recipe.layers.fc1]\nweight_bit_width = 3\nwhy = 'other words'\n")
    outcome = bitwright("hls", file, "--runs-dir", run.path.parent)
    said, refused = outcome.err.splitlines()
    assert said == f"{run.path}: trained with train.epochs = 2, not {read(CONFIG).train.epochs} as in {file}"
    assert refused.startswith(f"{run.lowered}: model must be an ONNX file")
    assert bitwright("hls", file, "--runs-dir", run.path.parent, "--set", "train.epochs=2").err == f"{refused}\n"


def test_settings_that_the_run_has_may_be_said_again(run: RunFolder) -> None:
    again = [*OWN, "seed=1", "hls.reuse_factor=1", f"name={CONFIG.stem}", "model.hidden=[128, 64, 64]"]
    for argument in (run.path, CONFIG):
        settings, found = made(argument, run.path.parent, again)
        assert (found, settings) == (run, read(run.path / EXPERIMENT))
    heeded = made(run.path, run.path.parent, ["hls.part=xc7z020clg400-1"], heeded=["hls"])[0]
    assert heeded.hls.part == "xc7z020clg400-1"
    assert exported(run.path, run.path.parent, ["hls.reuse_factor=4"], ["hls.reuse_factor"])[1].reuse_factor == 4


def test_run_of_a_folder_gets_no_other_name(run: RunFolder, bitwright: Bitwright) -> None:
    file = run.path / EXPERIMENT
    says = (
        f"--set: name must be 'digits_mlp_w1a1' as in {file}, not 'new'; leave it out, or train that file under "
        "the new name"
    )
    outcome = bitwright("train", run.path, "--set", "name=new")
    assert (outcome.status, outcome.err) == (2, f"{says}\n")
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        made(run.path, run.path.parent, ["name=new"])
    assert resolve(file, run.path.parent, ["name=new"])[1].path == run.path.parent / "new"


@pytest.mark.parametrize("command", ["hls", "verify", "diff", "rtl"])
def test_network_that_was_trained_again_is_not_compared(command: str, run: RunFolder, bitwright: Bitwright) -> None:
    run.finish("export", "", 0.0, checkpoint="of other weights")
    outcome = bitwright(command, run.path)
    assert (outcome.status, outcome.out, outcome.err) == (
        2,
        "",
        f"{run.checkpoint}: checkpoint must be the one that was exported, not another; run `bitwright export` first\n",
    )


@pytest.mark.parametrize("key", ["start_from", "teacher"])
def test_folder_named_instead_of_its_checkpoint_is_told_from_a_missing_file(
    key: str, run: RunFolder, tmp_path: Path, bitwright: Bitwright
) -> None:
    empty, missing = tmp_path / "empty", tmp_path / "missing"
    empty.mkdir()
    for named, line in (
        (run.path, f"checkpoint must be a file, not the folder {str(run.path)!r}; name {run.checkpoint}"),
        (
            empty,
            f"checkpoint must be a file, not the folder {str(empty)!r}; name the checkpoint.safetensors of a trained "
            "run",
        ),
        (missing, f"checkpoint must be an existing file, not {str(missing)!r}; train that network first"),
    ):
        outcome = bitwright("train", CONFIG, "--runs-dir", tmp_path / "runs", "--set", f"train.{key}={named}")
        assert (outcome.status, outcome.out, outcome.err) == (2, "", f"train.{key}: {line}\n")


def test_teacher_of_other_data_is_refused(float_run: Path, tmp_path: Path, bitwright: Bitwright) -> None:
    path = float_run / EXPERIMENT
    path.write_text(path.read_text().replace('name = "digits"', 'name = "jets"'))
    teacher = f"train.teacher={float_run / 'checkpoint.safetensors'}"
    outcome = bitwright("train", CONFIG, "--runs-dir", tmp_path / "taught", "--set", teacher)
    says = (
        "train.teacher: network must have learned from data.name = 'digits' as this one, not from 'jets'; name the "
        "checkpoint of another run\n"
    )
    assert (outcome.status, outcome.err) == (2, says)
    assert not (tmp_path / "taught").exists()


def test_what_a_start_does_not_have_is_said(float_run: Path, tmp_path: Path, bitwright: Bitwright) -> None:
    checkpoint = float_run / "checkpoint.safetensors"
    settings = (f"train.start_from={checkpoint}", "train.epochs=1", "model.hidden=[24, 16, 8]")
    options = [part for setting in settings for part in ("--set", setting)]
    outcome = bitwright("train", CONFIG, "--runs-dir", tmp_path / "started", *options)
    assert outcome.status == 0, outcome.err
    says = f"train: weights that {checkpoint} does not have begin anew: fc2.weight, out.weight\n"
    assert outcome.err.startswith(says)


def test_run_says_what_its_project_was_written_for(fixed_run: Path, bitwright: Bitwright) -> None:
    for command in ("hls", "verify"):
        outcome = bitwright(command, fixed_run, "--set", "hls.reuse_factor=8")
        assert outcome.status == 0, outcome.err
    assert read(fixed_run / EXPERIMENT).hls.reuse_factor == 8
    says = f"--set: hls.reuse_factor must be 8 as in {fixed_run / EXPERIMENT}, not 1; {HLS}\n"
    assert bitwright("verify", fixed_run, "--set", "hls.reuse_factor=1").err == says


@pytest.mark.parametrize("command", ["estimate", "rtl", "diff", "synth", "page"])
def test_program_without_a_run_has_no_settings_to_override(command: str, run: RunFolder, bitwright: Bitwright) -> None:
    (run.path / EXPERIMENT).unlink()
    outcome = bitwright(command, run.path, "--set", "recipe.weight_bit_width=3")
    says = (
        f"--set: recipe.weight_bit_width must be left out for {run.path}, which is no run with settings of its own; "
        "its program is what it is\n"
    )
    assert (outcome.status, outcome.out, outcome.err) == (2, "", says)


def test_file_is_estimated_for_the_target_that_is_set(fixed_run: Path, bitwright: Bitwright) -> None:
    model = fixed_run / "model.qonnx.onnx"
    outcome = bitwright("estimate", model, "--set", "train.epochs=3")
    assert outcome.err.startswith(f"--set: train.epochs must be left out for {model}, ")
    slower = [bitwright("estimate", model, "--set", f"hls.reuse_factor={k}", "--format", "json").out for k in (1, 8)]
    assert slower[0] != slower[1]
