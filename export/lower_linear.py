"""Rules: dense layers and convolutions, of quantised weights."""

from collections.abc import Callable
from dataclasses import replace
from math import prod

import numpy as np
from onnx import NodeProto

from bitwright.export.constants import QuantizedConstant
from bitwright.export.layer_names import layer_name, unique_name
from bitwright.export.lower_shape import refuse_auto_pad
from bitwright.export.lower_state import Lowered, LoweringState, RefusalError, attributes_of, check_scale
from bitwright.export.operations import Conv2d, Dense, Integers, Linear, Threshold
from bitwright.export.quantizer import Floats, Quantizer
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint, format_of, fractional_bits, smallest_format

EXACT_FLOAT32 = 2**24
"""Whole numbers up to here are exact in float32, whatever the order of adding."""


def lower_transpose(state: LoweringState, node: NodeProto) -> None:
    """Lower the transpose of constant weights."""
    constant = state.constants.get(node.input[0])
    axes = attributes_of(node).get("perm", [1, 0])
    if constant is None or constant.codes.ndim != 2 or list(axes) != [1, 0]:  # type: ignore[call-overload]
        raise RefusalError(
            "input must be a constant matrix, not a tensor of the network", "keep the network channels-first"
        )
    state.constants[node.output[0]] = constant.transposed()


def _weights(state: LoweringState, node: NodeProto) -> QuantizedConstant:
    constant = state.constants.get(node.input[1])
    if constant is None:
        raise RefusalError(f"weights {node.input[1]} must be quantised, not float", "give the layer a weight_quant")
    return constant


def _with_room_for_zero(state: LoweringState, source: Lowered) -> Lowered:
    """Bring +1 and -1 from one bit into two, -1, 0 and +1: padding is zero, and zero has no bit of its own."""
    name = unique_name(f"{source.operation}_padded", state.names)
    channels = state.tensor(source.operation).shape[-1]
    both = np.ones((channels, 2), np.int64)  # +1 reaches both thresholds, -1 none
    form = format_of(1.0, 2, signed=True, narrow=True)
    return replace(source, operation=state.add(Threshold(name, source.operation, both, np.ones(channels, bool), form)))


def _linear(
    state: LoweringState,
    node: NodeProto,
    source: Lowered,
    weights: QuantizedConstant,
    channel_axis: int,
    layout: Callable[[Integers], Integers],
    make: Callable[..., Linear],
) -> None:
    """Add a dense layer or a convolution: weights on their grid, bias on the accumulator's."""
    input_scale = source.scale.min()
    weight_scale = weights.channel_scale(channel_axis)
    check_scale("weights", weight_scale)
    codes = layout(weights.codes)  # output channel last
    if source.scale.ndim:  # one a channel: the weights of a coarser channel take the difference
        codes = codes * _whole("scales of the input's channels", source.scale / input_scale)[:, None]
    scale = weight_scale * input_scale
    bias = None
    if len(node.input) > 2 and node.input[2]:
        codes, bias, scale = _with_bias(state, node.input[2], codes, scale)
    uniform = bool((scale == scale[0]).all())
    operation = make(
        name=layer_name(node, state.names),
        source=source.operation,
        weight=codes,
        weight_format=_weight_format(weights.quantizer, codes, float(scale[0] / input_scale) if uniform else 1.0),
        bias=bias,
    )
    form = state.tensor(source.operation).format
    if operation.magnitude(form) >= EXACT_FLOAT32:
        raise RefusalError(
            f"accumulator must stay below 2**24, where float32 is exact, not reach {operation.magnitude(form)}",
            "use fewer bits for weights or activations",
        )
    state.add(operation)
    state.tensors[node.output[0]] = Lowered(operation.name, np.asarray(scale[0] if uniform else scale, np.float32))


def _with_bias(state: LoweringState, name: str, codes: Integers, scale: Floats) -> tuple[Integers, Integers, Floats]:
    """Bring weights and bias onto one grid; where the bias' is finer, the weights take it."""
    constant = state.constants.get(name)
    if constant is None:
        raise RefusalError(f"bias {name} must be quantised, not float", "give the layer bias_quant=Int16Bias")
    check_scale("the bias", constant.scale)
    bias_scale = np.broadcast_to(constant.scale.reshape(-1), scale.shape)
    finer = np.maximum(scale / bias_scale, 1.0)
    grid = (scale / finer).astype(np.float32)
    coarser = bias_scale / grid
    bias = np.broadcast_to(constant.codes.reshape(-1), scale.shape)
    what = "grids of bias and products"
    return codes * _whole(what, finer), bias * _whole(what, coarser), grid


def _whole(what: str, factors: Floats) -> Integers:
    """Return powers of two as integers."""
    if factors.max() >= EXACT_FLOAT32:
        raise RefusalError(
            f"{what} must be less than 2**24 apart, not {factors.max():.0f}",
            "use one scale, or let the bias quantiser take the accumulator's",
        )
    return np.asarray(factors, np.int64)


def _weight_format(quantizer: Quantizer, codes: Integers, scale: float) -> Format:
    """Return the format of weights: the quantiser's width, or what a finer grid needs."""
    if quantizer.bipolar and (np.abs(codes) == 1).all() and scale == 1.0:
        return Bipolar()
    lowest, highest = int(codes.min()), int(codes.max())
    fractional = fractional_bits(scale)
    declared = FixedPoint(quantizer.bit_width, quantizer.bit_width - fractional, quantizer.signed)
    if not quantizer.bipolar and declared.holds(lowest, highest):
        return declared
    return smallest_format(min(lowest, -1), highest, fractional)


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
    """Weights ``(K, C)``; rows are put in the program's order where an image was flattened."""
    source = state.settled(node)
    shape = state.tensor(source.operation).shape
    if len(shape) != 1 or weights.codes.ndim != 2 or weights.codes.shape[0] != shape[0]:
        raise RefusalError(
            f"weights must be ({prod(shape)}, C) for an input of {shape}, not {weights.codes.shape}", "flatten it"
        )
    rows = np.arange(shape[0])
    if source.image is not None:
        rows = rows.reshape(source.image).transpose(1, 2, 0).reshape(-1)
    _linear(state, node, source, weights, 1, lambda codes: codes[rows], Dense)


def lower_conv(state: LoweringState, node: NodeProto) -> None:
    """Lower a 2-d convolution."""
    source, weights, attributes = state.settled(node), _weights(state, node), attributes_of(node)
    if weights.codes.ndim != 4:
        raise RefusalError(f"weights must be (F, C, KH, KW), not of {weights.codes.ndim} axes", "use a 2-d convolution")
    if attributes.get("group", 1) != 1:
        raise RefusalError(f"group must be 1, not {attributes['group']}", "use a plain convolution")
    if list(attributes.get("dilations", [1, 1])) != [1, 1]:  # type: ignore[call-overload]
        raise RefusalError(f"dilations must be [1, 1], not {attributes['dilations']}", "use a larger kernel")
    refuse_auto_pad(attributes)
    padding = tuple(int(p) for p in attributes.get("pads", [0, 0, 0, 0]))  # type: ignore[attr-defined]
    if any(padding) and isinstance(state.tensor(source.operation).format, Bipolar):
        source = _with_room_for_zero(state, source)
    stride = tuple(int(s) for s in attributes.get("strides", [1, 1]))  # type: ignore[attr-defined]
    _linear(
        state,
        node,
        source,
        weights,
        0,
        lambda codes: np.ascontiguousarray(codes.transpose(2, 3, 1, 0)),
        lambda **rest: Conv2d(stride=stride, padding=padding, **rest),  # type: ignore[arg-type]
    )
