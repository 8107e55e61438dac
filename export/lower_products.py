"""Sums of products on one grid: weights, bias, and how far float32 is from them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from onnx import NodeProto

from bitwright.export.accumulator import UNIT_ROUNDOFF
from bitwright.export.constants import QuantizedConstant
from bitwright.export.elementwise import Elementwise
from bitwright.export.layer_names import layer_name, unique_name
from bitwright.export.line import Doubles
from bitwright.export.lower_join import add_branches
from bitwright.export.lower_numbers import widened
from bitwright.export.lower_state import (
    FINEST_BITS,
    LoweringState,
    RefusalError,
    channel_array,
    refuse_beyond_float64,
)
from bitwright.export.lowered import Lowered
from bitwright.export.operations import Concat, Integers, Linear
from bitwright.export.quantizer import Floats, Quantizer, is_power_of_two
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint, fractional_bits, smallest_format

EXACT_FLOAT32 = 2**24
"""Whole numbers up to here are exact in float32, whatever the order of adding."""

MOST_FINER = 2**24
"""How much finer one grid may be than another that takes it."""


def add_layer(
    state: LoweringState,
    node: NodeProto,
    source: Lowered,
    weights: QuantizedConstant,
    channel_axis: int,
    layout: Callable[[Integers], Integers],
    make: Callable[..., Linear],
    *,
    each_channel: bool = False,
) -> Lowered:
    """Add a dense layer or a convolution: weights on their grid, bias on the accumulator's, or waiting.

    Args:
        state: Gets the operation.
        node: Of the graph.
        source: Its input.
        weights: As the graph has them.
        channel_axis: Of the output channel in them.
        layout: Puts codes into the operation's order, the output channel last.
        make: Makes the operation.
        each_channel: Whether each output channel sees its own input channel only.

    Returns:
        The result, without layout.
    """
    name = layer_name(node, state.names)
    layer = _Layer(name, weights.channel_scale(channel_axis).astype(np.float64), weights.quantizer, make)
    bias = node.input[2] if len(node.input) > 2 else ""
    codes = layout(weights.codes)
    if each_channel:
        scale = layer.weight_scale * channel_array(source.scale, codes.shape[-1])
        return _placed(state, layer, source, codes, scale, bias)
    factors = _factors(source.scale)
    if factors is not None:
        finest = float(np.abs(source.scale).min()) if source.scale.ndim else float(source.scale)
        codes = codes * factors[:, None] if factors.ndim else codes
        return _placed(state, layer, source, codes, layer.weight_scale * finest, bias)
    parts = _parts(state, source)
    if parts is None:
        return _on_near_grid(state, layer, source, codes, bias)
    return _summed(state, layer, parts, codes, bias)


@dataclass(frozen=True, eq=False)
class _Layer:
    """What the parts of one layer share.

    Args:
        name: Of the operation.
        weight_scale: Of each output channel ``(F,)``.
        quantizer: Of the weights.
        make: Makes the operation.
    """

    name: str
    weight_scale: Doubles
    quantizer: Quantizer
    make: Callable[..., Linear]


def _parts(state: LoweringState, source: Lowered) -> tuple[Lowered, Lowered] | None:
    """Return the two sides of channels put side by side."""
    concat = next(operation for operation in state.operations if operation.name == source.operation)
    if not isinstance(concat, Concat):
        return None
    form, channels = state.tensor(source).format, state.tensor(concat.left).shape[-1]
    sides = (concat.left, source.scale[:channels]), (concat.right, source.scale[channels:])

    def part(name: str, scale: Doubles) -> Lowered:
        own = scale * 2.0 ** (form.fractional - state.tensor(name).format.fractional)
        return replace(source, operation=name, scale=np.asarray(own[0]) if (own == own[0]).all() else own)

    return part(*sides[0]), part(*sides[1])


def _summed(state: LoweringState, layer: _Layer, parts: tuple[Lowered, Lowered], codes: Integers, bias: str) -> Lowered:
    """Compute each side's share of the sums on its own grid, then add them."""
    channels = state.tensor(parts[0]).shape[-1]
    shares = []
    halves = codes[..., :channels, :], codes[..., channels:, :]
    for side, part, own in zip(("left", "right"), parts, halves, strict=True):
        factors = _factors(part.scale)
        if factors is None:
            raise RefusalError(
                "scales of the input's channels must be at most two that are no whole multiples, not more",
                "use one scale for what is put side by side",
            )
        finest = float(np.abs(part.scale).min()) if part.scale.ndim else float(part.scale)
        of_side = replace(layer, name=unique_name(f"{layer.name}_{side}", state.names))
        weight = own * factors[:, None] if factors.ndim else own
        shares.append(_placed(state, of_side, part, np.ascontiguousarray(weight), layer.weight_scale * finest, ""))
    made = add_branches(state, layer.name, *shares)
    if not bias:
        return made
    values = _bias_values(state, bias)
    interval = state.tensor(made).interval
    largest = np.maximum(np.abs(interval.lowest), np.abs(interval.highest)) * np.abs(made.scale) + np.abs(values)
    step = Elementwise("Add", values if values.size > 1 else values.reshape(()))
    return replace(made, steps=(step,), noise=made.noise + 4 * UNIT_ROUNDOFF * largest)


