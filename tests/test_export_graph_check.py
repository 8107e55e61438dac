"""Unsound and unreadable graphs: each ends in one line a problem."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from networks import GENERAL
from onnx import ModelProto, TensorProto, helper
from random_graphs import RandomGraph, random_graphs
from unsound_graphs import AGAIN, DENSE, FIXED, FLOAT32, plain, refusal

from bitwright.export.graph_check import check_structure
from bitwright.export.graph_shapes import INFERRED, QUANTIZERS
from bitwright.export.graph_tensors import LARGEST
from bitwright.export.lower import REMOVED, RULES
from bitwright.export.problems import UnsupportedOperatorError
from bitwright.export.qonnx_file import load

SECONDS = 10
"""No file of a few kilobytes may take longer; it takes milliseconds."""


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


def test_every_operator_that_is_lowered_has_its_shapes_inferred() -> None:
    assert {*RULES, *REMOVED} - {*QUANTIZERS} <= INFERRED


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
