"""Rule: what stands before the network's first quantiser is the host's."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper

from bitwright.export.lower_state import LoweringState, RefusalError
from bitwright.export.operation import Shape

VERBS = {"Mul": "multiply by", "Div": "divide by", "Add": "add", "Sub": "subtract"}
HOST = (
    *VERBS,
    "Transpose",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Relu",
    "Clip",
    "Neg",
    "Abs",
    "Tanh",
    "Sigmoid",
)
"""Operators that the host may compute before the first quantiser."""


@dataclass(frozen=True, eq=False)
class HostSteps:
    """What the host computes in float32 before it quantises.

    Args:
        nodes: In order.
        constants: Their constants, by name.
        input: Name and shape of the network's input, without the batch.
        output: Name of what is quantised.
        opset: Of the graph.
    """

    nodes: tuple[NodeProto, ...]
    constants: dict[str, NDArray[np.generic]]
    input: tuple[str, Shape]
    output: str
    opset: int

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what is quantised, for the network's inputs ``(N, ...)``."""
        if not self.nodes:
            return values
        name, shape = self.input
        rows = [self._session.run(None, {name: row[None]})[0] for row in values.reshape(-1, *shape)]
        return np.concatenate(rows)

    def inverse(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return network inputs ``(N, ...)`` that lead to these values, up to rounding.

        Raises:
            ValueError: If a step cannot be undone.
        """
        found = values.astype(np.float64)
        for node in reversed(self.nodes):
            constants = [self.constants[name].astype(np.float64) for name in node.input if name in self.constants]
            match node.op_type:
                case "Mul" if constants[0].all():
                    found = found / constants[0]
                case "Div" if node.input[0] not in self.constants:
                    found = found * constants[0]
                case "Add":
                    found = found - constants[0]
                case "Sub":
                    found = constants[0] - found if node.input[0] in self.constants else found + constants[0]
                case "Transpose":
                    perm = next(list(entry.ints) for entry in node.attribute if entry.name == "perm")
                    found = found.transpose(np.argsort(perm))
                case "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze":
                    pass
                case other:
                    kind = "Mul by 0" if other == "Mul" else other
                    raise ValueError(
                        f"inputs must be given where the host computes {kind} first, not missing; give --inputs"
                    )
        return found.reshape(len(values), *self.input[1]).astype(np.float32)

    def text(self) -> tuple[str, ...]:
        """Return each step in words and numbers."""
        return tuple(self._words(node) for node in self.nodes)

    def _words(self, node: NodeProto) -> str:
        known = [self.constants[name] for name in node.input if name in self.constants]
        if node.op_type in VERBS and known:
            numbers = known[0].reshape(-1).tolist()
            shown = repr(numbers[0]) if len(numbers) == 1 else f"{numbers}, of shape {list(known[0].shape)}"
            if node.op_type == "Sub" and node.input[0] in self.constants:
                return f"subtract from {shown}"
            return f"{VERBS[node.op_type]} {shown}"
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        facts = [f"{name} {value}" for name, value in attributes.items()]
        facts += [str(value.tolist()) for value in known]
        return " ".join([node.op_type.lower(), *facts])

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        name, shape = self.input
        initializers = [numpy_helper.from_array(np.asarray(value), key) for key, value in self.constants.items()]
        port = helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, *shape))
        result = helper.make_tensor_value_info(self.output, TensorProto.FLOAT, None)
        graph = helper.make_graph(list(self.nodes), "host", [port], [result], initializer=initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # node by node, as qonnx
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def lower_on_host(state: LoweringState, node: NodeProto) -> bool:
    """Leave a node to the host if its input is the host's; say whether it was."""
    if not any(name in state.host for name in node.input):
        return False
    computed = [name for name in node.input if name and state.model.get_initializer(name) is None]
    if node.op_type not in HOST or len(computed) != 1:
        return False
    _refuse_batch(state, node, computed[0])
    _refuse_infinite(state, node)
    state.host_nodes.append(node)
    state.host.add(node.output[0])
    return True


def _refuse_batch(state: LoweringState, node: NodeProto, name: str) -> None:
    """Refuse a step that mixes one input with another."""
    before, after = (state.model.get_tensor_shape(tensor) or [] for tensor in (name, node.output[0]))
    perm = next((list(entry.ints) for entry in node.attribute if entry.name == "perm"), None)
    constants = [state.model.get_initializer(other) for other in node.input if other and other != name]
    spread = [
        value.shape for value in constants if value is not None and value.ndim == len(before) and value.shape[0] != 1
    ]
    moved = node.op_type == "Transpose" and (perm is None or perm[0] != 0)
    if moved or not after or after[0] != before[0] or (node.op_type in VERBS and spread):
        raise RefusalError(
            f"batch axis must stay as it is before the first quantiser, not become one of {list(after)}",
            "let the step compute each input by itself",
        )


def _refuse_infinite(state: LoweringState, node: NodeProto) -> None:
    """Refuse constants that are no numbers; `Clip` may be open at one end."""
    for name in filter(None, node.input):
        value = state.model.get_initializer(name)
        if value is None or value.dtype.kind != "f":
            continue
        if np.isnan(value).any() or (node.op_type != "Clip" and np.isinf(value).any()):
            raise RefusalError(f"constant {name} must be finite, not NaN or infinite", "check it")


def host_steps(state: LoweringState, model: ModelWrapper) -> HostSteps:
    """Return what leads from the network's input to the quantised tensor."""
    needed, nodes = {state.input_name}, []
    for node in reversed(state.host_nodes):
        if node.output[0] in needed:
            needed.update(node.input)
            nodes.append(node)
    nodes.reverse()
    names = {name for node in nodes for name in node.input if name}
    constants = {name: model.get_initializer(name) for name in names if model.get_initializer(name) is not None}
    name = model.graph.input[0].name
    shape = tuple(model.get_tensor_shape(name))[1:]
    return HostSteps(tuple(nodes), constants, (name, shape), state.input_name, state.opset)
