"""What the rules of the lowering share: the state between nodes, and how a node is refused."""

from dataclasses import dataclass, field

import numpy as np
from onnx import NodeProto, helper
from qonnx.core.modelwrapper import ModelWrapper

from bitwright.export.constants import QuantizedConstant
from bitwright.export.elementwise import Step
from bitwright.export.operations import Operation
from bitwright.export.program import Tensor, result_of
from bitwright.export.quantizer import Floats, Quantizer
from bitwright.quant.fixed_point import fractional_bits


@dataclass(frozen=True, eq=False)
class Lowered:
    """A graph's tensor as the program has it: ``steps(code * scale)``.

    Args:
        operation: Name of the operation whose result the codes are.
        scale: Worth of one code, float32, ``()`` or one a channel ``(C,)``.
        steps: Elementwise operations not yet absorbed.
        image: ``(C, H, W)`` that was flattened, if one was: the graph's order of the values, where the program's is
            ``(H, W, C)``.
    """

    operation: str
    scale: Floats
    steps: tuple[Step, ...] = ()
    image: tuple[int, int, int] | None = None


class RefusalError(ValueError):
    """A node that cannot be lowered: what is wrong, and what to do."""

    def __init__(self, wrong: str, remedy: str) -> None:
        super().__init__(wrong)
        self.remedy = remedy


@dataclass(eq=False)
class LoweringState:
    """What is known while the nodes are lowered, one after the other.

    Args:
        model: The clean graph.
        operations: Lowered so far, in order.
        results: Their tensors, by name.
        tensors: The graph's tensors that the program has, by the graph's names.
        constants: Quantised constants, by the graph's names.
        names: Of operations, taken.
        input_quantizer: Of the network's input, once it was met.
    """

    model: ModelWrapper
    operations: list[Operation] = field(default_factory=list)
    results: dict[str, Tensor] = field(default_factory=dict)
    tensors: dict[str, Lowered] = field(default_factory=dict)
    constants: dict[str, QuantizedConstant] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    input_quantizer: Quantizer | None = None

    def tensor(self, operation: str) -> Tensor:
        """Return an operation's result."""
        return self.results[operation]

    def add(self, operation: Operation) -> str:
        """Append an operation, and return its name."""
        self.operations.append(operation)
        self.results[operation.name] = result_of(operation, self.results)
        return operation.name

    @property
    def opset(self) -> int:
        """Version of the standard operators."""
        return max(int(entry.version) for entry in self.model.model.opset_import if entry.domain in ("", "ai.onnx"))

    def source(self, node: NodeProto) -> Lowered:
        """Return what a node's first input is in the program."""
        found = self.tensors.get(node.input[0])
        if found is None:
            raise RefusalError(f"input {node.input[0]} must be quantised, not float", "put a quantiser before it")
        return found

    def settled(self, node: NodeProto) -> Lowered:
        """Return the source, which must have no elementwise operation waiting for a quantiser."""
        source = self.source(node)
        if source.steps:
            raise RefusalError(
                f"input must be an accumulator or quantised, not the result of {source.steps[-1].kind}",
                "put a quantiser between, or this node before the elementwise operations",
            )
        return source


def attributes_of(node: NodeProto) -> dict[str, object]:
    """Return a node's attributes by name."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def check_scale(what: str, scale: Floats) -> None:
    """Refuse a scale that is not a power of two."""
    for value in np.unique(scale):
        try:
            fractional_bits(float(value))
        except ValueError as error:
            raise RefusalError(
                f"scale of {what} must be a power of two, not {value!s}", "set restrict_scaling_type to POWER_OF_TWO"
            ) from error


def per_channel(state: LoweringState, source: Lowered, constant: Floats | None, what: str = "constant") -> Floats:
    """Return a constant ``(1, C)``, ``(1, C, 1, 1)``, ``(C, 1, 1)`` or of one value, as ``(C,)``."""
    shape = state.tensor(source.operation).shape
    values = np.asarray(constant, np.float32)
    if values.size == 1:
        return values.reshape(())
    axes = [axis for axis, size in enumerate(values.shape) if size > 1]
    channel_axis = values.ndim - (1 if len(shape) == 1 else 3)
    if axes != [channel_axis] or values.size != shape[-1]:
        raise RefusalError(
            f"{what} must have one value, or one a channel ({shape[-1]}), not the shape {values.shape}",
            "let it vary along the channels only",
        )
    if source.image is not None and len(shape) == 1:
        return in_program_order(values, source.image)
    return values.reshape(-1)


def in_program_order(values: Floats, image: tuple[int, int, int]) -> Floats:
    """Return the values of a flattened image ``(C, H, W)`` in the program's order, ``(H, W, C)``."""
    return values.reshape(image).transpose(1, 2, 0).reshape(-1)
