"""The graph that a program is written into: nodes, constants, and the float type of every tensor."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from bitwright.export.operations import Operation, Shape, Tensor
from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar, Format

GENERAL = "qonnx.custom_op.general"
CHANNELS_LAST = "qonnx.custom_op.channels_last"
SINGLE, DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE
LARGEST_SINGLE, LARGEST_DOUBLE = 2**24, 2**53


@dataclass(eq=False)
class GraphWriter:
    """What is written so far.

    Args:
        program: What is written.
    """

    program: Program
    nodes: list[NodeProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def tensor(self, name: str) -> Tensor:
        """Return an operation's result."""
        return self.program.tensors[name]

    def largest(self, name: str) -> int:
        """Return the largest magnitude of an operation's integers."""
        return max(map(abs, self.tensor(name).interval.ends))

    def kind(self, name: str) -> int:
        """Return the float type that holds every integer of an operation's result."""
        largest = self.largest(name)
        if largest > LARGEST_DOUBLE:
            raise ValueError(
                f"{name}: integers must stay within 2**53, where float64 is exact, not reach {largest}; "
                "quantise to fewer bits"
            )
        return SINGLE if largest <= LARGEST_SINGLE else DOUBLE

    def constant(self, name: str, value: NDArray[Any] | float, dtype: type = np.float32) -> str:
        """Add a constant."""
        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def value(self, name: str, shape: Shape, kind: int = SINGLE) -> str:
        """Say a tensor's shape, without the batch axis, and its type."""
        self.values.append(helper.make_tensor_value_info(name, kind, (1, *shape)))
        return name

    def weight_value(self, name: str, shape: Shape, kind: int = SINGLE) -> str:
        """Say the shape and type of what has no batch axis."""
        self.values.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def node(self, op_type: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:  # noqa: ANN401
        """Add a node, called as its output."""
        self.nodes.append(helper.make_node(op_type, inputs, [output], name=output, domain=domain, **attributes))
        return output

    def cast(self, source: str, output: str, kind: int) -> str:
        """Add a cast of an operation's result, where it is of another kind."""
        if self.kind(source) == kind:
            return source
        return self.node("Cast", [source], self.value(output, self.tensor(source).shape, kind), to=kind)

    def quant(self, source: str, output: str, form: Format) -> str:
        """Add a quantiser with the format's step, width and range."""
        scale = self.constant(f"{output}.scale", form.step)
        if isinstance(form, Bipolar):
            return self.node("BipolarQuant", [source, scale], output, GENERAL)
        zero = self.constant(f"{output}.zero_point", 0.0)
        width = self.constant(f"{output}.bit_width", form.width)
        return self.node(
            "Quant",
            [source, scale, zero, width],
            output,
            GENERAL,
            signed=int(form.signed),
            narrow=int(form.overflow == "AP_SAT_SYM"),
            rounding_mode="ROUND",
        )

    def quantize(self, source: str, operation: Operation) -> None:
        """Add the quantiser that gives an operation's result.

        Raises:
            ValueError: If its integers are too large: qonnx's quantisers give float32, whatever they are given.
        """
        tensor = self.tensor(operation.name)
        if self.largest(operation.name) > LARGEST_SINGLE:
            raise ValueError(
                f"{operation.name}: integers of {type(operation).__name__} must stay within 2**24, where float32 is "
                f"exact, not reach {self.largest(operation.name)}; quantise to fewer bits"
            )
        self.quant(source, operation.name, tensor.format)
