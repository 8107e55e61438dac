"""Rules: functions of one value, which wait for the quantiser that absorbs them."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from bitwright.export.elementwise import Elementwise
from bitwright.export.kernel import POSITIONAL, STEADY, Kernel
from bitwright.export.lower_arrange import as_vector
from bitwright.export.lower_join import lower_join
from bitwright.export.lower_state import LoweringState, RefusalError, per_channel
from bitwright.export.lowered import Lowered
from bitwright.export.quantizer import Floats

CHANNEL_VECTORS = ("BatchNormalization",)
"""Operators whose constants are vectors along axis 1, whatever the axes of the data."""

KERNELS = (*STEADY, *POSITIONAL)
"""Operators of one value that onnxruntime computes."""


def lower_elementwise(state: LoweringState, node: NodeProto) -> None:
    """A constant a channel, on either side; none (`Relu`); or two computed tensors."""
    if node.op_type == "Relu":
        source = state.source(node)
        state.tensors[node.output[0]] = replace(source, steps=(*source.steps, Elementwise("Relu")))
        return
    if _scale_constant(state, node):
        return
    left, right = (state.values_of(name) for name in node.input)
    if right is None and left is None:
        lower_join(state, node)
        return
    swapped = right is None
    source = state.source(node, 1 if swapped else 0)
    source, constant = _with_constant(state, source, _finite("constant", left if swapped else right))
    if swapped and node.op_type == "Div":
        raise RefusalError("constant must be the divisor, not the dividend", "multiply by it instead")
    if node.op_type == "Div" and not constant.all():
        raise RefusalError("divisor must be another number than 0, not 0", "train again; a scale has vanished")
    kind = "RSub" if swapped and node.op_type == "Sub" else node.op_type
    step = Elementwise(kind, constant)  # type: ignore[arg-type]
    state.tensors[node.output[0]] = replace(source, steps=(*source.steps, step))


def lower_kernel(state: LoweringState, node: NodeProto) -> None:
    """Keep a function of one value that onnxruntime computes, with constants a channel or none."""
    source = state.source(node)
    if len(source.shape) == 1 and len(node.input) > 1:
        source = as_vector(state, source)
    constants = {}
    for name in filter(None, node.input[1:]):
        value = state.values_of(name)
        if value is None:
            raise RefusalError(f"input {name} must be a constant, not computed", "export the network in eval mode")
        values = _finite(f"input {name}", value)
        if node.op_type in CHANNEL_VECTORS:
            values = values.reshape(-1, *[1] * (len(source.shape) - 1))
            if values.shape[0] != source.shape[0]:
                raise RefusalError(
                    f"input {name} must have one value a channel ({source.shape[0]}), not {values.shape[0]}",
                    "check the layer",
                )
            channels = state.tensor(source).shape[-1]
            constants[name] = np.broadcast_to(per_channel(state, source, values), (channels,)).copy()
        else:
            constants[name] = per_channel(state, source, values)
    if node.op_type == "BatchNormalization" and len(node.output) > 1:
        raise RefusalError("outputs must be one, not those of training", "export the network in eval mode")
    step = Kernel(node.op_type, node, constants, state.opset)
    state.tensors[node.output[0]] = replace(source, steps=(*source.steps, step))


def _scale_constant(state: LoweringState, node: NodeProto) -> bool:
    """Let a quantised constant take a factor: integer weights times their scale. Say whether it was one."""
    constants = [state.constants.get(name) for name in node.input]
    factors = [state.model.get_initializer(name) for name in node.input]
    if node.op_type != "Mul":
        return False
    for constant, factor in zip(constants, reversed(factors), strict=True):
        if constant is not None and factor is not None:
            state.constants[node.output[0]] = constant.times(np.asarray(factor, np.float32))
            return True
    return False


def _with_constant(state: LoweringState, source: Lowered, constant: Floats) -> tuple[Lowered, Floats]:
    """Return a constant a channel; where it is one a value of an image that was flattened, each value is a channel."""
    if len(source.shape) == 1 and constant.size > 1:
        source = as_vector(state, source)
    return source, per_channel(state, source, constant)


def _finite(what: str, values: NDArray[np.float32] | None) -> Floats:
    assert values is not None
    found = np.asarray(values, np.float32)
    if not np.isfinite(found).all():
        raise RefusalError(
            f"{what} must be finite, not NaN or infinite", "train again; a batch norm's variance may be zero"
        )
    return found
