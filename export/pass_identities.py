"""Pass: remove nodes that do nothing in eval mode."""

from qonnx.core.modelwrapper import ModelWrapper

NOTHING = ("Identity", "Dropout")


def remove_identities(model: ModelWrapper) -> ModelWrapper:
    """Return the graph without `Identity` and `Dropout`."""
    for node in [node for node in model.graph.node if node.op_type in NOTHING]:
        for reader in model.graph.node:
            reader.input[:] = [node.input[0] if name == node.output[0] else name for name in reader.input]
        if model.graph.output[0].name == node.output[0]:
            model.graph.output[0].name = node.input[0]
        model.graph.node.remove(node)
    return model
