"""From a program to the layers of its estimate."""

from math import prod

import numpy as np

from bitwright.estimates.layers import Arithmetic, Constants, Elementwise, Layer, Matrix, Move, Pool
from bitwright.estimates.multipliers import adder_lut, comparison_lut, product_cells
from bitwright.estimates.parts import Speed
from bitwright.export.operations import (
    Add,
    Affine,
    Dense,
    DepthwiseConv2d,
    Flatten,
    Linear,
    MaxPool2d,
    Multiply,
    MultiplyAdd,
    Operation,
    Requantize,
    Reshape,
    Shape,
    Table,
    Threshold,
    Upsample,
)
from bitwright.export.precision import Precision, is_xnor
from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar

CAST_LUT_PER_BIT = 3
"""LUT that a cast takes for each bit of what it reads: a sum to round, a comparison, a choice. ReLU of 16 bits takes 43
and 51 in two of `reported.PROJECTS`."""


def describe(program: Program, precision: Precision, speed: Speed) -> tuple[Layer, ...]:
    """Return the layers of a program.

    Args:
        program: What is to be built.
        precision: The type of every layer's every part.
        speed: Of the device: how wide its multipliers are.
    """
    layers: list[Layer] = []
    for operation in program.operations:
        if isinstance(operation, Linear):
            layers.extend(_padding(operation, program))
        layers.append(_layer(operation, program, precision, speed))
    return tuple(layers)


def _rows(shape: Shape) -> tuple[int, int, int]:
    """Return rows, positions and channels: a stream carries the channels of a position at once."""
    return (shape[0] if len(shape) > 1 else 1), prod(shape[:-1]), shape[-1]


def _padding(operation: Linear, program: Program) -> tuple[Move, ...]:
    """Return the layer that hls4ml puts before a convolution with padding in a stream."""
    padding = getattr(operation, "padding", (0, 0, 0, 0))
    if not any(padding):
        return ()
    source = program.tensors[operation.source]
    height, width, channels = source.shape
    rows, columns = height + padding[0] + padding[2], width + padding[1] + padding[3]
    name, bits = f"zp2d_{operation.name}", source.format.width
    return (Move(name, "padding", rows * columns, rows, channels, bits, copies=True),)


def _layer(operation: Operation, program: Program, precision: Precision, speed: Speed) -> Layer:
    tensor = program.tensors[operation.name]
    rows, positions, channels = _rows(tensor.shape)
    bits = precision[operation.name]["result"].width
    match operation:
        case Linear():
            return _matrix(operation, program, precision)
        case MaxPool2d():
            height, width, _ = program.tensors[operation.source].shape
            window = prod(operation.kernel), operation.kernel[0]
            return Pool(operation.name, *window, positions, height * width, width, channels, bits)
        case Requantize() | MultiplyAdd() | Affine() | Threshold() | Table() | Add() | Multiply():
            return _elementwise(operation, program, precision, speed)
        case _:
            kind = type(operation).__name__.lower()
            copies = isinstance(operation, Upsample)
            return Move(operation.name, kind, positions, rows, channels, bits, copies=copies)


def _carried(operation: Operation, program: Program) -> int:
    """Return the positions that a stream carries to a layer: reshaping leaves it as it is."""
    made = {each.name: each for each in program.operations}
    source = made[operation.sources[0]]
    while isinstance(source, Reshape | Flatten):
        source = made[source.source]
    return prod(program.tensors[source.name].shape[:-1])


def _arithmetic(operation: Linear, program: Program) -> Arithmetic:
    if is_xnor(operation, program):
        return "xnor"
    if isinstance(operation.weight_format, Bipolar):
        return "weight_sign"
    if isinstance(program.tensors[operation.source].format, Bipolar):
        return "data_sign"
    if operation.weight_format.width == 2 and np.abs(operation.weight).max(initial=0) <= 1:
        return "ternary"
    return "multiply"


def _matrix(operation: Linear, program: Program, precision: Precision) -> Matrix:
    source, types = program.tensors[operation.source], precision[operation.name]
    positions, pixels, row, rows = 1, _carried(operation, program), 1, 1
    if not isinstance(operation, Dense):
        top, left, bottom, right = getattr(operation, "padding", (0, 0, 0, 0))
        height, row = source.shape[0] + top + bottom, source.shape[1] + left + right
        positions = prod(program.tensors[operation.name].shape[:-1])
        pixels, rows = height * row, operation.weight.shape[0]
    outputs = operation.weight.shape[-1]
    depthwise = isinstance(operation, DepthwiseConv2d)
    weights = operation.weight.reshape(-1, 1) if depthwise else operation.weight.reshape(-1, outputs)
    return Matrix(
        name=operation.name,
        kind="dense" if isinstance(operation, Dense) else "depthwise" if depthwise else "conv",
        inputs=len(weights),
        outputs=outputs,
        positions=positions,
        pixels=pixels,
        row_pixels=row,
        channels=source.shape[-1],
        kernel_rows=rows,
        data_bits=precision[operation.source]["result"].width,
        weight_bits=types["weight"].width,
        accumulator_bits=types["accumulator"].width,
        result_bits=types["result"].width,
        arithmetic=_arithmetic(operation, program),
        bias=operation.bias is not None and bool(operation.bias.any()),
        constants=Constants.of(weights),
    )


def _elementwise(
    operation: Requantize | MultiplyAdd | Affine | Threshold | Table | Add | Multiply,
    program: Program,
    precision: Precision,
    speed: Speed,
) -> Elementwise:
    _, positions, channels = _rows(program.tensors[operation.name].shape)
    values = positions * channels
    types = precision[operation.name]
    bits = types["result"].width
    given = precision[operation.sources[0]]["result"].width
    place = operation.name, type(operation).__name__.lower(), positions, channels, bits
    match operation:
        case MultiplyAdd() | Affine():
            product = product_cells(given, types["multiplier"].width, speed)
            wide = given + types["multiplier"].width
            lut = product.lut + adder_lut(wide) + CAST_LUT_PER_BIT * bits
            constants = operation.multiplier.size * types["multiplier"].width
            constants += operation.offset.size * types["offset"].width
            return Elementwise(
                *place,
                lut,
                product.dsp,
                constant_bits=constants,
                multiplications=values,
                additions=values,
                depth_adders=2,
            )
        case Threshold():
            steps = operation.thresholds.shape[1]
            count = adder_lut(bits) if steps > 1 else 0
            constants = operation.thresholds.size * types["threshold"].width
            depth = 1 + (steps - 1).bit_length()
            lut = steps * comparison_lut(given) + (steps - 1) * count
            added = values * (steps - 1)
            return Elementwise(*place, lut, constant_bits=constants, additions=added, depth_adders=depth)
        case Table():
            size = 2**given * bits
            return Elementwise(*place, 0.0, table_bits=size, constant_bits=size)
        case Add():
            return Elementwise(*place, float(adder_lut(bits)), additions=values)
        case Multiply():
            product = product_cells(given, precision[operation.right]["result"].width, speed)
            return Elementwise(*place, product.lut, product.dsp, multiplications=values)
        case Requantize():
            return Elementwise(*place, float(CAST_LUT_PER_BIT * given))
