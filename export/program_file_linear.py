"""Writing what multiplies by weights and adds: on float32 as one node of its name, on float64 where sums need it.

onnxruntime's `Conv` knows no float64, its `MatMul` does. There, a convolution gathers its windows itself:

| operation | nodes on float64 |
|---|---|
| `Dense` | `MatMul` |
| `Conv2d` | windows, `Transpose`, `Reshape`, `MatMul` |
| `DepthwiseConv2d` | windows, `Mul`, `ReduceSum` |

Before them stands a `Cast` of the source, unless it is float64; behind them an `Add` of the bias, if there is one, and
a `Cast` back, if the result is float32. Windows are [`Pad`], and of columns, then of rows, `Gather` and [`Slice`] by
the stride. Weights are a `Quant` and a `Cast`; of codes beyond 2**24, the sum of one such pair for every 23 bits.
"""

import numpy as np

from bitwright.export.operations import Conv2d, DepthwiseConv2d, Integers, Interval, Linear, Shape
from bitwright.export.program_file_graph import (
    CHANNELS_LAST,
    DOUBLE,
    LARGEST_DOUBLE,
    LARGEST_SINGLE,
    SINGLE,
    GraphWriter,
)
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint

DIGIT_BITS = 23
"""Bits of each part of a wide weight. With 24, one signed bit may be left over, which qonnx takes for +1 and -1."""


def write_linear(writer: GraphWriter, operation: Linear) -> None:
    """Add a dense layer or a convolution.

    Raises:
        ValueError: If a partial sum may be too large for float64.
    """
    sums = largest_partial_sum(operation, writer.tensor(operation.source).interval)
    if sums >= LARGEST_DOUBLE:
        raise ValueError(
            f"{operation.name}: partial sums must stay below 2**53, where float64 is exact, not reach {sums:.0f}; "
            "quantise its input or its weights to fewer bits"
        )
    large = max(sums, float(np.abs(operation.weight).max(initial=0)), writer.largest(operation.source))
    if large > LARGEST_SINGLE:
        _write_double(writer, operation)
    else:
        _write_single(writer, operation)


def largest_partial_sum(operation: Linear, interval: Interval) -> float:
    """Return a bound on the magnitude of every partial sum, in any order of adding; exact up to 2**53.

    >>> from bitwright.export.operations import Dense
    >>> code = FixedPoint(4, 4)
    >>> dense = Dense("fc", "x", np.array([[1], [-2]]), code, np.array([100]))
    >>> largest_partial_sum(dense, Interval.of_format(FixedPoint(4, 4, signed=False), 2))
    115.0
    """
    lowest, highest = np.minimum(interval.lowest, 0.0), np.maximum(interval.highest, 0.0)
    if not isinstance(operation, DepthwiseConv2d):
        lowest, highest = lowest[:, None], highest[:, None]
    weight = operation.weight.astype(np.float64)
    bias = np.zeros(1) if operation.bias is None else operation.bias.astype(np.float64)
    axes = tuple(range(weight.ndim - 1))
    below = np.minimum(weight * lowest, weight * highest).sum(axis=axes) + np.minimum(bias, 0)
    above = np.maximum(weight * lowest, weight * highest).sum(axis=axes) + np.maximum(bias, 0)
    return float(max(-below.min(), above.max()))


def _step(writer: GraphWriter, operation: Linear) -> float:
    return 2.0 ** -operation.accumulator_fractional(writer.tensor(operation.source).format)


