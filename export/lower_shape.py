"""Rules: what moves values but computes none."""

from dataclasses import replace
from math import prod

import numpy as np
from onnx import NodeProto

from bitwright.export.layer_names import layer_name
from bitwright.export.layout import axes_of
from bitwright.export.line import Doubles
from bitwright.export.lower_arrange import arranged, as_image, image_layout
from bitwright.export.lower_numbers import widened, without_zero_point
from bitwright.export.lower_state import LoweringState, RefusalError, attributes_of
from bitwright.export.lowered import Lowered
from bitwright.export.operations import Concat, Upsample
from bitwright.quant.bipolar import Bipolar

RESIZE = {"mode": b"nearest", "coordinate_transformation_mode": b"half_pixel", "nearest_mode": b"round_prefer_floor"}
"""Attributes of `Resize`, with their defaults."""

REPEATS = (
    [b"nearest", b"asymmetric", b"floor"],
    [b"nearest", b"half_pixel", b"round_prefer_floor"],
    [b"nearest", b"half_pixel", b"round_prefer_ceil"],
)
"""Their values with which a whole scale repeats each pixel."""

MOST_AXES = 4
"""Of what is put side by side, with the batch."""

RESHAPES = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")


def lower_reshape(state: LoweringState, node: NodeProto) -> None:
    """Give the graph's tensor another shape; the program's values stay where they are."""
    whole = tuple(state.model.get_tensor_shape(node.output[0]) or ())
    constant = state.constants.get(node.input[0])
    if constant is not None:
        state.constants[node.output[0]] = constant.reshaped(whole)
        return
    source = state.source(node)
    result = whole[1:]
    if prod(result) != source.layout.size or not result:
        raise RefusalError(
            f"result must keep the batch axis and {source.layout.size} values, not be of shape {whole}",
            "reshape within one input only",
        )
    layout = source.layout.reshape(result)
    state.tensors[node.output[0]] = replace(source, layout=layout, view=layer_name(node, set()))


def lower_transpose(state: LoweringState, node: NodeProto) -> None:
    """Transpose constant weights, or give the graph's tensor its axes in another order."""
    constant = state.constants.get(node.input[0])
    axes = [int(axis) for axis in attributes_of(node).get("perm", [1, 0])]  # type: ignore[attr-defined]
    if constant is not None:
        given = attributes_of(node).get("perm")
        state.constants[node.output[0]] = constant.transposed(None if given is None else axes)
        return
    source = state.source(node)
    if axes[0] != 0:
        raise RefusalError(f"batch axis must stay first, not go elsewhere ({axes})", "keep the batch first")
    layout = source.layout.transpose([axis - 1 for axis in axes[1:]])
    state.tensors[node.output[0]] = replace(source, layout=layout, view=layer_name(node, set()))


def lower_concat(state: LoweringState, node: NodeProto) -> None:
    """Put channels side by side, on one grid."""
    axis = int(attributes_of(node).get("axis", 1))  # type: ignore[call-overload]
    rank = len(state.source(node).shape) + 1
    if not axis % rank > 0 or rank > MOST_AXES:
        raise RefusalError(f"axis must be one behind the batch, of at most 3, not {axis} of {rank}", "reshape before")
    parts = [_channels_last(state, node, i, axis % rank - 1) for i in range(len(node.input))]
    name = layer_name(node, state.names)
    result = parts[0]
    for i, part in enumerate(parts[1:], start=2):
        result = _side_by_side(state, name if i == len(parts) else f"{name}_{i}", result, part)
    state.tensors[node.output[0]] = replace(result, layout=np.moveaxis(result.layout, 0, axis % rank - 1))


def _channels_last(state: LoweringState, node: NodeProto, index: int, axis: int) -> Lowered:
    """Return an input whose axis that is joined is the program's last."""
    source = state.settled(node, index)
    source = replace(source, layout=np.moveaxis(source.layout, axis, 0))
    return as_image(state, source) if len(source.shape) > 1 else arranged(state, source, source.layout)


def _side_by_side(state: LoweringState, name: str, left: Lowered, right: Lowered) -> Lowered:
    if left.shape[1:] != right.shape[1:]:
        raise RefusalError(
            f"inputs must differ along the channels only, not {left.shape} and {right.shape}", "crop or pad one"
        )
    bits = all(isinstance(state.tensor(part).format, Bipolar) for part in (left, right))
    if not bits:
        left, right = (without_zero_point(state, widened(state, part)) for part in (left, right))
    state.names.add(name)
    operation = state.add(Concat(name, left.operation, right.operation))
    channels = left.shape[0], right.shape[0]

    def both(values: tuple[Doubles, Doubles]) -> Doubles:
        joined = np.concatenate([np.broadcast_to(v, (c,)) for v, c in zip(values, channels, strict=True)])
        return np.asarray(joined[0]) if (joined == joined[0]).all() else joined

    shape = (sum(channels), *left.shape[1:])
    layout = image_layout(state.tensor(operation).shape, shape) if len(shape) > 1 else np.arange(shape[0])
    finest = state.tensor(operation).format.fractional
    # Each side's codes are shifted to the finer of the two binary points
    worth = [part.scale * 2.0 ** (state.tensor(part).format.fractional - finest) for part in (left, right)]
    scale, noise = both((worth[0], worth[1])), both((left.noise, right.noise))
    return Lowered(operation, scale, layout, noise=noise)


def lower_resize(state: LoweringState, node: NodeProto) -> None:
    """Repeat rows and columns a whole number of times."""
    attributes = attributes_of(node)
    asked = [attributes.get(key, default) for key, default in RESIZE.items()]
    if asked not in REPEATS:
        assert all(isinstance(word, bytes) for word in asked)
        words = ", ".join(word.decode() for word in asked)  # type: ignore[attr-defined]
        raise RefusalError(
            f"mode must repeat each pixel, not be {words}", 'use torch.nn.Upsample(scale_factor=2, mode="nearest")'
        )
    source = as_image(state, state.source(node))
    result = tuple(state.model.get_tensor_shape(node.output[0]))[1:]
    before = source.shape
    if (
        len(result) != len(before)
        or result[0] != before[0]
        or any(new % old for new, old in zip(result[1:], before[1:], strict=True))
    ):
        raise RefusalError(f"size must become a whole multiple of {before}, not {result}", "use a whole scale_factor")
    factors = [new // old for new, old in zip(result[1:], before[1:], strict=True)]
    rows, columns = factors if len(factors) == 2 else (1, factors[0])
    name = state.add(Upsample(layer_name(node, state.names), source.operation, (rows, columns)))
    state.tensors[node.output[0]] = replace(
        source, operation=name, layout=image_layout(state.tensor(name).shape, result)
    )


def in_axis_order(state: LoweringState, source: Lowered) -> Lowered:
    """Return a tensor whose program has the values in an order of the graph's axes: the output must."""
    return source if axes_of(source.layout) is not None else arranged(state, source, source.layout)
