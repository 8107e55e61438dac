"""Bringing a tensor's values into the order that a layer needs: reshapes and transposes of the program."""

from dataclasses import replace
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from bitwright.export.layer_names import unique_name
from bitwright.export.layout import channels_last, find_moves, identity, inverse
from bitwright.export.lower_state import LoweringState, RefusalError
from bitwright.export.lowered import Lowered
from bitwright.export.operations import Flatten, Integers, Reshape, Shape, Transpose

Kind = TypeVar("Kind", NDArray[np.float32], NDArray[np.float64])

MOST_AXES = 3
"""That hls4ml transposes."""


def arranged(state: LoweringState, source: Lowered, order: Integers) -> Lowered:
    """Return a tensor whose values the program has in another order and shape.

    Args:
        state: Gets the operations that it takes.
        source: The tensor.
        order: Of the new shape; at each place the position in the program's tensor as it is.

    Raises:
        RefusalError: If no reshape and transpose does it, or a constant a channel would become one a position.
    """
    shape = state.tensor(source).shape
    if order.shape == shape and np.array_equal(order.reshape(-1), np.arange(order.size)):
        return source
    moves = find_moves(order)
    if moves is None or len(moves.split) > MOST_AXES:
        raise RefusalError("values must be reordered by one transpose, not by more", "reshape in the network's order")
    name, view = source.operation, source.view
    if moves.axes != tuple(range(len(moves.axes))):
        name = _reshaped(state, name, moves.split)
        name = state.add(Transpose(unique_name(view or f"{name}_transposed", state.names), name, moves.axes))
        view = ""
    name = _reshaped(state, name, order.shape, view)

    def move(values: Kind) -> Kind:
        return _moved(values, shape, order)

    return replace(
        source,
        operation=name,
        scale=move(source.scale),
        noise=move(source.noise),
        steps=tuple(step.moved(move) for step in source.steps),
        layout=inverse(order)[source.layout],
        view="",
    )


def _reshaped(state: LoweringState, name: str, shape: Shape, view: str = "") -> str:
    if state.tensor(name).shape == shape:
        return name
    unique = unique_name(view or f"{name}_{'flat' if len(shape) == 1 else 'shaped'}", state.names)
    return state.add(Flatten(unique, name) if len(shape) == 1 else Reshape(unique, name, shape))


def _moved(values: Kind, shape: Shape, order: Integers) -> Kind:
    """Return what belongs to each new channel; a scalar stays one."""
    if values.ndim == 0:
        return values
    ordered = np.broadcast_to(values, shape).reshape(-1)[order].reshape(-1, order.shape[-1])
    if not (ordered == ordered[0]).all():
        raise RefusalError(
            "scales and constants must be one for all channels that are moved to another axis, not one a channel",
            "put a quantiser of one scale before it",
        )
    return cast(Kind, ordered[0])


def as_image(state: LoweringState, source: Lowered) -> Lowered:
    """Return ``(C, H, W)`` as the program's ``(H, W, C)``, and ``(C, W)`` as ``(1, W, C)``."""
    if len(source.shape) not in (2, 3):
        raise RefusalError(
            f"input must be (N, C, H, W) or (N, C, W), not of shape (N, {', '.join(map(str, source.shape))})",
            "use a 1-d or 2-d layer, before flattening",
        )
    channels, *spatial = source.shape
    rows, columns = spatial if len(spatial) == 2 else (1, spatial[0])
    return arranged(state, source, source.layout.reshape(channels, rows, columns).transpose(1, 2, 0))


def as_vector(state: LoweringState, source: Lowered) -> Lowered:
    """Return the program's tensor flat, in its own order."""
    return arranged(state, source, identity((source.layout.size,)))


def image_layout(shape: Shape, graph_shape: Shape) -> Integers:
    """Return the layout of a result that the program has as ``(H, W, C)`` and the graph channels first."""
    rows, columns, channels = shape
    return channels_last((channels, rows, columns)).reshape(graph_shape)
