"""Reading and writing ONNX files: whole or not at all, and nothing else is taken for one."""

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from networks import executed, graph

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

    monkeypatch.setattr(onnx, "save", full)
    with pytest.raises(OSError, match=r"^disk full$"):
        save(graph("y = Relu (x)", (1, 2), (1, 2)), path)
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("kind", ["nothing", "folder"])
def test_file_that_is_missing_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    if kind == "folder":
        path.mkdir()
    says = f"{path}: model must be an ONNX file, not missing; run `bitwright export` first"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(says)}$"):
        load(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (JPEG, r"Error parsing message.*"),
        (b"hello, world", r"Error parsing message.*"),
        (b"", "a graph without nodes"),
        (model_bytes()[:-20], r".+"),
        (model_bytes()[:40], r".+"),
    ],
    ids=["jpeg", "text", "empty", "cut at its end", "cut at its head"],
)
def test_file_that_is_no_model_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    says = f"{path}: model must be an ONNX file, not {len(content)} bytes of something else ("
    with pytest.raises(ValueError, match=rf"^{re.escape(says)}{reason}\)$"):
        load(path)


def test_graph_without_nodes_is_refused(tmp_path: Path) -> None:
    model = graph("y = Relu (x)", (1, 2), (1, 2)).model
    del model.graph.node[:]
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ValueError, match=r"^.*bytes of something else \(a graph without nodes\)$"):
        load(tmp_path / "model.onnx")


def test_graph_whose_nodes_read_what_nothing_gives_is_refused(tmp_path: Path) -> None:
    model = graph("y = Relu (x)", (1, 2), (1, 2)).model
    model.graph.node[0].input[0] = "z"
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ValueError, match=r"^.*bytes of something else \(Nodes in a graph must be topologically .*\)$"):
        load(tmp_path / "model.onnx")
