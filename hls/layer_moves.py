"""Pooling, and what moves values and computes none, as hls4ml's layers."""

from math import prod
from typing import Any

from bitwright.export.operations import Concat, Dense, MaxPool2d, Reshape, Shape, Transpose, Upsample
from bitwright.export.program import Program
from bitwright.hls.layer import Layer
from bitwright.hls.move_layer import CLASS_NAME
from bitwright.hls.target import Target
from bitwright.quant.bipolar import Bipolar


def pool_layer(
    operation: MaxPool2d, program: Program, types: dict[str, Any], accumulator: str, target: Target
) -> Layer:
    """Return max pooling.

    Raises:
        ValueError: If windows overlap or leave gaps in `io_stream`: hls4ml's streaming pool asserts in C++, and would
            take the Python process with it.
    """
    if target.io_type == "io_stream" and operation.stride != operation.kernel:
        raise ValueError(
            f"{operation.name}: pooling windows of io_stream must not overlap or leave gaps, not be {operation.kernel} "
            f"every {operation.stride}; use io_parallel, or a stride equal to the kernel"
        )
    height, width, channels = program.tensors[operation.source].shape
    out_height, out_width, _ = program.tensors[operation.name].shape
    attributes = {
        "class_name": "MaxPooling2D",
        "data_format": "channels_last",
        "in_height": height,
        "in_width": width,
        "n_filt": channels,
        "out_height": out_height,
        "out_width": out_width,
        "pool_height": operation.kernel[0],
        "pool_width": operation.kernel[1],
        "stride_height": operation.stride[0],
        "stride_width": operation.stride[1],
        "pad_top": 0,
        "pad_bottom": 0,
        "pad_left": 0,
        "pad_right": 0,
    }
    return Layer(attributes, {"result": types["result"], "accum": accumulator})


def concat_layer(operation: Concat, program: Program, types: dict[str, Any]) -> Layer:
    """Return channels side by side.

    Raises:
        ValueError: If one source is one bit and the other a number.
    """
    bits = [name for name in operation.sources if isinstance(program.tensors[name].format, Bipolar)]
    if len(bits) == 1:
        raise ValueError(
            f"{operation.name}: sources of Concat must both be numbers or both one bit, not {bits[0]} alone one bit; "
            "put a Threshold to two bits between"
        )
    dimensions = len(program.tensors[operation.name].shape)
    return Layer(
        {"class_name": "Concatenate", "op": f"concatenate{dimensions}d", "axis": -1}, {"result": types["result"]}
    )


def reshape_layer(operation: Reshape, program: Program, types: dict[str, Any], target: Target) -> Layer:
    """Return a reshape: hls4ml's where it does nothing, ours where values must move between packets of a stream."""
    shape = program.tensors[operation.name].shape
    if _does_nothing(operation, program, target):
        return Layer({"class_name": "Reshape", "target_shape": list(shape)}, {"result": types["result"]})
    return _move("move", shape, (1, 1, prod(shape)), (0, 0, 1), (1, 1), types)


def _does_nothing(operation: Reshape, program: Program, target: Target) -> bool:
    """Return whether no wire moves, nor lies before the output, from which hls4ml would remove it."""
    readers = [reader for reader in program.operations if operation.name in reader.sources]
    if not readers:
        return False
    if target.io_type == "io_parallel":
        return True
    flat = len(program.tensors[operation.name].shape) == 1
    return flat and len(readers) == 1 and isinstance(readers[0], Dense)  # which reads packets of any size


def transpose_layer(operation: Transpose, program: Program, types: dict[str, Any]) -> Layer:
    """Return a transpose of two or three axes."""
    source, shape = program.tensors[operation.source].shape, program.tensors[operation.name].shape
    distances = [prod(source[axis + 1 :]) for axis in operation.axes]
    missing = 3 - len(shape)
    return _move("move", shape, (*(1,) * missing, *shape), (*(0,) * missing, *distances), (1, 1), types)


def upsample_layer(operation: Upsample, program: Program, types: dict[str, Any]) -> Layer:
    """Return rows and columns repeated."""
    shape = program.tensors[operation.name].shape
    _, width, channels = program.tensors[operation.source].shape
    return _move("repeat", shape, shape, (width * channels, channels, 1), operation.factors, types)


def _move(
    function: str, shape: Shape, sizes: Shape, strides: Shape, repeats: tuple[int, int], types: dict[str, Any]
) -> Layer:
    attributes: dict[str, Any] = {"class_name": CLASS_NAME, "function": function, "shape": list(shape)}
    for axis, (size, stride) in enumerate(zip(sizes, strides, strict=True)):
        attributes |= {f"size_{axis}": size, f"stride_{axis}": stride}
    attributes |= {"repeat_0": repeats[0], "repeat_1": repeats[1]}
    return Layer(attributes, {"result": types["result"]})


def copy_layer(shape: Shape, types: dict[str, Any]) -> Layer:
    """Return a layer that gives what it takes: hls4ml would remove its own."""
    return _move("move", shape, (1, 1, prod(shape)), (0, 0, 1), (1, 1), types)
