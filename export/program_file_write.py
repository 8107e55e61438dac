"""Writing a program as a graph; what becomes of each operation stands in `program_file`."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper

from bitwright.export.operations import (
    Add,
    Affine,
    Concat,
    Conv2d,
    DepthwiseConv2d,
    Flatten,
    Input,
    Integers,
    Linear,
    MaxPool2d,
    MultiplyAdd,
    Operation,
    Requantize,
    Reshape,
    Shape,
    Table,
    Tensor,
    Threshold,
    Transpose,
    UnaryOperation,
    Upsample,
)
from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar, Format

GENERAL = "qonnx.custom_op.general"
CHANNELS_LAST = "qonnx.custom_op.channels_last"
SOURCE = "input"
"""The graph's input; no layer is called so, for `layer_name` reserves the word."""
FORMAT_KEY, FORMAT_VALUE = "bitwright.program", "2"
SINGLE, DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE
LARGEST_SINGLE, LARGEST_DOUBLE = 2**24, 2**53
LAYOUTS = {1: "NC", 2: "NWC", 3: "NHWC"}
"""qonnx's names for the axes of a tensor, by the number of its axes without the batch."""


@dataclass(eq=False)
class _Writer:
    program: Program
    nodes: list[NodeProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def tensor(self, name: str) -> Tensor:
        return self.program.tensors[name]

    def kind(self, name: str) -> int:
        """Return the float type that holds every integer of an operation's result."""
        largest = max(map(abs, self.tensor(name).interval.ends))
        if largest > LARGEST_DOUBLE:
            raise ValueError(f"{name}: integers must stay within 2**53, where float64 is exact, not reach {largest}")
        return SINGLE if largest <= LARGEST_SINGLE else DOUBLE

    def single(self, operation: Operation) -> None:
        """Refuse what qonnx executes on float32 alone."""
        for name in (*operation.sources, operation.name):
            if self.kind(name) == DOUBLE:
                raise ValueError(
                    f"{operation.name}: integers of {type(operation).__name__} must stay within 2**24, where float32 "
                    f"is exact, not reach {max(map(abs, self.tensor(name).interval.ends))}"
                )

    def constant(self, name: str, value: NDArray[Any] | float, dtype: type = np.float32) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def value(self, name: str, shape: Shape, dtype: int = SINGLE) -> str:
        self.values.append(helper.make_tensor_value_info(name, dtype, (1, *shape)))
        return name

    def node(self, op_type: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> None:  # noqa: ANN401
        self.nodes.append(helper.make_node(op_type, inputs, [output], name=output, domain=domain, **attributes))

    def cast(self, source: str, output: str, kind: int) -> str:
        """Add a cast of an operation's result, where it is of another kind."""
        if self.kind(source) == kind:
            return source
        self.node("Cast", [source], self.value(output, self.tensor(source).shape, kind), to=kind)
        return output

    def quant(self, source: str, output: str, form: Format) -> None:
        """Add a quantiser with the format's step, width and range."""
        scale = self.constant(f"{output}.scale", form.step)
        if isinstance(form, Bipolar):
            self.node("BipolarQuant", [source, scale], output, GENERAL)
            return
        zero = self.constant(f"{output}.zero_point", 0.0)
        width = self.constant(f"{output}.bit_width", form.width)
        self.node(
            "Quant",
            [source, scale, zero, width],
            output,
            GENERAL,
            signed=int(form.signed),
            narrow=int(form.overflow == "AP_SAT_SYM"),
            rounding_mode="ROUND",
        )

    def weights(self, operation: Linear, codes: Integers, name: str) -> str:
        """Add the weights, on their grid and quantised; ``codes`` in the node's layout."""
        raw = self.constant(f"{operation.name}.{name}", codes * operation.weight_format.step)
        quant = f"{operation.name}.{name}_quant"
        self.values.append(helper.make_tensor_value_info(quant, SINGLE, codes.shape))
        self.quant(raw, quant, operation.weight_format)
        return quant


def write(program: Program) -> ModelWrapper:
    """Return the program as a QONNX graph from ``(1, *shape)`` real values to ``(1, *shape)``.

    Raises:
        ValueError: If integers are too large for qonnx to execute the operation exactly.
    """
    writer = _Writer(program)
    for operation in program.operations:
        _write_operation(writer, operation)
        writer.value(operation.name, writer.tensor(operation.name).shape, writer.kind(operation.name))
    output = program.operations[-1].name
    graph = helper.make_graph(
        writer.nodes,
        "bitwright",
        [helper.make_tensor_value_info(SOURCE, SINGLE, (1, *program.input.shape))],
        [helper.make_tensor_value_info(output, writer.kind(output), (1, *program.output.shape))],
        initializer=writer.initializers,
        value_info=[value for value in writer.values if value.name != output],
    )
    model = helper.make_model(
        graph,
        opset_imports=[
            helper.make_opsetid("", 20),
            helper.make_opsetid(GENERAL, 2),
            helper.make_opsetid(CHANNELS_LAST, 14),
        ],
        ir_version=10,
        producer_name="bitwright",
    )
    helper.set_model_props(model, {FORMAT_KEY: FORMAT_VALUE})
    return ModelWrapper(model)


def _write_operation(writer: _Writer, operation: Operation) -> None:
    match operation:
        case Input():
            writer.quant(SOURCE, operation.name, operation.format)
        case Add() | Concat():
            _write_join(writer, operation)
        case MultiplyAdd():
            _write_multiply_add(writer, operation)
        case Affine():
            _write_affine(writer, operation)
        case Threshold():
            _write_threshold(writer, operation)
        case Table():
            _write_table(writer, operation)
        case Linear():
            writer.single(operation)
            _write_linear(writer, operation)
        case UnaryOperation():
            _write_plain(writer, operation)
        case _:
            raise _unknown(operation)


def _unknown(operation: Operation) -> TypeError:
    return TypeError(
        f"{operation.name}: operation must be one that program_file's table names, not {type(operation).__name__}"
    )


def _write_plain(writer: _Writer, operation: UnaryOperation) -> None:
    """Add what is one node."""
    name, source = operation.name, operation.source
    shape = writer.tensor(name).shape
    match operation:
        case Requantize():
            writer.quant(source, name, operation.format)
        case MaxPool2d():
            writer.single(operation)
            flags = {"kernel_shape": operation.kernel, "strides": operation.stride, "pads": [0, 0, 0, 0]}
            writer.node("MaxPool", [source], name, CHANNELS_LAST, **flags)
        case Upsample():
            writer.single(operation)
            nothing = writer.constant(f"{name}.roi", np.zeros(0))
            scales = writer.constant(f"{name}.scales", np.array([1, *operation.factors, 1]))
            modes = {"coordinate_transformation_mode": "asymmetric", "mode": "nearest", "nearest_mode": "floor"}
            writer.node("Resize", [source, nothing, scales], name, **modes)
        case Flatten():
            writer.node("Flatten", [source], name, axis=1)
        case Reshape():
            writer.node("Reshape", [source, writer.constant(f"{name}.shape", np.array([-1, *shape]), np.int64)], name)
        case Transpose():
            writer.node("Transpose", [source], name, perm=[0, *(axis + 1 for axis in operation.axes)])
        case _:
            raise _unknown(operation)


def _write_linear(writer: _Writer, operation: Linear) -> None:
    name, source = operation.name, operation.source
    step = 2.0 ** -operation.accumulator_fractional(writer.tensor(source).format)
    bias = None if operation.bias is None else writer.constant(f"{name}.bias", operation.bias * step)
    if isinstance(operation, Conv2d | DepthwiseConv2d):
        if isinstance(operation, Conv2d):
            weights = writer.weights(operation, operation.weight.transpose(3, 0, 1, 2), "weight")  # (F, KH, KW, C)
        else:
            weights = writer.weights(operation, operation.weight.transpose(2, 0, 1)[..., None], "depthwise")
        writer.node(
            "Conv",
            [source, weights, *([bias] if bias else [])],
            name,
            CHANNELS_LAST,
            kernel_shape=operation.weight.shape[:2],
            strides=operation.stride,
            pads=operation.padding,
            dilations=[1, 1],
            group=1 if isinstance(operation, Conv2d) else operation.weight.shape[-1],
        )
        return
    weights = writer.weights(operation, operation.weight, "weight")
    product = writer.value(f"{name}.product", writer.tensor(name).shape) if bias else name
    writer.node("MatMul", [source, weights], product)
    if bias:
        writer.node("Add", [product, bias], name)


def _write_multiply_add(writer: _Writer, operation: MultiplyAdd) -> None:
    """Multiply and add in float64, which holds every product and every sum, and quantise."""
    name = operation.name
    step = operation.format.step * 2.0**-operation.shift
    total = writer.value(f"{name}.sum", writer.tensor(name).shape, DOUBLE)
    _write_sum(writer, operation, step, total)
    writer.quant(total, name, operation.format)


def _write_affine(writer: _Writer, operation: Affine) -> None:
    """Multiply and add integers in float64, and scale them."""
    name, kind = operation.name, writer.kind(operation.name)
    shape = writer.tensor(name).shape
    codes = writer.value(f"{name}.codes", shape, DOUBLE)
    _write_sum(writer, operation, 1.0, codes)
    result = name if kind == DOUBLE else writer.value(f"{name}.scaled", shape, DOUBLE)
    writer.node("Mul", [codes, writer.constant(f"{name}.step", 2.0**-operation.fractional, np.float64)], result)
    if kind == SINGLE:
        writer.node("Cast", [result], name, to=SINGLE)


def _write_sum(writer: _Writer, operation: MultiplyAdd | Affine, step: float, total: str) -> None:
    """Multiply and add, the sum's integers being worth ``step`` each."""
    name, source = operation.name, operation.source
    tensor = writer.tensor(source)
    multiplier = writer.constant(f"{name}.multiplier", operation.multiplier * (step / tensor.format.step), np.float64)
    offset = writer.constant(f"{name}.offset", operation.offset * step, np.float64)
    wide, product = (writer.value(f"{name}.{part}", tensor.shape, DOUBLE) for part in ("wide", "product"))
    writer.node("Cast", [source], wide, to=DOUBLE)
    writer.node("Mul", [wide, multiplier], product)
    writer.node("Add", [product, offset], total)


def _write_threshold(writer: _Writer, operation: Threshold) -> None:
    """A falling channel counts ``-x >= 1 - T`` instead, each threshold that is not reached, and so rises."""
    name, source = operation.name, operation.source
    tensor, kind = writer.tensor(source), writer.kind(source)
    dtype = np.float32 if kind == SINGLE else np.float64
    thresholds = np.where(operation.rising[:, None], operation.thresholds, 1 - operation.thresholds[:, ::-1])
    if not operation.rising.all():
        sign = writer.constant(f"{name}.sign", np.where(operation.rising, 1.0, -1.0), dtype)
        writer.node("Mul", [source, sign], writer.value(f"{name}.signed", tensor.shape, kind))
        source = f"{name}.signed"
    form = operation.format
    bipolar = isinstance(form, Bipolar)
    writer.node(
        "MultiThreshold",
        [source, writer.constant(f"{name}.thresholds", thresholds * tensor.format.step, dtype)],
        name if kind == SINGLE else writer.value(f"{name}.levels", tensor.shape, kind),
        GENERAL,
        out_dtype="BIPOLAR" if isinstance(form, Bipolar) else f"{'INT' if form.signed else 'UINT'}{form.width}",
        out_scale=2.0 if bipolar else form.step,
        out_bias=-1.0 if bipolar else form.lowest * form.step,
        data_layout=LAYOUTS[len(tensor.shape)],
    )
    if kind == DOUBLE:
        writer.node("Cast", [f"{name}.levels"], name, to=SINGLE)


def _write_table(writer: _Writer, operation: Table) -> None:
    name, source = operation.name, operation.source
    tensor, kind = writer.tensor(source), writer.kind(source)
    dtype = np.float32 if kind == SINGLE else np.float64
    codes, places = (writer.value(f"{name}.{part}", tensor.shape, kind) for part in ("codes", "places"))
    index = writer.value(f"{name}.index", tensor.shape, TensorProto.INT64)
    writer.node("Mul", [source, writer.constant(f"{name}.steps", 1 / tensor.format.step, dtype)], codes)
    writer.node("Sub", [codes, writer.constant(f"{name}.lowest", operation.lowest, dtype)], places)
    writer.node("Cast", [places], index, to=TensorProto.INT64)
    wide = writer.kind(name)
    entry = np.float32 if wide == SINGLE else np.float64
    entries = writer.constant(f"{name}.entries", operation.entries * operation.format.step, entry)
    writer.node("Gather", [entries, index], writer.value(f"{name}.entry", tensor.shape, wide))
    writer.quant(f"{name}.entry", name, operation.format)


def _write_join(writer: _Writer, operation: Add | Concat) -> None:
    name = operation.name
    kinds = [writer.kind(tensor) for tensor in (*operation.sources, name)]
    kind = DOUBLE if DOUBLE in kinds else SINGLE
    sources = [
        writer.cast(source, f"{name}.{side}", kind)
        for source, side in zip(operation.sources, ("left", "right"), strict=True)
    ]
    narrows = kind != kinds[-1]
    result = writer.value(f"{name}.wide", writer.tensor(name).shape, kind) if narrows else name
    if isinstance(operation, Add):
        writer.node("Add", sources, result)
    else:
        writer.node("Concat", sources, result, axis=len(writer.tensor(name).shape))
    if narrows:
        writer.node("Cast", [result], name, to=kinds[-1])
