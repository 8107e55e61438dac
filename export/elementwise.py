"""The operations between an accumulator and the next quantiser: per-channel functions of one value, in float32.

Each is computed as the network computes it, one IEEE float32 operation after the other, and beside it, in float64, as
the line ``slope * x + offset`` that it would be without rounding: the first is exact, the second says where to look.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Elementwise:
    """One step.

    Args:
        kind: The operator, with the constant on its right-hand side; ``RSub`` has it on the left.
        constant: One a channel ``(C,)`` or a scalar ``()``; None for `Relu`.
    """

    kind: Literal["Mul", "Div", "Add", "Sub", "RSub", "Relu"]
    constant: Floats | None = None

    def __call__(self, values: Floats) -> Floats:
        """Return the function of ``(V, C)`` values."""
        match self.kind, self.constant:
            case "Relu", _:
                return np.maximum(values, np.float32(0))
            case "Mul", constant if constant is not None:
                return values * constant
            case "Div", constant if constant is not None:
                return values / constant
            case "Add", constant if constant is not None:
                return values + constant
            case "Sub", constant if constant is not None:
                return values - constant
            case "RSub", constant if constant is not None:
                return constant - values
        raise ValueError(f"{self.kind}: constant must be given, not {self.constant!r}")


@dataclass(frozen=True, eq=False)
class Kernel:
    """One step that onnxruntime computes: batch normalisation as one node, sigmoid, tanh and their like.

    Their float32 results are onnxruntime's own, so the step is onnxruntime's own node, run on the values.

    Args:
        kind: The operator.
        node: As in the graph.
        constants: Its inputs but the first, by name: scalars, or one a channel ``(C,)``.
        opset: Of the graph.
    """

    kind: str
    node: NodeProto
    constants: Mapping[str, Floats]
    opset: int

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        port = helper.make_tensor_value_info(self.node.input[0], TensorProto.FLOAT, (None, None))
        result = helper.make_tensor_value_info(self.node.output[0], TensorProto.FLOAT, (None, None))
        initializers = [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        graph = helper.make_graph([self.node], "step", [port], [result], initializer=initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10)
        return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def __call__(self, values: Floats) -> Floats:
        """Return the function of ``(V, C)`` values."""
        return np.asarray(self._session.run(None, {self.node.input[0]: np.ascontiguousarray(values)})[0])

    def line(self, line: "Line") -> "Line":
        """Return the line after this step; none that is finite where the step bends it."""
        if self.kind != "BatchNormalization":
            return Line(np.full_like(line.slope, np.nan), np.full_like(line.offset, np.nan))
        epsilon = next((a.f for a in self.node.attribute if a.name == "epsilon"), 1e-5)
        scale, bias, mean, variance = (self.constants[name].astype(np.float64) for name in self.node.input[1:])
        factor = scale / np.sqrt(variance + epsilon)
        return Line(line.slope * factor, (line.offset - mean) * factor + bias)


Step = Elementwise | Kernel


@dataclass(frozen=True)
class Line:
    """``slope * x + offset`` a channel, float64 ``(C,)``."""

    slope: NDArray[np.float64]
    offset: NDArray[np.float64]

    def then(self, step: Step) -> "Line":
        """Return the line after one more step; `Relu` bends it, which a quantiser from zero upward does too."""
        if isinstance(step, Kernel):
            return step.line(self)
        if step.kind == "Relu" or step.constant is None:
            return self
        constant = step.constant.astype(np.float64)
        match step.kind:
            case "Mul":
                return Line(self.slope * constant, self.offset * constant)
            case "Div":
                return Line(self.slope / constant, self.offset / constant)
            case "Add":
                return Line(self.slope, self.offset + constant)
            case "Sub":
                return Line(self.slope, self.offset - constant)
            case "RSub":
                return Line(-self.slope, constant - self.offset)
