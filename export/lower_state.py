"""What the rules of the lowering share: the state between nodes, and how a node is refused."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper
from qonnx.core.modelwrapper import ModelWrapper

from bitwright.export.constants import QuantizedConstant
from bitwright.export.elementwise import Elementwise
from bitwright.export.line import Doubles
from bitwright.export.lowered import Lowered
from bitwright.export.operations import Operation, Tensor
from bitwright.export.program import result_of
from bitwright.export.quantizer import Floats, Quantizer, is_power_of_two

FINEST_BITS = 24
"""Of the factors that bring unequal scales to one grid: as fine as float32 itself."""


EXACT_FLOAT64 = 2**53
"""Whole numbers up to here are exact in float64, whatever the order of adding."""


class RefusalError(ValueError):
    """A node that cannot be lowered: what is wrong, and what to do."""

    def __init__(self, wrong: str, remedy: str) -> None:
        super().__init__(wrong)
        self.remedy = remedy


def refuse_beyond_float64(subject: str, magnitude: float, remedy: str) -> None:
    """Refuse integers of such a magnitude, if float64, in which qonnx computes them, does not hold them all."""
    if magnitude >= EXACT_FLOAT64:
        wrong = f"{subject} must stay below 2**53, where float64 is exact, not reach {int(magnitude)}"
        raise RefusalError(wrong, remedy)


@dataclass(eq=False)
class LoweringState:
    """What is known while the nodes are lowered, one after the other.

    Args:
        model: The clean graph.
        allow_approximate: Whether sums that float32 itself does not decide may be carried.
        operations: Lowered so far, in order.
        results: Their tensors, by name.
        tensors: The graph's tensors that the program has, by the graph's names.
        constants: Quantised constants, by the graph's names.
        names: Of operations, taken.
        host: The graph's tensors that the host has, before the first quantiser.
        host_nodes: What the host computes, in order.
        input_name: The host's tensor that is quantised.
        input_quantizer: Of the network's input, once it was met.
        undecided: Share of the sums that float32 does not decide, by the quantiser's operation.
    """

    model: ModelWrapper
    allow_approximate: bool = False
    operations: list[Operation] = field(default_factory=list)
    results: dict[str, Tensor] = field(default_factory=dict)
    tensors: dict[str, Lowered] = field(default_factory=dict)
    constants: dict[str, QuantizedConstant] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    host: set[str] = field(default_factory=set)
    host_nodes: list[NodeProto] = field(default_factory=list)
    input_name: str = ""
    input_quantizer: Quantizer | None = None
    undecided: dict[str, float] = field(default_factory=dict)

    def tensor(self, source: "Lowered | str") -> Tensor:
        """Return an operation's result."""
        return self.results[source if isinstance(source, str) else source.operation]

    def add(self, operation: Operation) -> str:
        """Append an operation, and return its name."""
        self.operations.append(operation)
        self.results[operation.name] = result_of(operation, self.results)
        return operation.name

    def tensor_source(self, operation: str) -> str:
        """Return the name of the one operation that another reads."""
        (source,) = next(other.sources for other in self.operations if other.name == operation)
        return source

    def trial(self) -> "LoweringState":
        """Return a copy whose operations may be changed."""
        operations, results, names = list(self.operations), dict(self.results), set(self.names)
        return replace(self, operations=operations, results=results, names=names)

    def adopt(self, trial: "LoweringState") -> None:
        """Take over a copy's operations."""
        self.operations, self.results, self.names = trial.operations, trial.results, trial.names

    def discard(self, names: tuple[str, ...]) -> None:
        """Take operations back that nothing else reads."""
        self.operations = [operation for operation in self.operations if operation.name not in names]
        for name in names:
            del self.results[name]
            self.names.discard(name)

    @property
    def opset(self) -> int:
        """Version of the standard operators."""
        return max(int(entry.version) for entry in self.model.model.opset_import if entry.domain in ("", "ai.onnx"))

    def source(self, node: NodeProto, index: int = 0) -> Lowered:
        """Return what one of a node's inputs is in the program."""
        name = node.input[index]
        found = self.tensors.get(name)
        if found is None and self.values_of(name) is not None:
            raise RefusalError(
                f"input {name} must be computed from the network's input, not constant",
                "compute constants before their quantiser",
            )
        if found is None:
            raise RefusalError(
                f"input {name} must be quantised, not float",
                "begin the network with brevitas.nn.QuantIdentity(bit_width=8), or give --input-type",
            )
        return found

    def settled(self, node: NodeProto, index: int = 0) -> Lowered:
        """Return the source, which must have no elementwise operation waiting for a quantiser but powers of two."""
        source = with_powers_of_two(self.source(node, index))
        if source.steps:
            raise RefusalError(
                f"input must be an accumulator or quantised, not the result of {source.steps[-1].kind}",
                "put a quantiser between, or this node before the elementwise operations",
            )
        return source

    def values_of(self, name: str) -> NDArray[np.float32] | None:
        """Return a constant's values, quantised or not; None for what the network computes."""
        quantised = self.constants.get(name)
        if quantised is not None:
            return np.asarray(quantised.codes.astype(np.float32) * quantised.scale, np.float32)
        found = self.model.get_initializer(name)
        return None if found is None else np.asarray(found)


def with_powers_of_two(source: Lowered) -> Lowered:
    """Let the scale take factors that are powers of two: float32 multiplies by them without rounding."""
    scale, noise = source.scale, source.noise
    for step in source.steps:
        if not (isinstance(step, Elementwise) and step.kind in ("Mul", "Div")):
            return source
        factors = np.asarray(step.constant, np.float64)
        if not all(is_power_of_two(float(factor)) for factor in np.unique(factors)):
            return source
        factors = factors if step.kind == "Mul" else 1 / factors
        scale, noise = scale * factors, noise * factors
    return replace(source, scale=scale, noise=noise, steps=())


def attributes_of(node: NodeProto) -> dict[str, object]:
    """Return a node's attributes by name."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def per_channel(state: LoweringState, source: Lowered, constant: Floats, what: str = "constant") -> Floats:
    """Return a constant that broadcasts to the graph's tensor as a scalar ``()``, or one a channel ``(C,)``.

    Raises:
        RefusalError: If it varies along another axis of the program's tensor than the last.
    """
    values = np.asarray(constant, np.float32)
    if values.size == 1:
        return values.reshape(())
    shape = state.tensor(source).shape
    try:
        placed = np.broadcast_to(values, (1, *source.shape)).reshape(-1)
    except ValueError as error:
        raise RefusalError(
            f"{what} must broadcast to {source.shape}, not have the shape {values.shape}", "change its shape"
        ) from error
    ordered = np.empty(placed.size, np.float32)
    ordered[source.layout.reshape(-1)] = placed
    rows = ordered.reshape(-1, shape[-1])
    if not (rows == rows[0]).all():
        raise RefusalError(
            f"{what} must have one value, or one a channel ({shape[-1]}), not the shape {values.shape}",
            "let it vary along the channels only",
        )
    return np.asarray(rows[0])


def channel_array(values: Doubles, channels: int) -> Doubles:
    """Return a scalar or an array ``(C,)`` as ``(C,)``."""
    return np.broadcast_to(values, (channels,))
