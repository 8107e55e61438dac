"""How an operation is folded: the same logic used clock after clock, each time on a part of its input.

Three ways, each exact: the digits of the codes one after the other (distributed arithmetic; source: Croisier et al.,
US patent 3,777,130, 1973), some of the inputs after the others, and some lines of an image after the others.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import prod

import numpy as np

from bitwright.export.operations import (
    Conv2d,
    Dense,
    DepthwiseConv2d,
    Integers,
    Linear,
    MaxPool2d,
    Operation,
    Tensor,
)
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint
from bitwright.rtl.symbols import Symbol, Symbols, each, floor_shift, looked_up, low_bits, plus, times, weighted
from bitwright.rtl.trace import RULES, Wires


@dataclass(frozen=True, eq=False)
class Fold(ABC):
    """An operation that takes its input, a row of cells, part by part.

    Args:
        operation: What is folded.
        source: Its input.
        result: Its output.
        clocks: Between two inputs of the design: as many parts there may be.
    """

    operation: Linear
    source: Tensor
    result: Tensor
    clocks: int

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What is computed."""
        return (self.operation,)

    @property
    @abstractmethod
    def parts(self) -> int:
        """Clocks that it takes."""

    @property
    def cell(self) -> Format:
        """What a cell is."""
        return self.source.format

    @property
    @abstractmethod
    def seen(self) -> int:
        """Cells that the logic sees: the first ones."""

    @property
    @abstractmethod
    def shift(self) -> int:
        """Cells by which the row moves up each clock."""

    @property
    def grows(self) -> int:
        """Bits by which a sum is shifted up before the next part is added."""
        return 0

    @property
    def adds(self) -> bool:
        """Whether parts are added; else they stand side by side."""
        return True

    @abstractmethod
    def cells(self, wires: Wires) -> Symbols:
        """Return the row of cells of the input, first what is seen first."""

    @abstractmethod
    def logic(self, cells: Symbols, part: Symbol) -> Symbols:
        """Return what is computed of the cells that are seen; ``part`` counts the clocks from 0."""

    @abstractmethod
    def whole(self, found: Symbols) -> Wires:
        """Return the result, of the sums or of all parts side by side."""


