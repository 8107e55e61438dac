"""Writing a program as a graph; what becomes of each operation stands in `program_file`."""

from typing import Any

import numpy as np
from onnx import TensorProto, helper
from qonnx.core.modelwrapper import ModelWrapper

from bitwright.export.operations import (
    Add,
    Affine,
    Concat,
    Flatten,
    Input,
    Linear,
    MaxPool2d,
    Multiply,
    MultiplyAdd,
    Operation,
    Requantize,
    Reshape,
    Table,
    Threshold,
    Transpose,
    UnaryOperation,
    Upsample,
)
from bitwright.export.program import Program
from bitwright.export.program_file_graph import CHANNELS_LAST, DOUBLE, GENERAL, SINGLE, GraphWriter
from bitwright.export.program_file_linear import write_linear
from bitwright.quant.bipolar import Bipolar

SOURCE = "input"
"""The graph's input; no layer is called so, for `layer_name` reserves the word."""
FORMAT_KEY, FORMAT_VALUE = "bitwright.program", "2"
LAYOUTS = {1: "NC", 2: "NWC", 3: "NHWC"}
"""qonnx's names for the axes of a tensor, by the number of its axes without the batch."""


def write(program: Program) -> ModelWrapper:
    """Return the program as a QONNX graph from ``(1, *shape)`` real values to ``(1, *shape)``.

    Raises:
        ValueError: If integers are too large for qonnx to execute the operation exactly.
    """
    writer = GraphWriter(program)
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


def _write_operation(writer: GraphWriter, operation: Operation) -> None:
    match operation:
        case Input():
            writer.quantize(SOURCE, operation)
        case Add() | Multiply() | Concat():
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
            write_linear(writer, operation)
        case UnaryOperation():
            _write_plain(writer, operation)
        case _:
            raise _unknown(operation)


def _unknown(operation: Operation) -> TypeError:
    return TypeError(
        f"{operation.name}: operation must be one that program_file's table names, not {type(operation).__name__}"
    )


def _write_plain(writer: GraphWriter, operation: UnaryOperation) -> None:
    """Add what is one node."""
    name, source = operation.name, operation.source
    shape = writer.tensor(name).shape
    match operation:
        case Requantize():
            writer.quantize(source, operation)
        case MaxPool2d():
            _write_pool(writer, operation)
        case Upsample():
            _write_upsample(writer, operation)
        case Flatten():
            writer.node("Flatten", [source], name, axis=1)
        case Reshape():
            writer.node("Reshape", [source, writer.constant(f"{name}.shape", np.array([-1, *shape]), np.int64)], name)
        case Transpose():
            writer.node("Transpose", [source], name, perm=[0, *(axis + 1 for axis in operation.axes)])
        case _:
            raise _unknown(operation)


def _write_pool(writer: GraphWriter, operation: MaxPool2d) -> None:
    """Pool channels last; on float64 channels first, for qonnx's channels-last domain knows float32 alone."""
    name, source = operation.name, operation.source
    flags: dict[str, Any] = {"kernel_shape": operation.kernel, "strides": operation.stride, "pads": [0, 0, 0, 0]}
    if writer.kind(source) == SINGLE:
        writer.node("MaxPool", [source], name, CHANNELS_LAST, **flags)
        return
    shapes = [(channels, height, width) for height, width, channels in (writer.tensor(t).shape for t in (source, name))]
    first, pooled = (
        writer.value(f"{name}.{part}", shape, DOUBLE) for part, shape in zip(("first", "pooled"), shapes, strict=True)
    )
    writer.node("Transpose", [source], first, perm=[0, 3, 1, 2])
    writer.node("MaxPool", [first], pooled, **flags)
    writer.node("Transpose", [pooled], name, perm=[0, 2, 3, 1])


def _write_upsample(writer: GraphWriter, operation: Upsample) -> None:
    """Resize; on float64 gather each row and each column several times, for onnxruntime's Resize knows no float64."""
    name, source = operation.name, operation.source
    if writer.kind(source) == SINGLE:
        nothing = writer.constant(f"{name}.roi", np.zeros(0))
        scales = writer.constant(f"{name}.scales", np.array([1, *operation.factors, 1]))
        modes = {"coordinate_transformation_mode": "asymmetric", "mode": "nearest", "nearest_mode": "floor"}
        writer.node("Resize", [source, nothing, scales], name, **modes)
        return
    height, width, channels = writer.tensor(source).shape
    rows, columns = (
        writer.constant(f"{name}.{part}_index", np.arange(size).repeat(factor), np.int64)
        for part, size, factor in zip(("rows", "columns"), (height, width), operation.factors, strict=True)
    )
    repeated = writer.value(f"{name}.rows", (height * operation.factors[0], width, channels), DOUBLE)
    writer.node("Gather", [source, rows], repeated, axis=1)
    writer.node("Gather", [repeated, columns], name, axis=2)


