"""Shapes that cannot be, and data that are not those of their shape: each ends in one line a problem."""

from pathlib import Path

import numpy as np
import pytest
from networks import graph
from onnx import TensorProto
from unsound_graphs import (
    AGAIN,
    BESIDE,
    FLOAT32,
    SHAPES,
    SIZES,
    initializer,
    refusal,
    with_tensor,
)

from bitwright.export.graph_tensors import LARGEST

BODIES = {
    "shapes that clash": (
        "[t] h = Transpose <perm=[1, 0]> (x) [fc] m = MatMul (h, h) [relu] y = Relu (m)",
        [
            "fc (MatMul): types and shapes must agree with the inputs', not contradict "
            "(Incompatible dimensions for matrix multiplication); correct the shapes, and export the network again"
        ],
    ),
    "gigabytes by ConstantOfShape": (
        "[s] s = Constant <value_ints=[100000, 100000]> () [c] c = ConstantOfShape (s) [add] y = Add (x, c)",
        ["c (ConstantOfShape): size of a constant must be known before it is computed, not open; " + SIZES],
    ),
    "gigabytes by Pad": (
        "[p] p = Pad (x, cshape) [relu] y = Relu (p)",
        [f"p (Pad): size must be at most {LARGEST} bytes, not 16000000016 as (1, 4000000004) takes; {SIZES}"],
    ),
    "a result of another size": (
        "[slice] s = Slice (x, cshape, cshape) [relu] y = Relu (s)",
        [f"slice (Slice): result must have sizes of at least 1, not (0, 0); {SIZES}"],
    ),
    "a stride of 0": (  # of which onnx's inference divides the process by zero
        "[pool] y = MaxPool <kernel_shape=[1], strides=[0]> (x)",
        [f"pool (MaxPool): attribute strides must be from 1 to 2147483647, not 0; {AGAIN}"],
    ),
    "strides of another number of axes": (  # of which onnx reads beyond the end
        "[pool] y = MaxPool <kernel_shape=[1], strides=[1]> (x)",
        [f"pool (MaxPool): values must have 3 axes or more, not the shape (1, 4); {SHAPES}"],
    ),
    "bounds that are no numbers": (
        "[clip] y = Clip (x, cshape)",
        [f"clip (Clip): input cshape must be a number, not of the shape (2); {SHAPES}"],
    ),
    "a cast to float16": (
        "[cast] c = Cast <to=10> (x) [back] y = Cast <to=1> (c)",
        [f"cast (Cast): result must be float32, not float16; {FLOAT32}"],
    ),
}


@pytest.mark.parametrize(("body", "lines"), BODIES.values(), ids=BODIES)
def test_shapes_that_cannot_be_are_refused(body: str, lines: list[str], tmp_path: Path) -> None:
    pads = np.array([0, 0, 0, 4_000_000_000]) if "Pad" in body else np.array([0, 0])
    model = graph(body, (1, 4), (1, 4), cshape=pads).model
    assert refusal(model, tmp_path) == lines


def test_large_constants_are_refused_before_they_are_computed(tmp_path: Path) -> None:
    body = "[c] c = ConstantOfShape (cshape) [s] s = ReduceSum <keepdims=0> (c) [add] y = Add (x, s)"
    model = graph(body, (1, 4), (1, 4), cshape=np.array([100_000, 100_000])).model
    assert refusal(model, tmp_path) == [
        f"c (ConstantOfShape): size must be at most {LARGEST} bytes, not 40000000000 as (100000, 100000) takes; {SIZES}"
    ]


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (np.float16, f"c (initialiser): values must be float32, not float16; {FLOAT32}"),
        (np.float64, "add (Add): types and shapes must agree with the inputs', not contradict "
         "(B has inconsistent type tensor(double)); correct the shapes, and export the network again"),
    ],
)  # fmt: skip
def test_constant_of_another_type_is_refused(kind: type, line: str, tmp_path: Path) -> None:
    assert refusal(with_tensor([1.0], kind), tmp_path) == [line]


