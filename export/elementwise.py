"""The operations between an accumulator and the next quantiser: per-channel functions of one value, in float32.

Each is computed as the network computes it, one IEEE float32 operation after the other, and beside it, in float64, as
the line ``slope * x + offset`` that it would be without rounding: the first is exact, the second says where to look.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bitwright.export.kernel import Kernel
from bitwright.export.line import Line

Floats = NDArray[np.float32]
"""Of values in `__call__`, float64 too: the operations are then as fine."""
Direction = NDArray[np.int64]
"""1 where a function rises with its value, -1 where it falls, 0 where it is constant, 2 where nobody knows; ``()`` or
one a channel ``(C,)``."""


@dataclass(frozen=True, eq=False)
class Elementwise:
    """One step.

    Args:
        kind: The operator, with the constant on its right-hand side; ``RSub`` has it on the left.
        constant: One a channel ``(C,)`` or a scalar ``()``; None for `Relu`.
    """

    kind: Literal["Mul", "Div", "Add", "Sub", "RSub", "Relu"]
    constant: Floats | None = None

    monotone = True
    """IEEE rounding keeps the order of two values: the step rises or falls in float32 too."""

    def __call__(self, values: Floats) -> Floats:
        """Return the function of ``(V, C)`` values."""
        match self.kind, self.constant:
            case "Relu", _:
                return np.maximum(values, np.float32(0))
            case "Mul", constant if constant is not None:
                return values * constant
            case "Div", constant if constant is not None:
                return values / constant
            case "Add", constant if constant is not None:
                return values + constant
            case "Sub", constant if constant is not None:
                return values - constant
            case "RSub", constant if constant is not None:
                return constant - values
        raise ValueError(f"{self.kind}: constant must be given, not {self.constant!r}")

    @property
    def direction(self) -> Direction:
        """Whether the function rises or falls."""
        if self.kind in ("Mul", "Div"):
            return np.asarray(np.sign(np.asarray(self.constant)), np.int64)
        return np.array(-1 if self.kind == "RSub" else 1)

    @property
    def uniform(self) -> bool:
        """Whether the function is the same for every channel."""
        return self.constant is None or self.constant.ndim == 0

    def moved(self, move: Callable[[Floats], Floats]) -> "Elementwise":
        """Return the step after its channels were put into another order."""
        return self if self.uniform else replace(self, constant=move(np.asarray(self.constant)))

    def line(self, line: Line) -> Line:
        """Return the line after this step; `Relu` bends it, which a quantiser from zero upward does too."""
        if self.kind == "Relu" or self.constant is None:
            return line
        constant = self.constant.astype(np.float64)
        match self.kind:
            case "Mul":
                return Line(line.slope * constant, line.offset * constant)
            case "Div":
                return Line(line.slope / constant, line.offset / constant)
            case "Add":
                return Line(line.slope, line.offset + constant)
            case "Sub":
                return Line(line.slope, line.offset - constant)
            case "RSub":
                return Line(-line.slope, constant - line.offset)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two functions of the same value, put together: ``x * sigmoid(x)``.

    Args:
        kind: The operator.
        left: Steps of its left-hand side.
        right: Steps of its right-hand side.
    """

    kind: Literal["Mul", "Div", "Add", "Sub"]
    left: tuple["Step", ...]
    right: tuple["Step", ...]

    monotone = False

    def __call__(self, values: Floats) -> Floats:
        """Return the function of ``(V, C)`` values."""
        left, right = after(values, self.left), after(values, self.right)
        match self.kind:
            case "Mul":
                return left * right
            case "Div":
                return left / right
            case "Add":
                return left + right
            case "Sub":
                return left - right

    @property
    def direction(self) -> Direction:
        """Nobody knows."""
        return np.array(2)

    @property
    def uniform(self) -> bool:
        """Whether the function is the same for every channel."""
        return all(step.uniform for step in self.left + self.right)

    def moved(self, move: Callable[[Floats], Floats]) -> "Pair":
        """Return the step after its channels were put into another order."""
        left, right = (tuple(step.moved(move) for step in steps) for steps in (self.left, self.right))
        return Pair(self.kind, left, right)

    def line(self, line: Line) -> Line:
        """Return none."""
        return line.bent()


Step = Elementwise | Kernel | Pair


def after(values: Floats, steps: tuple[Step, ...]) -> Floats:
    """Return values after some steps."""
    for step in steps:
        values = step(values)
    return values


def line_after(line: Line, steps: tuple[Step, ...]) -> Line:
    """Return a line after some steps."""
    for step in steps:
        line = step.line(line)
    return line


def direction_after(steps: tuple[Step, ...]) -> Direction:
    """Return whether a chain of steps rises or falls."""
    result = np.array(1)
    for step in steps:
        result = np.where((result == 2) | (step.direction == 2), 2, result * step.direction)
    return result


def alone(steps: tuple[Step, ...]) -> tuple[Step, ...] | None:
    """Return the steps as they are computed at the end of a tensor; None if that makes no difference."""
    changed: list[Step] = []
    for step in steps:
        match step:
            case Kernel() if step.positional:
                changed.append(replace(step, alone=True))
            case Pair():
                left, right = alone(step.left), alone(step.right)
                changed.append(Pair(step.kind, left or step.left, right or step.right) if left or right else step)
            case _:
                changed.append(step)
    same = all(new is old for new, old in zip(changed, steps, strict=True))
    return None if same else tuple(changed)
