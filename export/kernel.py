"""Functions of one value that onnxruntime computes: batch normalisation as one node, sigmoid, tanh and their like.

Their float32 results are onnxruntime's own, so the step is onnxruntime's own node, run on the values.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from bitwright.export.line import Line

Floats = NDArray[np.float32]

RISING = ("Erf", "Exp", "Log", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Tanh")
"""Rise in the mathematics; in float32 up to the last bit."""

STEADY = (
    "BatchNormalization",
    "Clip",
    "Erf",
    "HardSigmoid",
    "LeakyRelu",
    "PRelu",
    "Sigmoid",
    "Softsign",
    "Tanh",
    "ThresholdedRelu",
    *("Abs", "Ceil", "Floor", "Neg", "Round", "Sign"),
)
"""Operators whose result onnxruntime rounds alike wherever in a tensor the value stands: measured, 1.31."""

POSITIONAL = ("Celu", "Cos", "Elu", "Exp", "Gelu", "HardSwish", "Log", "Mish", "Selu", "Sin", "Softplus", "Sqrt")
"""Operators whose result may differ in its last bit at the end of a tensor, where vector instructions do not reach."""

SMOOTH = ("HardSigmoid", "Sigmoid", "Softsign", "Tanh")
"""Rising functions that are evaluated in float64 where the sums before them are too many to try."""

ROUNDED: Mapping[str, Callable[[Floats], Floats]] = {
    "Ceil": np.ceil,
    "Floor": np.floor,
    "Round": np.rint,
    "Sign": np.sign,
}
"""Functions that step by themselves. Source: ONNX operators; `Round` takes halves to the even number."""

MOST_ALONE = 1 << 17
"""Values that are computed one by one."""


@dataclass(frozen=True, eq=False)
class Kernel:
    """One step that onnxruntime computes.

    Args:
        kind: The operator.
        node: As in the graph.
        constants: Its inputs but the first, by name: scalars, or one a channel ``(C,)``.
        opset: Of the graph.
        alone: Whether each value is computed by itself, as at the end of a tensor.
    """

    kind: str
    node: NodeProto
    constants: Mapping[str, Floats]
    opset: int
    alone: bool = False

    @property
    def positional(self) -> bool:
        """Whether the last bit may depend on where in the tensor a value stands."""
        return self.kind in POSITIONAL

    @property
    def monotone(self) -> bool:
        """Whether the float32 result is known to keep the order of two values, to the last bit."""
        if self.kind in ("LeakyRelu", "HardSigmoid"):
            return self._attribute("alpha", 0.01) >= 0
        if self.kind == "PRelu":
            return all(bool((slope >= 0).all()) for slope in self.constants.values())
        return self.kind in ("BatchNormalization", "Clip")

    @property
    def direction(self) -> NDArray[np.int64]:
        """Whether the function rises or falls, as in `elementwise`."""
        if self.kind == "BatchNormalization":
            return np.sign(self.constants[self.node.input[1]]).astype(np.int64)
        return np.array(-1 if self.kind == "Neg" else 1 if self.monotone or self.kind in RISING else 2)

    @property
    def uniform(self) -> bool:
        """Whether the function is the same for every channel."""
        return all(value.ndim == 0 for value in self.constants.values())

    def moved(self, move: Callable[[Floats], Floats]) -> "Kernel":
        """Return the step after its channels were put into another order."""
        constants = {name: value if value.ndim == 0 else move(value) for name, value in self.constants.items()}
        return replace(self, constants=constants)

    def __call__(self, values: Floats) -> Floats:
        """Return the function of ``(V, C)`` values: of float32 as onnxruntime computes it, of float64 more finely.

        Raises:
            ValueError: If the values are too many to be computed one by one.
        """
        if values.dtype != np.float32:
            return self._finer(values)
        if not self.alone:
            return self._run(values)
        if values.size > MOST_ALONE:
            raise ValueError(
                f"reachable values must be at most {MOST_ALONE} before {self.kind}, which onnxruntime rounds by "
                f"position, not {values.size}; use fewer bits, or Relu, LeakyRelu, Sigmoid or Tanh"
            )
        singles = (self._run(np.full((1, 1), value, np.float32)) for value in values.reshape(-1))
        return np.concatenate(list(singles)).reshape(values.shape)

    def line(self, line: Line) -> Line:
        """Return the line after this step; none where the step bends it."""
        if self.kind == "Neg":
            return Line(-line.slope, -line.offset)
        if self.kind != "BatchNormalization":
            return line.bent()
        scale, bias, mean, variance = (self.constants[name].astype(np.float64) for name in self.node.input[1:])
        factor = scale / np.sqrt(variance + self._attribute("epsilon", 1e-5))
        return Line(line.slope * factor, (line.offset - mean) * factor + bias)

    def _finer(self, values: Floats) -> Floats:
        """Return the function in float64 where it is simple; elsewhere onnxruntime's, of the nearest float32."""
        constants = [self.constants[name].astype(np.float64) for name in self.node.input[1:] if name]
        match self.kind:
            case "BatchNormalization":
                line = self.line(Line(np.ones(()), np.zeros(())))
                return np.asarray(values * line.slope + line.offset)
            case "PRelu":
                return np.asarray(np.where(values < 0, values * constants[0], values))
            case "LeakyRelu":
                return np.asarray(np.where(values < 0, values * self._attribute("alpha", 0.01), values))
            case "HardSigmoid":
                return np.asarray(
                    np.clip(values * self._attribute("alpha", 0.2) + self._attribute("beta", 0.5), 0.0, 1.0)
                )
            case "Sigmoid":
                return np.asarray(1 / (1 + np.exp(-np.clip(values, -700, 700))))
            case "Tanh":
                return np.asarray(np.tanh(values))
            case "Softsign":
                return np.asarray(values / (1 + np.abs(values)))
            case "Abs":
                return np.abs(values)
            case "Neg":
                return np.asarray(-values)
            case "Ceil" | "Floor" | "Round" | "Sign":
                return np.asarray(ROUNDED[self.kind](values))
            case _:
                return self._run(values.astype(np.float32))

    def _attribute(self, name: str, default: float) -> float:
        return next((float(entry.f) for entry in self.node.attribute if entry.name == name), default)

    def _run(self, values: Floats) -> Floats:
        return np.asarray(self._session.run(None, {self.node.input[0]: np.ascontiguousarray(values)})[0])

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        port = helper.make_tensor_value_info(self.node.input[0], TensorProto.FLOAT, (None, None))
        result = helper.make_tensor_value_info(self.node.output[0], TensorProto.FLOAT, (None, None))
        initializers = [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        graph = helper.make_graph([self.node], "step", [port], [result], initializer=initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10)
        return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
