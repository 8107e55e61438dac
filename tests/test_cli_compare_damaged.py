"""`bitwright compare` of runs that lack something or are damaged, and with arguments that cannot be."""

import csv
import io
import json
import re
import shutil
from pathlib import Path

import pytest
from compare_runs import accuracy_of, compared, make_all
from road import Bitwright

from bitwright.cli import compare
from bitwright.cli.run_folder import check_writable
from bitwright.models.hardware import cores


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that tests only read."""
    return make_all(tmp_path_factory.mktemp("damaged"))


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    """Copies that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "runs"))


@pytest.mark.parametrize(
    ("lost", "note"),
    [
        ("model.lowered.onnx", "not exported; `bitwright export` does it"),
        ("verification.json", "integers not compared; `bitwright verify` does it"),
    ],
)
def test_missing_part_is_a_blank_with_a_note(lost: str, note: str, runs: Path, bitwright: Bitwright) -> None:
    before = accuracy_of(runs / "binary")
    (runs / "binary" / lost).unlink()
    row = compared(bitwright, runs / "binary")["binary"]
    assert row["notes"] == [f"binary: {note}"]
    assert set(row["levels"].values()) == {None}
    assert row["accuracy"]["mean"] == before  # measured anew
    assert (row["weight_bits"] is None) == (row["hardware"] == {}) == (lost == "model.lowered.onnx")


def test_figures_of_older_weights_are_not_shown(runs: Path, bitwright: Bitwright) -> None:
    shutil.copy(runs / "net_s2_w4" / "checkpoint.safetensors", runs / "net_s1_w4" / "checkpoint.safetensors")
    row = compared(bitwright, runs / "net_s1_w4")["net_s1_w4"]
    assert row["notes"] == ["net_s1_w4: trained again after the export; `bitwright export` makes the integers anew"]
    assert row["accuracy"]["mean"] == accuracy_of(runs / "net_s2_w4")
    assert [row[key] for key in ("weight_bits", "hardware", "program_bytes")] == [None, {}, None]


def test_figures_of_another_program_are_not_shown(runs: Path, bitwright: Bitwright) -> None:
    shutil.copy(runs / "binary" / "model.lowered.onnx", runs / "net_s1_w4" / "model.lowered.onnx")
    row = compared(bitwright, runs / "net_s1_w4")["net_s1_w4"]
    assert row["notes"] == ["net_s1_w4: model.lowered.onnx is not as it was exported; `bitwright export` makes it anew"]
    assert set(row["levels"].values()) == {None}
    assert [row[key] for key in ("weight_bits", "hardware", "program_bytes")] == [None, {}, None]


def test_damaged_parts_leave_the_others(runs: Path, bitwright: Bitwright) -> None:
    (runs / "binary" / "verification.json").write_text("{")
    (runs / "binary" / "precision.toml").write_text("[")
    (runs / "net_s1_w4" / "model.lowered.onnx").write_bytes(b"no")
    (runs / "float" / "checkpoint.safetensors").write_bytes(b"no")
    found = compared(bitwright, runs / "binary", runs / "net_s1_w4", runs / "float")
    assert found["binary"]["notes"][0] == (
        "binary: verification.json cannot be read; `bitwright verify` writes it anew"
    )
    assert found["binary"]["notes"][1].startswith("binary: precision.toml: precision must be TOML: ")
    assert (found["binary"]["weight_bits"], found["binary"]["hardware"]) == (620, {})
    changed = "model.lowered.onnx is not as it was exported; `bitwright export` makes it anew"
    assert found["net_s1_w4"]["notes"][0] == f"net_s1_w4: {changed}"
    assert found["net_s1_w4"]["weight_bits"] is None
    assert (found["float"]["accuracy"], found["float"]["weights"]) == (None, None)


