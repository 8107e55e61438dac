"""Pass: leave a final softmax to the host. It changes neither the order of the scores nor the integers before it."""

from qonnx.core.modelwrapper import ModelWrapper

from bitwright.export.pass_identities import bypass

FINAL = ("Softmax", "LogSoftmax")


def final_softmax(model: ModelWrapper) -> str | None:
    """Return the operator's name if the graph ends in a softmax."""
    node = model.find_producer(model.graph.output[0].name)
    return node.op_type if node is not None and node.op_type in FINAL else None


def remove_final_softmax(model: ModelWrapper) -> ModelWrapper:
    """Return the graph that ends before its final softmax."""
    if final_softmax(model):
        bypass(model, model.find_producer(model.graph.output[0].name))
    return model
