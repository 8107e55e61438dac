"""Dense layers and convolutions as hls4ml's layers."""

from math import prod
from typing import Any

import numpy as np

from bitwright.export.operations import Conv2d, Dense, DepthwiseConv2d, Linear
from bitwright.export.precision import is_xnor
from bitwright.export.program import Program
from bitwright.hls.layer import Layer, refuse_bits
from bitwright.hls.target import Target
from bitwright.quant.bipolar import Bipolar


def linear_layer(operation: Linear, program: Program, types: dict[str, Any], target: Target) -> Layer:
    """Return a dense layer or a convolution.

    Raises:
        ValueError: If it pads one-bit data, is depthwise on them or adds a bias to their matches, or if it skips
            rows in a stream with one row of weights.
    """
    attributes: dict[str, Any]
    if operation.bias is not None and operation.bias.any() and is_xnor(operation, program):
        refuse_bits(operation, program)  # hls4ml's count of matches would double the bias
    match operation:
        case Dense():
            inputs, outputs = operation.weight.shape
            attributes = {"class_name": "Dense", "n_in": inputs, "n_out": outputs, "weight_data": _weights(operation)}
        case Conv2d():
            _refuse_skipped_rows(operation, target)
            if any(operation.padding):
                refuse_bits(operation, program)
            attributes = {"class_name": "Conv2D", **_window(operation, program), "weight_data": _weights(operation)}
        case DepthwiseConv2d():
            _refuse_skipped_rows(operation, target)
            refuse_bits(operation, program)
            attributes = {
                "class_name": "DepthwiseConv2D",
                **_window(operation, program),
                "depth_multiplier": 1,
                "depthwise_data": _weights(operation)[..., None],  # (KH, KW, C, 1)
            }
        case _:
            raise TypeError(f"{operation.name}: operation must have an hls4ml layer, not be {type(operation).__name__}")
    step = 2.0 ** -operation.accumulator_fractional(program.tensors[operation.source].format)
    bias = np.zeros(operation.weight.shape[-1]) if operation.bias is None else operation.bias * step
    return Layer(
        {**attributes, "bias_data": bias},
        {role: types[key] for role, key in (("weight",) * 2, ("bias",) * 2, ("accum", "accumulator"), ("result",) * 2)},
    )


def _refuse_skipped_rows(operation: Conv2d | DepthwiseConv2d, target: Target) -> None:
    """hls4ml's streaming convolution with one row of weights moves by one row, whatever the stride of rows."""
    rows, columns = operation.weight.shape[:2]
    if target.io_type == "io_stream" and rows == 1 < columns and operation.stride[0] > 1:
        raise ValueError(
            f"{operation.name}: kernel of several columns must have several rows where io_stream moves by "
            f"{operation.stride[0]} rows, not one; use io_parallel, or a kernel of more rows"
        )


def _weights(operation: Linear) -> Any:  # noqa: ANN401
    """Return real values on their grid, or the wires' bits of binary weights."""
    if isinstance(operation.weight_format, Bipolar):
        return operation.weight_format.bits(operation.weight)
    return operation.weight * operation.weight_format.step


def _window(operation: Conv2d | DepthwiseConv2d, program: Program) -> dict[str, Any]:
    height, width, channels = program.tensors[operation.source].shape
    out_height, out_width, filters = program.tensors[operation.name].shape
    top, left, bottom, right = operation.padding
    return {
        "data_format": "channels_last",
        "in_height": height,
        "in_width": width,
        "n_chan": channels,
        "out_height": out_height,
        "out_width": out_width,
        "n_filt": filters,
        "filt_height": operation.weight.shape[0],
        "filt_width": operation.weight.shape[1],
        "stride_height": operation.stride[0],
        "stride_width": operation.stride[1],
        "dilation_height": 1,
        "dilation_width": 1,
        "pad_top": top,
        "pad_bottom": bottom,
        "pad_left": left,
        "pad_right": right,
    }


def linear_config(operation: Linear, target: Target) -> dict[str, Any]:
    """Return strategy and reuse factor; hls4ml has no depthwise layer of the strategy Resource in `io_parallel`."""
    strategy = "Latency" if isinstance(operation, DepthwiseConv2d) else target.strategy
    return {"Strategy": strategy, "ReuseFactor": legal_reuse_factor(operation, target)}


def legal_reuse_factor(operation: Linear, target: Target) -> int:
    """Return the legal reuse factor of a layer nearest to the target's, the smaller of two equally near.

    With the strategy Latency every factor is legal. With Resource a factor must divide the layer's multiplications, and
    either be below the inputs of one output and leave whole outputs to each multiplier, or be a multiple of them. Of a
    convolution it may not exceed the inputs of one output: hls4ml's C++ asserts it, and gives other integers in a build
    without assertions.

    Source: hls4ml 1.3.0, `FPGABackend._validate_reuse_factor` and `nnet_conv2d_resource.h`.
    """
    if target.strategy == "Latency" or isinstance(operation, DepthwiseConv2d):
        return target.reuse_factor
    inputs, outputs = prod(operation.weight.shape[:-1]), operation.weight.shape[-1]
    most = inputs if isinstance(operation, Conv2d) else inputs * outputs

    def legal(factor: int) -> bool:
        multipliers = -(-inputs * outputs // min(inputs, factor))
        whole = multipliers % outputs == 0 or factor >= inputs
        return whole and (factor < inputs or factor % inputs == 0) and (inputs * outputs) % factor == 0

    return min(
        (factor for factor in range(1, most + 1) if legal(factor)),
        key=lambda factor: (abs(factor - target.reuse_factor), factor),
    )
