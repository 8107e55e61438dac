"""The whole road, as a user walks it."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from road import CONFIGS, SMALL, Bitwright

from bitwright.cli.page_collect import TRAINED_AGAIN
from bitwright.models.checkpoint import load
from bitwright.models.dataset import load_test

PROJECT_TO_WRITE = "hls4ml project, and all that the vendor"
"""Said on the page of a run whose program has no project."""


def states(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def verdict(folder: Path) -> dict[str, dict[str, int]]:
    found = json.loads((folder / "verification.json").read_text())
    assert list(found) == ["exact", "test_set", "levels"]
    assert found["test_set"] == 360
    levels: dict[str, dict[str, int]] = found["levels"]
    assert found["exact"] == all(level["different"] == 0 for level in levels.values())
    return levels


@pytest.mark.parametrize("run", ["fixed_run", "binary_run"])
def test_every_level_gives_the_same_integers(run: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(run)
    levels = verdict(folder)
    assert list(levels) == ["torch", "qonnx", "program", "csim"]
    assert {level["compared"] for level in levels.values()} == {3600}
    assert {level["different"] for level in levels.values()} == {0}
    outputs = [np.load(folder / "outputs" / f"{level}.npy") for level in levels]
    assert all(output.dtype == np.int64 and output.shape == (360, 10) for output in outputs)
    assert all((output == outputs[0]).all() for output in outputs)


@pytest.mark.parametrize("run", ["fixed_run", "binary_run"])
def test_interface_turns_integers_into_the_output_of_pytorch(run: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(run)
    output = json.loads((folder / "interface.json").read_text())["output"]
    values = np.load(folder / "outputs" / "csim.npy") * np.array(output["scale"]) + np.array(output["offset"])
    network, _ = load(folder / "checkpoint.safetensors")
    with torch.no_grad():
        wanted = network(torch.from_numpy(load_test("digits").inputs) / 16).numpy()
    ulp = np.spacing(np.abs(wanted).max())  # one float32 rounding of the product and one of the sum
    assert np.abs(values - wanted).max() <= 2 * ulp


@pytest.mark.parametrize("stage", ["train", "export", "hls"])
def test_nothing_is_done_when_nothing_changed(stage: str, fixed_run: Path, bitwright: Bitwright) -> None:
    before = states(fixed_run)
    assert bitwright(stage, fixed_run).status == 0
    after = states(fixed_run)
    after[fixed_run / "verification.json"] = before[fixed_run / "verification.json"]
    assert after == before


@pytest.mark.parametrize("option", ["hls.io_type=io_stream", "hls.backend=Vivado", "hls.strategy=Resource"])
@pytest.mark.parametrize("run", ["fixed_run", "binary_run"])
def test_other_target_writes_another_exact_project(
    option: str, run: str, request: pytest.FixtureRequest, bitwright: Bitwright
) -> None:
    folder = request.getfixturevalue(run)
    outcome = bitwright("hls", folder, "--set", option, "--set", "hls.reuse_factor=4")
    assert outcome.status == 0, outcome.err
    assert verdict(folder)["csim"]["different"] == 0
    config = (folder / "hls" / "hls4ml_config.yml").read_text()
    assert option.split("=")[1] in config


def test_binary_project_uses_xnor_and_no_multiplication(binary_run: Path) -> None:
    firmware = binary_run / "hls" / "firmware"
    types = (firmware / "defines.h").read_text()
    for layer in ("fc0", "fc1", "out"):
        assert f"typedef ap_uint<1> {layer}_weight_t;" in types
    parameters = (firmware / "parameters.h").read_text()
    products = re.findall(r"using product = nnet::product::(\w+)<", parameters)
    assert products == ["weight_binary", "both_binary", "both_binary"]
    assert "normalize" not in (firmware / "bitwright.cpp").read_text()


def test_wider_type_in_precision_is_honoured(fixed_run: Path, bitwright: Bitwright) -> None:
    path = fixed_run / "precision.toml"
    section = re.search(r"\[fc1\].*?accumulator\s*= \"(ap_fixed<(\d+),(-?\d+)>)\"", path.read_text(), re.DOTALL)
    assert section
    wider = f"ap_fixed<{int(section[2]) + 3},{int(section[3]) + 3}>"
    path.write_text(path.read_text().replace(section[0], section[0].replace(section[1], wider)))
    assert bitwright("hls", fixed_run).status == 0
    assert f"typedef {wider} fc1_accum_t;" in (fixed_run / "hls" / "firmware" / "defines.h").read_text()
    assert verdict(fixed_run)["csim"]["different"] == 0


def test_narrower_type_in_precision_is_refused_and_the_project_stays(fixed_run: Path, bitwright: Bitwright) -> None:
    path = fixed_run / "precision.toml"
    found = re.search(r"accumulator = \"(ap_fixed<(\d+),(-?\d+)>)\"", path.read_text())
    assert found
    narrower = f"ap_fixed<{int(found[2]) - 1},{int(found[3]) - 1}>"
    path.write_text(path.read_text().replace(found[1], narrower, 1))
    before = states(fixed_run / "hls")
    outcome = bitwright("hls", fixed_run)
    assert outcome.status == 2
    assert re.fullmatch(
        rf"{re.escape(str(path))}: fc0\.accumulator: type must hold -\d+ to \d+ steps of 2\*\*-\d+, "
        rf"not {re.escape(narrower)}; at least {re.escape(found[1])} is needed\n",
        outcome.err,
    )
    assert states(fixed_run / "hls") == before


def break_accumulator(run: Path) -> None:
    path = run / "hls" / "firmware" / "defines.h"
    text = path.read_text()
    found = re.search(r"typedef ap_fixed<(\d+),(-?\d+)> fc1_accum_t;", text)
    assert found
    path.write_text(text.replace(found[0], f"typedef ap_fixed<{int(found[1]) - 3},{int(found[2]) - 3}> fc1_accum_t;"))


def test_broken_project_is_found_named_and_kept(fixed_run: Path, bitwright: Bitwright) -> None:
    break_accumulator(fixed_run)
    outcome = bitwright("verify", fixed_run)
    assert outcome.status == 1
    assert "NOT EXACT" in outcome.out
    levels = verdict(fixed_run)
    assert levels["csim"]["different"] > 0
    assert levels["program"]["different"] == 0
    outcome = bitwright("diff", fixed_run)
    assert outcome.status == 1
    assert "fc1" in outcome.out
    assert "overflow" in outcome.out
    assert bitwright("hls", fixed_run, "--set", "hls.clock_period_ns=4.0").status == 0  # writes a new project
    assert verdict(fixed_run)["csim"]["different"] == 0
    assert (fixed_run / "hls.edited.1" / "firmware" / "defines.h").exists()


def test_diff_of_an_exact_run_says_so(binary_run: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("diff", binary_run)
    assert outcome.status == 0
    assert outcome.out == "digits_mlp_w1a1: every integer of every layer is the same on 48 inputs\n"


def test_tampered_output_is_not_taken_for_the_level(fixed_run: Path, bitwright: Bitwright) -> None:
    np.save(fixed_run / "outputs" / "qonnx.npy", np.zeros((360, 10), np.int64))
    assert bitwright("export", fixed_run).status == 0
    assert verdict(fixed_run)["qonnx"]["different"] == 0


def test_constant_that_synthesis_would_see_otherwise_is_refused(fixed_run: Path, bitwright: Bitwright) -> None:
    header = next((fixed_run / "hls" / "firmware" / "weights").glob("w2.h"))
    header.write_text(re.sub(r"= \{-?[\d.]+,", "= {0.96875,", header.read_text()))
    outcome = bitwright("verify", fixed_run)
    assert outcome.status == 2
    assert outcome.err.splitlines()[-1] == (
        f"{header}: numbers must be those of w2.txt, which the simulation reads, not others; "
        "delete the project and write it again"
    )


def test_other_settings_keep_the_training_before_them(fixed_run: Path, bitwright: Bitwright) -> None:
    before = (fixed_run / "checkpoint.safetensors").read_bytes()
    assert bitwright("train", fixed_run, "--set", "train.epochs=1").status == 0
    assert (fixed_run / "previous" / "1" / "checkpoint.safetensors").read_bytes() == before
    assert json.loads((fixed_run / "metrics.json").read_text())["epochs"] == 1


def test_simulation_killed_goes_on_where_it_was(fixed_run: Path, bitwright: Bitwright) -> None:
    (fixed_run / "outputs" / "csim.npy").unlink()
    process = subprocess.Popen(
        [sys.executable, "-c", "from bitwright.cli.main import run; run()", "verify", str(fixed_run)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (parts := list(fixed_run.glob("csim/parts-*/0*.npy"))):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (fixed_run / "outputs" / "csim.npy").exists()
    for path in parts:  # a finished chunk that is marked: if it is simulated again, the mark is gone
        np.save(path, np.full_like(np.load(path), 12345))
    resumed = bitwright("hls", fixed_run)
    assert resumed.status == 1
    assert (np.load(fixed_run / "outputs" / "csim.npy") == 12345).all(axis=1).any()
    assert not list(fixed_run.glob("csim/parts-*"))


def test_network_that_was_trained_again_is_not_certified(fixed_run: Path, bitwright: Bitwright) -> None:
    assert bitwright("train", fixed_run, "--set", "seed=2").status == 0
    page = (fixed_run / "report.html").read_text()
    assert TRAINED_AGAIN in page
    assert "Not compared yet" in page
    outcome = bitwright("hls", fixed_run)
    says = f"{fixed_run}/checkpoint.safetensors: checkpoint must be the one that was exported, not another; "
    assert (outcome.status, outcome.err) == (2, f"{says}run `bitwright export` first\n")
    assert PROJECT_TO_WRITE not in page
    assert bitwright("export", fixed_run).status == 0
    page = (fixed_run / "report.html").read_text()
    assert TRAINED_AGAIN not in page
    assert PROJECT_TO_WRITE in page  # what lies in hls/ is of the network before
    assert list(verdict(fixed_run)) == ["torch", "qonnx", "program"]  # the simulation was of another network
    assert bitwright("hls", fixed_run).status == 0
    assert list(verdict(fixed_run)) == ["torch", "qonnx", "program", "csim"]
    assert PROJECT_TO_WRITE not in (fixed_run / "report.html").read_text()


def test_checkpoint_of_the_user_is_kept(fixed_run: Path, bitwright: Bitwright) -> None:
    mine = (fixed_run / "checkpoint.safetensors").read_bytes()
    for path in (fixed_run / "metrics.json", fixed_run / "training" / "key", fixed_run / ".stages" / "train.json"):
        path.unlink()
    assert bitwright("train", fixed_run).status == 0
    assert (fixed_run / "previous" / "1" / "checkpoint.safetensors").read_bytes() == mine


def test_second_command_in_the_same_folder_is_refused(fixed_run: Path, bitwright: Bitwright) -> None:
    script = "from pathlib import Path; from bitwright.cli.run_folder import RunFolder; "
    script += f"RunFolder(Path({str(fixed_run)!r})).lock()"
    holder = subprocess.Popen(
        [sys.executable, "-c", f"{script}; print('held', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        outcome = bitwright("hls", fixed_run)
        holder.kill()
    assert (outcome.status, outcome.err) == (
        2,
        f"{fixed_run}: run must be free, not in use by another command; wait for it\n",
    )


def test_project_with_a_file_missing_is_written_again(fixed_run: Path, bitwright: Bitwright) -> None:
    (fixed_run / "hls" / "firmware" / "weights" / "w2.txt").unlink()
    outcome = bitwright("diff", fixed_run)
    assert outcome.status == 2
    assert "w2.txt: constants must be there, not missing" in outcome.err
    assert bitwright("hls", fixed_run).status == 0
    assert verdict(fixed_run)["csim"]["different"] == 0


def test_diff_names_a_level_above_the_chip(fixed_run: Path, bitwright: Bitwright) -> None:
    path = fixed_run / "outputs" / "torch.npy"
    codes = np.load(path)
    codes[7, 3] += 1
    np.save(path, codes)
    outcome = bitwright("diff", fixed_run)
    assert outcome.status == 1
    assert "torch and qonnx differ in 1 of 3600 outputs, first in input 7, value 3" in outcome.out


def test_float_network_is_not_exported(tmp_path: Path, bitwright: Bitwright) -> None:
    widths = ("weight", "activation", "input")
    floats = [part for name in widths for part in ("--set", f"recipe.{name}_bit_width=32")]
    arguments = [CONFIGS / "digits_mlp_w6a6.toml", "--runs-dir", tmp_path, *SMALL, *floats]
    assert bitwright("train", *arguments).status == 0
    outcome = bitwright("export", *arguments)
    assert outcome.status == 2
    assert outcome.err == (
        "recipe.weight_bit_width: width must be 1 to 16 to export, not 32 (float); train it with "
        "--set recipe.weight_bit_width=6 and the other widths\n"
    )


def test_lower_writes_program_types_and_interface(fixed_run: Path, tmp_path: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("lower", fixed_run / "model.qonnx.onnx", "--out", tmp_path / "lowered")
    assert outcome.status == 0
    for name in ("model.lowered.onnx", "precision.toml"):
        assert (tmp_path / "lowered" / name).read_bytes() == (fixed_run / name).read_bytes()


def test_help_teaches_the_stages(bitwright: Bitwright) -> None:
    outcome = bitwright("--help")
    assert outcome.status == 0
    for command in ("train", "export", "hls", "verify", "diff", "lower", "doctor"):
        assert f" {command} " in outcome.out


def test_first_inputs_alone_are_simulated_on_demand_and_the_verdict_says_so(
    fixed_run: Path, bitwright: Bitwright
) -> None:
    for arguments in (["--csim-inputs", "150"], []):  # again as many
        outcome = bitwright("verify", fixed_run, *arguments)
        assert outcome.status == 0, outcome.err
        assert "exact on 360 test inputs, csim on the first 150" in " ".join(outcome.out.split())
        compared = {name: level["compared"] for name, level in verdict(fixed_run).items()}
        assert compared == {"torch": 3600, "qonnx": 3600, "program": 3600, "csim": 1500}
        assert np.load(fixed_run / "outputs" / "csim.npy").shape == (150, 10)
    assert bitwright("diff", fixed_run).status == 0
    page = re.sub(r"<[^>]*>", "", (fixed_run / "report.html").read_text())
    assert "is the same, on 360 inputs, csim on the first 150." in page
    assert bitwright("hls", fixed_run).status == 0
    assert verdict(fixed_run)["csim"]["compared"] == 3600
    before = states(fixed_run / "outputs")
    assert bitwright("hls", fixed_run, "--csim-inputs", "150").status == 0  # all are there
    assert states(fixed_run / "outputs") == before
    assert verdict(fixed_run)["csim"]["compared"] == 3600