def _on_near_grid(state: LoweringState, layer: _Layer, source: Lowered, codes: Integers, bias: str) -> Lowered:
    """Let the weights take each input channel's scale, to as many bits as float32 has."""
    grid = np.abs(source.scale).max() / 2.0**FINEST_BITS
    near = np.rint(source.scale / grid).astype(np.int64)
    interval = state.tensor(source).interval
    largest = np.maximum(*(np.abs(end - source.zero_point) for end in (interval.lowest, interval.highest)))
    off = (np.abs(codes) * (np.abs(source.scale - near * grid) * largest)[:, None]).reshape(-1, codes.shape[-1])
    made = _placed(state, layer, source, codes * near[:, None], layer.weight_scale * grid, bias)
    return replace(made, noise=made.noise + off.sum(axis=0) * layer.weight_scale, near=True)


def _factors(scale: Doubles) -> Integers | None:
    """Return how many times the smallest each channel's scale is, if whole times; a scalar for one scale."""
    if scale.ndim == 0:
        return np.ones((), np.int64)
    factors = scale / np.abs(scale).min()
    whole = np.rint(factors)
    if (factors != whole).any() or np.abs(whole).max() > MOST_FINER:
        return None
    return np.asarray(whole, np.int64)


def _placed(
    state: LoweringState, layer: _Layer, source: Lowered, codes: Integers, scale: Doubles, bias_name: str
) -> Lowered:
    """Add the operation whose sums of ``codes`` times inputs are worth ``scale`` each, with its bias."""
    if (scale < 0).any():  # a channel that was turned round for a maximum
        codes, scale = codes * np.sign(scale).astype(np.int64), np.abs(scale)
    filters = codes.shape[-1]
    bias, more = None, np.zeros(filters)
    steps: tuple[Elementwise, ...] = ()
    if bias_name:
        codes, bias, scale, steps, more = _bias(state, bias_name, codes, scale)
    if source.zero_point:
        taps = codes.reshape(-1, filters).sum(axis=0)
        bias = (0 if bias is None else bias) - source.zero_point * taps
    if bias is not None and bias.any() and isinstance(_weight_format(layer.quantizer, codes, 1.0), Bipolar):
        source = widened(state, source)  # of +1 and -1: a count of matches has no place for a bias
    uniform = bool((scale == scale[0]).all())
    form = state.tensor(source).format
    worth = float(scale[0]) / form.step if uniform else 1.0
    operation = layer.make(
        name=layer.name,
        source=source.operation,
        weight=codes,
        weight_format=_weight_format(layer.quantizer, codes, worth if is_power_of_two(worth) else 1.0),
        bias=bias,
    )
    remedy = "use fewer bits for weights or activations, or scales that are whole multiples of each other"
    refuse_beyond_float64("accumulator", operation.magnitude(form), remedy)
    if more.any() and _is_exact_beside(operation, form, scale, more):
        more = np.zeros(filters)
    noise = _noise(state, source, operation, scale, more)
    state.add(operation)
    kept = np.asarray(scale[0]) if uniform else scale
    return Lowered(operation.name, kept, np.zeros(0, np.int64), steps, noise=noise if noise.any() else np.zeros(()))


def _is_exact_beside(operation: Linear, form: Format, scale: Doubles, bias: Doubles) -> bool:
    """Return whether sums and a bias that waits are exact in float32: multiples of one power of two, below 2**24."""
    if not all(map(is_power_of_two, np.unique(scale).tolist())):
        return False
    room = EXACT_FLOAT32 / (operation.magnitudes(form) + bias / scale + 1)
    finer = np.exp2(np.floor(np.log2(np.maximum(room, 1.0))))  # that the grid may be for all sums to stay below 2**24
    steps = bias / scale * finer
    return bool((room > 1).all() and (steps == np.rint(steps)).all())