@pytest.mark.parametrize("figure", ["NaN", "Infinity", "1e999"])
@pytest.mark.parametrize(
    ("file", "key", "remedy"),
    [
        ("verification.json", "levels.program.accuracy", "`bitwright verify` writes it anew"),
        ("rtl/design.json", "lut_estimate", "delete the folder and run again"),
    ],
)
def test_figure_that_is_no_number_is_named_and_the_rest_is_compared(
    file: str, key: str, remedy: str, figure: str, runs: Path, bitwright: Bitwright
) -> None:
    path, before = runs / "binary" / file, accuracy_of(runs / "binary")
    if file == "verification.json":
        path.write_text(
            re.sub(r'("program".*?"accuracy": )[0-9.]+', rf"\g<1>{figure}", path.read_text(), flags=re.DOTALL)
        )
    else:
        path.parent.mkdir()
        path.write_text(f'{{"latency_cycles": 4, "lut_estimate": {figure}}}')
    row = compared(bitwright, runs / "binary")["binary"]
    assert row["notes"] == [f"binary: {file}: {key} must be finite, not NaN or infinite; {remedy}"]
    assert (row["accuracy"]["mean"], row["weight_bits"]) == (before, 620)


@pytest.mark.parametrize(
    ("level", "changed", "says"),
    [
        ("program", {"accuracy": 1.7}, "accuracy of program must be from 0 to 1, not 1.7"),
        ("qonnx", {"different": -1}, "different integers of qonnx must be from 0 to 3600, not -1"),
        ("torch", {"different": 3601}, "different integers of torch must be from 0 to 3600, not 3601"),
    ],
)
def test_verdict_that_cannot_be_is_not_shown(
    level: str, changed: dict[str, float], says: str, runs: Path, bitwright: Bitwright
) -> None:
    path, before = runs / "binary" / "verification.json", accuracy_of(runs / "binary")
    verdict = json.loads(path.read_text())
    verdict["levels"][level] |= changed
    path.write_text(json.dumps(verdict))
    row = compared(bitwright, runs / "binary")["binary"]
    assert row["notes"] == [f"binary: verification.json: {says}; `bitwright verify` writes it anew"]
    assert (row["accuracy"]["mean"], set(row["levels"].values())) == (before, {None})  # measured anew
    assert bitwright("page", runs / "binary").status == 0
    assert f"verification.json: {says}; run `bitwright verify` again" in (runs / "binary" / "report.html").read_text()


def test_integers_that_differ_have_a_note(runs: Path, bitwright: Bitwright) -> None:
    path = runs / "binary" / "verification.json"
    verdict = json.loads(path.read_text())
    verdict["levels"]["qonnx"]["different"] = 3
    path.write_text(json.dumps(verdict))
    row = compared(bitwright, runs / "binary")["binary"]
    assert row["notes"] == ["binary: integers differ at qonnx; `bitwright diff` says where"]
    assert row["levels"]["qonnx"]["different"] == 3


def test_csv_has_the_notes_of_each_row(runs: Path, bitwright: Bitwright) -> None:
    (runs / "binary" / "verification.json").unlink()
    (runs / "binary" / "precision.toml").write_text("[")
    found = compared(bitwright, runs / "binary", runs / "net_s1_w4")
    outcome = bitwright("compare", runs / "binary", runs / "net_s1_w4", "--no-speed", "--format", "csv")
    lines = {line["name"]: line["notes"] for line in csv.DictReader(io.StringIO(outcome.out))}
    assert lines == {name: " | ".join(row["notes"]) for name, row in found.items()}
    assert len(found["binary"]["notes"]) == 2
    assert lines["net_s1_w4"] == ""


