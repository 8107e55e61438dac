"""Graphs and programs that tests of `export` share."""

import re
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

from bitwright.export.interface import input_codes
from bitwright.export.lower import LoweredNetwork

GENERAL = "qonnx.custom_op.general"
SPELT_OUT = {
    "BipolarQuant": f"{GENERAL}.BipolarQuant",
    "NarrowQuant": f'{GENERAL}.Quant <signed=1, narrow=1, rounding_mode="ROUND">',
    "UnsignedQuant": f'{GENERAL}.Quant <signed=0, narrow=0, rounding_mode="ROUND">',
    "Quant": f'{GENERAL}.Quant <signed=1, narrow=0, rounding_mode="ROUND">',
}
NUMBERS = {"zero": 0.0, "one": 1.0, "half": 0.5, "two": 2.0, "three": 3.0, "four": 4.0, "eight": 8.0}


def graph(body: str, shape: tuple[int, ...], result: tuple[int, ...], **constants: Any) -> ModelWrapper:  # noqa: ANN401
    """Return a graph from ``x`` to ``y``.

    Args:
        body: Its nodes in ONNX's text, the quantisers by the short names above; a quantiser's inputs are the values,
            the scale, the zero point and the bit width.
        shape: Of the input, with the batch.
        result: Of the output, with the batch.
        constants: Initialisers, beside the `NUMBERS`.
    """
    body = re.sub(rf"(?<![\w.])({'|'.join(SPELT_OUT)}) ?\(", lambda found: f"{SPELT_OUT[found[1]]} (", body)
    ports = [f"float[{','.join(map(str, sizes))}]" for sizes in (shape, result)]
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 20, "{GENERAL}": 2]> g ({ports[0]} x) => ({ports[1]} y) {{ {body} }}'
    )
    used = {name for node in model.graph.node for name in node.input}
    values = {name: np.asarray(value) for name, value in ({**NUMBERS, **constants}).items() if name in used}
    for name, value in values.items():
        kind = np.int64 if value.dtype.kind == "i" and value.ndim == 1 and name.endswith("shape") else np.float32
        model.graph.initializer.append(numpy_helper.from_array(value.astype(kind), name))
    return ModelWrapper(model)


def executed(model: ModelWrapper, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the output that qonnx computes, of a graph of this very batch size."""
    shaped = ModelWrapper(model.model, make_deepcopy=True).transform(InferShapes())
    result = execute_onnx(shaped, {shaped.graph.input[0].name: values})
    return np.asarray(next(iter(result.values())))


def program_integers(network: LoweredNetwork, values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the program's output ``(N, values)`` for the network's float input."""
    return network.program(input_codes(network, values))


def score_integers(network: LoweredNetwork, outputs: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the integers behind the network's flat float output; fail where there is none."""
    line = network.output_line
    steps = (outputs.reshape(len(outputs), -1).astype(np.float64) - line.offset) / line.slope
    nearest = np.rint(steps)
    assert np.abs(steps - nearest).max() < 0.01
    return nearest.astype(np.int64)
