"""Pass: infer shapes, compute what depends on constants alone, drop what no output needs, sort the nodes."""

from onnxruntime.capi import onnxruntime_pybind11_state as runtime
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.fold_constants import FoldConstants
from qonnx.transformation.general import GiveUniqueNodeNames, RemoveUnusedTensors, SortGraph
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.transformation.remove import RemoveUnusedNodes

FAILURES = (
    runtime.Fail,
    runtime.InvalidArgument,
    runtime.InvalidGraph,
    runtime.NotImplemented,
    runtime.RuntimeException,
    RuntimeError,
    ValueError,
)
"""What onnxruntime raises where it does not compute a node; its own exceptions have no common base."""


class ConstantsError(ValueError):
    """A constant expression that onnxruntime does not compute, and why."""


KEPT = ["Quant", "BipolarQuant", "IntQuant", "Trunc"]
"""Quantisers of constants stay: they say on which grid the constants lie."""


def fold_constants(model: ModelWrapper) -> ModelWrapper:
    """Return the graph with every shape known and every constant expression an initialiser; quantisers stay.

    Raises:
        ConstantsError: If onnxruntime refuses to compute one.
    """
    try:
        return _folded(model)
    except FAILURES as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise ConstantsError(reason) from error


def _folded(model: ModelWrapper) -> ModelWrapper:
    named = {node.output[0]: node.name for node in model.graph.node if node.name}
    for step in (
        InferShapes(),
        FoldConstants(exclude_op_types=KEPT),
        RemoveUnusedNodes(),
        SortGraph(),
        RemoveUnusedTensors(),
    ):
        model = model.transform(step)
    if any(not node.name for node in model.graph.node):
        model = model.transform(GiveUniqueNodeNames())
        for node in model.graph.node:
            node.name = named.get(node.output[0], node.name)
    return model
