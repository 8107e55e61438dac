"""An integer program as a QONNX file, and back: `model.lowered.onnx`.

The file is the same computation on real values, each an integer times a power-of-two step, channels last, and qonnx
executes it. Only what `write` writes can be read: other graphs are lowered first.

| operation | nodes |
|---|---|
| `Input`, `Requantize` | `Quant`, or `BipolarQuant` |
| `Dense` | `MatMul` [`Add`] of quantised weights |
| `Conv2d`, `MaxPool2d` | `Conv`, `MaxPool` of qonnx's channels-last domain |
| `MultiplyAdd` | `Cast` to double, `Mul`, `Add`, `Quant`: a product may need more than float32's 24 bits |
| `Threshold` | [`Mul` by +1 and -1] `MultiThreshold` |
| `Flatten` | `Reshape` |
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper

from bitwright.export.operations import (
    Conv2d,
    Dense,
    Flatten,
    Input,
    Integers,
    Linear,
    MaxPool2d,
    MultiplyAdd,
    Operation,
    Requantize,
    Shape,
    Threshold,
)
from bitwright.export.program import Program, Tensor, result_of
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint, format_of

GENERAL = "qonnx.custom_op.general"
CHANNELS_LAST = "qonnx.custom_op.channels_last"
SOURCE = "input"
"""The graph's input; no layer is called so, for `layer_name` reserves the word."""
FORMAT_KEY, FORMAT_VALUE = "bitwright.program", "1"


