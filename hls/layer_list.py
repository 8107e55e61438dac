"""From a program to hls4ml's layer list: every layer, every type explicit, nothing left to a default."""

from dataclasses import dataclass
from typing import Any

from bitwright.export.operations import (
    Add,
    Affine,
    Concat,
    Input,
    Linear,
    MaxPool2d,
    Multiply,
    MultiplyAdd,
    Operation,
    Requantize,
    Reshape,
    Table,
    Threshold,
    Transpose,
    Upsample,
)
from bitwright.export.precision import Precision
from bitwright.export.program import Program
from bitwright.hls.layer import UNUSED, Layer, hls_type, refuse_bits, wire_type
from bitwright.hls.layer_elementwise import cast_layer, multiply_add_layer, table_layer_of, threshold_layer_of
from bitwright.hls.layer_linear import legal_reuse_factor, linear_config, linear_layer
from bitwright.hls.layer_moves import concat_layer, pool_layer, reshape_layer, transpose_layer, upsample_layer
from bitwright.hls.target import Target

__all__ = ["LayerList", "layer_list", "legal_reuse_factor"]

MOST_READERS = 7
"""Layers that may read one stream: hls4ml copies it no oftener."""


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


def layer_list(program: Program, precision: Precision, target: Target) -> LayerList:
    """Return the program's layers.

    Raises:
        ValueError: If hls4ml cannot carry an operation in this target's `io_type`.
    """
    layers: list[dict[str, Any]] = []
    types: dict[str, dict[str, Any]] = {}
    config: dict[str, dict[str, Any]] = {}
    for operation in program.operations:
        name = operation.name
        _refuse_many_readers(operation, program, target)
        layer = _layer(operation, program, precision, target)
        inputs = {"inputs": list(operation.sources)} if operation.sources else {}
        layers.append({"name": name, **inputs, **layer.attributes})
        types[name] = layer.types
        types[f"clone_{name}"] = {"result": layer.types["result"]}  # io_stream copies what two layers read
        config[name] = {"Trace": True}
        if isinstance(operation, Linear):
            config[name] |= linear_config(operation, target)
        if layer.attributes["class_name"] == "Activation":
            config[name]["table_t"] = UNUSED
    return LayerList(tuple(layers), types, config)


def _layer(operation: Operation, program: Program, precision: Precision, target: Target) -> Layer:
    types = {role: hls_type(form) for role, form in precision[operation.name].items()}
    result = {"result": types["result"]}
    match operation:
        case Input():
            return Layer({"class_name": "InputLayer", "input_shape": list(operation.shape)}, result)
        case Linear():
            return linear_layer(operation, program, types, target)
        case MaxPool2d():
            return pool_layer(operation, program, types, wire_type(precision[operation.name]["result"]), target)
        case MultiplyAdd() | Affine():
            return multiply_add_layer(operation, program, precision, types)
        case Requantize():
            return cast_layer(operation, program, precision, types)
        case Threshold():
            return threshold_layer_of(operation, program, precision[operation.name]["result"], types)
        case Table():
            return table_layer_of(operation, program, types)
        case Add() | Multiply():
            refuse_bits(operation, program)
            return Layer({"class_name": "Merge", "op": type(operation).__name__.lower()}, result)
        case Concat():
            return concat_layer(operation, program, types)
        case Reshape():
            return reshape_layer(operation, program, types, target)
        case Transpose():
            return transpose_layer(operation, program, types)
        case Upsample():
            return upsample_layer(operation, program, types)
        case _:
            raise TypeError(f"{operation.name}: operation must have an hls4ml layer, not be {type(operation).__name__}")


def _refuse_many_readers(operation: Operation, program: Program, target: Target) -> None:
    readers = sum(reader.sources.count(operation.name) for reader in program.operations)
    if target.io_type == "io_stream" and readers > MOST_READERS:
        raise ValueError(
            f"{operation.name}: stream must have at most {MOST_READERS} readers, not {readers}; use io_parallel"
        )