def _write_multiply_add(writer: GraphWriter, operation: MultiplyAdd) -> None:
    """Multiply and add in float64, which holds every product and every sum, and quantise."""
    name = operation.name
    step = operation.format.step * 2.0**-operation.shift
    total = writer.value(f"{name}.sum", writer.tensor(name).shape, DOUBLE)
    _write_sum(writer, operation, step, total)
    writer.quantize(total, operation)


def _write_affine(writer: GraphWriter, operation: Affine) -> None:
    """Multiply and add integers in float64, and scale them."""
    name, kind = operation.name, writer.kind(operation.name)
    shape = writer.tensor(name).shape
    codes = writer.value(f"{name}.codes", shape, DOUBLE)
    _write_sum(writer, operation, 1.0, codes)
    result = name if kind == DOUBLE else writer.value(f"{name}.scaled", shape, DOUBLE)
    writer.node("Mul", [codes, writer.constant(f"{name}.step", 2.0**-operation.fractional, np.float64)], result)
    if kind == SINGLE:
        writer.node("Cast", [result], name, to=SINGLE)


def _write_sum(writer: GraphWriter, operation: MultiplyAdd | Affine, step: float, total: str) -> None:
    """Multiply and add, the sum's integers being worth ``step`` each."""
    name, source = operation.name, operation.source
    tensor = writer.tensor(source)
    multiplier = writer.constant(f"{name}.multiplier", operation.multiplier * (step / tensor.format.step), np.float64)
    offset = writer.constant(f"{name}.offset", operation.offset * step, np.float64)
    wide, product = (writer.value(f"{name}.{part}", tensor.shape, DOUBLE) for part in ("wide", "product"))
    writer.node("Cast", [source], wide, to=DOUBLE)
    writer.node("Mul", [wide, multiplier], product)
    writer.node("Add", [product, offset], total)


def _write_threshold(writer: GraphWriter, operation: Threshold) -> None:
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


def _write_table(writer: GraphWriter, operation: Table) -> None:
    name, source = operation.name, operation.source
    tensor, kind = writer.tensor(source), writer.kind(source)
    dtype = np.float32 if kind == SINGLE else np.float64
    codes, places = (writer.value(f"{name}.{part}", tensor.shape, kind) for part in ("codes", "places"))
    index = writer.value(f"{name}.index", tensor.shape, TensorProto.INT64)
    writer.node("Mul", [source, writer.constant(f"{name}.steps", 1 / tensor.format.step, dtype)], codes)
    writer.node("Sub", [codes, writer.constant(f"{name}.lowest", operation.lowest, dtype)], places)
    writer.node("Cast", [places], index, to=TensorProto.INT64)
    entries = writer.constant(f"{name}.entries", operation.entries * operation.format.step)
    writer.node("Gather", [entries, index], writer.value(f"{name}.entry", tensor.shape))
    writer.quantize(f"{name}.entry", operation)


def _write_join(writer: GraphWriter, operation: Add | Multiply | Concat) -> None:
    name = operation.name
    kinds = [writer.kind(tensor) for tensor in (*operation.sources, name)]
    kind = DOUBLE if DOUBLE in kinds else SINGLE
    sources = [
        writer.cast(source, f"{name}.{side}", kind)
        for source, side in zip(operation.sources, ("left", "right"), strict=True)
    ]
    narrows = kind != kinds[-1]
    result = writer.value(f"{name}.wide", writer.tensor(name).shape, kind) if narrows else name
    match operation:
        case Concat():
            writer.node("Concat", sources, result, axis=len(writer.tensor(name).shape))
        case Multiply():
            writer.node("Mul", sources, result)
        case Add():
            writer.node("Add", sources, result)
    if narrows:
        writer.node("Cast", [result], name, to=kinds[-1])
