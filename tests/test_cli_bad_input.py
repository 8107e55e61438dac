"""Bad input of every kind ends in one clear line and status 2."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from road import CONFIGS, Bitwright, Outcome
from safetensors import safe_open
from safetensors.torch import save_file

FILES = [
    f"{name}-ubyte.gz" for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
]
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF"


def refused(outcome: Outcome, *lines: str) -> None:
    """Compare all that the command says with lines, the last of them the refusal."""
    assert (outcome.status, outcome.out, outcome.err) == (2, "", "".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            b"a = = 3",
            "experiment must be TOML in UTF-8, not 'Invalid value (at line 1, column 5)'; correct it there",
        ),
        (
            JPEG,
            "experiment must be TOML in UTF-8, not "
            "\"'utf-8' codec can't decode byte 0xff in position 0: invalid start byte\"; correct it there",
        ),
        (b"[train]\nepoch = 3", "train.epoch: key must be a known one, not 'epoch'; did you mean 'epochs'?"),
        (b"[train]\nepochs = -3", "train.epochs: value must be greater than 0, not -3"),
        (
            b"[train]\nbatch_size = 1",
            "train.batch_size: value must be at least 2 for model.batch_norm = true, not 1; one image has no deviation",
        ),
    ],
)
def test_bad_experiment_is_refused(text: bytes, message: str, tmp_path: Path, bitwright: Bitwright) -> None:
    path = tmp_path / "e.toml"
    path.write_bytes(text)
    refused(bitwright("train", path, "--runs-dir", tmp_path / "runs"), f"{path}: {message}")
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
    refused(
        outcome,
        f"{tmp_path / 'data' / 'mnist'}: folder must hold {', '.join(FILES)}, not []; "
        f"https://ossci-datasets.s3.amazonaws.com/mnist/{FILES[0]} could not be fetched (no network): "
        "put the missing files there, or name another data folder with --data-dir or BITWRIGHT_DATA",
    )


def test_truncated_gzip_is_refused(tmp_path: Path, bitwright: Bitwright) -> None:
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_bytes(gzip.compress(bytes(5000))[:-9])
    outcome = bitwright("train", mnist(tmp_path), "--data-dir", tmp_path / "data", "--runs-dir", tmp_path / "runs")
    refused(
        outcome,
        f"{folder / FILES[0]}: gzip stream must be whole and sound, not 'Compressed file ended before the "
        "end-of-stream marker was reached'; replace the file, or delete it to have it downloaded again",
    )


@pytest.mark.parametrize("content", [b"", JPEG])
def test_checkpoint_that_is_none_is_refused(content: bytes, fixed_run: Path, bitwright: Bitwright) -> None:
    (fixed_run / "checkpoint.safetensors").write_bytes(content)
    refused(
        bitwright("export", fixed_run),
        f"{fixed_run / 'checkpoint.safetensors'}: checkpoint must be a safetensors file, not {len(content)} bytes of "
        "something else; delete it and run `bitwright train` again",
    )


def test_checkpoint_of_another_network_is_refused(fixed_run: Path, binary_run: Path, bitwright: Bitwright) -> None:
    (fixed_run / "checkpoint.safetensors").write_bytes((binary_run / "checkpoint.safetensors").read_bytes())
    refused(
        bitwright("export", fixed_run),
        f"{fixed_run / 'checkpoint.safetensors'}: checkpoint must be of recipe.weight_bit_width = 6, not 1; "
        "train this experiment again",
    )


def test_nan_weights_are_refused(fixed_run: Path, bitwright: Bitwright) -> None:
    path = fixed_run / "checkpoint.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors["fc0.weight"][0, 0] = torch.nan
    save_file(tensors, path, metadata=metadata)
    says = f"{path}: fc0.weight must be finite, not NaN or infinite; train again with a lower learning_rate"
    refused(bitwright("export", fixed_run), says)


def test_shortcuts_that_are_not_lowered_are_refused_by_their_setting(tmp_path: Path, bitwright: Bitwright) -> None:
    settings = ("model.kind=resnet8", "model.channel_multiplier=0.125", "model.shortcut=real", "train.epochs=1")
    options = [part for setting in settings for part in ("--set", setting)]
    run = tmp_path / "digits_cnn_w1a1"
    outcome = bitwright("train", CONFIGS / "digits_cnn_w1a1.toml", "--runs-dir", tmp_path, *options)
    assert outcome.status == 0, outcome.err
    outcome = bitwright("export", run)
    assert outcome.status == 2
    says = "model.shortcut: value must be 'quantized' to export this network, not 'real'; train it so ("
    assert outcome.err.startswith(says)
    assert outcome.err.count("\n") == 1
    assert not (run / "model.lowered.onnx").exists()


def jpeg_for_onnx(path: Path, remedy: str) -> str:
    return f"{path}: model must be an ONNX file, not {len(JPEG)} bytes of something else (a JPEG image); {remedy}"


def test_model_that_is_a_jpeg_is_refused(tmp_path: Path, bitwright: Bitwright) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(JPEG)
    says = jpeg_for_onnx(path, "export the network with brevitas.export.export_qonnx")
    refused(bitwright("lower", path, "--out", tmp_path / "out"), says)
    assert not (tmp_path / "out").exists()


def test_program_that_is_a_jpeg_is_refused(fixed_run: Path, bitwright: Bitwright) -> None:
    path = fixed_run / "model.lowered.onnx"
    path.write_bytes(JPEG)
    refused(bitwright("hls", fixed_run), jpeg_for_onnx(path, "run `bitwright export` again"))


def test_folder_that_cannot_be_written_is_refused(tmp_path: Path, bitwright: Bitwright) -> None:
    (tmp_path / "file").touch()
    outcome = bitwright("train", CONFIGS / "digits_mlp_w6a6.toml", "--runs-dir", tmp_path / "file")
    refused(
        outcome,
        f"{tmp_path / 'file' / 'digits_mlp_w6a6'}: results must go into a folder that can be made, not below a file; "
        "name another folder",
    )


@pytest.mark.parametrize("key", ["start_from", "teacher"])
def test_refused_training_leaves_no_folder(key: str, tmp_path: Path, bitwright: Bitwright) -> None:
    other, runs = tmp_path / "other.safetensors", tmp_path / "runs"
    other.write_bytes(JPEG)
    refused(
        bitwright("train", CONFIGS / "digits_mlp_w6a6.toml", "--set", f"train.{key}={other}", "--runs-dir", runs),
        f"{other}: checkpoint must be a safetensors file, not {len(JPEG)} bytes of something else; name another in "
        f"train.{key}",
    )
    assert not runs.exists()


def test_missing_compiler_is_refused(fixed_run: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(fixed_run))
    outcome = bitwright("hls", fixed_run)
    refused(
        outcome,
        f"hls: {fixed_run / 'hls'} is up to date",
        "csim: compiler must be g++ on the PATH, not missing; install g++ (Debian: apt-get install g++)",
    )


def test_full_disk_is_one_line(fixed_run: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "model.lowered.onnx")

    monkeypatch.setattr("bitwright.cli.stage_export.save_array", full)
    (fixed_run / "outputs" / "program.npy").unlink()
    refused(
        bitwright("export", fixed_run),
        f"export: {fixed_run / 'model.qonnx.onnx'} is up to date",
        "model.lowered.onnx: path must be readable and writable, not refused (No space left on device); "
        "check it and the space on disk",
    )


@pytest.mark.parametrize(
    ("stage", "says"),
    [
        (
            "export",
            "checkpoint.safetensors: checkpoint must be an existing file, not missing; run `bitwright train` first",
        ),
        ("hls", "model.lowered.onnx: model must be an ONNX file, not missing; run `bitwright export` first"),
        ("verify", "interface.json: interface must be a JSON file, not missing; run `bitwright export` first"),
        ("diff", "model.lowered.onnx: model must be an ONNX file, not missing; run `bitwright export` first"),
    ],
)
def test_stage_without_the_one_before_says_what_to_run(
    stage: str, says: str, tmp_path: Path, bitwright: Bitwright
) -> None:
    outcome = bitwright(stage, CONFIGS / "digits_mlp_w6a6.toml", "--runs-dir", tmp_path)
    refused(outcome, f"{tmp_path / 'digits_mlp_w6a6'}/{says}")


def test_outputs_of_another_kind_are_refused(fixed_run: Path, bitwright: Bitwright) -> None:
    np.save(fixed_run / "labels.npy", np.zeros(3, np.float64))
    outcome = bitwright("hls", fixed_run)
    refused(
        outcome,
        f"hls: {fixed_run / 'hls'} is up to date",
        f"hls: {fixed_run / 'outputs' / 'csim.npy'} is up to date",
        f"{fixed_run / 'labels.npy'}: array must be of integers, not another kind; delete it and export again",
    )


@pytest.mark.parametrize("order", ["pool_activation_norm", "activation_pool_norm"])
def test_network_whose_norms_stand_last_is_not_exported(order: str, tmp_path: Path, bitwright: Bitwright) -> None:
    path = tmp_path / "e.toml"
    path.write_text(f'[model]\nkind = "cnn"\norder = "{order}"\n')
    (tmp_path / "runs" / "e").mkdir(parents=True)
    (tmp_path / "runs" / "e" / "checkpoint.safetensors").touch()
    refused(
        bitwright("export", path, "--runs-dir", tmp_path / "runs"),
        f"model.order: activation or pool must stand last to export, not the batch norm of {order!r}, whose "
        "results lie on no grid for the next layer; train it with 'pool_norm_activation'",
    )
