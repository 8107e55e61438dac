"""Bad input of every kind ends in one clear line and status 2."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from road import CONFIGS, Bitwright
from safetensors import safe_open
from safetensors.torch import save_file

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF"


def refused(outcome: object, message: str) -> None:
    status, out, err = (getattr(outcome, name) for name in ("status", "out", "err"))
    assert status == 2
    assert out == ""
    assert re.fullmatch(message, err.rstrip("\n")), err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a = = 3", r".*e\.toml: experiment must be TOML.*"),
        (JPEG, r".*e\.toml: experiment must be TOML.*"),
        (
            b"[train]\nepoch = 3",
            r".*e\.toml: train\.epoch: key must be a known one, not 'epoch'; did you mean 'epochs'\?",
        ),
        (b"[train]\nepochs = -3", r".*e\.toml: train\.epochs: value must be greater than 0, not -3.*"),
    ],
)
def test_bad_experiment_is_refused(text: bytes, message: str, tmp_path: Path, bitwright: Bitwright) -> None:
    (tmp_path / "e.toml").write_bytes(text)
    refused(bitwright("train", tmp_path / "e.toml", "--runs-dir", tmp_path / "runs"), message)
    assert not (tmp_path / "runs").exists()


def mnist(tmp_path: Path) -> Path:
    path = tmp_path / "e.toml"
    path.write_text('[data]\nname = "mnist"\n')
    return path


def test_empty_data_folder_is_refused(tmp_path: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("bitwright.models.download.urlopen", offline)
    (tmp_path / "data").mkdir()
    outcome = bitwright("train", mnist(tmp_path), "--data-dir", tmp_path / "data", "--runs-dir", tmp_path / "runs")
    refused(outcome, r"(?s).*data/mnist: folder must hold train-images-idx3-ubyte\.gz.*--data-dir or BITWRIGHT_DATA")


def test_truncated_gzip_is_refused(tmp_path: Path, bitwright: Bitwright) -> None:
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (folder / f"{name}-ubyte.gz").write_bytes(gzip.compress(bytes(5000))[:-9])
    outcome = bitwright("train", mnist(tmp_path), "--data-dir", tmp_path / "data", "--runs-dir", tmp_path / "runs")
    refused(outcome, r".*-ubyte\.gz: gzip stream must be whole and sound, not '.*'; replace the file, .*")


@pytest.mark.parametrize("content", [b"", JPEG])
def test_checkpoint_that_is_none_is_refused(content: bytes, fixed_run: Path, bitwright: Bitwright) -> None:
    (fixed_run / "checkpoint.safetensors").write_bytes(content)
    refused(
        bitwright("export", fixed_run),
        rf".*checkpoint\.safetensors: checkpoint must be a safetensors file, not {len(content)} bytes of something "
        r"else; delete it and run `bitwright train` again",
    )


def test_checkpoint_of_another_network_is_refused(fixed_run: Path, binary_run: Path, bitwright: Bitwright) -> None:
    (fixed_run / "checkpoint.safetensors").write_bytes((binary_run / "checkpoint.safetensors").read_bytes())
    refused(
        bitwright("export", fixed_run),
        r".*checkpoint\.safetensors: checkpoint must be of recipe\.weight_bit_width = 6, not 1; "
        r"train this experiment again",
    )


def test_nan_weights_are_refused(fixed_run: Path, bitwright: Bitwright) -> None:
    path = fixed_run / "checkpoint.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors["fc0.weight"][0, 0] = torch.nan
    save_file(tensors, path, metadata=metadata)
    refused(bitwright("export", fixed_run), r".*checkpoint\.safetensors: fc0\.weight must be finite, not NaN.*")


def test_model_that_is_a_jpeg_is_refused(tmp_path: Path, bitwright: Bitwright) -> None:
    (tmp_path / "m.onnx").write_bytes(JPEG)
    outcome = bitwright("lower", tmp_path / "m.onnx", "--out", tmp_path / "out")
    refused(outcome, rf".*m\.onnx: model must be an ONNX file, not {len(JPEG)} bytes of something else .*")
    assert not (tmp_path / "out").exists()


def test_program_that_is_a_jpeg_is_refused(fixed_run: Path, bitwright: Bitwright) -> None:
    (fixed_run / "model.lowered.onnx").write_bytes(JPEG)
    refused(bitwright("hls", fixed_run), r".*model\.lowered\.onnx: model must be an ONNX file, not .*")


def test_folder_that_cannot_be_written_is_refused(tmp_path: Path, bitwright: Bitwright) -> None:
    (tmp_path / "file").touch()
    outcome = bitwright("train", CONFIGS / "digits_mlp_w6a6.toml", "--runs-dir", tmp_path / "file")
    refused(outcome, r".*: run must be a folder that can be made, not below a file; choose another --runs-dir")


def test_missing_compiler_is_refused(fixed_run: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(fixed_run))
    outcome = bitwright("hls", fixed_run)
    refused(
        outcome,
        r"(hls: .* is up to date\n)?csim: compiler must be g\+\+ on the PATH, not missing; "
        r"install g\+\+ \(Debian: apt-get install g\+\+\)",
    )


def test_full_disk_is_one_line(fixed_run: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "model.lowered.onnx")

    monkeypatch.setattr("bitwright.cli.stage_export.save_array", full)
    (fixed_run / "outputs" / "program.npy").unlink()
    refused(
        bitwright("export", fixed_run),
        r"(export: .* is up to date\n)?model\.lowered\.onnx: path must be readable and writable, not refused "
        r"\(No space left on device\); check it and the space on disk",
    )


@pytest.mark.parametrize("stage", ["export", "hls", "verify", "diff"])
def test_stage_without_the_one_before_says_what_to_run(stage: str, tmp_path: Path, bitwright: Bitwright) -> None:
    outcome = bitwright(stage, CONFIGS / "digits_mlp_w6a6.toml", "--runs-dir", tmp_path)
    refused(outcome, r".* must be .*, not missing; run `bitwright (train|export)` first")


def test_outputs_of_another_kind_are_refused(fixed_run: Path, bitwright: Bitwright) -> None:
    np.save(fixed_run / "labels.npy", np.zeros(3, np.float64))
    refused(bitwright("hls", fixed_run), r"(?s).*labels\.npy: array must be of integers, not another kind; .*")
