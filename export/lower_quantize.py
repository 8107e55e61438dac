"""Rule: quantisers, of constants, of the network's input, of accumulators."""

from dataclasses import replace
from math import prod

import numpy as np
from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper

from bitwright.export.activation import Accumulator, lower_activation
from bitwright.export.constants import quantized_constant, read_quantizer
from bitwright.export.layer_names import layer_name
from bitwright.export.lower_state import Lowered, LoweringState, RefusalError, check_scale, per_channel
from bitwright.export.operations import Input
from bitwright.quant.fixed_point import FixedPoint

MOST_BITS = 16
"""Of an activation: its levels are tabulated, one threshold each."""


def lower_quantizer(state: LoweringState, node: NodeProto) -> None:
    """1. Of a constant. 2. Of the network's input. 3. Of an accumulator and what follows it."""
    constant = quantized_constant(state.model, node)
    if constant is not None:
        state.constants[node.output[0]] = constant
        return
    quantizer = read_quantizer(state.model, node)
    check_scale("a quantiser", quantizer.scale)
    if quantizer.bit_width > MOST_BITS:
        raise RefusalError(
            f"bit width of an activation must be at most {MOST_BITS}, not {quantizer.bit_width}", "change the recipe"
        )
    uniform = quantizer.uniform_scale
    name = layer_name(node, state.names)
    if node.input[0] == state.model.graph.input[0].name:
        if uniform is None:
            raise RefusalError(
                "scale of the input must be one for all channels, not one each", "use a per-tensor quantiser"
            )
        shape = tuple(state.model.get_tensor_shape(node.input[0]))[1:]
        flat = _is_flattened_next(state.model, node)
        shape = (prod(shape),) if flat or len(shape) == 1 else (*shape[1:], shape[0])
        state.input_quantizer = quantizer
        form = quantizer.format()
        # The host rounds and saturates; the port is plain
        state.add(Input(name, "", shape, form.plain() if isinstance(form, FixedPoint) else form))
    else:
        source = state.source(node)
        tensor = state.tensor(source.operation)
        if uniform is None:
            quantizer = replace(quantizer, scale=per_channel(state, source, quantizer.scale, "scale"))
        accumulator = Accumulator(source.operation, tensor.format, tensor.interval, source.scale, source.steps)
        state.add(lower_activation(name, accumulator, quantizer))
    image = None if node.input[0] not in state.tensors else state.tensors[node.input[0]].image
    # A bipolar code is worth its scale, like any other
    scale = quantizer.scale if uniform is None else np.asarray(uniform, np.float32)
    state.tensors[node.output[0]] = Lowered(name, scale, image=image)


def _is_flattened_next(model: ModelWrapper, node: NodeProto) -> bool:
    """Return whether an input is flattened at once: then the program takes it flat, in the graph's order."""
    following = model.find_consumers(node.output[0])
    return len(following) == 1 and following[0].op_type in ("Flatten", "Reshape")
