"""Pass: leave a final softmax to the host. It changes neither the order of the scores nor the integers before it."""

from qonnx.core.modelwrapper import ModelWrapper

from bitwright.export.pass_identities import bypass

FINAL = ("Softmax", "LogSoftmax")


def final_softmax(model: ModelWrapper) -> str | None:
    """Return the operator's name and axis if the graph ends in a softmax: ``softmax over axis 1``."""
    node = model.find_producer(model.graph.output[0].name)
    if node is None or node.op_type not in FINAL:
        return None
    axis = next((int(entry.i) for entry in node.attribute if entry.name == "axis"), -1)
    return f"{node.op_type.lower()} over axis {axis}"


def remove_final_softmax(model: ModelWrapper) -> ModelWrapper:
    """Return the graph that ends before its final softmax."""
    if final_softmax(model):
        bypass(model, model.find_producer(model.graph.output[0].name))
    return model
