"""Unsound and unreadable graphs: each ends in one line a problem."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from networks import GENERAL, graph
from onnx import ModelProto, TensorProto, helper, numpy_helper
from random_graphs import RandomGraph, random_graphs

from bitwright.export.graph_check import check_structure
from bitwright.export.graph_shapes import INFERRED, QUANTIZERS
from bitwright.export.graph_tensors import LARGEST
from bitwright.export.lower import REMOVED, RULES
from bitwright.export.problems import UnsupportedOperatorError
from bitwright.export.qonnx_file import load

AGAIN = "export the network again"
FLOAT32 = "export the network in float32 (network.float())"
SIZES = "give the layer other sizes, and export the network again"
SHAPES = "correct the shapes, and export the network again"
FIXED = "export the network with an example input of a fixed size (N, ...)"
DENSE = "export the network with dense weights"
BESIDE = "keep the data beside the model, or save it in one file with onnx.save"
SECONDS = 10
"""No file of a few kilobytes may take longer; it takes milliseconds."""


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


def circle(model: ModelProto) -> None:
    model.graph.node[0].input[0] = "y"


def too_late(model: ModelProto) -> None:
    first, second = model.graph.node
    nodes = [helper.make_node(n.op_type, n.input, n.output, n.name, domain=n.domain) for n in (second, first)]
    nodes[1].attribute.extend(first.attribute)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def dangling(model: ModelProto) -> None:
    del model.graph.initializer[0]
    model.graph.node[1].input[0] = "gone"
    model.graph.output[0].name = "z"


def twice(model: ModelProto) -> None:
    model.graph.node[1].output[0] = "r"
    model.graph.output[0].name = "r"
    model.graph.initializer.append(model.graph.initializer[0])


def shadowed(model: ModelProto) -> None:
    model.graph.node[0].output[0] = "half"
    model.graph.node[1].input[0] = "half"


def self_made(model: ModelProto) -> None:
    function = helper.make_function(
        "", "Relu", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])], [helper.make_opsetid("", 20)]
    )
    model.functions.append(function)


def subgraph(model: ModelProto) -> None:
    body = helper.make_graph([helper.make_node("Relu", ["r"], ["z"])], "body", [], [])
    model.graph.node[1].CopyFrom(helper.make_node("If", ["r"], ["y"], "branch", then_branch=body, else_branch=body))


def foreign(model: ModelProto) -> None:
    model.graph.node[1].domain = "com.microsoft"
    model.opset_import.add(domain="com.microsoft", version=1)


def misspelt(model: ModelProto) -> None:
    model.graph.node[1].op_type = "Relo"
    del model.graph.node[0].attribute[:]


def unquantised(model: ModelProto) -> None:
    del model.graph.node[0].input[3]


def sparse(model: ModelProto) -> None:
    values = helper.make_tensor("s", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))


def borrowed(model: ModelProto) -> None:
    model.graph.node[1].domain = GENERAL


def passed_on(model: ModelProto) -> None:
    model.graph.output[0].name = "x"


def no_opset(model: ModelProto) -> None:
    del model.opset_import[:]


def renamed(model: ModelProto) -> None:
    model.graph.node[1].name = "a\nb"


def versions(opset: int, ir_version: int) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        model.opset_import[0].version = opset
        model.ir_version = ir_version

    return change


def port(shape: Sequence[int | str | None] | None, elem_type: int = TensorProto.FLOAT) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", elem_type, shape))

    return change


def declared(*sizes: int, elem_type: int = TensorProto.FLOAT) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        model.graph.value_info.append(helper.make_tensor_value_info("r", elem_type, sizes))

    return change


OPSET_REMEDY = "convert it with onnx.version_converter.convert_version, or export the network again"
CASES: dict[str, tuple[Callable[[ModelProto], None], list[str]]] = {
    "circle": (
        circle,
        [
            "q (Quant): nodes must not depend on themselves, not go in a circle (q, relu); "
            "unroll what is recurrent, and export again"
        ],
    ),
    "out of order": (
        too_late,
        [
            "relu (Relu): input r must come from a node before it, not from q; "
            "sort the graph with qonnx.transformation.general.SortGraph"
        ],
    ),
    "from nowhere": (
        dangling,
        [
            "q (Quant): input zero must be an initialiser, the network's input or a node's result, not missing; "
            + AGAIN,
            "relu (Relu): input gone must be an initialiser, the network's input or a node's result, not missing; "
            + AGAIN,
            f"z (output): output must be a node's result, not missing; {AGAIN}",
        ],
    ),
    "twice": (
        twice,
        [
            f"zero (initialiser): initialiser must be there once, not 2 times; {AGAIN}",
            f"q (Quant): result r must come from one node, not from 2 (q, relu); {AGAIN}",
            "relu (Relu): nodes must not depend on themselves, not go in a circle (relu); "
            "unroll what is recurrent, and export again",
        ],
    ),
    "result over an initialiser": (
        shadowed,
        [f"q (Quant): result half must have a name of its own, not that of an input or initialiser; {AGAIN}"],
    ),
    "function of the file": (
        self_made,
        [
            "relu (Relu): operator must be ONNX's or qonnx's, not a function of the file; inline it with onnx.inliner",
        ],
    ),
    "output that is the input": (
        passed_on,
        [f"x (output): output must be a node's result, not an input as it is; {AGAIN}"],
    ),
    "subgraph": (
        subgraph,
        [
            "branch (If): attribute else_branch must be a value, not a subgraph; "
            "export the network without branches and loops that depend on data"
        ],
    ),
    "foreign domain": (
        foreign,
        [
            "relu (Relu): domain must be one of ai.onnx, qonnx.custom_op.general, onnx.brevitas, "
            "qonnx.custom_op.channels_last, not com.microsoft; export with brevitas.export"
        ],
    ),
    "not an operator of its domain": (
        borrowed,
        [f"relu (Relu): operator must be one of {GENERAL}, not Relu; {AGAIN}"],
    ),
    "not an operator, no attributes": (
        misspelt,
        [
            f"q (Quant): attribute signed must be 0 or 1, not missing; {AGAIN}",
            "relu (Relo): node must be as ONNX defines it, not otherwise "
            f"(No Op registered for Relo with domain_version of 20); {AGAIN}",
        ],
    ),
    "quantiser without bit width": (unquantised, [f"q (Quant): quantiser must have 4 inputs, not 3; {AGAIN}"]),
    "sparse": (sparse, [f"g (graph): initialisers must be dense, not sparse (1 of them); {DENSE}"]),
    "no opset": (
        no_opset,
        [
            f"g (graph): opset of ai.onnx must be imported, not missing; {AGAIN}",
            f"q (Quant): opset of {GENERAL} must be imported, not missing; {AGAIN}",
            f"relu (Relu): opset of ai.onnx must be imported, not missing; {AGAIN}",
        ],
    ),
    "too new": (
        versions(26, 14),
        [
            "g (graph): ir_version must be from 3 to 13, not 14; set ir_version = 10 with onnx, and save it again",
            f"g (graph): opset of ai.onnx must be from 7 to 25, not 26; {OPSET_REMEDY}",
        ],
    ),
    "too old": (
        versions(6, 2),
        [
            "g (graph): ir_version must be from 3 to 13, not 2; set ir_version = 10 with onnx, and save it again",
            f"g (graph): opset of ai.onnx must be from 7 to 25, not 6; {OPSET_REMEDY}",
        ],
    ),
    "name of two lines": (
        renamed,
        [f"NodeProto (file): name must be one line of printable text, not 'a\\nb'; {AGAIN}"],
    ),
    "float16 input": (port([1, 4], TensorProto.FLOAT16), [f"x (input): input must be float32, not float16; {FLOAT32}"]),
    "double input": (port([1, 4], TensorProto.DOUBLE), [f"x (input): input must be float32, not double; {FLOAT32}"]),
    "int8 input": (port([1, 4], TensorProto.INT8), [f"x (input): input must be float32, not int8; {FLOAT32}"]),
    "no shape": (port(None), [f"x (input): input must have a shape, not none; {FIXED}"]),
    "no axes": (port([]), [f"x (input): input must have a batch axis and others, not the shape (); {FIXED}"]),
    "one axis": (port([4]), [f"x (input): input must have a batch axis and others, not the shape (4); {FIXED}"]),
    "nothing": (port([1, 0]), [f"x (input): sizes of the input must be at least 1, not (1, 0); {FIXED}"]),
    "negative": (port([-1, 4]), [f"x (input): sizes of the input must be at least 1, not (-1, 4); {FIXED}"]),
    "open height": (
        port(["N", 1, "H", None]),
        [
            "x (input): sizes of the input must be fixed but for the batch, not (N, 1, H, ?); "
            "export the network with a fixed input size (dynamic_axes for axis 0 at most)"
        ],
    ),
    "terabytes of input": (
        port([1, 2**40]),
        [f"x (input): size must be at most {LARGEST} bytes, not {2**42} as (1, {2**40}) takes; {AGAIN}"],
    ),
    "declared otherwise": (
        declared(1, 5),
        [
            "q (Quant): result must have the shape (1, 4), not (1, 5) as declared; "
            "correct the shapes, and export the network again"
        ],
    ),
    "declared of another type": (
        declared(1, 4, elem_type=TensorProto.DOUBLE),
        [f"q (Quant): result must be float32 as its inputs are, not double; {AGAIN}"],
    ),
}


@pytest.mark.parametrize(("change", "lines"), CASES.values(), ids=CASES)
def test_unsound_graph_is_refused(change: Callable[[ModelProto], None], lines: list[str], tmp_path: Path) -> None:
    model = plain()
    change(model)
    assert refusal(model, tmp_path) == lines


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


def test_every_operator_that_is_lowered_has_its_shapes_inferred() -> None:
    assert {*RULES, *REMOVED} - {*QUANTIZERS} <= INFERRED


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


def test_symbolic_batch_and_unnamed_nodes_are_fine(tmp_path: Path) -> None:
    model = plain()
    port(["N", 4])(model)
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "N"
    for node in model.graph.node:
        node.name = ""
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert [node.name for node in load(tmp_path / "m.onnx").graph.node] == ["", ""]


@settings(deadline=None, max_examples=25)
@given(drawn=random_graphs())
def test_sound_graph_is_not_refused(drawn: RandomGraph, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "sound.onnx"
    path.write_bytes(drawn.model().model.SerializeToString())
    assert len(load(path).graph.node) == len(drawn.model().graph.node)


def test_thousands_of_nodes_are_looked_at_in_linear_time() -> None:
    """Ten thousand in a chain, in a circle, and in the wrong order: quadratic time would be minutes."""
    count = 10_000
    nodes = [helper.make_node("Relu", [f"t{i}"], [f"t{i + 1}"]) for i in range(count)]
    model = plain()
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    model.graph.input[0].name, model.graph.output[0].name = "t0", f"t{count}"
    began = time.monotonic()
    with pytest.raises(UnsupportedOperatorError) as caught:
        check_structure(model, "m", Path())
    assert len(caught.value.problems) == count - 1
    model.graph.node[-1].input[0] = f"t{count}"
    with pytest.raises(UnsupportedOperatorError) as caught:
        check_structure(model, "m", Path())
    assert [str(problem) for problem in caught.value.problems] == [
        f"t{count} (Relu): nodes must not depend on themselves, not go in a circle "
        f"(t{count}, t{count - 1}, t{count - 2}, t{count - 3}, t{count - 4}, ...); "
        "unroll what is recurrent, and export again"
    ]
    assert time.monotonic() - began < 2 * SECONDS
