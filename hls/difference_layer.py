"""A layer that differs, and what its operation would have given under another assumption."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from bitwright.export.operations import Conv2d, Flatten, Input, Integers, Linear, Operation, Shape
from bitwright.export.precision import is_xnor
from bitwright.export.program import Program, Tensor
from bitwright.quant.bipolar import Format
from bitwright.quant.fixed_point import FixedPoint, smallest_format

Cause = Literal["overflow", "rounding", "layout", "scale", "weight", "threshold", "unknown"]


@dataclass(frozen=True, eq=False)
class DifferingLayer:
    """The first layer that differs.

    Args:
        program: What it is a layer of.
        operation: The layer.
        inputs: The program's integers before it ``(N, *shape)``; the C simulation's are the same.
        expected: The program's integers after it ``(N, *shape)``.
        found: The C simulation's.
    """

    program: Program
    operation: Operation
    inputs: Integers
    expected: Integers
    found: Integers

    @property
    def source(self) -> Tensor:
        """What the layer takes."""
        return self.program.tensors[self.operation.source]

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

    def run(self, operation: Operation, inputs: Integers | None = None) -> Integers:
        """Return what another operation, or the same on other inputs, would have given."""
        if inputs is None:
            return operation.run(self.inputs, self.source.format)
        return operation.run(inputs, _wide_enough(self.source.format, inputs))

    def is_reproduced_by(self, values: Integers) -> bool:
        """Return whether values are the found integers, as they are or wrapped into the result's format."""
        if values.shape != self.found.shape:
            return False
        if np.array_equal(values, self.found):
            return True
        return self.format is not None and np.array_equal(self.format.plain().overflowed(values), self.found)

    def taps(self) -> Iterator[tuple[tuple[int, ...], Integers]]:
        """Yield each weight's index, without the output channel, and the input that it meets, ``(N, *positions)``."""
        operation = self.operation
        assert isinstance(operation, Linear)
        if not isinstance(operation, Conv2d):
            for row in range(operation.weight.shape[0]):
                yield (row,), self.inputs[:, row]
            return
        top, left, bottom, right = operation.padding
        padded = np.pad(self.inputs, ((0, 0), (top, bottom), (left, right), (0, 0)))
        (rows, columns), (down, across) = self.tensor.shape[:2], operation.stride
        for i, j, channel in np.ndindex(*operation.weight.shape[:-1]):
            yield (
                (i, j, channel),
                padded[:, i : i + rows * down : down, j : j + columns * across : across, channel][:, :rows, :columns],
            )

    def shape_before_flatten(self) -> Shape | None:
        """Return ``(H, W, C)`` where the layer's inputs are a flattened tensor, else None."""
        operations = {operation.name: operation for operation in self.program.operations}
        tensors = self.program.tensors
        before = operations[self.operation.source]
        while tensors[before.name].shape == self.source.shape and before.source:
            if isinstance(before, Flatten):
                return tensors[before.source].shape
            before = operations[before.source]
        return None

    def reads_the_port(self) -> bool:
        """Return whether nothing but flattening lies between the input port, which no tap reports, and the layer."""
        operations = {operation.name: operation for operation in self.program.operations}
        before = operations[self.operation.source]
        while isinstance(before, Flatten):
            before = operations[before.source]
        return isinstance(before, Input)


def _wide_enough(form: Format, codes: Integers) -> FixedPoint:
    lowest, highest = min(form.lowest, int(codes.min())), max(form.highest, int(codes.max()))
    return smallest_format(lowest, highest, form.fractional)
