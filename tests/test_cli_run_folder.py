"""A stage is current when its inputs are the same and its results still there."""

import re
from pathlib import Path

import pytest

from bitwright.cli.named_run import resolve
from bitwright.cli.run_folder import RunFolder, digest, write_text


def test_stage_is_current_only_with_its_key_and_its_results(tmp_path: Path) -> None:
    run, result = RunFolder(tmp_path), tmp_path / "result.npy"
    result.write_bytes(b"1")
    assert not run.is_current("stage", "key", unchanged=[result])
    run.finish("stage", "key", 1.5, unchanged=[result])
    assert run.is_current("stage", "key", unchanged=[result])
    assert run.seconds("stage") == 1.5
    assert not run.is_current("stage", "other", unchanged=[result])
    result.write_bytes(b"2")
    assert not run.is_current("stage", "key", unchanged=[result])
    assert run.is_current("stage", "key", present=[result])
    result.unlink()
    assert not run.is_current("stage", "key", present=[result])


def test_damaged_stamp_means_not_done(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.finish("stage", "key", 1.0)
    for text in ("", "[", "[1]", "\x00"):
        (tmp_path / ".stages" / "stage.json").write_text(text)
        assert not run.is_current("stage", "key")


def test_digest_separates_its_parts(tmp_path: Path) -> None:
    assert digest("ab", "c") != digest("a", "bc")
    (tmp_path / "file").write_text("ab")
    assert digest(tmp_path / "file") == digest("ab")


def test_text_is_written_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "file.json", "{}\n")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file.json"]


def test_folder_without_experiment_is_refused(tmp_path: Path) -> None:
    message = f"{tmp_path}: run must be a folder with experiment.toml, not another; give an experiment's TOML file"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        resolve(tmp_path, Path("runs"), ())


def test_experiment_runs_in_a_folder_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("seed = 3\n")
    experiment, run = resolve(tmp_path / "mine.toml", tmp_path / "runs", ["train.epochs=2"])
    assert (experiment.seed, experiment.train.epochs, run.path) == (3, 2, tmp_path / "runs" / "mine")
