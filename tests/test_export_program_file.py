"""The program as a file: qonnx executes it to the program's own integers, and reading gives the program back."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray
from onnx import numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from random_programs import TWO, programs, wide_programs

from bitwright.export.operations import (
    Add,
    Affine,
    Concat,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    Flatten,
    Input,
    Integers,
    MaxPool2d,
    MultiplyAdd,
    Operation,
    Requantize,
    Reshape,
    Threshold,
    Transpose,
    UnaryOperation,
    Upsample,
)
from bitwright.export.program import Program
from bitwright.export.program_file import read, write
from bitwright.export.qonnx_file import load, save
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.fixed_point import FixedPoint, format_of

SEED = np.random.default_rng(11)


def qonnx_integers(model: ModelWrapper, program: Program, codes: Integers) -> Integers:
    """Execute the graph on the real values of input integers, and divide the result by its step."""
    resized = ModelWrapper(model.model, make_deepcopy=True)
    for port in [*resized.graph.input, *resized.graph.output, *resized.graph.value_info]:
        if not port.name.endswith(".weight_quant") and resized.get_initializer(port.name) is None:
            port.type.tensor_type.shape.dim[0].dim_value = len(codes)
    values = (codes * program.input.format.step).astype(np.float32)
    (outputs,) = execute_onnx(resized, {resized.graph.input[0].name: values}).values()
    steps = outputs.astype(np.float64) / program.output.format.step
    assert (steps == np.rint(steps)).all()
    return steps.astype(np.int64).reshape(len(codes), -1)  # type: ignore[no-any-return]


def same(left: Any, right: Any) -> bool:  # noqa: ANN401
    return bool(np.array_equal(left, right)) if isinstance(left, np.ndarray) else bool(left == right)


@settings(deadline=None, max_examples=150)
@given(case=programs() | wide_programs())
def test_qonnx_executes_the_file_to_the_integers_of_the_program(case: tuple[Program, Integers]) -> None:
    program, codes = case
    assert (qonnx_integers(write(program), program, codes) == program(codes)).all()


@settings(deadline=None, max_examples=150)
@given(case=programs() | wide_programs())
def test_program_that_is_read_has_the_same_operations_formats_and_outputs(case: tuple[Program, Integers]) -> None:
    program, codes = case
    again = read(write(program))
    assert [(type(o), o.name, o.sources) for o in again.operations] == [
        (type(o), o.name, o.sources) for o in program.operations
    ]
    for before, after in zip(program.tensors.values(), again.tensors.values(), strict=True):
        assert (before.shape, before.format) == (after.shape, after.format)
        assert before.interval.lowest.tolist() == after.interval.lowest.tolist()
    for left, right in zip(program.operations, again.operations, strict=True):
        if not isinstance(left, MultiplyAdd):  # whose common factors of two are cancelled
            assert all(same(value, vars(right)[key]) for key, value in vars(left).items())
    assert (again(codes) == program(codes)).all()


def affine() -> Program:
    form = format_of(1.0, 8, signed=True)
    wide = FixedPoint(24, 24)
    return Program(
        (
            Input("x", "", (2,), wide),
            MultiplyAdd("act", "x", np.array([2**26 + 1, -(2**26) - 1]), np.array([2**45 + 1, 1]), 46, form),
        )
    )


def test_products_of_more_than_24_bits_are_executed_exactly() -> None:
    program = affine()
    ends = [-(2**23), -(2**20) - 1, -(2**18), 0, 1, 2**18, 2**19, 2**23 - 1]
    codes = np.array([[end, end] for end in ends])
    assert (qonnx_integers(write(program), program, codes) == program(codes)).all()
    assert (read(write(program))(codes) == program(codes)).all()


def wide() -> Program:
    """Branches of more integers than float32 holds, from the input to quantisers of every kind."""
    grid = np.array([2**20 + 1, -3, 2**15])
    return Program(
        (
            Input("x", "", (2, 2, 3), FixedPoint(12, 4)),
            Affine("scaled", "x", grid, np.array([1, 2**30, -7]), 9),
            Affine("finer", "x", -grid, np.array([1, 2**30, -7]), 11),
            Add("sum", "scaled", "finer"),
            Concat("both", "sum", "x"),
            Transpose("turned", "both", (1, 2, 0)),
            Reshape("rows", "turned", (8, 3)),
            Threshold(
                "levels", "rows", np.sort(SEED.integers(-(2**33), 2**33, (3, 3))), np.array([True, False, True]), TWO
            ),
            Add("more", "rows", "levels"),
            MultiplyAdd("act", "more", np.array([3, -7, 9]), np.array([1, 2, 3]), 20, format_of(0.5, 5, signed=True)),
            Requantize("cut", "more", format_of(2.0**10, 6, signed=True)),
            Concat("all", "cut", "act"),
            Concat("end", "all", "levels"),
        )
    )


@pytest.mark.parametrize("last", range(1, 13))
def test_integers_of_more_than_24_bits_are_carried_in_float64(last: int) -> None:
    program = Program(wide().operations[: last + 1])
    codes = np.concatenate(
        [np.broadcast_to([[[-(2**11)]], [[2**11 - 1]]], (2, 2, 2, 3)), SEED.integers(-(2**11), 2**11, (9, 2, 2, 3))]
    )
    assert (qonnx_integers(write(program), program, codes) == program(codes)).all()
    assert (read(write(program))(codes) == program(codes)).all()


TAPS, EACH = np.array([[[[2**20 + 1], [-3]]]]).reshape(2, 1, 1, 1), np.array([[[2**19], [-(2**19) + 1]]])
LARGE: dict[str, Operation] = {
    "pool": MaxPool2d("op", "big", (2, 1), (1, 1)),
    "upsample": Upsample("op", "big", (2, 3)),
    "dense": Dense("op", "big", np.array([[2**20 + 1, -1]]), FixedPoint(22, 22), np.array([2**40 + 1, 0])),
    "conv": Conv2d("op", "big", TAPS, FixedPoint(22, 22), None, (1, 2), (0, 1, 1, 0)),
    "depthwise": DepthwiseConv2d("op", "big", EACH, FixedPoint(21, 21), np.array([1]), (2, 1), (1, 0, 0, 0)),
    "one bit": Dense("op", "big", np.array([[1, -1]]), Bipolar(), None),
    "no weight": Dense("op", "big", np.array([[0]]), FixedPoint(2, 2), None),
}


@pytest.mark.parametrize("operation", LARGE.values(), ids=LARGE)
def test_operations_of_float32_alone_are_executed_on_float64_by_others(operation: Operation) -> None:
    shape = (1, 1, 1) if isinstance(operation, Dense) else (2, 2, 1)
    flat = [Flatten("flat", "big")] if isinstance(operation, Dense) else []
    last = replace(operation, source="flat") if isinstance(operation, Dense) else operation
    big = Affine("big", "x", np.array([2**20]), np.array([1]), 0)
    program = Program((Input("x", "", shape, FixedPoint(12, 12)), big, *flat, last))
    codes = SEED.integers(-(2**11), 2**11, (9, *shape))
    assert (qonnx_integers(write(program), program, codes) == program(codes)).all()
    assert (read(write(program))(codes) == program(codes)).all()


@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (5, 2)])
def test_conv_of_8_bits_with_2304_inputs_is_executed_and_read_exactly(stride: tuple[int, int]) -> None:
    code = FixedPoint(8, 8, signed=False)
    weight = SEED.integers(-128, 128, (3, 3, 256, 4))
    weight[..., 0] = 127
    conv = Conv2d("conv", "x", weight, FixedPoint(8, 1), SEED.integers(-(2**20), 2**20, 4), stride, (1, 1, 1, 1))
    act = Requantize("act", "conv", format_of(2.0**5, 12, signed=True))
    program = Program((Input("x", "", (4, 3, 256), code), conv, act))
    codes = np.where(SEED.random((2, 4, 3, 256)) < 0.5, 255, SEED.integers(0, 256, (2, 4, 3, 256)))
    assert program.tensors["conv"].interval.ends[1] > 2**26
    for part in (Program(program.operations[:2]), program):
        again = read(write(part))
        assert (qonnx_integers(write(part), part, codes) == part(codes)).all()
        assert (again(codes) == part(codes)).all()
        assert all(same(value, vars(again.operations[1])[key]) for key, value in vars(conv).items())


@pytest.mark.parametrize("width", [25, 30, 47, 48, 63])
def test_weights_of_more_than_24_bits_are_several_quantisers_and_read_as_one(width: int) -> None:
    form, most = FixedPoint(width, 3), 2 ** min(width - 1, 51)
    weight = np.array([[-most, most - 1, 2**23, -(2**23), 2**24 + 1 - 2**25, 0]])
    program = Program((Input("x", "", (1,), FixedPoint(2, 2)), Dense("fc", "x", weight, form, None)))
    codes = np.array([[-2], [-1], [0], [1]])
    (_, dense) = read(write(program)).operations
    assert isinstance(dense, Dense)
    assert (dense.weight.tolist(), dense.weight_format) == (weight.tolist(), form)
    assert (qonnx_integers(write(program), program, codes) == codes * weight).all()


def test_partial_sums_decide_the_float_where_the_bias_hides_them() -> None:
    code = FixedPoint(16, 16, signed=False)
    weight, bias = np.array([[255], [255], [1]]), np.array([-(2**24)])
    program = Program((Input("x", "", (3,), code), Dense("fc", "x", weight, FixedPoint(9, 9), bias)))
    codes = np.array([[2**16 - 1, 2**16 - 1, 1], [2**16 - 1, 2**16 - 2, 2], [0, 0, 0]])
    assert max(program.tensors["fc"].interval.ends) <= 2**24
    assert (qonnx_integers(write(program), program, codes) == program(codes)).all()
    assert any(node.op_type == "Cast" for node in write(program).graph.node)


def test_sums_within_24_bits_are_one_node_of_the_layers_name() -> None:
    code = FixedPoint(8, 8)
    conv = Conv2d("conv", "x", np.full((1, 1, 1024, 1), -128), code, None, (1, 1), (0, 0, 0, 0))
    program = Program((Input("x", "", (1, 1, 1024), code), conv))
    assert program.tensors["conv"].interval.ends[1] == 2**24
    assert [node.op_type for node in write(program).graph.node] == ["Quant", "Quant", "Conv"]


REFUSED: dict[str, tuple[tuple[Operation, ...], str]] = {
    "result": (
        (Affine("op", "x", np.array([2**42 + 1]), np.array([0]), 0),),
        f"op: integers must stay within 2**53, where float64 is exact, not reach {2**53 + 2**11}",
    ),
    "partial sums": (
        (Dense("op", "x", np.array([[2**41 + 1]]), FixedPoint(43, 43), np.array([-(2**52)])),),
        f"op: partial sums must stay below 2**53, where float64 is exact, not reach {2**52 + 2**52 + 2**11}",
    ),
    "quantiser": (
        (Requantize("op", "x", FixedPoint(26, 26, overflow="AP_SAT", rounding="AP_RND_CONV")),),
        "op: integers of Requantize must stay within 2**24, where float32 is exact, not reach 33554432",
    ),
}
REMEDIES = {"partial sums": "quantise its input or its weights to fewer bits"}


@pytest.mark.parametrize("kind", REFUSED)
def test_integers_that_no_float_of_qonnx_holds_are_refused(kind: str) -> None:
    operations, says = REFUSED[kind]
    remedy = REMEDIES.get(kind, "quantise to fewer bits")
    with pytest.raises(ValueError, match=f"^{re.escape(says)}; {remedy}$"):
        write(Program((Input("x", "", (1,), FixedPoint(12, 12)), *operations)))


def test_files_are_one_self_contained_valid_graph(tmp_path: Path) -> None:
    program = small()
    save(write(program), tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    codes = np.array([[1, -2], [-8, 7]])
    assert (read(load(tmp_path / "model.onnx"))(codes) == program(codes)).all()


@pytest.mark.parametrize("name", ["x", "y", "output"])
def test_operation_may_be_called_as_tensors_usually_are(name: str) -> None:
    code = FixedPoint(4, 4)
    program = Program((Input(name, "", (2,), code), Dense("fc", name, np.array([[1], [2]]), code, None)))
    codes = np.array([[1, -2], [-8, 7]])
    assert qonnx_integers(write(program), program, codes).tolist() == [[-3], [6]]
    assert read(write(program))(codes).tolist() == [[-3], [6]]


def small() -> Program:
    code = FixedPoint(4, 2)
    return Program(
        (
            Input("in", "", (2,), code),
            Dense("fc", "in", np.array([[1, 2, 0], [3, -4, 1]]), code, np.array([1, 2, 3])),
            MultiplyAdd("act", "fc", np.array([3, 4, 5]), np.array([1, 2, 3]), 2, format_of(0.5, 4, signed=True)),
            Threshold("sign", "act", np.array([[0], [1], [2]]), np.array([True, False, True]), Bipolar()),
        )
    )


def constant(model: ModelWrapper, name: str, value: NDArray[Any] | float) -> None:
    for tensor in model.graph.initializer:
        if tensor.name == name:
            old = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(np.broadcast_to(np.asarray(value, old.dtype), old.shape), name))


def without(model: ModelWrapper, name: str) -> None:
    model.graph.initializer.remove(next(tensor for tensor in model.graph.initializer if tensor.name == name))


def foreign_node(model: ModelWrapper) -> None:
    model.graph.node.append(onnx.helper.make_node("Sigmoid", ["sign"], ["last"]))


def channels_first(model: ModelWrapper) -> None:
    (layout,) = (entry for entry in model.graph.node[-1].attribute if entry.name == "data_layout")
    layout.s = b"NCHW"


CHANGES: dict[str, tuple[Callable[[ModelWrapper], None], str]] = {
    "weight off the grid": (
        lambda model: constant(model, "fc.weight", 0.3),
        "fc.weight: values must be multiples of 0.25, not 0.30000001192092896",
    ),
    "scale": (
        lambda model: constant(model, "act.scale", 0.3),
        "scale: value must be a power of two, not 0.30000001192092896; set restrict_scaling_type to POWER_OF_TWO",
    ),
    "multiplier": (
        lambda model: constant(model, "act.multiplier", np.nan),
        "act: multiplier and offset must be finite, not NaN or infinite",
    ),
    "bias gone": (lambda model: without(model, "sign.thresholds"), "'sign.thresholds'"),
    "other node": (foreign_node, "'Sigmoid'"),
    "zero point": (lambda model: constant(model, "act.zero_point", 1.0), "act.zero_point: constant is another"),
    "layout": (channels_first, "sign: node is another"),
}


@pytest.mark.parametrize(("change", "says"), CHANGES.values(), ids=CHANGES)
def test_file_that_was_changed_is_refused(change: Callable[[ModelWrapper], None], says: str) -> None:
    model = write(small())
    change(model)
    message = f"lowered.onnx: model must be as `bitwright export` wrote it, not changed ({says}); export it again"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read(model, "lowered.onnx")


def gathered() -> Program:
    """A strided, padded convolution of wide weights, an enlargement and a pool, all of them on float64."""
    weight = SEED.integers(-(2**29), 2**29, (3, 2, 2, 2))
    return Program(
        (
            Input("x", "", (4, 5, 2), FixedPoint(8, 8)),
            Conv2d("conv", "x", weight, FixedPoint(30, 30), np.array([1, 2]), (2, 2), (1, 0, 0, 2)),
            DepthwiseConv2d("each", "conv", np.array([[[3, -5]]]), FixedPoint(4, 4), None, (1, 1), (0, 0, 0, 0)),
            Upsample("up", "each", (2, 3)),
            MaxPool2d("pool", "up", (2, 1), (1, 2)),
        )
    )


EDITED = [tensor.name for tensor in write(gathered()).graph.initializer if tensor.data_type == onnx.TensorProto.INT64]


@pytest.mark.parametrize("name", [*EDITED, "conv.weight"])
def test_edit_of_what_gathers_and_adds_on_float64_is_found(name: str) -> None:
    model = write(gathered())
    read(model)
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
    value = numpy_helper.to_array(tensor)
    constant(model, name, value - 2**24 if name == "conv.weight" else value + 1)
    with pytest.raises(
        ValueError, match=r"^model: model must be as `bitwright export` wrote it, not changed \(.*\); export it again$"
    ):
        read(model)


@pytest.mark.parametrize("mark", [None, "1"])
def test_file_of_another_origin_or_version_is_refused(mark: str | None) -> None:
    model = write(small())
    del model.model.metadata_props[:]
    if mark:
        onnx.helper.set_model_props(model.model, {"bitwright.program": mark})
    says = "model: model must be one that `bitwright export` lowered, not another ONNX file; lower it first"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        read(model)


def test_operation_that_the_format_does_not_know_is_refused() -> None:
    program = Program((Input("in", "", (2,), FixedPoint(4, 4)), Unknown("odd", "in")))
    says = "odd: operation must be one that program_file's table names, not Unknown"
    with pytest.raises(TypeError, match=f"^{re.escape(says)}$"):
        write(program)


class Unknown(UnaryOperation):
    """An operation that no file can carry."""

    def result_interval(self, interval: Any, shape: Any) -> Any:  # noqa: ANN401, D102
        return interval

    def result_format(self, format: Any, interval: Any) -> Any:  # noqa: A002, ANN401, D102
        return format
