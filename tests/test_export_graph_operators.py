"""Shapes of an operator's inputs that onnx lets pass, and onnxruntime or qonnx does not take."""

import pytest
from onnx import helper

from bitwright.export.graph_operators import operator_fault

IMAGE = ["N", 2, 4, 4]
CASES = [
    ("Conv", {"group": 2}, [IMAGE, [4, 1, 3, 3], [4]], ""),
    ("Conv", {}, [IMAGE, [4, 2, 3]], "weights must have 4 axes as the values have, not the shape (4, 2, 3)"),
    ("Conv", {"strides": [1]}, [IMAGE, [4, 2, 3, 3]], "attribute strides must have 2 numbers, not 1"),
    ("Conv", {"pads": [1, 1]}, [IMAGE, [4, 2, 3, 3]], "attribute pads must have 4 numbers, not 2"),
    (
        "Conv",
        {"kernel_shape": [3, 2]},
        [IMAGE, [4, 2, 3, 3]],
        "attribute kernel_shape must be that of the weights, (3, 3), not (3, 2)",
    ),
    ("Conv", {}, [IMAGE, [4, 3, 3, 3]], "weights must be of 2 channels, not 3 in 1 groups"),
    ("Conv", {"group": 2}, [IMAGE, [3, 1, 3, 3]], "filters must be a multiple of the 2 groups, not 3"),
    ("Conv", {}, [IMAGE, [4, 2, 3, 3], [4, 1]], "bias must be of the shape (4), not (4, 1)"),
    ("MaxPool", {"kernel_shape": [2]}, [IMAGE], "attribute kernel_shape must have 2 numbers, not 1"),
    ("MaxPool", {"kernel_shape": [2, 2]}, [None], ""),
    ("Gemm", {}, [["N", 4], [4, 3], [3]], ""),
    ("Gemm", {"transA": 1, "transB": 1}, [[4, 2], [3, 4], [2, 3]], ""),
    (
        "Gemm",
        {},
        [[1, 4], [4, 3], [2, 3]],
        "bias must spread over the result's shape (1, 3), not have the shape (2, 3)",
    ),
    ("Reshape", {}, [IMAGE, [1, 2]], "input i1 must be a vector, not of the shape (1, 2)"),
    ("Clip", {}, [IMAGE, [], [1]], "input i2 must be a number, not of the shape (1)"),
    ("Transpose", {"perm": [1, 0]}, [[4, 3, 1]], "attribute perm must be an order of 3 axes, not (1, 0)"),
    ("Transpose", {"perm": [2, 1, 0]}, [[4, 3, 1]], ""),
    ("Relu", {}, [IMAGE], ""),
]


@pytest.mark.parametrize(("op_type", "attributes", "shapes", "wrong"), CASES)
def test_fault_of_shapes_is_said(
    op_type: str, attributes: dict[str, object], shapes: list[list[int | str] | None], wrong: str
) -> None:
    names = [f"i{place}" for place in range(len(shapes))]
    node = helper.make_node(op_type, names, ["y"])
    node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
    assert operator_fault(node, dict(zip(names, shapes, strict=True))) == wrong
