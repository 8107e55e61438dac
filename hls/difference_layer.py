"""A layer that differs, and what its operation would have given under another assumption."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from bitwright.export.operations import (
    Conv2d,
    DepthwiseConv2d,
    Flatten,
    Input,
    Integers,
    Linear,
    Operation,
    Reshape,
    Shape,
    Tensor,
    UnaryOperation,
)
from bitwright.export.precision import is_xnor
from bitwright.export.program import Program
from bitwright.quant.bipolar import Format
from bitwright.quant.fixed_point import FixedPoint, smallest_format

Cause = Literal["overflow", "rounding", "layout", "scale", "weight", "threshold", "unknown"]
Hypotheses = Iterator[tuple[Cause, str, Integers]]
"""Causes, their details, and what the operation would have given."""


@dataclass(frozen=True, eq=False)
class DifferingLayer:
    """The first layer that differs.

    Args:
        program: What it is a layer of.
        operation: The layer.
        codes: The program's integers before it ``(N, *shape)``, of each source; the C simulation's are the same.
        expected: The program's integers after it ``(N, *shape)``.
        found: The C simulation's.
    """

    program: Program
    operation: Operation
    codes: Sequence[Integers]
    expected: Integers
    found: Integers

    @property
    def sources(self) -> tuple[Tensor, ...]:
        """What the layer takes."""
        return tuple(self.program.tensors[name] for name in self.operation.sources)

    @property
    def source(self) -> Tensor:
        """The first that it takes."""
        return self.sources[0]

    @property
    def inputs(self) -> Integers:
        """Integers of the first that it takes."""
        return self.codes[0]

    @property
    def tensor(self) -> Tensor:
        """What the layer gives."""
        return self.program.tensors[self.operation.name]

    @cached_property
    def format(self) -> FixedPoint | None:
        """Format of the result, None if it is one bit."""
        return self.tensor.format if isinstance(self.tensor.format, FixedPoint) else None

    @cached_property
    def differing_channels(self) -> list[int]:
        """Indices of the last axis at which any element differs."""
        wrong = self.found != self.expected
        return [int(channel) for channel in np.flatnonzero(wrong.reshape(-1, wrong.shape[-1]).any(axis=0))]

    @property
    def counts_matches(self) -> bool:
        """Whether the layer is XNOR: its accumulator counts the products that are +1."""
        return is_xnor(self.operation, self.program)

    def run(self, operation: Operation, inputs: Integers | None = None, side: int = 0) -> Integers:
        """Return what another operation, or the same on other inputs from one side, would have given."""
        codes, formats = list(self.codes), [tensor.format for tensor in self.sources]
        if inputs is not None:
            codes[side], formats[side] = inputs, _wide_enough(formats[side], inputs)
        return operation.compute(codes, formats)

    def aligned(self) -> list[Integers]:
        """Return the integers of each source in steps of the result."""
        ups = [self.tensor.format.fractional - tensor.format.fractional for tensor in self.sources]
        return [codes << up for codes, up in zip(self.codes, ups, strict=True)]

    def is_reproduced_by(self, values: Integers) -> bool:
        """Return whether values are the found integers, as they are or wrapped into the result's format."""
        if values.shape != self.found.shape:
            return False
        if np.array_equal(values, self.found):
            return True
        return self.format is not None and np.array_equal(self.format.plain().overflowed(values), self.found)

    def taps(self) -> Iterator[tuple[tuple[int, ...], Integers]]:
        """Yield each weight's index, without the output channel, and the inputs that it meets.

        They are ``(N, *positions, 1)``, the same for every output channel, or of a depthwise layer
        ``(N, *positions, C)``.
        """
        operation = self.operation
        assert isinstance(operation, Linear)
        if not isinstance(operation, Conv2d | DepthwiseConv2d):
            for row in range(operation.weight.shape[0]):
                yield (row,), self.inputs[:, row, None]
            return
        top, left, bottom, right = operation.padding
        padded = np.pad(self.inputs, ((0, 0), (top, bottom), (left, right), (0, 0)))
        (rows, columns), (down, across) = self.tensor.shape[:2], operation.stride
        for i, j in np.ndindex(*operation.weight.shape[:2]):
            tap = padded[:, i : i + rows * down : down, j : j + columns * across : across][:, :rows, :columns]
            if isinstance(operation, DepthwiseConv2d):
                yield (i, j), tap
                continue
            for channel in range(operation.weight.shape[2]):
                yield (i, j, channel), tap[..., channel, None]

    def shape_before_flatten(self) -> Shape | None:
        """Return ``(H, W, C)`` where the layer's inputs are a flattened tensor, else None."""
        operations = {operation.name: operation for operation in self.program.operations}
        tensors = self.program.tensors
        before = operations[self.operation.sources[0]]
        while tensors[before.name].shape == self.source.shape and isinstance(before, UnaryOperation) and before.source:
            if isinstance(before, Flatten):
                return tensors[before.source].shape
            before = operations[before.source]
        return None

    def reads_the_port(self, side: int = 0) -> bool:
        """Return whether nothing but reshaping lies between the input port, which no tap reports, and the layer."""
        operations = {operation.name: operation for operation in self.program.operations}
        before = operations[self.operation.sources[side]]
        while isinstance(before, Reshape):
            before = operations[before.source]
        return isinstance(before, Input)


def _wide_enough(form: Format, codes: Integers) -> FixedPoint:
    lowest, highest = min(form.lowest, int(codes.min())), max(form.highest, int(codes.max()))
    return smallest_format(lowest, highest, form.fractional)
