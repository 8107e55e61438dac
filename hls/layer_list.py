"""From a program to hls4ml's layer list: every layer, every type explicit, nothing left to a default."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from hls4ml.model.types import XnorPrecisionType

from bitwright.export.operations import (
    Conv2d,
    Dense,
    Flatten,
    Input,
    Linear,
    MaxPool2d,
    MultiplyAdd,
    Operation,
    Requantize,
    Threshold,
)
from bitwright.export.precision import Precision
from bitwright.export.program import Program
from bitwright.hls.target import Target
from bitwright.hls.threshold_layer import CLASS_NAME
from bitwright.quant.bipolar import Bipolar, Format

BIT = "ap_uint<1>"
UNUSED = BIT  # hls4ml wants a type where a layer has nothing to type


@dataclass(frozen=True, eq=False)
class LayerList:
    """What `ModelGraph.from_layer_list` takes.

    Args:
        layers: One dictionary a layer.
        precision: Every type of every layer, by hls4ml's names.
        config: Strategy, reuse factor and table types of every layer.
    """

    layers: tuple[dict[str, Any], ...]
    precision: dict[str, dict[str, Any]]
    config: dict[str, dict[str, Any]]


def hls_type(form: Format) -> Any:  # noqa: ANN401 - text, or hls4ml's object for what no text says
    """Return a format as hls4ml takes it."""
    return XnorPrecisionType() if isinstance(form, Bipolar) else form.ap_fixed


def layer_list(program: Program, precision: Precision, target: Target) -> LayerList:
    """Return the program's layers.

    Raises:
        ValueError: If hls4ml cannot carry an operation in this target's `io_type`.
    """
    layers: list[dict[str, Any]] = []
    types: dict[str, dict[str, Any]] = {}
    config: dict[str, dict[str, Any]] = {}
    for operation in program.operations:
        layer, layer_types = _layer(operation, program, precision, target)
        layers.append({"name": operation.name, **({"inputs": [operation.source]} if operation.source else {}), **layer})
        types[operation.name] = layer_types
        types[f"clone_{operation.name}"] = {"result": layer_types["result"]}  # io_stream copies what two layers read
        config[operation.name] = {"Trace": True}
        if isinstance(operation, Linear):
            config[operation.name] |= {
                "Strategy": target.strategy,
                "ReuseFactor": legal_reuse_factor(operation, target),
            }
        if layer["class_name"] == "Activation":
            config[operation.name]["table_t"] = UNUSED
    return LayerList(tuple(layers), types, config)


def legal_reuse_factor(operation: Linear, target: Target) -> int:
    """Return the legal reuse factor of a layer nearest to the target's, the smaller of two equally near.

    With the strategy Latency every factor is legal. With Resource a factor must divide the layer's multiplications, and
    either be below the inputs of one output and leave whole outputs to each multiplier, or be a multiple of them.

    Source: hls4ml 1.3.0, `FPGABackend._validate_reuse_factor`.
    """
    if target.strategy == "Latency":
        return target.reuse_factor
    inputs, outputs = prod(operation.weight.shape[:-1]), operation.weight.shape[-1]

    def legal(factor: int) -> bool:
        multipliers = -(-inputs * outputs // min(inputs, factor))
        whole = multipliers % outputs == 0 or factor >= inputs
        return whole and (factor < inputs or factor % inputs == 0) and (inputs * outputs) % factor == 0

    return min(
        (factor for factor in range(1, inputs * outputs + 1) if legal(factor)),
        key=lambda factor: (abs(factor - target.reuse_factor), factor),
    )


def _layer(
    operation: Operation, program: Program, precision: Precision, target: Target
) -> tuple[dict[str, Any], dict[str, Any]]:
    types = {role: hls_type(form) for role, form in precision[operation.name].items()}
    result = types["result"]
    bit_result = BIT if isinstance(program.tensors[operation.name].format, Bipolar) else result
    source = program.tensors.get(operation.source)
    match operation:
        case Input():
            return {"class_name": "InputLayer", "input_shape": list(operation.shape)}, {"result": result}
        case Dense():
            return {
                "class_name": "Dense",
                "n_in": operation.weight.shape[0],
                "n_out": operation.weight.shape[1],
                **_constants(operation, program),
            }, _linear_types(types)
        case Conv2d():
            assert source is not None
            return _conv(operation, program), _linear_types(types)
        case MaxPool2d():
            _refuse_overlap(operation, target)
            return _pool(operation, program), {"result": result, "accum": bit_result}
        case MultiplyAdd():
            assert source is not None
            step = operation.format.step * 2.0**-operation.shift
            return {
                "class_name": "BatchNormalization",
                "n_in": prod(source.shape),
                "n_filt": source.shape[-1],
                "scale_data": operation.multiplier * (step / source.format.step),
                "bias_data": operation.offset * step,
            }, {"scale": types["multiplier"], "bias": types["offset"], "result": result}
        case Requantize():
            return {"class_name": "Activation", "activation": "linear"}, {"result": result}
        case Threshold():
            assert source is not None
            bipolar = isinstance(operation.format, Bipolar)
            return {
                "class_name": CLASS_NAME,
                "n_chan": operation.thresholds.shape[0],
                "n_steps": operation.thresholds.shape[1],
                "base": 0 if bipolar else operation.format.lowest,
                "threshold_data": operation.thresholds.reshape(-1) * source.format.step,
                "rising_data": operation.rising.astype(np.int64),
            }, {"result": result, "threshold": types["threshold"], "rising": BIT}
        case Flatten():
            return {"class_name": "Reshape", "target_shape": [prod(program.tensors[operation.name].shape)]}, {
                "result": result
            }
        case _:
            raise TypeError(f"{operation.name}: operation must have an hls4ml layer, not be {type(operation).__name__}")


def _linear_types(types: dict[str, Any]) -> dict[str, Any]:
    return {"weight": types["weight"], "bias": types["bias"], "accum": types["accumulator"], "result": types["result"]}


def _constants(operation: Linear, program: Program) -> dict[str, Any]:
    """Return weights and bias: real values on their grid, or the wires' bits of binary weights."""
    step = 2.0 ** -operation.accumulator_fractional(program.tensors[operation.source].format)
    bias = np.zeros(operation.weight.shape[-1]) if operation.bias is None else operation.bias * step
    if isinstance(operation.weight_format, Bipolar):
        return {"weight_data": operation.weight_format.bits(operation.weight), "bias_data": bias}
    return {"weight_data": operation.weight * operation.weight_format.step, "bias_data": bias}


def _conv(operation: Conv2d, program: Program) -> dict[str, Any]:
    height, width, channels = program.tensors[operation.source].shape
    out_height, out_width, filters = program.tensors[operation.name].shape
    top, left, bottom, right = operation.padding
    return {
        "class_name": "Conv2D",
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
        **_constants(operation, program),
    }


def _pool(operation: MaxPool2d, program: Program) -> dict[str, Any]:
    height, width, channels = program.tensors[operation.source].shape
    out_height, out_width, _ = program.tensors[operation.name].shape
    return {
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


def _refuse_overlap(operation: MaxPool2d, target: Target) -> None:
    """hls4ml's streaming pool asserts in C++, and would take the Python process with it."""
    if target.io_type == "io_stream" and operation.stride != operation.kernel:
        raise ValueError(
            f"{operation.name}: pooling windows of io_stream must not overlap or leave gaps, not be {operation.kernel} "
            f"every {operation.stride}; use io_parallel, or a stride equal to the kernel"
        )
