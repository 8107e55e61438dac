"""Reading and writing ONNX files: whole or not at all, and nothing else is taken for one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from networks import GENERAL, executed, graph

from bitwright.export.graph_tensors import LARGEST
from bitwright.export.qonnx_file import load, save

JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffdb004300") + bytes(range(256))
VALUES = np.array([[0.3, -0.9]], np.float32)


def model_bytes() -> bytes:
    return bytes(graph("y = Quant (x, half, zero, four)", (1, 2), (1, 2)).model.SerializeToString())


@pytest.mark.parametrize("name", ["model.onnx", "model.json", "model.textproto"])
def test_model_that_is_read_computes_what_the_written_one_did(name: str, tmp_path: Path) -> None:
    model = graph("y = Quant (x, half, zero, four)", (1, 2), (1, 2))
    (tmp_path / name).write_bytes(b"old")
    save(model, tmp_path / name.replace(".json", ".onnx").replace(".textproto", ".onnx"))
    (tmp_path / "model.onnx").replace(tmp_path / name)
    assert (executed(load(tmp_path / name), VALUES) == executed(model, VALUES)).all()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"^disk full$"):
        save(graph("y = Relu (x)", (1, 2), (1, 2)), path)
    assert path.read_bytes() == b"old"


def refusal(path: Path) -> str:
    """Return what a file is refused with."""
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        load(path)
    return str(caught.value)


def test_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    assert refusal(path) == f"{path}: model must be an ONNX file, not missing; check the path"
    with pytest.raises(FileNotFoundError) as caught:
        load(path, made_by="bitwright export")
    assert str(caught.value) == f"{path}: model must be an ONNX file, not missing; run `bitwright export` first"
    path.mkdir()
    assert refusal(path) == f"{path}: model must be an ONNX file, not a folder; name the file in it"


@pytest.mark.parametrize(
    ("content", "guess"),
    [
        (JPEG, "a JPEG image"),
        (b"hello, world", "text"),
        (b"", "an empty file"),
        (b"PK\x03\x04archive/data.pkl", "a zip archive, such as torch.save writes"),
        (b"\x80\x02\x8a\x0al\xfc", "a pickle, such as torch.save writes"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer: fetch it with git lfs pull"),
        (model_bytes()[:-20], "a graph without nodes, a damaged file, or another kind of file"),
        (model_bytes()[:40], "a graph without nodes, a damaged file, or another kind of file"),
        (bytes(range(255, 100, -1)), "a graph without nodes, a damaged file, or another kind of file"),
    ],
    ids=["jpeg", "text", "empty", "zip", "pickle", "git lfs", "cut at its end", "cut at its head", "bytes"],
)
def test_file_that_is_no_model_is_refused(content: bytes, guess: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert refusal(path) == (
        f"{path}: model must be an ONNX file, not {len(content)} bytes of something else ({guess}); "
        "export the network with brevitas.export.export_qonnx"
    )


def test_file_of_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(2**33)  # takes no space on the disk
    assert refusal(path) == f"{path}: model must have at most {LARGEST} bytes, not {2**33}; convert a smaller network"


def test_graph_without_nodes_is_refused(tmp_path: Path) -> None:
    model = graph("y = Relu (x)", (1, 2), (1, 2))
    del model.graph.node[:]
    path = tmp_path / "model.onnx"
    save(model, path)
    assert refusal(path) == (
        f"{path}: model must be an ONNX file, not {path.stat().st_size} bytes of something else "
        "(a graph without nodes, a damaged file, or another kind of file); "
        "export the network with brevitas.export.export_qonnx"
    )


def test_path_that_is_not_ascii_is_read_and_written_in_the_c_locale(tmp_path: Path) -> None:
    path = tmp_path / "k\u00e4se \u6a21\u578b.onnx"
    path.write_bytes(model_bytes())
    script = (
        "import os, pathlib; from bitwright.export.qonnx_file import load, save\n"
        f"path = pathlib.Path(os.fsdecode({bytes(path)!r}))\n"
        "save(load(path), path.with_name('again.onnx'))"
    )
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (executed(load(tmp_path / "again.onnx"), VALUES) == executed(load(path), VALUES)).all()


def test_data_in_files_beside_the_model_are_read(tmp_path: Path) -> None:
    model = graph("s = Add (x, c) y = Mul (s, d)", (1, 2), (1, 2), c=np.array([0.5, 1.5]), d=np.array([2.0, 3.0]))
    result = executed(model, VALUES)
    (tmp_path / "k\u00e4se").mkdir()
    path = tmp_path / "k\u00e4se" / "model.onnx"
    onnx.save(model.model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    assert path.with_name("w.bin").stat().st_size >= 16
    again = load(path)
    assert (executed(again, VALUES) == result).all()
    assert not any(tensor.external_data for tensor in again.graph.initializer)


def test_standard_domain_is_spelt_and_imported_as_qonnx_looks_for_it(tmp_path: Path) -> None:
    model = graph("y = Relu (x)", (1, 2), (1, 2)).model
    model.graph.node[0].domain = "ai.onnx"
    del model.opset_import[:]
    model.opset_import.add(domain=GENERAL, version=2)
    model.opset_import.add(domain="ai.onnx", version=20)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    read = load(tmp_path / "m.onnx")
    assert [(entry.domain, entry.version) for entry in read.model.opset_import] == [("", 20), (GENERAL, 2)]
    assert read.graph.node[0].domain == ""


def test_annotations_and_second_declarations_are_dropped(tmp_path: Path) -> None:
    model = graph("r = Relu (x) y = Relu (r)", (1, 2), (1, 2)).model
    entry = model.graph.quantization_annotation.add(tensor_name="r")
    entry.quant_parameter_tensor_names.add(key="finn_datatype", value="nonsense")
    for name in ("r", "r", "y"):
        model.graph.value_info.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (1, 2)))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    read = load(tmp_path / "m.onnx")
    assert [port.name for port in read.graph.value_info] == ["r"]
    assert len(read.graph.quantization_annotation) == 0
    assert (executed(read, VALUES) == np.maximum(VALUES, 0)).all()
