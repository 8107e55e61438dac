"""The level `qonnx`: the exported graph, executed node by node by qonnx."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.change_batchsize import ChangeBatchSize
from qonnx.transformation.infer_shapes import InferShapes

BATCH = 250


def run_qonnx(
    model: ModelWrapper,
    values: NDArray[np.float32],
    progress: Callable[[int], None] = lambda _: None,
    batch: int = BATCH,
) -> NDArray[np.float32]:
    """Execute a graph with qonnx.

    Args:
        model: The graph as exported, of batch size one; it is left as it is.
        values: Float input ``(N, ...)``.
        progress: Called with the number of inputs done since the last call.
        batch: Inputs at a time. qonnx builds a session for every node of every call: one image at a time takes minutes
            where hundreds take seconds.

    Returns:
        The graph's output ``(N, values)``.
    """
    name, output = model.graph.input[0].name, model.graph.output[0].name
    outputs = []
    resized = None
    for start in range(0, len(values), batch):
        part = values[start : start + batch]
        if resized is None or len(part) != batch:
            resized = _of_batch(model, len(part))
        outputs.append(execute_onnx(resized, {name: part})[output].reshape(len(part), -1))
        progress(len(part))
    return np.concatenate(outputs)


def _of_batch(model: ModelWrapper, batch: int) -> ModelWrapper:
    copy = ModelWrapper(model.model, make_deepcopy=True)
    return copy.transform(ChangeBatchSize(batch)).transform(InferShapes())
