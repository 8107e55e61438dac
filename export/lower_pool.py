"""Rules: max pooling, and averages as sums of windows."""

from dataclasses import replace

import numpy as np
from onnx import NodeProto

from bitwright.export.accumulator import UNIT_ROUNDOFF
from bitwright.export.elementwise import Elementwise, direction_after
from bitwright.export.layer_names import layer_name, unique_name
from bitwright.export.lower_arrange import as_image, as_vector, image_layout
from bitwright.export.lower_numbers import widened, without_zero_point
from bitwright.export.lower_state import (
    LoweringState,
    RefusalError,
    attributes_of,
    channel_array,
    refuse_beyond_float64,
)
from bitwright.export.lowered import Lowered
from bitwright.export.operations import Affine, DepthwiseConv2d, MaxPool2d
from bitwright.export.quantizer import is_power_of_two
from bitwright.quant.fixed_point import FixedPoint

Pair = tuple[int, int]


def lower_max_pool(state: LoweringState, node: NodeProto) -> None:
    """Take the maximum of windows: of codes, where what waits for a quantiser rises with them."""
    attributes = attributes_of(node)
    refuse_auto_pad(attributes)
    refuse_other(attributes, {"dilations": 1, "ceil_mode": 0}, "pool without it")
    source = _rising(state, as_image(state, state.source(node)))
    pads = padding(attributes)
    if any(pads):
        source = _padded(state, source, pads)
    kernel, stride = pair(attributes["kernel_shape"]), pair(attributes.get("strides", [1, 1]))
    _add_max_pool(state, node, source, kernel, stride)


def _padded(state: LoweringState, source: Lowered, pads: tuple[int, int, int, int]) -> Lowered:
    """Put codes that are never the maximum around an image: zeros, below codes that begin at zero."""
    source = widened(state, source)
    tensor = state.tensor(source)
    channels, lowest = tensor.shape[-1], tensor.interval.ends[0]
    ones = np.ones(channels, np.int64)
    if lowest < 0:
        name = unique_name(f"{source.operation}_raised", state.names)
        raised = Affine(name, source.operation, ones, -lowest * ones, tensor.format.fractional)
        source = replace(source, operation=state.add(raised), zero_point=source.zero_point - lowest)
    name = unique_name(f"{source.operation}_padded", state.names)
    window = np.ones((1, 1, channels), np.int64)
    bit = FixedPoint(1, 1, signed=False)
    padded = DepthwiseConv2d(name, source.operation, window, bit, None, (1, 1), pads)
    shape = padded.result_shape(tensor.shape)
    layout = image_layout(shape, (channels, *shape[:2]))
    return replace(source, operation=state.add(padded), layout=layout)


def lower_global_max(state: LoweringState, node: NodeProto) -> None:
    """Take the maximum of each channel's image."""
    source = _rising(state, as_image(state, _channel_first(state, node, state.source(node))))
    rows, columns, _ = state.tensor(source).shape
    _add_max_pool(state, node, source, (rows, columns), (rows, columns))


def _add_max_pool(state: LoweringState, node: NodeProto, source: Lowered, kernel: Pair, stride: Pair) -> None:
    name = state.add(MaxPool2d(layer_name(node, state.names), source.operation, kernel, stride))
    state.tensors[node.output[0]] = replace(
        source, operation=name, layout=image_layout(state.tensor(name).shape, _result_shape(state, node))
    )


def _rising(state: LoweringState, source: Lowered) -> Lowered:
    """Return a tensor whose values rise with its codes; channels in which they fall are turned round."""
    channels = state.tensor(source).shape[-1]
    direction = np.broadcast_to(direction_after(source.steps) * np.sign(source.scale), (channels,))
    if (np.abs(direction) == 2).any():
        kinds = ", ".join(str(step.kind) for step in source.steps)
        raise RefusalError(
            f"function before the maximum must rise or fall, not do both as {kinds} may", "put a quantiser before it"
        )
    if (direction >= 0).all():
        return source
    source = widened(state, source)
    sign = np.where(direction < 0, -1, 1)
    name = unique_name(f"{source.operation}_turned", state.names)
    # sign * (code - zero point) keeps the zero point where it is for all channels
    affine = Affine(
        name,
        source.operation,
        sign,
        np.where(sign < 0, 2 * source.zero_point, 0),
        state.tensor(source).format.fractional,
    )
    return replace(source, operation=state.add(affine), scale=channel_array(source.scale, channels) * sign)


def lower_average_pool(state: LoweringState, node: NodeProto) -> None:
    """Sum each window; the division waits for the quantiser."""
    attributes = attributes_of(node)
    refuse_auto_pad(attributes)
    refuse_other(attributes, {"dilations": 1, "ceil_mode": 0}, "pool without it")
    kernel, stride = pair(attributes["kernel_shape"]), pair(attributes.get("strides", [1, 1]))
    pads = padding(attributes)
    _add_sum(state, node, as_image(state, state.settled(node)), kernel, stride, pads, divided=True)
    if any(pads) and not attributes.get("count_include_pad", 0):
        _divide_by_pixels(state, node, kernel, stride, pads)


