"""Where the values of a graph's tensor stand in the program's tensor: channels first there, channels last here.

A layout is an array of the graph's shape, without the batch: at each place, the position of that value in the
program's tensor, counted in its own order. Reshaping and transposing the graph's tensor is reshaping and transposing
the layout; nothing is computed until a layer needs another order.
"""

from dataclasses import dataclass
from itertools import permutations
from math import prod

import numpy as np

from bitwright.export.operation import Integers, Shape


def identity(shape: Shape) -> Integers:
    """Return the layout of a tensor that has the graph's own order."""
    return np.arange(prod(shape)).reshape(shape)


def channels_last(shape: Shape) -> Integers:
    """Return the layout of ``(C, H, W)`` or ``(C, W)`` in a program that has ``(H, W, C)``.

    >>> channels_last((2, 1, 3)).tolist()
    [[[0, 2, 4]], [[1, 3, 5]]]
    """
    channels, *spatial = shape
    return np.moveaxis(np.arange(prod(shape)).reshape(*spatial, channels), -1, 0)


def inverse(order: Integers) -> Integers:
    """Return, for each old position, the new one, where ``order`` lists old positions in the new order."""
    result = np.empty(order.size, np.int64)
    result[order.reshape(-1)] = np.arange(order.size)
    return result


@dataclass(frozen=True)
class Moves:
    """A reordering as a reshape, a transpose and a reshape.

    Args:
        split: Shape before the transpose.
        axes: Of the transpose, for each new axis the old one.
        shape: Of the result.
    """

    split: Shape
    axes: tuple[int, ...]
    shape: Shape


def find_moves(order: Integers) -> Moves | None:
    """Return the moves that put old positions into the order given, an array of the new shape; None if there are none.

    >>> find_moves(np.arange(6).reshape(2, 3).T)
    Moves(split=(2, 3), axes=(1, 0), shape=(3, 2))
    """
    axes = _axes(order.reshape(-1))
    by_stride = sorted(range(len(axes)), key=lambda i: -axes[i][1])
    split = tuple(axes[i][0] for i in by_stride)
    new = tuple(by_stride.index(i) for i in range(len(axes)))
    if prod(split) != order.size:
        return None
    if not np.array_equal(np.arange(order.size).reshape(split).transpose(new).reshape(order.shape), order):
        return None
    return Moves(split, new, order.shape)


def _axes(order: Integers) -> list[tuple[int, int]]:
    """Return size and stride of each axis of an order, the slowest first; neighbours that stay neighbours are one."""
    axes = []
    while order.size > 1:
        stride = int(order[1] - order[0])
        even = np.flatnonzero(order - order[0] != stride * np.arange(order.size))
        size = int(even[0]) if even.size else order.size
        axes.append((size, stride))
        order = order[::size]
    return axes[::-1]


def axes_of(layout: Integers) -> tuple[int, ...] | None:
    """Return the order of the graph's axes in which the program has the values; None if it is no such order.

    >>> axes_of(channels_last((2, 3, 4)))
    (1, 2, 0)
    """
    for axes in permutations(range(layout.ndim)):
        if np.array_equal(layout.transpose(axes).reshape(-1), np.arange(layout.size)):
            return axes
    return None
