"""The assumptions under which a layer is run again, in the order of `CAUSES`: the first that fits is the cause.

Each yields a cause, its detail, and what the operation would have given; only exactly the found integers, on every
input, count as a fit. Where two fit, the inputs do not tell them apart, and the one earlier in the order is named.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import get_args

import numpy as np

from bitwright.export.operations import (
    Add,
    Affine,
    Concat,
    Integers,
    Linear,
    MaxPool2d,
    MultiplyAdd,
    Requantize,
    Table,
    Threshold,
)
from bitwright.hls.difference_layer import Cause, DifferingLayer, Hypotheses
from bitwright.hls.difference_order import joined, orders, rearranged
from bitwright.hls.difference_parameters import one_number, one_number_a_channel, with_fields
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.fixed_point import FixedPoint, Overflow, Rounding, shift_round, smallest_format

MAX_SHIFT = 16
"""Powers of two that are tried as a wrong scale, and fraction bits as lost."""

ROUNDS: Mapping[Rounding, str] = {
    "AP_TRN": "down (AP_TRN)",
    "AP_RND": "half up (AP_RND)",
    "AP_RND_CONV": "half to even (AP_RND_CONV)",
}
OVERFLOWS: Mapping[Overflow, str] = {
    "AP_WRAP": "wraps",
    "AP_SAT": "saturates",
    "AP_SAT_SYM": "saturates symmetrically",
}
PARAMETERS = {
    "weight": "weight",
    "bias": "bias",
    "multiplier": "multiplier",
    "offset": "offset",
    "thresholds": "threshold",
}
"""Fields of numbers, by what `precision.toml` calls them."""


def explain(layer: DifferingLayer) -> tuple[Cause, str]:
    """Return the cause of a difference, and its detail."""
    for hypotheses in CAUSES:
        for cause, detail, values in hypotheses(layer):
            if layer.is_reproduced_by(values):
                return cause, detail
    channels, of = len(layer.differing_channels), layer.found.shape[-1]
    return "unknown", f"{channels} of {of} channels differ, and no single change that was tried gives these integers"


def _other_modes(layer: DifferingLayer) -> Hypotheses:
    """A quantiser that rounds or overflows in another way."""
    operation = layer.operation
    if not isinstance(operation, Requantize | MultiplyAdd):
        return
    form = operation.format
    modes = [(rounding, overflow) for rounding in get_args(Rounding) for overflow in get_args(Overflow)]
    for rounding, overflow in sorted(modes, key=lambda pair: (pair[0] != form.rounding) + (pair[1] != form.overflow)):
        details = []
        if overflow != form.overflow:
            details.append(
                f"{OVERFLOWS[overflow]} ({overflow}), the program {OVERFLOWS[form.overflow]} ({form.overflow})"
            )
        if rounding != form.rounding:
            details.append(f"rounds {ROUNDS[rounding]} instead of {ROUNDS[form.rounding]}")
        if details:
            cause: Cause = "overflow" if rounding == form.rounding else "rounding"
            other = replace(operation, format=replace(form, rounding=rounding, overflow=overflow))
            yield cause, "; ".join(details), layer.run(other)


def _narrow_result(layer: DifferingLayer) -> Hypotheses:
    """An accumulator or a result of fewer bits."""
    operation, form = layer.operation, layer.format
    if form is None:
        return
    match operation:
        case Linear() if layer.counts_matches:
            products = int(np.prod(operation.weight.shape[:-1]))
            counter = smallest_format(0, products)
            for text, counts in _narrowed((layer.expected + products) >> 1, counter):
                yield "overflow", f"match counter {text}", 2 * counts - products
            for text, values in _narrowed(layer.expected, form):
                yield "overflow", f"result {text}", values
        case Linear():
            for text, values in _narrowed(layer.expected, form):
                yield "overflow", f"accumulator {text}", values
            for text, values in _saturating_sums(layer, operation, form):
                yield "overflow", f"accumulator {text}", values
        case Requantize() | MultiplyAdd():
            for narrow in _narrow_formats(form):
                text = _narrow_text(narrow, form)
                yield "overflow", f"result {text}", layer.run(replace(operation, format=narrow))
        case MaxPool2d():
            for text, values in _narrowed(layer.expected, form):
                yield "overflow", f"result {text}", values
            for text, values in _narrowed(layer.inputs, form):
                yield "overflow", f"accumulator {text}", layer.run(operation, values)
        case _:
            for text, values in _narrowed(layer.expected, form):
                yield "overflow", f"result {text}", values


def _narrow_formats(need: FixedPoint) -> Iterator[FixedPoint]:
    """Yield formats of the same step that hold less, the widest first."""
    for width in range(need.width, 0, -1):
        for signed in (need.signed, not need.signed):
            if width == need.width and signed == need.signed:
                continue
            for overflow in get_args(Overflow):
                yield replace(need, width=width, integer=width - need.fractional, signed=signed, overflow=overflow)


def _narrow_text(narrow: FixedPoint, need: FixedPoint) -> str:
    if narrow.signed == need.signed:
        return f"{OVERFLOWS[narrow.overflow]} at {narrow.width} bits: {need.width} are needed"
    words = {False: "unsigned", True: "signed"}
    return (
        f"{OVERFLOWS[narrow.overflow]} at {narrow.width} {words[narrow.signed]} bits: "
        f"{need.width} {words[need.signed]} ones are needed"
    )


def _narrowed(values: Integers, need: FixedPoint) -> Iterator[tuple[str, Integers]]:
    """Yield values that are known to fit a format in narrower ones, where that changes them."""
    for narrow in _narrow_formats(need):
        result = narrow.overflowed(values)
        if _is_narrowed(result, values):
            yield _narrow_text(narrow, need), result


def _is_narrowed(result: Integers, values: Integers) -> bool:
    """Return whether narrowing changed values, and left more of them than a constant, which any cause could give."""
    return not np.array_equal(result, values) and bool((result != result.flat[0]).any())


def _saturating_sums(layer: DifferingLayer, operation: Linear, need: FixedPoint) -> Iterator[tuple[str, Integers]]:
    """Yield sums that saturate at every addition, in hls4ml's order; their ends must be among the found integers."""
    ends = int(layer.found.min()), int(layer.found.max())
    for narrow in _narrow_formats(need):
        if narrow.overflow == "AP_WRAP" or not narrow.holds(*ends):
            continue
        if narrow.lowest == ends[0] or narrow.highest == ends[1]:
            bias = 0 if operation.bias is None else operation.bias
            total = narrow.overflowed(np.broadcast_to(bias, layer.found.shape))
            for index, inputs in layer.taps():
                product = narrow.overflowed(inputs * operation.weight[index])  # (N, *positions, C)
                total = narrow.overflowed(total + product)
            yield f"{_narrow_text(narrow, need)}; it does so at every addition", total


