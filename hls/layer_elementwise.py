"""What works on each value by itself, as hls4ml's layers."""

from math import prod
from typing import Any

import numpy as np

from bitwright.export.operations import Affine, Integers, MultiplyAdd, Requantize, Table, Threshold
from bitwright.export.precision import Precision
from bitwright.export.program import Program
from bitwright.hls import table_layer, threshold_layer
from bitwright.hls.layer import BIT, Layer, finer_bits, hls_type, refuse_bits, wire_type
from bitwright.hls.layer_moves import copy_layer
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint, smallest_format

MAX_TABLE_BITS = 16
"""Width of the widest source that a table may have: it has an entry for every code."""


def cast_layer(
    operation: Requantize | MultiplyAdd | Affine, program: Program, precision: Precision, types: dict[str, Any]
) -> Layer:
    """Return a cast to the result's type; between equal types hls4ml would remove its own."""
    refuse_bits(operation, program)
    source, result = precision[operation.source]["result"], precision[operation.name]["result"]
    if hls_type(source) == types["result"]:
        return copy_layer(program.tensors[operation.name].shape, types)
    if _rounds_to_zero(_integer(source), result):
        return _zero_layer(source, types)
    return Layer({"class_name": "Activation", "activation": "linear"}, {"result": types["result"]})


def multiply_add_layer(
    operation: MultiplyAdd | Affine, program: Program, precision: Precision, types: dict[str, Any]
) -> Layer:
    """Return hls4ml's batch normalisation, or a cast where nothing is multiplied and added: hls4ml would remove it."""
    tensor = program.tensors[operation.source]
    fractional = (
        operation.fractional if isinstance(operation, Affine) else operation.format.fractional + operation.shift
    )
    scale = operation.multiplier * (2.0**-fractional / tensor.format.step)
    if (scale == 1).all() and not operation.offset.any():
        return cast_layer(operation, program, precision, types)
    forms = precision[operation.source]["result"], precision[operation.name]["multiplier"]
    offset, result = precision[operation.name]["offset"], precision[operation.name]["result"]
    integer = max(sum(_integer(form) for form in forms), _integer(offset)) + 1
    if _rounds_to_zero(integer, result):
        return _zero_layer(forms[0], types)
    attributes = {
        "class_name": "BatchNormalization",
        "n_in": prod(tensor.shape),
        "n_filt": tensor.shape[-1],
        "scale_data": scale,
        "bias_data": operation.offset * 2.0**-fractional,
    }
    return Layer(attributes, {"scale": types["multiplier"], "bias": types["offset"], "result": types["result"]})


def _rounds_to_zero(integer: int, result: Format) -> bool:
    """Return whether every value of so many integer bits is rounded to 0.

    The headers that hls4ml ships abort on such a cast: they read the bit that is rounded by, which there is not.
    """
    return isinstance(result, FixedPoint) and result.rounding != "AP_TRN" and integer + result.fractional < 0


def _integer(form: Format) -> int:
    """Return the bits left of the binary point."""
    return form.width - form.fractional


def _zero_layer(source: Format, types: dict[str, Any]) -> Layer:
    """Return our layer of one threshold that nothing reaches: 0 for every value."""
    never = smallest_format(0, source.highest + 1, source.fractional)
    attributes = {
        "class_name": threshold_layer.CLASS_NAME,
        "n_chan": 1,
        "n_steps": 1,
        "base": 0,
        "finer": 0,
        "threshold_data": np.array([(source.highest + 1) * source.step]),
        "rising_data": np.array([1]),
    }
    return Layer(attributes, {"result": types["result"], "threshold": hls_type(never), "rising": BIT})


def threshold_layer_of(operation: Threshold, program: Program, result: Format, types: dict[str, Any]) -> Layer:
    """Return our layer of thresholds; ``result`` is the type of the result in the project."""
    bipolar = isinstance(operation.format, Bipolar)
    attributes = {
        "class_name": threshold_layer.CLASS_NAME,
        "n_chan": operation.thresholds.shape[0],
        "n_steps": operation.thresholds.shape[1],
        "base": 0 if bipolar else operation.format.lowest,
        "finer": finer_bits(result, operation.format),
        "threshold_data": operation.thresholds.reshape(-1) * program.tensors[operation.source].format.step,
        "rising_data": operation.rising.astype(np.int64),
    }
    return Layer(attributes, {"result": types["result"], "threshold": types["threshold"], "rising": BIT})


def table_layer_of(operation: Table, program: Program, types: dict[str, Any]) -> Layer:
    """Return our layer of a table, of an entry for every code of the source's narrowest type.

    Raises:
        ValueError: If the source has too many bits.
    """
    source = program.tensors[operation.source].format
    if source.width > MAX_TABLE_BITS:
        raise ValueError(
            f"{operation.name}: source of Table must be at most {MAX_TABLE_BITS} bits wide, not {source.width}; "
            "quantise it before, to fewer bits"
        )
    entries = operation.entries[np.clip(_codes_by_bits(source) - operation.lowest, 0, len(operation.entries) - 1)]
    form = operation.format
    attributes = {
        "class_name": table_layer.CLASS_NAME,
        "table_size": len(entries),
        "table_data": form.bits(entries) if isinstance(form, Bipolar) else entries * form.step,
    }
    code = source if isinstance(source, Bipolar) else source.plain()
    return Layer(attributes, {"result": types["result"], "table": wire_type(form), "code": wire_type(code)})


def _codes_by_bits(form: Format) -> Integers:
    """Return the code of every pattern of bits, in order.

    >>> from bitwright.quant.fixed_point import FixedPoint
    >>> _codes_by_bits(FixedPoint(2, 2))
    array([ 0,  1, -2, -1])
    """
    if isinstance(form, Bipolar):
        return np.array([form.lowest, form.highest])
    bits = np.arange(1 << form.width)
    return np.where(bits >> (form.width - 1), bits - (1 << form.width), bits) if form.signed else bits