@dataclass(eq=False)
class _Writer:
    program: Program
    nodes: list[NodeProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def constant(self, name: str, value: NDArray[Any] | float, dtype: type = np.float32) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def value(self, name: str, shape: Shape, dtype: int = TensorProto.FLOAT) -> str:
        self.values.append(helper.make_tensor_value_info(name, dtype, (1, *shape)))
        return name

    def node(self, op_type: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> None:  # noqa: ANN401
        self.nodes.append(helper.make_node(op_type, inputs, [output], name=output, domain=domain, **attributes))

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

    def weights(self, operation: Linear, codes: Integers) -> str:
        """Add the weights, on their grid and quantised; ``codes`` in the node's layout."""
        raw = self.constant(f"{operation.name}.weight", codes * operation.weight_format.step)
        self.values.append(
            helper.make_tensor_value_info(f"{operation.name}.weight_quant", TensorProto.FLOAT, codes.shape)
        )
        self.quant(raw, f"{operation.name}.weight_quant", operation.weight_format)
        return f"{operation.name}.weight_quant"


def write(program: Program) -> ModelWrapper:
    """Return the program as a QONNX graph from ``(1, *shape)`` real values to ``(1, values)``."""
    writer = _Writer(program)
    for operation in program.operations:
        tensor = program.tensors[operation.name]
        _write_operation(writer, operation)
        writer.value(operation.name, tensor.shape)
    output = program.operations[-1].name
    graph = helper.make_graph(
        writer.nodes,
        "bitwright",
        [helper.make_tensor_value_info(SOURCE, TensorProto.FLOAT, (1, *program.input.shape))],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, (1, *program.output.shape))],
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
    name, source = operation.name, operation.source
    match operation:
        case Input():
            writer.quant(SOURCE, name, operation.format)
        case Requantize():
            writer.quant(source, name, operation.format)
        case Linear():
            _write_linear(writer, operation)
        case MaxPool2d():
            writer.node(
                "MaxPool",
                [source],
                name,
                CHANNELS_LAST,
                kernel_shape=operation.kernel,
                strides=operation.stride,
                pads=[0, 0, 0, 0],
            )
        case MultiplyAdd():
            _write_multiply_add(writer, operation)
        case Threshold():
            _write_threshold(writer, operation)
        case Flatten():
            shape = writer.program.tensors[name].shape
            writer.node("Reshape", [source, writer.constant(f"{name}.shape", np.array([-1, *shape]), np.int64)], name)
        case _:
            raise TypeError(f"{name}: operation must be one that the table above names, not {type(operation).__name__}")


def _write_linear(writer: _Writer, operation: Linear) -> None:
    name, source = operation.name, operation.source
    tensor = writer.program.tensors[name]
    step = 2.0 ** -operation.accumulator_fractional(writer.program.tensors[source].format)
    bias = None if operation.bias is None else writer.constant(f"{name}.bias", operation.bias * step)
    if isinstance(operation, Conv2d):
        weights = writer.weights(operation, operation.weight.transpose(3, 0, 1, 2))  # (F, KH, KW, C)
        writer.node(
            "Conv",
            [source, weights, *([bias] if bias else [])],
            name,
            CHANNELS_LAST,
            kernel_shape=operation.weight.shape[:2],
            strides=operation.stride,
            pads=operation.padding,
            dilations=[1, 1],
            group=1,
        )
        return
    weights = writer.weights(operation, operation.weight)
    product = writer.value(f"{name}.product", tensor.shape) if bias else name
    writer.node("MatMul", [source, weights], product)
    if bias:
        writer.node("Add", [product, bias], name)


def _write_multiply_add(writer: _Writer, operation: MultiplyAdd) -> None:
    name, source = operation.name, operation.source
    tensor = writer.program.tensors[source]
    step = operation.format.step * 2.0**-operation.shift
    multiplier = writer.constant(f"{name}.multiplier", operation.multiplier * (step / tensor.format.step), np.float64)
    offset = writer.constant(f"{name}.offset", operation.offset * step, np.float64)
    wide, product, total = (
        writer.value(f"{name}.{part}", tensor.shape, TensorProto.DOUBLE) for part in ("wide", "product", "sum")
    )
    writer.node("Cast", [source], wide, to=TensorProto.DOUBLE)
    writer.node("Mul", [wide, multiplier], product)
    writer.node("Add", [product, offset], total)
    writer.quant(total, name, operation.format)


def _write_threshold(writer: _Writer, operation: Threshold) -> None:
    """A falling channel counts ``-x >= 1 - T`` instead, each threshold that is not reached, and so rises."""
    name, source = operation.name, operation.source
    tensor = writer.program.tensors[source]
    thresholds = np.where(operation.rising[:, None], operation.thresholds, 1 - operation.thresholds[:, ::-1])
    if not operation.rising.all():
        sign = writer.constant(f"{name}.sign", np.where(operation.rising, 1.0, -1.0))
        writer.node("Mul", [source, sign], writer.value(f"{name}.signed", tensor.shape))
        source = f"{name}.signed"
    form = operation.format
    bipolar = isinstance(form, Bipolar)
    writer.node(
        "MultiThreshold",
        [source, writer.constant(f"{name}.thresholds", thresholds * tensor.format.step)],
        name,
        GENERAL,
        out_dtype="BIPOLAR" if isinstance(form, Bipolar) else f"{'INT' if form.signed else 'UINT'}{form.width}",
        out_scale=2.0 if bipolar else form.step,
        out_bias=-1.0 if bipolar else form.lowest * form.step,
        data_layout="NHWC" if len(tensor.shape) == 3 else "NC",
    )


def read(model: ModelWrapper, file: str = "model") -> Program:
    """Return the program of a graph that `write` wrote.

    Raises:
        ValueError: If another tool wrote it, or it was changed beyond recognition.
    """
    properties = {entry.key: entry.value for entry in model.model.metadata_props}
    if properties.get(FORMAT_KEY) != FORMAT_VALUE:
        raise ValueError(
            f"{file}: model must be one that `bitwright export` lowered, not another ONNX file; lower it first"
        )
    try:
        return _read(model)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError, AssertionError) as error:
        raise ValueError(
            f"{file}: model must be as `bitwright export` wrote it, not changed ({error}); export it again"
        ) from error