def test_why_a_run_was_not_timed_stands_beside_the_csv(
    runs: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("inputs.npy: array must be there")

    monkeypatch.setattr(compare, "speed", refuse)
    outcome = bitwright("compare", runs / "binary", "--format", "csv")
    assert outcome.err == "compare: 1 run read\nnote: binary: not timed: inputs.npy: array must be there\n"
    assert "note" not in outcome.out.replace(",notes\n", "")
    assert bitwright("compare", runs / "binary", "--format", "json").err == "compare: 1 run read\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("{made}/none",),
            "{made}/none: run must be a folder with experiment.toml, not missing; "
            "name a folder that `bitwright train` made",
        ),
        (
            ("{made}/binary", "{made}"),
            "{made}: run must be a folder with experiment.toml, not another; name a folder that `bitwright train` made",
        ),
        (
            ("{made}/binary/metrics.json",),
            "{made}/binary/metrics.json: run must be a folder with experiment.toml, not missing; "
            "name a folder that `bitwright train` made",
        ),
        (
            ("{made}/binary", "--threads", "5000"),
            f"--threads: number must be at most {cores()}, the cores of this machine, not 5000; "
            f"try --threads {cores()}",
        ),
        (
            ("{made}/binary", "--out", "{made}/x"),
            "--out: format must be csv, md, json or html, not table; add --format html",
        ),
        (
            ("{made}/binary", "--format", "csv", "--out", "{made}"),
            "--out: file must be one that can be written, not the folder {made}; name a file",
        ),
        (
            ("{made}/binary", "--format", "html", "--out", "{made}/binary/checkpoint.safetensors"),
            "--out: file must end in .html or .htm with --format html, not be {made}/binary/checkpoint.safetensors; "
            "name another",
        ),
        (
            ("{made}/binary", "--format", "json", "--out", "{made}/binary/verification.json"),
            "--out: file must lie outside the folders of runs, not be {made}/binary/verification.json; name one "
            "beside {made}/binary",
        ),
        (
            ("{made}/binary", "--format", "md", "--out", "{made}/float/new/x.md"),  # of another run
            "--out: file must lie outside the folders of runs, not be {made}/float/new/x.md; name one beside "
            "{made}/float",
        ),
    ],
)
def test_wrong_argument_is_one_line(arguments: tuple[str, ...], line: str, made: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("compare", *(each.format(made=made) for each in arguments))
    assert (outcome.status, outcome.out, outcome.err) == (2, "", f"{line.format(made=made)}\n")


def test_file_of_another_kind_is_not_written_over(runs: Path, bitwright: Bitwright) -> None:
    study = Path(shutil.copytree(runs / "binary", runs / "binary" / "study" / "one"))
    for path in (runs / "old.md", study.parent / "new.md"):
        (runs / "old.md").write_text("mine")
        outcome = bitwright("compare", study, "--no-speed", "--format", "md", "--out", path)
        assert outcome.status == 0, outcome.err
        assert path.read_text().startswith("### Accuracy and size\n")
    (runs / "mine.toml").write_text("mine")
    outcome = bitwright("compare", runs / "binary", "--format", "md", "--out", runs / "mine.toml")
    says = f"--out: file must end in .md or .markdown with --format md, not be {runs / 'mine.toml'}; name another\n"
    assert (outcome.status, outcome.err, (runs / "mine.toml").read_text()) == (2, says, "mine")


@pytest.mark.parametrize(("name", "why"), [("file/x.csv", "File exists"), ("file/new/x.csv", "Not a directory")])
def test_file_that_cannot_be_written_is_refused_before_any_work(
    name: str, why: str, runs: Path, bitwright: Bitwright
) -> None:
    (runs / "file").touch()
    target = runs / name
    line = f"--out: file must be one that can be written, not {target} ({why}); name another\n"
    for arguments in ([runs / "none"], [runs / "binary", "--no-speed"]):
        outcome = bitwright("compare", *arguments, "--format", "csv", "--out", target)
        assert (outcome.status, outcome.out, outcome.err) == (2, "", line)


def test_trying_a_file_leaves_nothing(tmp_path: Path) -> None:
    check_writable("--out", tmp_path / "new" / "deep" / "x.csv")
    (tmp_path / "here.csv").write_text("mine")
    check_writable("--out", tmp_path / "here.csv")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("here.csv", "mine")]
