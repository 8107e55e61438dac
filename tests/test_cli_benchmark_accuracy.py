"""The table of the networks of the field: its rows are experiments, its figures those of the runs, the rest is open."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bitwright.cli import benchmark_accuracy
from bitwright.cli.benchmark_accuracy import finished, main, measure, run_of
from bitwright.cli.benchmark_accuracy_page import PUBLISHED_BY, ROWS, curves_of, page, rows_of, table
from bitwright.cli.benchmark_origins import CONFIGS
from bitwright.cli.compare_facts import RunFacts
from bitwright.cli.experiment import Experiment, read
from bitwright.cli.run_folder import RunFolder
from bitwright.hls.verification import LevelResult, Verification

HEAD = 2
"""Lines of the table before its rows."""


def facts(config: str, seed: int, accuracy: float, different: int = 0) -> RunFacts:
    experiment = read(CONFIGS / f"{config}.toml", [f"seed={seed}"])
    levels = {
        "torch": LevelResult(100, 0, accuracy, 1.0),
        "program": LevelResult(100, 0, accuracy, 1.0),
        "csim": LevelResult(100, different, accuracy, 1.0),
    }
    return RunFacts(RunFolder(Path("runs")), experiment, accuracy=accuracy, weight_bits=59008, levels=levels)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("config", ROWS)
def test_every_row_is_an_experiment_with_a_source_for_what_is_published(config: str) -> None:
    assert read(CONFIGS / f"{config}.toml").name == config
    row = ROWS[config]
    assert (row.published is None) == (row.source == "")
    assert row.published is None or row.source in PUBLISHED_BY


def test_row_has_mean_and_spread_over_the_seeds_and_all_integers() -> None:
    found = {"mnist_tfc_w1a1": [facts("mnist_tfc_w1a1", seed, 0.94 + seed / 100) for seed in (1, 2, 3)]}
    lines = list(table(found))
    assert len(lines) == HEAD + len(ROWS)
    assert {len(cells(line)) for line in lines} == {11}
    assert cells(lines[HEAD]) == [
        "TFC",
        "`mnist_tfc_w1a1`",
        "1, 1",
        "96.00 ± 1.00",
        "93.17 [1]",
        "1, 2, 3",
        str(read(CONFIGS / "mnist_tfc_w1a1.toml").train.epochs),
        "59,008",
        "300 at each of torch, program, csim",
        "0",
        "",
    ]


def test_network_that_learns_from_another_says_so() -> None:
    line = next(
        line for line in table({"mnist_lfc_w1a1": [facts("mnist_lfc_w1a1", 1, 0.99)]}) if "mnist_lfc_w1a1" in line
    )
    assert cells(line)[0] == "LFC, with a teacher"


def test_simulation_of_the_first_images_says_how_many_integers() -> None:
    found = facts("cifar10_cnv_w1a1", 1, 0.8)
    levels = {**found.levels, "csim": LevelResult(10, 0, 0.8, 1.0)}
    line = next(line for line in table({"cifar10_cnv_w1a1": [replace(found, levels=levels)]}) if "cnv_w1a1" in line)
    assert cells(line)[8] == "100 at each of torch, program; 10 at csim"


def test_one_seed_has_no_spread_and_differing_integers_are_counted() -> None:
    line = list(table({"mnist_tfc_w1a1": [facts("mnist_tfc_w1a1", 1, 0.9512, different=3)]}))[HEAD]
    assert (cells(line)[3], cells(line)[9]) == ("95.12", "3")


def test_what_was_not_measured_is_open() -> None:
    lines = list(table({}))[HEAD:]
    assert {cells(line)[3] for line in lines} == {""}
    assert all(cells(line)[5:] == [""] * 6 for line in lines)


def test_rows_of_a_page_stay_where_no_run_is_there() -> None:
    earlier = page({"mnist_tfc_w1a1": [facts("mnist_tfc_w1a1", 1, 0.95)]}, {}, "")
    found = {"mnist_sfc_w1a1": [facts("mnist_sfc_w1a1", 1, 0.98)]}
    both = page(found, {}, "", rows_of(earlier))
    assert sorted(rows_of(both)) == ["mnist_sfc_w1a1", "mnist_tfc_w1a1"]
    assert rows_of(both)["mnist_tfc_w1a1"] == rows_of(earlier)["mnist_tfc_w1a1"]
    again = page({"mnist_tfc_w1a1": [facts("mnist_tfc_w1a1", 1, 0.96)]}, {}, "", rows_of(earlier))
    assert cells(rows_of(again)["mnist_tfc_w1a1"])[3] == "96.00"
    assert "mnist_tfc_w1a1" not in rows_of(page(found, {}, ""))


def test_row_of_a_page_without_the_last_column_gets_one() -> None:
    earlier = page({"mnist_tfc_w1a1": [facts("mnist_tfc_w1a1", 1, 0.95)]}, {}, "")
    row = rows_of(earlier)["mnist_tfc_w1a1"]
    old = earlier.replace(row, row.rpartition(" |")[0].rpartition("|")[0] + "|")
    assert old != earlier
    assert len(cells(rows_of(old)["mnist_tfc_w1a1"])) == len(cells(row)) == 11


def test_page_says_versions_and_processor() -> None:
    text = page({}, {"torch": "2.13.0"}, "a processor")
    assert "torch 2.13.0\non a processor.\n" in text
    assert all(source in text for source in PUBLISHED_BY.values())


def test_runs_without_a_verdict_do_not_count(tmp_path: Path) -> None:
    run = run_of("mnist_tfc_w1a1", 1, tmp_path)
    run.create()
    (run.path / "experiment.toml").write_text('name = "mnist_tfc_w1a1_s1"\n')
    assert finished(tmp_path, [1], None) == {}


def test_training_that_was_cut_short_says_so_and_shows_its_curve(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "cifar10_cnv_w1a1_s1")
    run.create()
    history = [{"epoch": 0, "validation_accuracy": 0.401}, {"epoch": 1, "validation_accuracy": 0.523}]
    versions = {"torch": "2.13.0", "brevitas": "0.13.4"}
    made = {"hardware": "a GPU", "versions": versions}
    run.metrics.write_text(json.dumps({"seconds": 1800.0, "history": history, **made}))
    experiment = read(CONFIGS / "cifar10_cnv_w1a1.toml", ["train.epochs=2", 'train.precision="bfloat16"'])
    short = replace(facts("cifar10_cnv_w1a1", 1, 0.5), run=run, experiment=experiment)
    whole = facts("cifar10_cnv_w2a2", 1, 0.9)
    text = page({"cifar10_cnv_w1a1": [short], "cifar10_cnv_w2a2": [whole]}, {}, "")
    row = cells(rows_of(text)["cifar10_cnv_w1a1"])
    assert row[1] == "`cifar10_cnv_w1a1`, `train.epochs=2`, `train.precision=bfloat16`"
    assert (row[3], row[6]) == ("50.00, open", "2")
    assert row[10] == "a GPU, torch 2.13.0, brevitas 0.13.4"
    old = replace(facts("cifar10_cnv_w1a1", 3, 0.5), experiment=experiment.model_copy(update={"seed": 3}))
    mixed = next(line for line in table({"cifar10_cnv_w1a1": [old, short]}) if "cnv_w1a1" in line)
    assert cells(mixed)[10] == "earlier: not written down; a GPU, torch 2.13.0, brevitas 0.13.4"
    assert cells(rows_of(text)["cifar10_cnv_w2a2"])[3] == "90.00"
    assert curves_of(text) == {"cifar10_cnv_w1a1": ("| `cifar10_cnv_w1a1` | 1 | 30 | 40.1 52.3 |",)}
    second = replace(short, experiment=experiment.model_copy(update={"seed": 2}))
    both = page({"cifar10_cnv_w1a1": [short, second]}, {}, "")
    assert [line.split(" | ")[1] for line in curves_of(both)["cifar10_cnv_w1a1"]] == ["1", "2"]
    assert curves_of(page({}, {}, "", rows_of(both), curves_of(both))) == curves_of(both)
    again = page({}, {}, "", rows_of(text), curves_of(text))
    assert (rows_of(again), curves_of(again)) == (rows_of(text), curves_of(text))
    assert "cut short" not in page({"cifar10_cnv_w2a2": [whole]}, {}, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--set", "recipe.weight_bit_width=3"],
            "--set: setting must be of a training, as train.epochs=12, not recipe.weight_bit_width=3; change configs/ "
            "for others",
        ),
        (
            ["--set", "train.epochs=3", "--write-only"],
            "--set: setting must be left out with --write-only, not train.epochs=3; change configs/ for others",
        ),
        (["--set", "train.nope=3"], "--set: train.nope: key must be a known one, not 'nope'; did you mean 'nodes'?"),
    ],
)
def test_settings_that_the_page_could_not_name_are_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["mnist_tfc_w1a1", "--seeds", "1", "--runs-dir", str(tmp_path), *arguments]) == 2
    assert " ".join(capsys.readouterr().err.split()) == message
    assert list(tmp_path.iterdir()) == []


def test_settings_reach_the_training_and_the_row_says_how_many_inputs_are_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    def train(experiment: Experiment, run: RunFolder, _: object) -> None:
        seen.append((experiment.name, run.path.name, experiment.seed, experiment.train.epochs))

    def hls(_: object, __: object, *, csim_inputs: int | None) -> Verification:
        seen.append(csim_inputs)
        return Verification(1, {"program": LevelResult(10, 0, 0.5, 0.0)})

    monkeypatch.setattr(benchmark_accuracy, "train", train)
    monkeypatch.setattr(benchmark_accuracy, "export", lambda *_: None)
    monkeypatch.setattr(benchmark_accuracy, "hls", hls)
    measure("cifar10_cnv_w1a1", 2, tmp_path, None, ["train.epochs=3"])
    measure("mnist_tfc_w1a1", 1, tmp_path, None)
    whole = read(CONFIGS / "mnist_tfc_w1a1.toml").train.epochs
    names = ("cifar10_cnv_w1a1_s2", "mnist_tfc_w1a1_s1")
    assert seen == [(names[0], names[0], 2, 3), 1000, (names[1], names[1], 1, whole), None]


def test_rows_that_are_not_named_or_have_no_run_stay_as_the_page_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = tmp_path / "accuracy.md"
    written.write_text(page({"mnist_tfc_w1a1": [facts("mnist_tfc_w1a1", 1, 0.95)]}, {}, ""))
    monkeypatch.setattr(benchmark_accuracy, "PAGE", written)
    for config in ("mnist_tfc_w1a1", "mnist_sfc_w1a1"):
        run = run_of(config, 1, tmp_path)
        run.create()
        (run.path / "experiment.toml").write_text((CONFIGS / f"{config}.toml").read_text())
        run.verification.write_text("[]")
    monkeypatch.setattr(benchmark_accuracy, "facts", lambda *_: facts("mnist_sfc_w1a1", 1, 0.5))
    arguments = ["mnist_sfc_w1a1", "--seeds", "1", "--write-only", "--runs-dir", str(tmp_path)]
    assert main(arguments) == 0
    reached = {config: cells(row)[3] for config, row in rows_of(written.read_text()).items()}
    assert reached == {"mnist_tfc_w1a1": "95.00", "mnist_sfc_w1a1": "50.00, open"}
    assert main([*arguments, "--fresh"]) == 0
    assert list(rows_of(written.read_text())) == ["mnist_sfc_w1a1"]


def test_run_whose_verdict_cannot_be_read_takes_no_row_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of("mnist_tfc_w1a1", 1, tmp_path)
    run.create()
    (run.path / "experiment.toml").write_text((CONFIGS / "mnist_tfc_w1a1.toml").read_text())
    run.verification.write_text("[]")
    assert finished(tmp_path, [1], None) == {}
    said = " ".join(capsys.readouterr().err.split())
    assert said == f"{run.path}: not counted: not trained; `bitwright train` does it"


def test_row_of_trainings_that_differ_in_more_than_the_seed_is_refused() -> None:
    short = read(CONFIGS / "mnist_tfc_w1a1.toml", ["seed=2", "train.epochs=2", "recipe.input_bit_width=2"])
    runs = [facts("mnist_tfc_w1a1", 1, 0.9), replace(facts("mnist_tfc_w1a1", 2, 0.8), experiment=short)]
    says = (
        "mnist_tfc_w1a1: changed settings must be the same for every seed, not runs: none; runs: "
        "recipe.input_bit_width=2, train.epochs=2; train them alike, or name the others with --seeds"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        list(table({"mnist_tfc_w1a1": runs}))