def _divide_by_pixels(
    state: LoweringState, node: NodeProto, kernel: Pair, stride: Pair, pads: tuple[int, int, int, int]
) -> None:
    """Divide each sum by the pixels under its window, padding left out: each position is then a channel of its own."""
    made = state.tensors[node.output[0]]
    rows, columns, channels = state.tensor(made).shape
    before = state.tensor(state.tensor_source(made.operation)).shape
    image = np.pad(np.ones(before[:2], np.int64), ((pads[0], pads[2]), (pads[1], pads[3])))
    windows = np.lib.stride_tricks.sliding_window_view(image, kernel)[:: stride[0], :: stride[1]]
    counts = windows.sum(axis=(2, 3))[:rows, :columns]
    flat = as_vector(state, replace(made, steps=()))
    divisors = np.repeat(counts.reshape(-1), channels).astype(np.float32)
    state.tensors[node.output[0]] = replace(flat, steps=(Elementwise("Div", divisors),))


def lower_global_average(state: LoweringState, node: NodeProto) -> None:
    """Sum each channel's image; the division waits for the quantiser. `ReduceSum` divides by nothing."""
    source = as_image(state, _channel_first(state, node, state.settled(node)))
    rows, columns, _ = state.tensor(source).shape
    whole = rows, columns
    _add_sum(state, node, source, whole, whole, (0, 0, 0, 0), divided=node.op_type != "ReduceSum")


def _add_sum(
    state: LoweringState,
    node: NodeProto,
    source: Lowered,
    kernel: Pair,
    stride: Pair,
    pads: tuple[int, int, int, int],
    *,
    divided: bool,
) -> None:
    source = widened(state, source)
    if any(pads):
        source = without_zero_point(state, source)
    channels, values = state.tensor(source).shape[-1], kernel[0] * kernel[1]
    ones = np.ones((*kernel, channels), np.int64)
    bit = FixedPoint(1, 1, signed=False)
    name = layer_name(node, state.names)
    bias = None if not source.zero_point else np.full(channels, -values * source.zero_point)
    operation = DepthwiseConv2d(name, source.operation, ones, bit, bias, stride, pads)
    noise = values * channel_array(source.noise, channels)
    scale = channel_array(source.scale, channels)
    magnitudes = operation.magnitudes(state.tensor(source).format)
    refuse_beyond_float64("sums of a window", float(magnitudes.max()), "put a quantiser before the pooling")
    if not all(is_power_of_two(float(value)) for value in np.unique(np.abs(scale))) or magnitudes.max() >= 2**24:
        noise = noise + (values + 2) * UNIT_ROUNDOFF * magnitudes * np.abs(scale)
    state.add(operation)
    steps = (Elementwise("Div", np.asarray(values, np.float32)),) if divided and values > 1 else ()
    layout = image_layout(state.tensor(name).shape, _result_shape(state, node))
    state.tensors[node.output[0]] = Lowered(name, source.scale, layout, steps, noise=noise)


def _channel_first(state: LoweringState, node: NodeProto, source: Lowered) -> Lowered:
    """Return a tensor whose one axis that is not reduced comes first, rows and columns behind it."""
    if node.op_type.startswith("Global"):
        return source
    attributes = attributes_of(node)
    found = state.model.get_initializer(node.input[1]) if len(node.input) > 1 else attributes.get("axes")
    rank = len(source.shape) + 1
    axes = sorted(int(axis) % rank for axis in np.asarray(found).reshape(-1)) if found is not None else []
    kept = [axis for axis in range(1, rank) if axis not in axes]
    if len(kept) != 1 or 0 in axes or rank not in (3, 4):
        raise RefusalError(
            f"axes must be all but the batch and one other, not {axes} of {rank}", "average over rows and columns"
        )
    return replace(source, layout=np.moveaxis(source.layout, kept[0] - 1, 0))


def _result_shape(state: LoweringState, node: NodeProto) -> tuple[int, ...]:
    return tuple(state.model.get_tensor_shape(node.output[0]))[1:]


def pair(values: object) -> Pair:
    """Return an attribute of rows and columns; of columns alone, for one row."""
    numbers = [int(value) for value in values]  # type: ignore[attr-defined]
    rows, columns = numbers if len(numbers) == 2 else (1, numbers[0])
    return rows, columns


def padding(attributes: dict[str, object]) -> tuple[int, int, int, int]:
    """Return the zeros at top, left, bottom and right."""
    pads = [int(value) for value in attributes.get("pads", [0, 0, 0, 0])]  # type: ignore[attr-defined]
    top, left, bottom, right = pads if len(pads) == 4 else (0, pads[0], 0, pads[1])
    if min(pads) < 0:
        raise RefusalError(f"pads must be at least 0, not {pads}", "crop before")
    return top, left, bottom, right


def refuse_auto_pad(attributes: dict[str, object]) -> None:
    """Refuse padding that the node does not give in numbers."""
    mode = attributes.get("auto_pad", b"NOTSET")
    if mode not in (b"NOTSET", b"VALID"):
        assert isinstance(mode, bytes)
        raise RefusalError(f"auto_pad must be NOTSET, not {mode.decode()}", "give pads")


def refuse_other(attributes: dict[str, object], plain: dict[str, int], remedy: str) -> None:
    """Refuse an attribute with another value than the one that changes nothing."""
    for name, wanted in plain.items():
        value = attributes.get(name, wanted)
        values = list(value) if isinstance(value, list | tuple) else [value]
        if any(v != wanted for v in values):
            raise RefusalError(f"{name} must be {wanted}, not {value}", remedy)
