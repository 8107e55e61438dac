"""Rules: dense layers and convolutions."""

from dataclasses import replace

import numpy as np
from onnx import NodeProto

from bitwright.export.constants import QuantizedConstant
from bitwright.export.layout import identity
from bitwright.export.lower_arrange import arranged, as_image, as_vector, image_layout
from bitwright.export.lower_numbers import widened, without_zero_point
from bitwright.export.lower_pool import padding, pair, refuse_auto_pad
from bitwright.export.lower_products import add_layer
from bitwright.export.lower_state import LoweringState, RefusalError, attributes_of
from bitwright.export.operations import Conv2d, Dense, DepthwiseConv2d, Integers


def _weights(state: LoweringState, node: NodeProto) -> QuantizedConstant:
    constant = state.constants.get(node.input[1])
    if constant is None:
        if node.input[1] in state.tensors:
            raise RefusalError(f"weights {node.input[1]} must be constants, not computed", "multiply by weights only")
        raise RefusalError(f"weights {node.input[1]} must be quantised, not float", "give the layer a weight_quant")
    return constant


def lower_gemm(state: LoweringState, node: NodeProto) -> None:
    """Lower a dense layer, with or without bias."""
    attributes = attributes_of(node)
    for name, wanted in {"alpha": 1.0, "beta": 1.0, "transA": 0}.items():
        if attributes.get(name, wanted) != wanted:
            raise RefusalError(f"{name} must be {wanted:g}, not {attributes[name]:g}", "export a plain dense layer")
    weights = _weights(state, node)
    _dense(state, node, weights.transposed() if attributes.get("transB", 0) else weights)


def lower_matmul(state: LoweringState, node: NodeProto) -> None:
    """Lower a dense layer without bias."""
    _dense(state, node, _weights(state, node))


def _dense(state: LoweringState, node: NodeProto, weights: QuantizedConstant) -> None:
    """Weights ``(K, C)``; rows are put in the program's order. Of a sequence ``(T, K)``, each step by itself."""
    source = state.settled(node)
    inputs = source.shape[-1]
    if weights.codes.ndim != 2 or weights.codes.shape[0] != inputs:
        raise RefusalError(f"weights must be ({inputs}, C), not {weights.codes.shape}", "flatten the input")
    if len(source.shape) == 1:
        source = as_vector(state, source)
        rows = np.empty(inputs, np.int64)
        rows[source.layout] = np.arange(inputs)
        made = add_layer(state, node, source, weights, 1, lambda codes: codes[rows], Dense)
        state.tensors[node.output[0]] = replace(made, layout=identity((weights.codes.shape[1],)))
        return
    if len(source.shape) > 3:
        raise RefusalError(f"input must have up to 3 axes, not {source.shape}", "flatten the input")
    *positions, _ = source.shape
    lines = (1, *positions) if len(positions) == 1 else tuple(positions)
    source = arranged(state, source, source.layout.reshape(*lines, inputs))
    made = add_layer(
        state,
        node,
        source,
        weights,
        1,
        lambda codes: codes[None, None],
        lambda **rest: Conv2d(stride=(1, 1), padding=(0, 0, 0, 0), **rest),
    )
    state.tensors[node.output[0]] = replace(made, layout=identity((*positions, weights.codes.shape[1])))


def lower_conv(state: LoweringState, node: NodeProto) -> None:
    """Lower a 1-d or 2-d convolution: plain, dilated, grouped or depthwise."""
    weights, attributes = _weights(state, node), attributes_of(node)
    refuse_auto_pad(attributes)
    source = as_image(state, state.settled(node))
    pads = padding(attributes)
    if any(pads):
        source = without_zero_point(state, widened(state, source))
    stride = pair(attributes.get("strides", [1, 1]))
    dilation, groups = pair(attributes.get("dilations", [1, 1])), int(attributes.get("group", 1))  # type: ignore[call-overload]
    channels = state.tensor(source).shape[-1]
    shape = weights.codes.shape
    if weights.codes.ndim not in (3, 4) or shape[1] * groups != channels or shape[0] % groups:
        raise RefusalError(
            f"weights must be (F, {channels} / groups, ...) for {groups} groups, not {shape}", "check the layer"
        )
    window = shape[2:] if len(shape) == 4 else (1, shape[2])
    depthwise = groups == channels == shape[0] and channels > 1
    if depthwise:
        source = widened(state, source)

    def layout(codes: Integers) -> Integers:
        spread = _dilated(codes.reshape(*shape[:2], *window), dilation).transpose(2, 3, 1, 0)  # (KH, KW, C / G, F)
        return np.ascontiguousarray(spread[:, :, 0] if depthwise else _ungrouped(spread, groups))

    kind = DepthwiseConv2d if depthwise else Conv2d
    made = add_layer(
        state,
        node,
        source,
        weights,
        0,
        layout,
        lambda **rest: kind(stride=stride, padding=pads, **rest),
        each_channel=depthwise,
    )
    result = tuple(state.model.get_tensor_shape(node.output[0]))[1:]
    state.tensors[node.output[0]] = replace(made, layout=image_layout(state.tensor(made).shape, result))


def _dilated(codes: Integers, dilation: tuple[int, int]) -> Integers:
    """Put zeros between the weights ``(F, C, KH, KW)``: a dilated kernel is a larger one."""
    if dilation == (1, 1):
        return codes
    filters, channels, rows, columns = codes.shape
    result = np.zeros((filters, channels, (rows - 1) * dilation[0] + 1, (columns - 1) * dilation[1] + 1), codes.dtype)
    result[:, :, :: dilation[0], :: dilation[1]] = codes
    return result


def _ungrouped(codes: Integers, groups: int) -> Integers:
    """Put zeros where a group's inputs do not reach an output: ``(KH, KW, C / G, F)`` to ``(KH, KW, C, F)``."""
    if groups == 1:
        return codes
    rows, columns, inputs, filters = codes.shape
    result = np.zeros((rows, columns, inputs * groups, filters), codes.dtype)
    outputs = filters // groups
    for group in range(groups):
        mine = slice(group * outputs, (group + 1) * outputs)
        result[:, :, group * inputs : (group + 1) * inputs, mine] = codes[..., mine]
    return result
