"""Rule: functions of one value, which wait for the quantiser that absorbs them."""

from dataclasses import replace

import numpy as np
from onnx import NodeProto

from bitwright.export.elementwise import Elementwise, Kernel
from bitwright.export.lower_state import LoweringState, RefusalError, in_program_order, per_channel
from bitwright.export.quantizer import Floats

CHANNEL_VECTORS = ("BatchNormalization",)
"""Operators whose constants are vectors along axis 1, whatever the axes of the data."""

KERNELS = (
    "BatchNormalization",
    "Clip",
    "Erf",
    "HardSigmoid",
    "LeakyRelu",
    "PRelu",
    "Sigmoid",
    "Softsign",
    "Tanh",
    "ThresholdedRelu",
)
"""Operators whose result onnxruntime rounds alike wherever in a tensor the value stands. Of Elu, Selu and Softplus the
last values of a tensor differ in their last bit from the same values elsewhere: they are no function of the value."""


def lower_elementwise(state: LoweringState, node: NodeProto) -> None:
    """A constant a channel, on either side; or none (`Relu`)."""
    if node.op_type == "Relu":
        step = Elementwise("Relu")
        source = state.source(node)
    else:
        left, right = (_constant(state, name) for name in node.input)
        if right is None and left is None:
            raise RefusalError(
                "one operand must be a constant, not both computed", "residual joins are not lowered yet"
            )
        swapped = right is None
        source = state.tensors.get(node.input[1] if swapped else node.input[0])  # type: ignore[assignment]
        if source is None:
            raise RefusalError("input must be quantised first, not float", "apply it on the host, before the network")
        constant = per_channel(state, source, left if swapped else right)
        if not np.isfinite(constant).all():
            raise RefusalError(
                "constant must be finite, not NaN or infinite", "train again; a batch norm's variance may be zero"
            )
        if swapped and node.op_type == "Div":
            raise RefusalError("constant must be the divisor, not the dividend", "multiply by it instead")
        if node.op_type == "Div" and not constant.all():
            raise RefusalError("divisor must not be 0, as it is", "train again; a scale has vanished")
        kind = "RSub" if swapped and node.op_type == "Sub" else node.op_type
        step = Elementwise(kind, constant)  # type: ignore[arg-type]
    state.tensors[node.output[0]] = replace(source, steps=(*source.steps, step))


def lower_kernel(state: LoweringState, node: NodeProto) -> None:
    """Keep a function of one value that onnxruntime computes, with constants a channel or none."""
    source = state.source(node)
    constants = {}
    for name in filter(None, node.input[1:]):
        value = _constant(state, name)
        if value is None:
            raise RefusalError(f"input {name} must be a constant, not computed", "export the network in eval mode")
        if not np.isfinite(value).all():
            raise RefusalError(f"input {name} must be finite, not NaN or infinite", "train again")
        channels_first = np.asarray(value, np.float32)
        constants[name] = (
            channels_first if node.op_type in CHANNEL_VECTORS else per_channel(state, source, channels_first)
        )
    if node.op_type in CHANNEL_VECTORS and source.image is not None:
        constants = {name: in_program_order(value, source.image) for name, value in constants.items()}
    if node.op_type == "BatchNormalization" and len(node.output) > 1:
        raise RefusalError("outputs must be one, not those of training", "export the network in eval mode")
    step = Kernel(node.op_type, node, constants, state.opset)
    state.tensors[node.output[0]] = replace(source, steps=(*source.steps, step))


def _constant(state: LoweringState, name: str) -> Floats | None:
    """Return a constant's values, quantised or not; None for what the network computes."""
    quantised = state.constants.get(name)
    if quantised is not None:
        return quantised.codes.astype(np.float32) * quantised.scale
    return state.model.get_initializer(name)  # type: ignore[no-any-return]
