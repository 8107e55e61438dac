"""Rule: functions of one value, which wait for the quantiser that absorbs them."""

from dataclasses import replace

import numpy as np
from onnx import NodeProto

from bitwright.export.elementwise import Elementwise
from bitwright.export.lower_state import LoweringState, RefusalError, per_channel
from bitwright.export.quantizer import Floats


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


def _constant(state: LoweringState, name: str) -> Floats | None:
    """Return a constant's values, quantised or not; None for what the network computes."""
    quantised = state.constants.get(name)
    if quantised is not None:
        return quantised.codes.astype(np.float32) * quantised.scale
    return state.model.get_initializer(name)  # type: ignore[no-any-return]
