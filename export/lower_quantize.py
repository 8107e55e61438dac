"""Rule: quantisers, of constants, of the network's input, of accumulators."""

from dataclasses import replace
from math import prod

import numpy as np
from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper

from bitwright.export.activation import lower_activation
from bitwright.export.constants import quantized_constant, read_quantizer, read_truncation
from bitwright.export.layer_names import layer_name
from bitwright.export.layout import channels_last
from bitwright.export.lower_arrange import as_vector
from bitwright.export.lower_state import LoweringState, RefusalError, per_channel
from bitwright.export.lower_sum import accumulator_of, settled_sum
from bitwright.export.lowered import Lowered
from bitwright.export.operations import Input, Integers, Shape
from bitwright.export.quantizer import Quantizer, Truncation
from bitwright.quant.fixed_point import FixedPoint

MOST_BITS = 16
"""Of an activation: its levels are tabulated, one threshold each."""

PASSED_THROUGH = ("Quant", "BipolarQuant", "Relu", "Mul", "Add", "Sub", "Div", "Identity", "BatchNormalization")
"""Operators that leave the layout as it is."""


def lower_quantizer(state: LoweringState, node: NodeProto) -> None:
    """1. Of a constant. 2. Of the network's input. 3. Of an accumulator and what follows it."""
    constant = quantized_constant(state.model, node)
    if constant is not None:
        state.constants[node.output[0]] = constant
        return
    quantizer = read_quantizer(state.model, node)
    if node.input[0] in state.host:
        _lower_input(state, node, quantizer)
    else:
        _lower_activation(state, node, quantizer)


def lower_truncation(state: LoweringState, node: NodeProto) -> None:
    """`Trunc`: round to the integers that there were, and cut bits off."""
    truncation = read_truncation(state.model, node)
    source = state.source(node)
    scale = per_channel(state, source, truncation.input_scale, "scale")
    _lower_activation(state, node, replace(truncation, input_scale=scale))


def _lower_input(state: LoweringState, node: NodeProto, quantizer: Quantizer) -> None:
    """The first quantiser of the host's tensor makes the port; the same one once more is the same port."""
    _refuse_wide(quantizer)
    if state.input_quantizer is not None:
        if node.input[0] != state.input_name or not _are_equal(quantizer, state.input_quantizer):
            raise RefusalError(
                "input must be quantised once, not by two quantisers", "quantise it once, and branch behind that"
            )
        first = next(other for other in state.model.find_consumers(node.input[0]) if other.output[0] in state.tensors)
        state.tensors[node.output[0]] = state.tensors[first.output[0]]
        return
    name = layer_name(node, state.names)
    shape = tuple(state.model.get_tensor_shape(node.input[0]))[1:]
    layout, program_shape = _input_layout(state.model, node.output[0], shape)
    state.input_quantizer, state.input_name = quantizer, node.input[0]
    form = quantizer.format()
    # The host rounds and saturates; the port is plain
    state.add(Input(name, "", program_shape, form.plain() if isinstance(form, FixedPoint) else form))
    made = Lowered(name, np.ones(()), layout, zero_point=quantizer.zero_point)
    scale = per_channel(state, made, quantizer.scale, "scale").astype(np.float64)
    state.tensors[node.output[0]] = replace(made, scale=scale)


def _are_equal(left: Quantizer, right: Quantizer) -> bool:
    return np.array_equal(left.scale, right.scale) and replace(left, scale=right.scale) == right


def _input_layout(model: ModelWrapper, name: str, shape: Shape) -> tuple[Integers, Shape]:
    """Return where the port has the graph's values: as the first layer wants them, so that nothing need be moved.

    An image is sent channels last, whatever the graph's order; what is flattened at once is sent flat, in the graph's
    order.
    """
    order = np.arange(prod(shape)).reshape(shape)  # the graph's order, followed to the first layer
    while True:
        following = model.find_consumers(name)
        if len(following) != 1:
            break
        node = following[0]
        if node.op_type == "Transpose":
            perm = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
            if perm is None or perm[0] != 0:
                break
            order = order.transpose([axis - 1 for axis in perm[1:]])
        elif node.op_type in ("Flatten", "Reshape", "Gemm", "MatMul"):
            return np.arange(prod(shape)).reshape(shape), (prod(shape),)
        elif node.op_type not in PASSED_THROUGH:
            break
        name = node.output[0]
    if order.ndim not in (2, 3):
        return np.arange(prod(shape)).reshape(shape), (prod(shape),)
    channels, *spatial = order.shape
    program = (1, *spatial, channels) if len(spatial) == 1 else (*spatial, channels)
    # The first layer sees `order` channels first: value order[c, h, w] stands at (h, w, c)
    placed = channels_last(order.shape)
    layout = np.empty(order.size, np.int64)
    layout[order.reshape(-1)] = placed.reshape(-1)
    return layout.reshape(shape), program


def _lower_activation(state: LoweringState, node: NodeProto, quantizer: Quantizer | Truncation) -> None:
    _refuse_wide(quantizer)
    source = state.source(node)
    if len(source.shape) == 1 and quantizer.scale.size > 1:
        source = as_vector(state, source)
    scale = per_channel(state, source, quantizer.scale, "scale")
    quantizer = replace(quantizer, scale=scale)
    name = layer_name(node, state.names)
    activation = lower_activation(name, accumulator_of(state, source), quantizer)
    if source.sum:
        alone = _is_read_here_alone(state, source)
        activation = settled_sum(state, name, source, quantizer, activation, may_change=alone)
    if activation.ties and not state.allow_approximate:
        raise RefusalError(
            f"sums must lie beside the boundaries of rounding, not on them as {activation.ties} do, where the last bit "
            "of float32 decides: PyTorch itself gives one integer or the other, by the order of adding",
            "use power-of-two scales (restrict_scaling_type POWER_OF_TWO) and sums below 2**24, or a bias or batch "
            "norm that moves the sums, or --allow-approximate",
        )
    if activation.undecided:
        state.undecided[name] = min(1.0, activation.undecided / activation.sums)
    if activation.before is not None:
        state.names.add(state.add(activation.before))
    state.add(activation.operation)
    state.tensors[node.output[0]] = Lowered(
        name,
        scale.astype(np.float64),
        source.layout,
        zero_point=quantizer.zero_point,
    )


def _is_read_here_alone(state: LoweringState, source: Lowered) -> bool:
    """Return whether nothing else reads the sum, or what is computed from it on the way to this quantiser."""
    names = [name for name, tensor in state.tensors.items() if tensor.sum is source.sum]
    return all(len(state.model.find_consumers(name) or []) == 1 for name in names)


def _refuse_wide(quantizer: Quantizer | Truncation) -> None:
    if quantizer.bit_width > MOST_BITS:
        raise RefusalError(
            f"bit width of an activation must be at most {MOST_BITS}, not {quantizer.bit_width}", "change the recipe"
        )