def _noise(state: LoweringState, source: Lowered, operation: Linear, scale: Doubles, more: Doubles) -> Doubles:
    """Return how far float32 sums may lie from the exact ones, a channel.

    K products, each of two rounded factors and rounded itself, and K - 1 additions in any order.

    Source: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1.
    """
    form = state.tensor(source).format
    largest = float(max(abs(end - source.zero_point) for end in (form.lowest, form.highest)))  # the network's factor
    sums = np.abs(operation.weight).reshape(-1, len(scale)).sum(axis=0) * largest
    sums = np.maximum(sums + (0 if operation.bias is None else np.abs(operation.bias)), operation.magnitudes(form))
    magnitudes = sums * scale + more
    exact = all(map(is_power_of_two, np.unique(scale).tolist())) and not more.any()
    noise = np.zeros(len(scale))
    if not exact or sums.max() >= EXACT_FLOAT32:
        products = prod(operation.weight.shape[:-1])
        noise = (products + 4) * UNIT_ROUNDOFF * magnitudes
    if source.noise.any():
        raise RefusalError(
            "input must be quantised, not a sum of floats on no power of two", "put a quantiser before this layer"
        )
    return noise


def _bias(
    state: LoweringState, name: str, codes: Integers, scale: Doubles
) -> tuple[Integers, Integers | None, Doubles, tuple[Elementwise, ...], Doubles]:
    """Return weights, bias and scale on one grid; or a bias that waits for the quantiser, and its magnitude.

    1. Quantised on the accumulator's own grid, or on one that is a power of two finer or coarser: integers.
    2. Every other bias, quantised or float: it is absorbed by the next quantiser, like any constant.
    """
    values = _bias_values(state, name)
    constant = state.constants.get(name)
    if constant is not None:
        bias_scale = np.broadcast_to(constant.scale.reshape(-1), scale.shape).astype(np.float64)
        bias = np.broadcast_to(constant.codes.reshape(-1), scale.shape)
        if (bias_scale == scale.astype(np.float32)).all():  # Brevitas' own: the product of both scales
            return codes, bias, scale, (), np.zeros(len(scale))
        ratios = np.unique(bias_scale / scale).tolist()
        if all(map(is_power_of_two, ratios)) and all(map(is_power_of_two, np.unique(scale).tolist())):
            finer = np.maximum(scale / bias_scale, 1.0)
            grid = scale / finer
            return codes * _whole(finer), bias * _whole(bias_scale / grid), grid, (), np.zeros(len(scale))
    whole = values / scale
    if (whole == np.rint(whole)).all() and (np.abs(whole) < EXACT_FLOAT32).all():
        return codes, np.asarray(np.rint(whole), np.int64), scale, (), np.zeros(len(scale))
    step = Elementwise("Add", values if values.size > 1 else values.reshape(()))
    return codes, None, scale, (step,), np.abs(np.broadcast_to(values, scale.shape)).astype(np.float64)


def _bias_values(state: LoweringState, name: str) -> Floats:
    values = state.values_of(name)
    if values is None:
        raise RefusalError(f"bias {name} must be a constant, not computed", "export the network in eval mode")
    if not np.isfinite(values).all():
        raise RefusalError(f"bias {name} must be finite, not NaN or infinite", "train again")
    return np.asarray(values, np.float32).reshape(-1)


def _whole(factors: Doubles) -> Integers:
    """Return powers of two from 1 upward as integers."""
    if factors.max() >= MOST_FINER:
        raise RefusalError(
            f"grids of bias and products must be less than 2**24 apart, not {factors.max():.0f}",
            "use one scale, or let the bias quantiser take the accumulator's",
        )
    return np.asarray(factors, np.int64)


def _weight_format(quantizer: Quantizer, codes: Integers, scale: float) -> Format:
    """Return the format of weights: one wire of +1 and -1, the quantiser's width, or what a finer grid needs.

    The scale of +1 and -1 is left to the accumulator, whatever it is.
    """
    if quantizer.bipolar and (np.abs(codes) == 1).all():
        return Bipolar()
    lowest, highest = int(codes.min()), int(codes.max())
    fractional = fractional_bits(scale)
    declared = FixedPoint(quantizer.bit_width, quantizer.bit_width - fractional, quantizer.signed)
    if not quantizer.bipolar and declared.holds(lowest, highest):
        return declared
    return smallest_format(min(lowest, -1), highest, fractional)
