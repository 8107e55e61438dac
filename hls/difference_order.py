"""Assumptions of values that lie in another order: weights, parameters, results, branches, axes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np

from bitwright.export.operations import (
    Affine,
    Concat,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    Integers,
    MultiplyAdd,
    Operation,
    Reshape,
    Table,
    Threshold,
    Transpose,
    Upsample,
)
from bitwright.hls.difference_layer import DifferingLayer, Hypotheses
from bitwright.hls.difference_parameters import with_fields

FLIPS = (((0, 1), "rows and columns"), ((0,), "rows"), ((1,), "columns"))


def rearranged(layer: DifferingLayer) -> Hypotheses:
    """Weights, parameters or results in another order."""
    operation = layer.operation
    before_flatten = layer.shape_before_flatten()
    pixels = before_flatten if before_flatten is not None and len(before_flatten) == 3 else None
    match operation:
        case Conv2d():
            for text, weight in orders(operation.weight, ("KH", "KW", "C", "F"), "weights"):
                yield "layout", text, layer.run(replace(operation, weight=weight))
            for axes, text in FLIPS:
                flipped = replace(operation, weight=np.flip(operation.weight, axes))
                yield "layout", f"{text} of the kernel are in reverse order", layer.run(flipped)
        case DepthwiseConv2d():
            for text, weight in orders(operation.weight, ("KH", "KW", "C"), "weights"):
                yield "layout", text, layer.run(with_fields(operation, {"weight": weight}))
            for axes, text in FLIPS:
                turned = with_fields(operation, {"weight": np.flip(operation.weight, axes)})
                yield "layout", f"{text} of the kernel are in reverse order", layer.run(turned)
        case Dense():
            outputs = operation.weight.shape[-1]
            if pixels is not None:
                for text, weight in orders(operation.weight.reshape(*pixels, outputs), ("H", "W", "C"), "rows"):
                    rows = weight.reshape(operation.weight.shape)
                    yield "layout", text, layer.run(replace(operation, weight=rows))
                for text, weight in orders(operation.weight.reshape(*pixels, outputs), ("H", "W", "C", "F"), "weights"):
                    rows = weight.reshape(operation.weight.shape)
                    yield "layout", text, layer.run(replace(operation, weight=rows))
            for text, weight in orders(operation.weight, ("K", "F"), "weights"):
                yield "layout", text, layer.run(replace(operation, weight=weight))
        case MultiplyAdd() | Affine() | Threshold() if pixels is not None:
            index = np.arange(layer.found.shape[-1]).reshape(pixels)
            for text, order in orders(index, ("H", "W", "C"), "parameters"):
                names = ("thresholds", "rising") if isinstance(operation, Threshold) else ("multiplier", "offset")
                fields = {name: getattr(operation, name)[order.reshape(-1)] for name in names}
                yield "layout", text, layer.run(with_fields(operation, fields))
        case _:
            yield from _moved(layer)
    if layer.found.ndim == 4:
        for image_first in orders(np.moveaxis(layer.expected, 0, -1), ("H", "W", "C"), "results"):
            yield "layout", image_first[0], np.moveaxis(image_first[1], -1, 0)
    yield from _permuted_channels(layer)


def _moved(layer: DifferingLayer) -> Hypotheses:
    """Yield what operations that move values would have given with other axes or branches."""
    operation, shape = layer.operation, layer.expected.shape
    match operation:
        case Concat():
            left, right = layer.aligned()
            yield "layout", f"{operation.right} stands before {operation.left}", joined(operation, right, left)
            for axis in range(1, left.ndim - 1):
                if left.shape == right.shape:
                    values = np.concatenate([left, right], axis).reshape(shape)
                    yield "layout", f"branches are put side by side along axis {axis - 1}, not the channels", values
        case Transpose():
            for axes in permutations(range(len(operation.axes))):
                if axes != operation.axes:
                    values = layer.inputs.transpose(0, *(axis + 1 for axis in axes)).reshape(shape)
                    yield "layout", f"axes are {axes}, the program's {operation.axes}", values
        case Reshape():
            for axes in permutations(range(layer.inputs.ndim - 1)):
                values = layer.inputs.transpose(0, *(axis + 1 for axis in axes)).reshape(shape)
                yield "layout", f"values are read along axes {axes}, the program's along {tuple(sorted(axes))}", values
        case Upsample():
            values = np.tile(layer.inputs, (1, *operation.factors, 1))
            yield "layout", "images stand side by side instead of rows and columns that are repeated", values
        case Table():
            form = layer.source.format
            by_code = np.arange(form.lowest, form.highest + 1) - operation.lowest
            entries = operation.entries[np.clip(by_code, 0, len(operation.entries) - 1)]
            yield "layout", "entries are in the order of codes, not of their bits", entries[layer.inputs % len(entries)]
        case _:
            pass


def joined(operation: Operation, left: Integers, right: Integers) -> Integers:
    """Return what a join gives for integers in steps of its result."""
    return np.concatenate([left, right], axis=-1) if isinstance(operation, Concat) else left + right


def orders(values: Integers, names: Sequence[str], subject: str) -> Iterator[tuple[str, Integers]]:
    """Yield values that were written in one order of their first axes and are read in another; first channels first."""
    natural, sizes, rest = tuple(names), values.shape[: len(names)], values.shape[len(names) :]
    tail = tuple(range(len(names), values.ndim))
    channels_first = tuple(sorted(names, key="CF".find, reverse=True))
    for order in sorted(permutations(names), key=lambda order: order != channels_first):
        if order == natural:
            continue
        axes = tuple(natural.index(name) for name in order)
        written = values.transpose(*axes, *tail).reshape(values.shape)
        yield f"{subject} are in ({', '.join(order)}) order, the program's in ({', '.join(natural)})", written
        read = values.reshape(*(sizes[axis] for axis in axes), *rest)
        back = tuple(int(axis) for axis in np.argsort(axes))
        yield (
            f"{subject} are in ({', '.join(natural)}) order, and read as if in ({', '.join(order)})",
            read.transpose(*back, *tail).reshape(values.shape),
        )


def _permuted_channels(layer: DifferingLayer) -> Hypotheses:
    """Channels that changed places: each that differs equals another one's expected integers."""
    differing = layer.differing_channels
    places = {layer.expected[..., channel].tobytes(): channel for channel in reversed(differing)}
    sources = [places.get(layer.found[..., channel].tobytes()) for channel in differing]
    moved = [source for source in sources if source is not None]
    if len(set(moved)) != len(differing):
        return
    order = np.arange(layer.found.shape[-1])
    order[differing] = moved
    yield "layout", f"channels {differing} hold what belongs into {moved}", layer.expected[..., order]