def _read(model: ModelWrapper) -> Program:
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = {node.output[0]: node for node in model.graph.node}
    operations: list[Operation] = []
    formats: dict[str, Format] = {}
    tensors: dict[str, Tensor] = {}

    def codes(name: str, step: float) -> Integers:
        values = constants[name].astype(np.float64) / step
        result = np.rint(values).astype(np.int64)
        if not (result == values).all():
            raise ValueError(f"{name}: values must be multiples of {step}, not {values[result != values][0] * step}")
        return result

    def form(quant: str) -> Format:
        node = nodes[quant]
        if node.op_type == "BipolarQuant":
            return Bipolar()
        scale, _, width = (float(constants[name]) for name in node.input[1:])
        flags = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        return format_of(scale, int(width), bool(flags["signed"]), bool(flags["narrow"]))

    def add(operation: Operation) -> None:
        operations.append(operation)
        tensors[operation.name] = result_of(operation, tensors)
        formats[operation.name] = tensors[operation.name].format

    for node in model.graph.node:
        name, flags = node.output[0], {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        inner = "." in name  # part of an operation, not its result
        if inner:
            continue
        match node.op_type:
            case "Quant" | "BipolarQuant" if node.input[0] == SOURCE:
                shape = tuple(dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim)[1:]
                port = form(name)
                add(Input(name, "", shape, port.plain() if isinstance(port, FixedPoint) else port))
            case "Quant" if f"{name}.multiplier" in constants:
                add(_read_multiply_add(name, nodes, constants, formats, form(name)))
            case "Quant":
                found = form(name)
                assert isinstance(found, FixedPoint)
                add(Requantize(name, node.input[0], found))
            case "Add" | "MatMul" | "Conv":
                product = nodes[node.input[0]] if node.op_type == "Add" else node
                weight_format = form(product.input[1])
                weight = codes(f"{name}.weight", weight_format.step)
                source = product.input[0]
                bias = None
                if f"{name}.bias" in constants:
                    bias = codes(f"{name}.bias", formats[source].step * weight_format.step)
                plain = weight_format if isinstance(weight_format, Bipolar) else weight_format.plain()
                if node.op_type == "Conv":
                    weight = np.ascontiguousarray(weight.transpose(1, 2, 3, 0))
                    add(Conv2d(name, source, weight, plain, bias, tuple(flags["strides"]), tuple(flags["pads"])))
                else:
                    add(Dense(name, source, weight, plain, bias))
            case "MaxPool":
                add(MaxPool2d(name, node.input[0], tuple(flags["kernel_shape"]), tuple(flags["strides"])))
            case "MultiThreshold":
                add(_read_threshold(name, node, nodes, constants, flags, codes, formats))
            case "Reshape":
                add(Flatten(name, node.input[0]))
            case other:
                raise KeyError(other)
    return Program(tuple(operations))


def _read_multiply_add(
    name: str, nodes: dict[str, NodeProto], constants: dict[str, NDArray[Any]], formats: dict[str, Format], form: Format
) -> MultiplyAdd:
    assert isinstance(form, FixedPoint)
    source = nodes[f"{name}.wide"].input[0]
    multiplier = constants[f"{name}.multiplier"] * (formats[source].step / form.step)
    offset = constants[f"{name}.offset"] / form.step
    if not (np.isfinite(multiplier).all() and np.isfinite(offset).all()):
        raise ValueError(f"{name}: multiplier and offset must be finite, not NaN or infinite")
    shift = 0
    while not all((v * 2.0**shift == np.rint(v * 2.0**shift)).all() for v in (multiplier, offset)):
        shift += 1
    scale = 2.0**shift
    return MultiplyAdd(
        name,
        source,
        np.rint(multiplier * scale).astype(np.int64),
        np.rint(offset * scale).astype(np.int64),
        shift,
        form,
    )


def _read_threshold(
    name: str,
    node: NodeProto,
    nodes: dict[str, NodeProto],
    constants: dict[str, NDArray[Any]],
    flags: dict[str, Any],
    codes: Any,  # noqa: ANN401 - the closure above
    formats: dict[str, Format],
) -> Threshold:
    signed = f"{name}.sign" in constants
    source = nodes[node.input[0]].input[0] if signed else node.input[0]
    thresholds = codes(f"{name}.thresholds", formats[source].step)
    rising = constants[f"{name}.sign"] > 0 if signed else np.ones(len(thresholds), bool)
    thresholds = np.where(rising[:, None], thresholds, 1 - thresholds[:, ::-1])
    dtype = flags["out_dtype"].decode()
    form: Format
    if dtype == "BIPOLAR":
        form = Bipolar()
    else:
        unsigned = dtype.startswith("UINT")
        width = int(dtype.removeprefix("U").removeprefix("INT"))
        narrow = not unsigned and thresholds.shape[1] == 2**width - 2
        form = format_of(flags["out_scale"], width, not unsigned, narrow)
    return Threshold(name, source, thresholds, rising, form)
