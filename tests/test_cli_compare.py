"""`bitwright compare`: rows of seeds, figures of the runs' own files, every form alike; what is missing is a blank."""

import csv
import io
import json
import os
import re
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from compare_runs import accuracy_of, compared, make_all, rows
from page_runs import CALIBRATION, Read, at, says
from road import CONFIGS, Bitwright

from bitwright.calibration.costs import costs
from bitwright.cli import compare_speed
from bitwright.cli.compare_facts import facts
from bitwright.cli.compare_groups import same_but_for_the_seed
from bitwright.cli.compare_size import packed
from bitwright.cli.compare_speed import fastest, network_values
from bitwright.cli.compare_speed import float_network as float_of
from bitwright.cli.experiment import changed, read
from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_export import load_array, load_program
from bitwright.cli.stage_train import store_experiment
from bitwright.export.interface import read_interface
from bitwright.export.operations import Affine, Linear, MultiplyAdd, Table, Threshold
from bitwright.models.checkpoint import load
from bitwright.models.dataset import load_test


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that tests only read."""
    return make_all(tmp_path_factory.mktemp("compare"))


@pytest.fixture(autouse=True)
def _few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is timed here is not looked at."""
    monkeypatch.setattr(compare_speed, "ENOUGH_SECONDS", 0.1)


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    """Copies that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "runs"))


def all_of(folder: Path) -> list[Path]:
    """Every run in a folder."""
    return sorted(folder.iterdir())


def test_seeds_of_an_experiment_are_one_row(made: Path, bitwright: Bitwright) -> None:
    found = compared(bitwright, *all_of(made), made / "binary")
    assert set(found) == {"net_s*_w4", "binary", "float"}
    row = found["net_s*_w4"]
    both = [accuracy_of(made / f"net_s{seed}_w4") for seed in (1, 2)]
    assert row["seeds"] == [1, 2]
    assert row["accuracy"] == {
        "mean": statistics.fmean(both),
        "standard_deviation": statistics.stdev(both),
        "lowest": min(both),
        "highest": max(both),
        "count": 2,
    }
    assert [(run["name"], run["accuracy"]) for run in row["runs"]] == list(
        zip(("net_s1_w4", "net_s2_w4"), both, strict=True)
    )
    none = {"rtl": None, "csim": None}
    assert (
        row["levels"]
        == {level: {"runs": 2, "compared": 7200, "different": 0} for level in ("torch", "qonnx", "program")} | none
    )
    assert [row[key] for key in ("data", "network", "widths")] == ["digits", "mlp 8-6", "4/6"]
    assert found["binary"]["accuracy"]["standard_deviation"] is None


def test_rows_stand_by_data_then_accuracy(made: Path, bitwright: Bitwright) -> None:
    found = list(compared(bitwright, *all_of(made)).values())
    means = [row["accuracy"]["mean"] for row in found]
    assert means == sorted(means, reverse=True)
    assert len(set(means)) == 3


def test_same_seed_twice_is_no_spread(runs: Path, bitwright: Bitwright) -> None:
    shutil.copytree(runs / "binary", runs / "binary_again")
    found = compared(bitwright, runs / "binary", runs / "binary_again")
    assert [(name, row["seeds"]) for name, row in found.items()] == [("binary", [1]), ("binary_again", [1])]


@pytest.mark.parametrize("name", ["net_s1_w4", "binary"])
def test_size_is_counted_apart_from_the_program(name: str, made: Path, bitwright: Bitwright) -> None:
    row = compared(bitwright, made / name)[name]
    counted = costs(load(made / name / "checkpoint.safetensors")[0], torch.zeros(1, 1, 8, 8))
    weights = 64 * 8 + 8 * 6 + 6 * 10
    assert (row["weights"], row["weight_bits"]) == (weights, counted.weight_bits)
    assert row["compression"] == 32 * weights / counted.weight_bits
    assert row["bit_operations"] == counted.bit_operations
    assert row["program_bytes"] == (made / name / "model.lowered.onnx").stat().st_size
    assert row["checkpoint_bytes"] == (made / name / "checkpoint.safetensors").stat().st_size


def bits_of(codes: np.ndarray[Any, Any]) -> int:
    """The least width that holds all codes."""
    low, high = int(codes.min()), int(codes.max())
    return max(1, high.bit_length(), (-low - 1).bit_length()) + (low < 0) if low < 0 else max(1, high.bit_length())


@pytest.mark.parametrize("name", ["net_s1_w4", "binary"])
def test_packed_file_holds_every_constant(name: str, made: Path, bitwright: Bitwright) -> None:
    program = load_program(RunFolder(made / name))
    size = 0
    for operation in program.operations:
        if isinstance(operation, Linear):
            size += -(-operation.weight.size * operation.weight_format.width // 8)
        own = {
            Linear: ("bias",),
            MultiplyAdd: ("multiplier", "offset"),
            Affine: ("multiplier", "offset"),
            Threshold: ("thresholds",),
            Table: ("entries",),
        }
        names = [name for kind, fields in own.items() if isinstance(operation, kind) for name in fields]
        arrays = [getattr(operation, name) for name in names if getattr(operation, name) is not None]
        size += sum(-(-codes.size * bits_of(codes) // 8) for codes in arrays)
        size += -(-len(operation.rising) // 8) if isinstance(operation, Threshold) else 0
    assert len(packed(program)) == size
    assert compared(bitwright, made / name)[name]["packed_bytes"] == size


def test_float_run_has_accuracy_and_size_and_blanks(made: Path, bitwright: Bitwright) -> None:
    row = compared(bitwright, made / "float")["float"]
    weights = 64 * 8 + 8 * 6 + 6 * 10
    assert (row["weights"], row["weight_bits"], row["compression"], row["widths"]) == (
        weights,
        32 * weights,
        1,
        "float",
    )
    split = load_test("digits")
    with torch.no_grad():
        scores = load(made / "float" / "checkpoint.safetensors")[0](torch.from_numpy(split.inputs).float() / 16)
    assert row["accuracy"]["mean"] == float((scores.argmax(1).numpy() == split.labels).mean())
    assert row["runs"][0]["accuracy_from"] == "measured now"
    assert [row[key] for key in ("packed_bytes", "bit_operations", "hardware")] == [None, None, {}]
    assert row["notes"] == ["float: a float network: no integers, no bit operations and no hardware"]


def test_every_form_says_the_same(made: Path, bitwright: Bitwright) -> None:
    found = compared(bitwright, *all_of(made))
    page = Read(source=bitwright("compare", *all_of(made), "--no-speed", "--format", "html").out)
    assert {row["name"]: row for row in page.json["rows"]} == found
    assert [(path, text) for path, text in page.shown if not says(text, at(page.json, path))] == []
    assert {f"rows.{n}.{key}" for n in range(3) for key in ("name", "weights", "weight_bits", "accuracy.mean")} <= {
        path for path, _ in page.shown
    }
    lines = {
        row["name"]: row
        for row in csv.DictReader(io.StringIO(bitwright("compare", *all_of(made), "--no-speed", "--format", "csv").out))
    }
    for name, row in found.items():
        fields = lines[name]
        assert fields["seeds"] == " ".join(map(str, row["seeds"]))
        assert float(fields["accuracy_mean"]) == row["accuracy"]["mean"]
        assert fields["weight_bits"] == str(row["weight_bits"])
        program = row["levels"]["program"]
        assert fields["program_integers_compared"] == ("" if program is None else str(program["compared"]))
        for stage, counts in row["hardware"].items():
            assert {kind: fields[f"{stage}: {kind}"] for kind in counts} == {kind: str(n) for kind, n in counts.items()}
    row = found["net_s*_w4"]
    accuracy = f"{100 * row['accuracy']['mean']:.2f} % ± {100 * row['accuracy']['standard_deviation']:.2f} %"
    for form, divider in (("table", "│"), ("md", "|")):
        text = bitwright("compare", *all_of(made), "--no-speed", "--format", form).out.replace("\\", "")
        (line,) = (line for line in text.splitlines() if "net_s*_w4" in line and accuracy in line)
        cells = [cell.strip() for cell in line.strip(divider).split(divider)]
        assert [cells[1:5], cells[6:9]] == [["digits", "mlp 8-6", "4/6", "1, 2"], ["620", "2,480", "8"]]


def test_page_needs_nothing_and_names_stay_text(runs: Path, bitwright: Bitwright) -> None:
    hostile = runs / "<img src=x onerror=alert(1)>"
    shutil.copytree(runs / "binary", hostile)
    outcome = bitwright("compare", runs / "binary", runs / "net_s1_w4", hostile, "--no-speed", "--format", "html")
    page = Read(source=outcome.out)
    assert "img" not in page.tags
    assert page.tags.count("script") == 1
    assert not page.names & {"src", "href", "onerror"}
    assert str(runs) not in outcome.out
    assert page.text.count(hostile.name) >= 2
    charts = re.findall(r"<svg [^>]*aria-label=\"([^\"]+)\">\s*<title>([^<]+)</title>", outcome.out)
    assert [label for label, _ in charts] == [
        f"digits: accuracy against {cost}"
        for cost in (
            "bits of the weights",
            "bit operations of one inference",
            "LUT (unrolled logic, estimate)",
            "LUT (hls4ml project, estimate of C synthesis)",
        )
    ]
    assert len(charts) == outcome.out.count("<svg ")


def test_stages_of_hardware_share_no_column(runs: Path, bitwright: Bitwright) -> None:
    run = runs / "binary"
    yosys = {"stage": "synthesis (yosys)", "tool": "Yosys 0.70", "cells": {"lut": 321, "ff": 12, "dsp": 0}}
    files: dict[str, dict[str, Any]] = {
        "rtl/design.json": {"latency_cycles": 4, "lut_estimate": 300.6},
        "synth/xc7/yosys.json": {**yosys, "family": "xc7"},
        "synth/xcup/yosys.json": {**yosys, "family": "xcup", "cells": {"lut": 320}},
    }
    for name, content in files.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(json.dumps(content))
    found = compared(bitwright, run, runs / "net_s1_w4")
    hardware = found["binary"]["hardware"]
    assert list(hardware)[2:] == [
        "RTL, before synthesis, alkaid",
        "synthesis (yosys), Yosys 0.70, xc7",
        "synthesis (yosys), Yosys 0.70, xcup",
    ]
    assert [hardware[stage] for stage in list(hardware)[2:]] == [
        {"lut": 301},
        {"lut": 321, "ff": 12, "dsp": 0},
        {"lut": 320},
    ]
    estimated = json.loads(bitwright("estimate", run, "--format", "json").out)
    assert hardware["hls4ml project, estimate of C synthesis"] == {
        kind: round(estimated["total"][kind]) for kind in ("lut", "ff", "dsp", "bram_18k")
    }
    assert hardware["unrolled logic, estimate"] == {"lut": round(estimated["unrolled_lut"])}
    assert list(found["net_s1_w4"]["hardware"]) == list(hardware)[:2]


def test_speed_is_of_the_same_topology_and_inputs(made: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("compare", made / "net_s1_w4", made / "float", "--images", "40", "--format", "json")
    assert outcome.status == 0, outcome.err
    whole = json.loads(outcome.out)
    found = rows(outcome.out)
    assert [whole["timing"][key] for key in ("images", "threads")] == [40, 1]
    speed = found["net_s1_w4"]["speed"]
    assert (speed["run"], speed["images"]) == ("net_s1_w4", 40)
    for kind in ("float32_onnxruntime", "int8", "program"):
        assert speed[kind] > 0
        assert speed[f"{kind}_of_float32"] == pytest.approx(speed[kind] / speed["float32"], rel=0.01, abs=0.001)
    assert found["float"]["speed"]["float32"] > 0
    assert (found["float"]["speed"]["program"], found["float"]["speed"]["program_of_float32"]) == (None, None)


def test_float_baseline_is_the_topology_without_norms(made: Path) -> None:
    run = RunFolder(made / "binary")
    network = float_of(facts(run, read(run.path / "experiment.toml"), None))
    assert [tuple(value.shape) for value in network.parameters() if value.dim() == 2] == [(8, 64), (6, 8), (10, 6)]
    assert not [module for module in network.modules() if "Norm" in type(module).__name__]


def test_float_inputs_are_those_behind_the_integers(made: Path) -> None:
    run = RunFolder(made / "net_s1_w4")
    values = network_values(read_interface(run.interface).input, load_array(run.inputs))
    assert values.shape == (360, 1, 8, 8)
    assert (values == np.minimum(load_test("digits").inputs.astype(np.float32) / 16, values.max())).all()
    assert values.max() > 15 / 16


@pytest.mark.parametrize("threads", [1, 2])
def test_everything_is_timed_with_as_many_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    torch_had, seen = torch.get_num_threads(), []

    def call() -> np.ndarray[Any, Any]:
        seen.append((torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]))
        return np.array([len(seen)])

    seconds, results = fastest({"a": call, "b": call}, threads)
    assert set(seen) == {(threads, str(threads))}
    assert 3 * 2 <= len(seen) == results["b"][0]
    assert all(0 <= each < 1 for each in seconds.values())
    assert (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]) == (torch_had, "7")


def test_one_thread_is_timed_without_the_time_that_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = {"process_time": 0.0, "perf_counter": 0.0}
    for clock in passed:
        monkeypatch.setattr(time, clock, lambda clock=clock: passed[clock])

    def computes_and_waits() -> np.ndarray[Any, Any]:
        passed["process_time"] += 0.25
        passed["perf_counter"] += 1.0
        return np.zeros(1)

    calls = {"call": computes_and_waits}
    assert [fastest(calls, threads)[0]["call"] for threads in (1, 2)] == [0.25, 1.0]


def test_program_that_gives_other_integers_is_not_timed(runs: Path, bitwright: Bitwright) -> None:
    path = runs / "binary" / "outputs" / "program.npy"
    codes = np.load(path)
    codes[3, 2] += 1
    np.save(path, codes)
    outcome = bitwright("compare", runs / "binary", "--images", "10", "--format", "json")
    assert (outcome.status, rows(outcome.out)["binary"]["speed"]) == (0, None)
    assert (
        "binary: not timed: outputs/program.npy: integers must be those that the program gives now, not 1 others; "
        "run `bitwright verify`"
    ) in json.loads(outcome.out)["notes"]


def test_file_is_what_standard_output_would_be(made: Path, tmp_path: Path, bitwright: Bitwright) -> None:
    before = {path: path.stat() for path in made.rglob("*")}
    target = tmp_path / "new" / "compare.csv"
    outcome = bitwright("compare", *all_of(made), "--no-speed", "--format", "csv", "--out", target)
    assert (outcome.status, outcome.out.splitlines()[-1]) == (0, f"written  {target}")
    assert "net_s*_w4" in outcome.out
    assert target.read_text() == bitwright("compare", *all_of(made), "--no-speed", "--format", "csv").out
    assert [path.name for path in target.parent.iterdir()] == ["compare.csv"]
    after = {path: path.stat() for path in made.rglob("*")}
    assert after.keys() == before.keys()
    assert all(after[path].st_mtime_ns == before[path].st_mtime_ns for path in before)


def stored(folder: Path, *overrides: str) -> str:
    """Write nothing but a run's experiment; return what it shares with other seeds."""
    experiment = changed(read(CONFIGS / "digits_mlp_w6a6.toml"), [f"name={folder.name}", *overrides])
    folder.mkdir(parents=True, exist_ok=True)
    store_experiment(experiment, RunFolder(folder))
    return same_but_for_the_seed(RunFolder(folder), experiment)