def _write_single(writer: GraphWriter, operation: Linear) -> None:
    name, source = operation.name, operation.source
    step = _step(writer, operation)
    bias = None if operation.bias is None else writer.constant(f"{name}.bias", operation.bias * step)
    if isinstance(operation, Conv2d | DepthwiseConv2d):
        if isinstance(operation, Conv2d):
            part, codes = "weight", operation.weight.transpose(3, 0, 1, 2)  # (F, KH, KW, C)
        else:
            part, codes = "depthwise", operation.weight.transpose(2, 0, 1)[..., None]  # (C, KH, KW, 1)
        weights = _write_weights(writer, f"{name}.{part}", codes, operation.weight_format)
        writer.node(
            "Conv",
            [source, weights, *([bias] if bias else [])],
            name,
            CHANNELS_LAST,
            kernel_shape=operation.weight.shape[:2],
            strides=operation.stride,
            pads=operation.padding,
            dilations=[1, 1],
            group=1 if isinstance(operation, Conv2d) else operation.weight.shape[-1],
        )
        return
    weights = _write_weights(writer, f"{name}.weight", operation.weight, operation.weight_format)
    product = writer.value(f"{name}.product", writer.tensor(name).shape) if bias else name
    writer.node("MatMul", [source, weights], product)
    if bias:
        writer.node("Add", [product, bias], name)


def _write_weights(writer: GraphWriter, name: str, codes: Integers, form: Format) -> str:
    """Add weights, on their grid and quantised; ``codes`` in the node's layout."""
    raw = writer.constant(name, codes * form.step)
    return writer.quant(raw, writer.weight_value(f"{name}_quant", codes.shape), form)


def _write_double(writer: GraphWriter, operation: Linear) -> None:
    name, kind = operation.name, writer.kind(operation.name)
    ends = ["product", *(["sum"] if operation.bias is not None else [])]
    outputs = [f"{name}.{end}" for end in ends]
    if kind == DOUBLE:
        outputs[-1] = name
    for output in outputs:
        if output != name:
            writer.value(output, writer.tensor(name).shape, DOUBLE)
    inputs = writer.cast(operation.source, f"{name}.inputs", DOUBLE)
    match operation:
        case Conv2d():
            _write_conv(writer, operation, inputs, outputs[0])
        case DepthwiseConv2d():
            _write_depthwise(writer, operation, inputs, outputs[0])
        case _:
            weights = _write_double_weights(writer, operation, operation.weight)
            writer.node("MatMul", [inputs, weights], outputs[0])
    if operation.bias is not None:
        bias = writer.constant(f"{name}.bias", operation.bias * _step(writer, operation), np.float64)
        writer.node("Add", [outputs[0], bias], outputs[1])
    if kind == SINGLE:
        writer.node("Cast", [outputs[-1]], name, to=SINGLE)


def _write_conv(writer: GraphWriter, operation: Conv2d, inputs: str, output: str) -> None:
    name = operation.name
    windows, (rows, height, columns, width, channels) = _write_windows(writer, operation, inputs)
    values = height * width * channels
    turned = writer.value(f"{name}.turned", (rows, columns, height, width, channels), DOUBLE)
    writer.node("Transpose", [windows], turned, perm=[0, 1, 3, 2, 4, 5])
    shape = writer.constant(f"{name}.lines_shape", np.array([-1, rows, columns, values]), np.int64)
    lines = writer.value(f"{name}.lines", (rows, columns, values), DOUBLE)
    writer.node("Reshape", [turned, shape], lines)
    weights = _write_double_weights(writer, operation, operation.weight.reshape(values, -1))
    writer.node("MatMul", [lines, weights], output)


def _write_depthwise(writer: GraphWriter, operation: DepthwiseConv2d, inputs: str, output: str) -> None:
    name = operation.name
    windows, shape = _write_windows(writer, operation, inputs)
    weights = _write_double_weights(writer, operation, operation.weight[:, None])  # (KH, 1, KW, C)
    taps = writer.node("Mul", [windows, weights], writer.value(f"{name}.taps", shape, DOUBLE))
    axes = writer.constant(f"{name}.axes", np.array([2, 4]), np.int64)
    writer.node("ReduceSum", [taps, axes], output, keepdims=0)


