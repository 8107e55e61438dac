"""Pass: remove nodes that do nothing in eval mode."""

from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.remove import remove_node_and_rewire

NOTHING = ("Identity", "Dropout")


def remove_identities(model: ModelWrapper) -> ModelWrapper:
    """Return the graph without `Identity` and `Dropout`."""
    for node in [node for node in model.graph.node if node.op_type in NOTHING]:
        remove_node_and_rewire(model, node)
    return model