def test_runs_that_start_from_other_seeds_are_the_same(tmp_path: Path) -> None:
    for seed in (1, 2):
        stored(tmp_path / f"start_{seed}", f"seed={seed}", "train.epochs=2")
    stored(tmp_path / "other", "seed=3", "train.epochs=3")
    start = "train.start_from={}/checkpoint.safetensors"
    one = stored(tmp_path / "a", "seed=1", start.format(tmp_path / "start_1"))
    assert one == stored(tmp_path / "b", "seed=2", start.format("runs_elsewhere/start_2"))
    assert one != stored(tmp_path / "c", "seed=2", start.format(tmp_path / "other"))
    assert one != stored(tmp_path / "d", "seed=2")
    assert one != stored(tmp_path / "e", "seed=2", start.format(tmp_path / "start_2"), "train.learning_rate=0.02")


def test_calibrated_runs_are_apart_from_trained_ones(tmp_path: Path) -> None:
    trained = stored(tmp_path / "a")
    for name in ("b", "c", "d"):
        stored(tmp_path / name)
        (tmp_path / name / "metrics.json").write_text('{"epochs": 0}')
        (tmp_path / name / "calibration.json").write_text(json.dumps(CALIBRATION))
    settings = {**CALIBRATION, "settings": {**CALIBRATION["settings"], "rounding": "nearest"}}  # type: ignore[dict-item]
    (tmp_path / "d" / "calibration.json").write_text(json.dumps(settings))
    one, other, nearest = (
        stored(tmp_path / name, seed, bits)
        for name, seed, bits in (
            ("b", "seed=1", "recipe.bias_bit_width=17"),
            ("c", "seed=2", "recipe.bias_bit_width=18"),
            ("d", "seed=3", "recipe.bias_bit_width=17"),
        )
    )
    assert one == other
    assert len({trained, one, nearest}) == 3


def test_several_threads_are_not_timed_on_a_busy_machine(
    made: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (3.25, 0.0, 0.0))
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    outcome = bitwright("compare", made / "binary", "--threads", "2")
    line = (
        "--threads: load must be at most 1 on 2 cores to time 2 threads, not 3.25; "
        "wait for other work to end, or take --threads 1\n"
    )
    assert (outcome.status, outcome.out, outcome.err) == (2, "", line)


def test_seeds_of_one_pruning_are_one_row_and_those_of_two_are_not(tmp_path: Path) -> None:
    def pruned(name: str, seed: int, share: float) -> str:
        stored(tmp_path / f"source_{seed}", f"seed={seed}")
        stored(tmp_path / name, f"seed={seed}")
        report = {"settings": {"share": share}, "source": f"source_{seed}"}
        (tmp_path / name / "pruning.json").write_text(json.dumps(report))
        start = f"train.start_from={tmp_path / name / 'pruned.safetensors'}"
        return stored(tmp_path / name, f"seed={seed}", start, "train.keep_zeros=true")

    assert pruned("a", 1, 0.3) == pruned("b", 2, 0.3)
    assert pruned("c", 1, 0.3) != pruned("d", 2, 0.9)
