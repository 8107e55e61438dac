"""Reading a program from the graph that `program_file_write` wrote; what is otherwise is refused, not guessed."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper

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
    Multiply,
    MultiplyAdd,
    Operation,
    Requantize,
    Reshape,
    Table,
    Tensor,
    Threshold,
    Transpose,
    Upsample,
)
from bitwright.export.program import Program, result_of
from bitwright.export.program_file_write import FORMAT_KEY, FORMAT_VALUE, SOURCE, write
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint, format_of, fractional_bits


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
        program = _Reader(model).program()
        _compare(model, write(program))
        return program
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError, AssertionError) as error:
        raise ValueError(
            f"{file}: model must be as `bitwright export` wrote it, not changed ({error}); export it again"
        ) from error


def _compare(found: ModelWrapper, written: ModelWrapper) -> None:
    """Refuse what reading did not look at: the program that was read, written again, must be the same."""
    for one, other in zip(found.graph.node, written.graph.node, strict=True):
        if one != other:
            raise ValueError(f"{other.output[0]}: node is another")
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in found.graph.initializer}
    for tensor in written.graph.initializer:
        value, expected = constants.pop(tensor.name), numpy_helper.to_array(tensor)
        if value.dtype != expected.dtype or not np.array_equal(value, expected):
            raise ValueError(f"{tensor.name}: constant is another")
    if constants:
        raise ValueError(f"{min(constants)}: constant is used by nothing")


@dataclass(eq=False)
class _Reader:
    model: ModelWrapper
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in self.model.graph.initializer}
        self.nodes: dict[str, NodeProto] = {node.output[0]: node for node in self.model.graph.node}

    def program(self) -> Program:
        operations: list[Operation] = []
        for node in self.model.graph.node:
            name = node.output[0]
            if "." in name:  # part of an operation, not its result
                continue
            operations.append(self.operation(name, node, _flags(node)))
            self.tensors[name] = result_of(operations[-1], self.tensors)
        return Program(tuple(operations))

    def step(self, name: str) -> float:
        return self.tensors[name].format.step

    def codes(self, name: str, step: float) -> Integers:
        """Return a constant's integers."""
        values = self.constants[name].astype(np.float64) / step
        result = np.rint(values).astype(np.int64)
        if not (result == values).all():
            raise ValueError(f"{name}: values must be multiples of {step}, not {values[result != values][0] * step}")
        return result

    def format(self, quant: str) -> Format:
        """Return a quantiser's format."""
        node = self.nodes[quant]
        if node.op_type == "BipolarQuant":
            return Bipolar()
        scale, _, width = (float(self.constants[name]) for name in node.input[1:])
        flags = _flags(node)
        return format_of(scale, int(width), bool(flags["signed"]), bool(flags["narrow"]))

    def fixed(self, quant: str) -> FixedPoint:
        found = self.format(quant)
        assert isinstance(found, FixedPoint)
        return found

    def operation(self, name: str, node: NodeProto, flags: dict[str, Any]) -> Operation:
        has = {part for part in PARTS if f"{name}.{part}" in self.constants}
        source = node.input[0]
        match node.op_type:
            case "Quant" | "BipolarQuant" if source == SOURCE:
                shape = tuple(dim.dim_value for dim in self.model.graph.input[0].type.tensor_type.shape.dim)[1:]
                port = self.format(name)
                return Input(name, "", shape, port.plain() if isinstance(port, FixedPoint) else port)
            case "Quant" | "BipolarQuant" if "entries" in has:
                return self.table(name)
            case "Quant" if "multiplier" in has:
                return self.multiply_add(name)
            case "Quant":
                return Requantize(name, source, self.fixed(name))
            case "MultiThreshold":
                return self.threshold(name)
            case "Cast" if "thresholds" in has:
                return self.threshold(name)
            case "Cast" | "Mul" if "multiplier" in has:
                return self.affine(name)
            case _ if f"{name}.double0.weight_quant" in self.nodes:
                return self.double_linear(name)
            case "Add" | "MatMul" | "Conv" if has & {"weight", "depthwise"}:
                return self.linear(name, node, flags)
            case "Cast" | "Add" | "Mul" | "Concat":
                return self.join(name, node)
            case "MaxPool":
                return MaxPool2d(name, source, tuple(flags["kernel_shape"]), tuple(flags["strides"]))
            case "Resize":
                _, height, width, _ = self.constants[f"{name}.scales"].tolist()
                return Upsample(name, source, (int(height), int(width)))
            case "Gather":
                height, width, _ = self.tensors[self.source(name)].shape
                rows, columns = (len(self.constants[f"{name}.{part}_index"]) for part in ("rows", "columns"))
                return Upsample(name, self.source(name), (rows // height, columns // width))
            case "Flatten":
                return Flatten(name, source)
            case "Reshape":
                return Reshape(name, source, tuple(self.constants[f"{name}.shape"].tolist()[1:]))
            case "Transpose" if f"{name}.pooled" in self.nodes:
                flags = _flags(self.nodes[f"{name}.pooled"])
                return MaxPool2d(name, self.source(name), tuple(flags["kernel_shape"]), tuple(flags["strides"]))
            case "Transpose":
                return Transpose(name, source, tuple(axis - 1 for axis in flags["perm"][1:]))
            case other:
                raise KeyError(other)

    def linear(self, name: str, node: NodeProto, flags: dict[str, Any]) -> Operation:
        product = self.nodes[node.input[0]] if node.op_type == "Add" else node
        source, quant = product.input[:2]
        form = self.format(quant)
        weight = self.codes(quant.removesuffix("_quant"), form.step)
        bias = self.codes(f"{name}.bias", self.step(source) * form.step) if f"{name}.bias" in self.constants else None
        plain = form.plain() if isinstance(form, FixedPoint) else form
        if node.op_type != "Conv":
            return Dense(name, source, weight, plain, bias)
        stride, padding = tuple(flags["strides"]), tuple(flags["pads"])
        if quant.endswith(".depthwise_quant"):
            weight = np.ascontiguousarray(weight[..., 0].transpose(1, 2, 0))
            return DepthwiseConv2d(name, source, weight, plain, bias, stride, padding)
        weight = np.ascontiguousarray(weight.transpose(1, 2, 3, 0))
        return Conv2d(name, source, weight, plain, bias, stride, padding)

    def source(self, name: str) -> str:
        """Return the operation that an operation of several nodes in a row begins at."""
        source = self.nodes[name].input[0]
        return self.source(source) if "." in source else source

    def double_linear(self, name: str) -> Operation:
        source, (weight, form) = self.source(name), self.double_weights(name)
        bias = self.codes(f"{name}.bias", self.step(source) * form.step) if f"{name}.bias" in self.constants else None
        if f"{name}.columns" not in self.nodes:
            return Dense(name, source, weight, form, bias)
        top, left, bottom, right = self.constants.get(f"{name}.pads", np.zeros(8, np.int64))[[1, 2, 5, 6]].tolist()
        down, across = (int(self.constants.get(f"{name}.{axis}_steps", ONE)[0]) for axis in ("rows", "columns"))
        rest = (form, bias, (down, across), (top, left, bottom, right))
        if f"{name}.taps" in self.nodes:
            return DepthwiseConv2d(name, source, weight[:, 0], *rest)
        height, width = (self.constants[f"{name}.{axis}_index"].shape[1] for axis in ("rows", "columns"))
        return Conv2d(name, source, weight.reshape(height, width, -1, weight.shape[-1]), *rest)

    def double_weights(self, name: str) -> tuple[Integers, Format]:
        """Return the weights and their format, put together from their parts."""
        form = self.format(f"{name}.weight_quant")
        weight = self.codes(f"{name}.weight", form.step)
        fractional, digit = form.fractional, 1
        while f"{name}.digit{digit}.weight" in self.constants:
            form = self.fixed(f"{name}.digit{digit}.weight_quant")
            weight = weight + (self.codes(f"{name}.digit{digit}.weight", form.step) << (fractional - form.fractional))
            digit += 1
        if isinstance(form, Bipolar):
            return weight, form
        return weight, FixedPoint(form.integer + fractional, form.integer, form.signed)

    def factors(self, name: str) -> tuple[str, NDArray[np.float64], NDArray[np.float64]]:
        """Return the source, the multiplier and the offset of a multiply-add, as real numbers."""
        multiplier, offset = self.constants[f"{name}.multiplier"], self.constants[f"{name}.offset"]
        if not (np.isfinite(multiplier).all() and np.isfinite(offset).all()):
            raise ValueError(f"{name}: multiplier and offset must be finite, not NaN or infinite")
        return self.nodes[f"{name}.wide"].input[0], multiplier, offset

    def multiply_add(self, name: str) -> MultiplyAdd:
        form = self.fixed(name)
        source, multiplier, offset = self.factors(name)
        multiplier, offset = multiplier * (self.step(source) / form.step), offset / form.step
        shift = _fraction_bits(multiplier, offset)
        multiplier, offset = (np.rint(values * 2.0**shift) for values in (multiplier, offset))
        return MultiplyAdd(name, source, multiplier.astype(np.int64), offset.astype(np.int64), shift, form)

    def affine(self, name: str) -> Affine:
        source, _, _ = self.factors(name)
        fractional = fractional_bits(float(self.constants[f"{name}.step"]))
        codes = self.codes(f"{name}.multiplier", 1 / self.step(source)), self.codes(f"{name}.offset", 1.0)
        return Affine(name, source, *codes, fractional)

    def threshold(self, name: str) -> Threshold:
        node = self.nodes[name]
        if node.op_type == "Cast":
            node = self.nodes[node.input[0]]
        flags, signed = _flags(node), f"{name}.sign" in self.constants
        source = self.nodes[node.input[0]].input[0] if signed else node.input[0]
        thresholds = self.codes(f"{name}.thresholds", self.step(source))
        rising = self.constants[f"{name}.sign"] > 0 if signed else np.ones(len(thresholds), bool)
        thresholds = np.where(rising[:, None], thresholds, 1 - thresholds[:, ::-1])
        dtype = flags["out_dtype"].decode()
        if dtype == "BIPOLAR":
            return Threshold(name, source, thresholds, rising, Bipolar())
        unsigned = dtype.startswith("UINT")
        width = int(dtype.removeprefix("U").removeprefix("INT"))
        narrow = not unsigned and thresholds.shape[1] == 2**width - 2
        form = format_of(flags["out_scale"], width, not unsigned, narrow)
        return Threshold(name, source, thresholds, rising, form)

    def table(self, name: str) -> Table:
        form = self.format(name)
        source = self.nodes[f"{name}.codes"].input[0]
        return Table(
            name, source, self.codes(f"{name}.entries", form.step), int(self.constants[f"{name}.lowest"]), form
        )

    def join(self, name: str, node: NodeProto) -> Operation:
        if node.op_type == "Cast":
            node = self.nodes[node.input[0]]
        left, right = (self.nodes[source].input[0] if "." in source else source for source in node.input)
        return JOINS[node.op_type](name, left, right)


ONE = np.ones(1, np.int64)

JOINS = {"Add": Add, "Mul": Multiply, "Concat": Concat}
"""Operations of two sources, by their node."""

PARTS = ("entries", "multiplier", "thresholds", "weight", "depthwise")
"""Constants that tell what a node is a part of."""


def _flags(node: NodeProto) -> dict[str, Any]:
    return {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}


def _fraction_bits(*values: NDArray[np.float64]) -> int:
    """Return the fewest bits right of the binary point that hold all values."""
    bits = 0
    while not all((v * 2.0**bits == np.rint(v * 2.0**bits)).all() for v in values):
        bits += 1
    return bits