def _write_windows(writer: GraphWriter, operation: Conv2d | DepthwiseConv2d, inputs: str) -> tuple[str, Shape]:
    """Add every position's window; return them and their shape ``(H', KH, W', KW, C)``."""
    name, (down, across), (kernel_rows, kernel_columns) = operation.name, operation.stride, operation.weight.shape[:2]
    top, left, bottom, right = operation.padding
    height, width, channels = writer.tensor(operation.source).shape
    height, width = height + top + bottom, width + left + right
    if any(operation.padding):
        pads = writer.constant(f"{name}.pads", np.array([0, top, left, 0, 0, bottom, right, 0]), np.int64)
        padded = writer.value(f"{name}.padded", (height, width, channels), DOUBLE)
        inputs = writer.node("Pad", [inputs, pads], padded)
    rows, columns = height - kernel_rows + 1, width - kernel_columns + 1  # positions of stride one
    rest: Shape = (kernel_columns, channels)
    inputs = _write_positions(writer, f"{name}.columns", inputs, (height,), (columns, across), rest)
    columns = -(-columns // across)
    rest = (kernel_rows, columns, kernel_columns, channels)
    inputs = _write_positions(writer, f"{name}.rows", inputs, (), (rows, down), rest)
    return inputs, (-(-rows // down), *rest)


def _write_positions(
    writer: GraphWriter, name: str, inputs: str, before: Shape, positions: tuple[int, int], rest: Shape
) -> str:
    """Replace an axis by ``(positions, kernel)``, and keep every so-many-th position.

    Args:
        writer: What is written to.
        name: For the result.
        inputs: Tensor ``(N, *before, positions + kernel - 1, *rest[1:])``.
        before: Sizes before the axis, without the batch.
        positions: Their number, of stride one, and the stride.
        rest: The kernel, and the sizes behind the axis.
    """
    (count, stride), axis = positions, 1 + len(before)
    index = writer.constant(f"{name}_index", np.arange(count)[:, None] + np.arange(rest[0]), np.int64)
    result = writer.value(name, (*before, count, *rest), DOUBLE)
    writer.node("Gather", [inputs, index], result, axis=axis)
    if stride == 1:
        return result
    bounds = {"starts": 0, "ends": count, "axes": axis, "steps": stride}
    values = [writer.constant(f"{name}_{bound}", np.array([value]), np.int64) for bound, value in bounds.items()]
    kept = writer.value(f"{name}_kept", (*before, -(-count // stride), *rest), DOUBLE)
    return writer.node("Slice", [result, *values], kept)


def _write_double_weights(writer: GraphWriter, operation: Linear, codes: Integers) -> str:
    """Add weights on float64: each part quantised, cast, and added to those before it."""
    name = operation.name
    total = ""
    for i, (part, form) in enumerate(digits(codes, operation.weight_format)):
        label = f"{name}.digit{i}" if i else name
        single = _write_weights(writer, f"{label}.weight", part, form)
        double = writer.weight_value(f"{name}.double{i}.weight_quant", codes.shape, DOUBLE)
        writer.node("Cast", [single], double, to=DOUBLE)
        if total:
            added = writer.weight_value(f"{name}.sum{i}.weight_quant", codes.shape, DOUBLE)
            double = writer.node("Add", [total, double], added)
        total = double
    return total


def digits(codes: Integers, form: Format) -> list[tuple[Integers, Format]]:
    """Return parts that float32 holds, with their formats, whose values add up to the weights'.

    >>> [(part.tolist(), form.ap_fixed) for part, form in digits(np.array([-(2**24) - 1]), FixedPoint(26, 3))]
    [([8388607], 'ap_ufixed<23,0>'), ([-3], 'ap_fixed<3,3>')]
    """
    parts: list[tuple[Integers, Format]] = []
    while not isinstance(form, Bipolar) and np.abs(codes).max(initial=0) > LARGEST_SINGLE:
        parts.append((codes & (2**DIGIT_BITS - 1), FixedPoint(DIGIT_BITS, DIGIT_BITS - form.fractional, signed=False)))
        codes = codes >> DIGIT_BITS
        form = FixedPoint(form.width - DIGIT_BITS, form.integer, form.signed)
    return [*parts, (codes, form)]