def _coarse_result(layer: DifferingLayer) -> Hypotheses:
    """An accumulator or a result of fewer fraction bits."""
    operation, form = layer.operation, layer.format
    if form is None or layer.counts_matches:
        return
    for dropped in range(1, min(_trailing_zeros(layer.found), MAX_SHIFT) + 1):
        bits = f"{dropped} fraction bit{'s' if dropped > 1 else ''}"
        needed = f"{form.fractional} are needed"
        for rounding in get_args(Rounding):
            text = f"{bits} and rounds {ROUNDS[rounding]}: {needed}"
            yield "rounding", f"result drops {text}", shift_round(layer.expected, dropped, rounding) << dropped
            match operation:
                case Linear():
                    values = _rounded_products(layer, operation, dropped, rounding)
                    yield "rounding", f"accumulator drops {text}", values
                case Requantize() | MultiplyAdd() if dropped < form.width:
                    coarse = replace(form, width=form.width - dropped, rounding=rounding)
                    other = replace(operation, format=coarse)
                    if isinstance(other, MultiplyAdd):
                        other = replace(other, shift=other.shift + dropped)
                    yield "rounding", f"result drops {text}", layer.run(other) << dropped
                case _:
                    pass


def _rounded_products(layer: DifferingLayer, operation: Linear, dropped: int, rounding: Rounding) -> Integers:
    """Return sums of products that were each brought to the accumulator's step, as hls4ml's are."""
    bias = np.zeros(1, np.int64) if operation.bias is None else operation.bias
    total = np.broadcast_to(shift_round(bias, dropped, rounding), layer.found.shape).copy()
    for index, inputs in layer.taps():
        total += shift_round(inputs * operation.weight[index], dropped, rounding)
    return total << dropped


def _trailing_zeros(values: Integers) -> int:
    """Return how many low bits are zero in every value; none where all values are zero.

    >>> _trailing_zeros(np.array([12, 8]))
    2
    """
    ones = int(np.bitwise_or.reduce(values, axis=None))
    return (ones & -ones).bit_length() - 1 if ones else 0


