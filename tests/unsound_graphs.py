"""Small graphs to make unsound, and the lines that they are refused with."""

from pathlib import Path

import numpy as np
import pytest
from networks import graph
from onnx import ModelProto, TensorProto, numpy_helper

from bitwright.export.problems import UnsupportedOperatorError
from bitwright.export.qonnx_file import load

AGAIN = "export the network again"
FLOAT32 = "export the network in float32 (network.float())"
SIZES = "give the layer other sizes, and export the network again"
SHAPES = "correct the shapes, and export the network again"
FIXED = "export the network with an example input of a fixed size (N, ...)"
DENSE = "export the network with dense weights"
BESIDE = "keep the data beside the model, or save it in one file with onnx.save"


def plain(body: str = "[q] r = Quant (x, half, zero, four) [relu] y = Relu (r)") -> ModelProto:
    model: ModelProto = graph(body, (1, 4), (1, 4)).model
    del model.graph.value_info[:]
    return model


def refusal(model: ModelProto, tmp_path: Path) -> list[str]:
    """Return the lines that a model is refused with, without the file."""
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedOperatorError) as caught:
        load(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


def initializer(model: ModelProto, name: str) -> TensorProto:
    found: TensorProto = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    return found


def with_tensor(values: object, kind: type, body: str = "[add] y = Add (x, c)") -> ModelProto:
    model = plain(body)
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(values, kind), "c"))
    return model