def _ceil(value: int, divisor: int) -> int:
    return -(-value // divisor)


class Digits(Fold):
    """Codes of two bits and more: one digit of every code a clock, the highest first; sums are shifted and added.

    ``W u = 2**d (W u_1) + W u_0`` for ``u = 2**d u_1 + u_0``; signed codes are moved up to begin at 0.
    """

    @property
    def _digit(self) -> int:
        return _ceil(self.source.format.width, self.clocks)

    @property
    def parts(self) -> int:
        """Clocks that it takes."""
        return _ceil(self.source.format.width, self._digit)

    @property
    def cell(self) -> Format:
        """A digit."""
        return FixedPoint(self._digit, self._digit, signed=False)

    @property
    def seen(self) -> int:
        """One digit of each code."""
        return prod(self.source.shape)

    @property
    def shift(self) -> int:
        """To the next digits."""
        return self.seen

    @property
    def grows(self) -> int:
        """By a digit."""
        return self._digit

    def cells(self, wires: Wires) -> Symbols:
        """Return the digits of every code."""
        lowest = min(0, self.source.format.lowest)
        codes = each(lambda code: plus(code, -lowest), wires.symbols.reshape(-1))
        digit = self._digit

        def one(place: int) -> Symbols:
            return each(lambda code: floor_shift(low_bits(code, digit * (place + 1)), digit * place), codes)

        return np.concatenate([one(place) for place in reversed(range(self.parts))])

    def logic(self, cells: Symbols, part: Symbol) -> Symbols:
        """Return the sums of weighted digits."""
        del part
        rule = RULES[type(self.operation)]
        wires = Wires(cells.reshape(self.source.shape), self.cell)
        return rule(replace(self.operation, bias=None), [wires]).reshape(-1)

    def whole(self, found: Symbols) -> Wires:
        """Return the sums with the bias, moved back down."""
        start = np.full((1, *self.source.shape), min(0, self.source.format.lowest))
        constants = self.operation.compute([start], [self.source.format]).reshape(-1)
        return Wires(each(plus, found, constants).reshape(self.result.shape), self.result.format)


class Inputs(Fold):
    """A dense layer of bits by bits: some of the inputs a clock, their weights looked up by the clock's number."""

    operation: Dense

    @property
    def seen(self) -> int:
        """A part of the inputs."""
        return _ceil(prod(self.source.shape), self.clocks)

    @property
    def parts(self) -> int:
        """Clocks that it takes."""
        return _ceil(prod(self.source.shape), self.seen)

    @property
    def shift(self) -> int:
        """To the next inputs."""
        return self.seen

    def cells(self, wires: Wires) -> Symbols:
        """Return the bits, zeros behind them up to full parts."""
        bits = wires.symbols.reshape(-1)
        return np.concatenate([bits, np.zeros(self.seen * self.parts - len(bits), object)])

    @cached_property
    def _minus(self) -> Integers:
        """Where a weight is -1, ``(parts, seen, C)``."""
        minus = np.zeros((self.parts * self.seen, self.operation.weight.shape[1]), np.int64)
        minus[: len(self.operation.weight)] = self.operation.weight < 0
        return minus.reshape(self.parts, self.seen, -1)

    def logic(self, cells: Symbols, part: Symbol) -> Symbols:
        """Return the numbers of matches of bits and weights."""
        known: dict[bytes, Symbol] = {}  # each pattern of weights is looked up once

        def minus(pattern: Integers) -> Symbol:
            key = pattern.tobytes()
            if key not in known:
                known[key] = looked_up(part, pattern, 0)
            return known[key]

        def match(bit: Symbol, flip: Symbol) -> Symbol:
            if isinstance(bit, int) or isinstance(flip, int):
                return plus(times(bit, -1), 1) if flip == 1 else bit
            return bit ^ flip

        outputs = self._minus.shape[2]
        matches = np.empty((self.seen, outputs), object)
        for one, output in np.ndindex(self.seen, outputs):
            matches[one, output] = match(cells[one], minus(self._minus[:, one, output]))
        ones = np.ones((len(matches), 1), np.int64)
        return np.concatenate([weighted(matches[:, output], ones) for output in range(outputs)])

    def whole(self, found: Symbols) -> Wires:
        """Return matches less what does not match, with the bias."""
        bias = np.zeros(len(found), np.int64) if self.operation.bias is None else self.operation.bias
        offset = bias - len(self.operation.weight)
        sums = each(lambda matches, constant: plus(times(matches, 2), constant), found, offset)
        return Wires(sums.reshape(self.result.shape), self.result.format)


@dataclass(frozen=True, eq=False)
class Lines(Fold):
    """A convolution: some lines of its result a clock, with poolings and what follows on each value by itself.

    Args:
        following: Operations that are computed line by line too; ``result`` is the last one's.
    """

    following: tuple[Operation, ...] = ()
    operation: Conv2d | DepthwiseConv2d

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What is computed: the convolution and what follows."""
        return (self.operation, *self.following)

    @property
    def lines(self) -> int:
        """Lines of the result that are computed in a clock."""
        return _ceil(self.result.shape[0], self.clocks)

    @property
    def parts(self) -> int:
        """Clocks that it takes."""
        return _ceil(self.result.shape[0], self.lines)

    @property
    def _line(self) -> int:
        return prod(self.source.shape[1:])

    def _above(self, lines: int) -> int:
        """Return the lines of the image that some lines of the result are made of."""
        for operation in reversed(self.following):
            if isinstance(operation, MaxPool2d):
                lines = (lines - 1) * operation.stride[0] + operation.kernel[0]
        return (lines - 1) * self.operation.stride[0] + len(self.operation.weight)

    @property
    def _window(self) -> int:
        return self._above(self.lines)

    @property
    def seen(self) -> int:
        """The lines that the result's lines are made of."""
        return self._window * self._line

    @property
    def shift(self) -> int:
        """To the lines of the next part."""
        return (self._above(self.lines + self.lines) - self._window) * self._line

    @property
    def adds(self) -> bool:
        """Lines stand side by side."""
        return False

    def cells(self, wires: Wires) -> Symbols:
        """Return the image, lines of zeros above and below."""
        top, lines = self.operation.padding[0], self._above(self.parts * self.lines)
        image = wires.symbols.reshape(-1)
        below = max(0, lines - top - self.source.shape[0])
        zeros = (np.zeros(count * self._line, object) for count in (top, below))
        return np.concatenate([next(zeros), image, next(zeros)])[: lines * self._line]

    def logic(self, cells: Symbols, part: Symbol) -> Symbols:
        """Return some lines of the result."""
        del part
        _, left, _, right = self.operation.padding
        operation = replace(self.operation, padding=(0, left, 0, right))
        given = Tensor((self._window, *self.source.shape[1:]), self.source.format, self.source.interval)
        wires = Wires(cells.reshape(given.shape), self.source.format)
        for one in (operation, *self.following):
            given = one.result([given])
            wires = Wires(RULES[type(one)](one, [wires]).reshape(given.shape), given.format)
        return wires.symbols.reshape(-1)

    def whole(self, found: Symbols) -> Wires:
        """Return the lines that there are of the result."""
        lines = found.reshape(-1, *self.result.shape[1:])[: self.result.shape[0]]
        return Wires(lines, self.result.format)


def fold(operation: Operation, source: Tensor, result: Tensor, clocks: int) -> Fold | None:
    """Return how an operation is folded, or None: it takes no weights, or bits in a way that none of the three is.

    >>> from bitwright.export.operations import Input
    >>> given = Input("x", "", (6,), FixedPoint(4, 4)).result([])
    >>> dense = Dense("fc", "x", np.ones((6, 2), np.int64), FixedPoint(2, 2), None)
    >>> folded = fold(dense, given, dense.result([given]), clocks=2)
    >>> type(folded).__name__, folded.parts, folded.cell.width
    ('Digits', 2, 2)
    """
    bits = isinstance(source.format, Bipolar)
    if isinstance(operation, Conv2d | DepthwiseConv2d):
        padded = operation.padding[0] or operation.padding[2]
        if result.shape[0] > 1 and not (bits and padded):
            return Lines(operation, source, result, clocks)
    elif bits and isinstance(operation, Dense) and (np.abs(operation.weight) == 1).all() and len(operation.weight) > 1:
        return Inputs(operation, source, result, clocks)
    if isinstance(operation, Linear) and not bits and source.format.width > 1:
        return Digits(operation, source, result, clocks)
    return None


def refuse_branches(operations: Sequence[Operation]) -> None:
    """Refuse a program in which an operation takes other than the result of the one before.

    Raises:
        ValueError: With its name.
    """
    for before, operation in pairwise(operations):
        if operation.sources != (before.name,):
            raise ValueError(
                f"{operation.name}: operation must take the result of the one before ({before.name}) to be used clock "
                f"after clock, not of {', '.join(operation.sources)}; leave --reuse-factor out"
            )