def test_weights_in_double_are_refused_as_qonnx_would_quantise_them_in_double(tmp_path: Path) -> None:
    body = "[w] v = Quant (c, half, zero, four) [add] y = Add (x, v)"
    line = f"w (Quant): values must be float32, not double; {FLOAT32}"
    assert refusal(with_tensor([0.3], np.float64, body), tmp_path) == [line]


def test_scale_in_double_is_refused_as_qonnx_would_compute_all_after_it_in_double(tmp_path: Path) -> None:
    line = f"q (Quant): parameter c must be float32, not double; {FLOAT32}"
    assert refusal(with_tensor(0.5, np.float64, "[q] y = Quant (x, c, zero, four)"), tmp_path) == [line]


def test_scale_that_would_add_an_axis_is_refused(tmp_path: Path) -> None:
    model = with_tensor([[[0.5]]], np.float32, "[q] y = Quant (x, c, zero, four)")
    wrong = "parameter c must spread over the values' shape (1, 4), not have the shape (1, 1, 1)"
    assert refusal(model, tmp_path) == [f"q (Quant): {wrong}; {SHAPES}"]


def test_data_that_are_not_those_of_the_shape_are_refused(tmp_path: Path) -> None:
    model = with_tensor([1.0, 2.0, 3.0, 4.0], np.float32)
    initializer(model, "c").dims[0] = 2**28
    wrong = f"data must be the {2**30} bytes of the shape ({2**28}), not 16"
    assert refusal(model, tmp_path) == [f"c (initialiser): {wrong}; {AGAIN}"]
    initializer(model, "c").dims[0] = 2**50
    wrong = f"shape must take at most {LARGEST} bytes, not {2**52} as ({2**50}) does"
    assert refusal(model, tmp_path) == [f"c (initialiser): {wrong}; {AGAIN}"]
    initializer(model, "c").dims[0] = -4
    assert refusal(model, tmp_path) == [f"c (initialiser): shape must be of sizes of at least 0, not (-4); {AGAIN}"]


@pytest.mark.parametrize(
    ("location", "wrong"),
    [
        ("", "location of the data must be a file's name, not ''"),
        ("w.bin", "file of the data must be there, not missing (w.bin)"),
        ("../w.bin", "location of the data must be within the model's folder, not ../w.bin"),
        ("/etc/passwd", "location of the data must be within the model's folder, not /etc/passwd"),
        ("C:\\w.bin", "location of the data must be within the model's folder, not C:\\w.bin"),
    ],
)
def test_data_outside_of_the_folder_are_refused(location: str, wrong: str, tmp_path: Path) -> None:
    model = with_tensor([1.0, 2.0, 3.0, 4.0], np.float32)
    tensor = initializer(model, "c")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    assert refusal(model, tmp_path) == [f"c (initialiser): {wrong}; {BESIDE}"]


def test_data_by_a_link_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "w.bin").write_bytes(bytes(16))
    (tmp_path / "folder" / "link.bin").symlink_to(tmp_path / "w.bin")
    model = with_tensor([1.0, 2.0, 3.0, 4.0], np.float32)
    tensor = initializer(model, "c")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="link.bin")
    wrong = f"location of the data must be within the model's folder, not {(tmp_path / 'w.bin').resolve()} by a link"
    assert refusal(model, tmp_path / "folder") == [f"c (initialiser): {wrong}; {BESIDE}"]


def test_data_file_that_is_too_short_is_refused(tmp_path: Path) -> None:
    model = with_tensor([1.0, 2.0, 3.0, 4.0], np.float32)
    tensor = initializer(model, "c")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w.bin")
    tensor.external_data.add(key="offset", value="4")
    (tmp_path / "w.bin").write_bytes(bytes(16))
    assert refusal(model, tmp_path) == ["c (initialiser): w.bin must have 20 bytes, not 16; copy the file again"]
