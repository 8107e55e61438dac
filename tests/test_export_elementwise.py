"""The elementwise operations, against onnxruntime's, one at a time."""

import re
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession, SessionOptions

from bitwright.export.elementwise import Elementwise
from bitwright.export.line import Line

KINDS = ("Mul", "Div", "Add", "Sub", "RSub", "Relu")
Kind = Literal["Mul", "Div", "Add", "Sub", "RSub", "Relu"]
FLOATS = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
VALUES = arrays(np.float32, (8, 3), elements=FLOATS)


def onnx_result(kind: str, values: Any, constant: Any) -> Any:  # noqa: ANN401
    inputs = {"RSub": ["c", "x"], "Relu": ["x"]}.get(kind, ["x", "c"])
    node = helper.make_node("Sub" if kind == "RSub" else kind, inputs, ["y"])
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 3]) for name in "xy"]
    graph = helper.make_graph([node], "g", ports[:1], ports[1:], [numpy_helper.from_array(constant, "c")])
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    options = SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return InferenceSession(model.SerializeToString(), options).run(None, {"x": values})[0]


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(values=VALUES, constant=arrays(np.float32, 3, elements=FLOATS.filter(lambda x: abs(x) > 1e-6)))
def test_step_is_the_float32_operator(kind: Kind, values: Any, constant: Any) -> None:  # noqa: ANN401
    found = Elementwise(kind, None if kind == "Relu" else constant)(values)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, onnx_result(kind, values, constant))


@settings(deadline=None)
@given(
    slope=st.integers(-99, 99),
    offset=st.integers(-99, 99),
    steps=st.lists(st.tuples(st.sampled_from(KINDS[:-1]), st.integers(-2, 2), st.booleans()), max_size=3),
)
def test_line_is_the_chain_without_rounding(slope: int, offset: int, steps: list[tuple[Kind, int, bool]]) -> None:
    """Constants are powers of two, few and near one, so that the chain itself does not round."""
    line = Line(np.array([float(slope)]), np.array([float(offset)]))
    values = (slope * np.arange(-5, 6) + offset).astype(np.float32)[:, None]
    for kind, exponent, negative in steps:
        step = Elementwise(kind, np.array([2.0**exponent * (-1 if negative else 1)], np.float32))
        line, values = step.line(line), step(values)
    assert (line.slope * np.arange(-5, 6)[:, None] + line.offset == values).all()


def test_relu_leaves_the_line() -> None:
    line = Line(np.array([2.0]), np.array([-1.0]))
    assert Elementwise("Relu").line(line) is line


def test_operator_without_its_constant_is_refused() -> None:
    with pytest.raises(ValueError, match=f"^{re.escape('Mul: constant must be given, not None')}$"):
        Elementwise("Mul")(np.zeros((1, 1), np.float32))
