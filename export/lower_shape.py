"""Rules: what moves values but computes none, and max pooling."""

from dataclasses import replace
from math import prod

import numpy as np
from onnx import NodeProto

from bitwright.export.layer_names import layer_name
from bitwright.export.lower_state import Lowered, LoweringState, RefusalError, attributes_of
from bitwright.export.operations import Flatten, MaxPool2d


def lower_max_pool(state: LoweringState, node: NodeProto) -> None:
    """Lower max pooling of what is settled: accumulators or quantised values."""
    source, attributes = state.settled(node), attributes_of(node)
    shape = state.tensor(source.operation).shape
    if len(shape) != 3:
        raise RefusalError(f"input must be (H, W, C), not {shape}", "pool before flattening")
    refuse_auto_pad(attributes)
    plain = {"pads": [0, 0, 0, 0], "dilations": [1, 1], "ceil_mode": 0}
    for name, wanted in plain.items():
        value = attributes.get(name, wanted)
        if (list(value) if isinstance(wanted, list) else value) != wanted:  # type: ignore[call-overload]
            raise RefusalError(f"{name} must be {wanted}, not {value}", "pool without it")
    kernel = tuple(int(k) for k in attributes["kernel_shape"])  # type: ignore[attr-defined]
    stride = tuple(int(s) for s in attributes.get("strides", [1, 1]))  # type: ignore[attr-defined]
    name = state.add(MaxPool2d(layer_name(node, state.names), source.operation, kernel, stride))  # type: ignore[arg-type]
    state.tensors[node.output[0]] = replace(source, operation=name)


def lower_flatten(state: LoweringState, node: NodeProto) -> None:
    """Lower a flattening; the values' order changes from (C, H, W) to the program's (H, W, C)."""
    source = state.settled(node)
    shape = state.tensor(source.operation).shape
    result = tuple(state.model.get_tensor_shape(node.output[0]) or ())
    if len(result) != 2 or result[1] != prod(shape):
        raise RefusalError(f"result must be (N, {prod(shape)}), not {result}", "reshape to a flat vector only")
    if len(shape) == 1:
        state.tensors[node.output[0]] = source
        return
    name = state.add(Flatten(layer_name(node, state.names), source.operation))
    scale = np.tile(source.scale, prod(shape[:-1])) if source.scale.ndim else source.scale
    state.tensors[node.output[0]] = Lowered(name, scale, image=(shape[2], shape[0], shape[1]))


def refuse_auto_pad(attributes: dict[str, object]) -> None:
    """Refuse padding that the node does not give in numbers."""
    mode = attributes.get("auto_pad", b"NOTSET")
    if mode != b"NOTSET":
        assert isinstance(mode, bytes)
        raise RefusalError(f"auto_pad must be NOTSET, not {mode.decode()}", "give pads")