def _scaled(layer: DifferingLayer) -> Hypotheses:
    """A binary point at the wrong place."""
    if (layer.found == layer.found.flat[0]).all():
        return  # nothing is as good as any scale
    operation, source = layer.operation, layer.source
    for exponent in (sign * power for power in range(1, MAX_SHIFT + 1) for sign in (1, -1)):
        times = f"2**{exponent} times what they should be"
        for rounding in get_args(Rounding):
            yield "scale", f"values are {times}", shift_round(layer.expected, -exponent, rounding)
        match operation:
            case Linear() if operation.bias is not None:
                products = shift_round(layer.expected - operation.bias, -exponent, "AP_TRN")
                yield "scale", f"weights are {times}, the bias is not", products + operation.bias
            case Requantize():
                values = operation.format.cast(layer.inputs, source.format.fractional - exponent)
                yield "scale", f"values before rounding are {times}", values
            case MultiplyAdd():
                whole = replace(operation, shift=operation.shift - exponent)
                yield "scale", f"values before rounding are {times}", layer.run(whole)
                if exponent > 0:
                    part = replace(operation, multiplier=operation.multiplier << exponent)
                else:
                    part = replace(operation, offset=operation.offset << -exponent, shift=operation.shift - exponent)
                yield "scale", f"multipliers are {times}, the offset is not", layer.run(part)
            case Threshold():
                # ceil: a code reaches a fraction where it reaches the integer above
                thresholds = -shift_round(-operation.thresholds, -exponent, "AP_TRN")
                yield "scale", f"thresholds are {times}", layer.run(replace(operation, thresholds=thresholds))
            case Affine():
                products = shift_round(layer.expected - operation.offset, -exponent, "AP_TRN")
                yield "scale", f"multipliers are {times}, the offset is not", products + operation.offset
            case Add() | Concat():  # of a product, a factor's scale is the whole's
                for side in (0, 1):
                    left, right = layer.aligned()
                    if side:
                        right = shift_round(right, -exponent, "AP_TRN")
                    else:
                        left = shift_round(left, -exponent, "AP_TRN")
                    yield "scale", f"values of {operation.sources[side]} are {times}", joined(operation, left, right)
            case _:
                pass


def _narrow_parameters(layer: DifferingLayer) -> Hypotheses:
    """Weights, or other constants, in a type that does not hold them."""
    for field, name in PARAMETERS.items():
        codes = getattr(layer.operation, field, None)
        if codes is None or (
            isinstance(layer.operation, Linear) and isinstance(layer.operation.weight_format, Bipolar)
        ):
            continue
        need = smallest_format(int(codes.min()), int(codes.max()))
        for text, values in _narrowed(codes, need):
            yield "overflow", f"{name} type {text}", layer.run(with_fields(layer.operation, {field: values}))
        for text, values in _coarse(codes, need.width):
            yield "rounding", f"{name} type {text}", layer.run(with_fields(layer.operation, {field: values}))


def _coarse(values: Integers, width: int) -> Iterator[tuple[str, Integers]]:
    for dropped in range(1, min(width, MAX_SHIFT)):
        for rounding in get_args(Rounding):
            result = shift_round(values, dropped, rounding) << dropped
            if _is_narrowed(result, values):
                yield f"drops {dropped} fraction bit{'s' if dropped > 1 else ''} and rounds {ROUNDS[rounding]}", result


def _wrong_port(layer: DifferingLayer) -> Hypotheses:
    """An input port of another type or order; no tap reports it, so that the layer behind it differs first."""
    for side, (codes, source) in enumerate(zip(layer.codes, layer.sources, strict=True)):
        if not layer.reads_the_port(side):
            continue
        pixels = layer.shape_before_flatten() if codes.ndim == 2 else codes.shape[1:]
        if pixels is not None and len(pixels) == 3:
            for text, values in orders(np.moveaxis(codes.reshape(-1, *pixels), 0, -1), ("H", "W", "C"), "inputs"):
                moved = np.moveaxis(values, -1, 0).reshape(codes.shape)
                yield "layout", text, layer.run(layer.operation, moved, side)
        if isinstance(source.format, Bipolar) or isinstance(layer.operation, Table):
            continue  # a table has no entries for other codes
        for text, values in _narrowed(codes, source.format):
            yield "overflow", f"input port {text}", layer.run(layer.operation, values, side)
        for text, values in _coarse(codes, source.format.width):
            yield "rounding", f"input port {text}", layer.run(layer.operation, values, side)


CAUSES: tuple[Callable[[DifferingLayer], Hypotheses], ...] = (
    _other_modes,
    _narrow_result,
    _coarse_result,
    _scaled,
    rearranged,
    one_number,
    _narrow_parameters,
    _wrong_port,
    one_number_a_channel,
)
