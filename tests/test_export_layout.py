"""Layouts: orders of values, and the reshapes and transposes that make them."""

from itertools import permutations
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.export.layout import Moves, axes_of, channels_last, find_moves, identity, inverse
from bitwright.export.operations import Integers, Shape

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


def factors(size: int) -> list[Shape]:
    """Shapes of two axes with so many values."""
    return [(rows, size // rows) for rows in range(1, size + 1) if size % rows == 0]


@st.composite
def moved(draw: st.DrawFn) -> Integers:
    """Positions after a reshape, a transpose and a reshape."""
    split = draw(SHAPES)
    axes = draw(st.permutations(range(len(split))))
    order = np.arange(prod(split)).reshape(split).transpose(axes)
    return order.reshape(draw(st.sampled_from([order.shape, (order.size,), *factors(order.size)])))


def made(moves: Moves, size: int) -> Integers:
    return np.arange(size).reshape(moves.split).transpose(moves.axes).reshape(moves.shape)


@settings(deadline=None)
@given(order=moved())
def test_every_reshape_transpose_and_reshape_is_found(order: Integers) -> None:
    moves = find_moves(order)
    assert moves is not None
    assert moves.shape == order.shape
    assert (made(moves, order.size) == order).all()


@settings(deadline=None)
@given(order=moved())
def test_moves_are_as_few_axes_as_it_takes(order: Integers) -> None:
    """No two axes that stay neighbours, none of size one."""
    moves = find_moves(order)
    assert moves is not None
    assert all(size > 1 for size in moves.split) or order.size == 1
    assert all(after != before + 1 for before, after in zip(moves.axes, moves.axes[1:], strict=False))


@settings(deadline=None)
@given(size=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
def test_order_is_found_only_where_it_is_made(size: int, seed: int) -> None:
    """Of every order of a few values: whether any split and transpose makes it, tried one by one."""
    order = np.random.default_rng(seed).permutation(size)
    makeable = any(
        np.array_equal(np.arange(size).reshape(split).transpose(axes).reshape(-1), order)
        for split in splits(size)
        for axes in permutations(range(len(split)))
    )
    moves = find_moves(order)
    assert (moves is not None) is makeable
    if moves is not None:
        assert (made(moves, size) == order).all()


def splits(size: int) -> list[Shape]:
    """Every way to write a size as a product of sizes above one, in order."""
    if size == 1:
        return [()]
    return [(first, *rest) for first in range(2, size + 1) if size % first == 0 for rest in splits(size // first)]


@pytest.mark.parametrize(
    "order", [[1, 0, 2], [2, 1, 0], [0, 2, 1, 3, 4], [1, 2, 3, 0], [0, 0, 1], [0, 1, 5], [1, 2, 3]]
)
def test_what_is_no_transpose_has_no_moves(order: list[int]) -> None:
    assert find_moves(np.array(order)) is None


@settings(deadline=None)
@given(shape=SHAPES, data=st.data())
def test_axes_of_a_transposed_layout_bring_the_graph_to_the_program(shape: Shape, data: st.DataObject) -> None:
    axes = data.draw(st.permutations(range(len(shape))))
    program = np.arange(prod(shape)).reshape([shape[axis] for axis in axes])  # the program's tensor
    layout = program.transpose(np.argsort(axes))  # of the graph's shape
    found = axes_of(layout)
    assert found is not None
    assert (layout.transpose(found).reshape(-1) == np.arange(layout.size)).all()


def test_layout_that_is_no_order_of_axes_has_none() -> None:
    assert axes_of(np.array([[0, 2, 1], [3, 4, 5]])) is None
    assert axes_of(channels_last((2, 2, 3)).reshape(-1)) is None  # flattened, channels first


@settings(deadline=None)
@given(shape=st.lists(st.integers(1, 4), min_size=2, max_size=3).map(tuple))
def test_channels_last_says_where_each_value_stands(shape: Shape) -> None:
    layout = channels_last(shape)
    values = np.random.default_rng(1).permutation(prod(shape)).reshape(shape)
    program = np.moveaxis(values, 0, -1).reshape(-1)
    assert layout.shape == shape
    assert (program[layout] == values).all()


@settings(deadline=None)
@given(order=moved())
def test_inverse_says_where_each_old_position_went(order: Integers) -> None:
    back = inverse(order)
    for old in range(order.size):
        assert order.reshape(-1)[back[old]] == old
    assert (inverse(back) == order.reshape(-1)).all()


def test_identity_is_the_order_of_the_graph() -> None:
    assert identity((2, 3)).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert axes_of(identity((2, 3, 1))) == (0, 1, 2)
