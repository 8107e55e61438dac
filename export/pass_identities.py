"""Pass: remove nodes that do nothing in eval mode."""

from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper

NOTHING = ("Identity", "Dropout")


def remove_identities(model: ModelWrapper) -> ModelWrapper:
    """Return the graph without `Identity` and `Dropout`."""
    for node in [node for node in model.graph.node if node.op_type in NOTHING]:
        bypass(model, node)
    return model


def bypass(model: ModelWrapper, node: NodeProto) -> None:
    """Remove a node: what reads its output reads its input. The graph's output keeps its name where it is computed."""
    old, new = node.output[0], node.input[0]
    output = model.graph.output[0]
    if output.name == old:
        if model.find_producer(new) is None:
            output.name = new
        else:
            old, new = new, old
    model.graph.node.remove(node)
    for other in model.graph.node:
        for names in (other.input, other.output):
            names[:] = [new if name == old else name for name in names]
