"""Where a C simulation leaves the program: the first layer, the element, both integers, and the cause."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bitwright.export.operations import Integers
from bitwright.export.program import Program
from bitwright.hls.difference_causes import explain
from bitwright.hls.difference_layer import Cause, DifferingLayer

FEW_INPUTS = 8
"""Fewer do not tell causes apart well; of one input, every wrong weight of a dense layer may be a wrong bias."""


@dataclass(frozen=True)
class Difference:
    """The first layer whose integers differ.

    Args:
        layer: Name of the operation.
        operation: Its kind, such as "Dense".
        image: Index in the given inputs of the first element that differs.
        element: Index of that element in the layer's result, channels last.
        expected: The program's integer there.
        found: The C simulation's.
        different: Elements of this layer that differ, over all inputs.
        compared: Elements of this layer, over all inputs.
        cause: What alone would have given exactly the found integers, or "unknown".
        detail: The cause in numbers.
    """

    layer: str
    operation: str
    image: int
    element: tuple[int, ...]
    expected: int
    found: int
    different: int
    compared: int
    cause: Cause
    detail: str

    def line(self) -> str:
        """Return the difference as text.

        >>> Difference("fc1", "Dense", 3, (2,), 70, -58, 5, 96, "overflow", "accumulator wraps at 7 bits: 8 are needed").line()
        'fc1 (Dense): image 3, element [2] is -58 in the C simulation, 70 in the program; 5 of 96 integers differ. Cause: overflow: accumulator wraps at 7 bits: 8 are needed.'
        """  # noqa: E501 - what it prints
        return (
            f"{self.layer} ({self.operation}): image {self.image}, element {list(self.element)} is {self.found} in the "
            f"C simulation, {self.expected} in the program; {self.different} of {self.compared} integers differ. "
            f"Cause: {self.cause}: {self.detail}."
        )


def first_difference(program: Program, found: Mapping[str, Integers], codes: Integers) -> Difference | None:
    """Compare layer by layer, and explain the first that differs.

    All layers before it agree, so it was given what the program gives it: its operation, run on the program's integers
    under one changed assumption after the other, tells the cause where it gives exactly the found integers. The more
    inputs, and the wider their range, the better causes are told apart; some 50 that fill the input's range do well.

    Args:
        program: What the project was written from.
        found: The C simulation's integers ``(N, *shape)`` of each layer by name; layers may be missing.
        codes: Input integers ``(N, *input.shape)`` of both.

    Returns:
        The difference, or None if there is none.

    Raises:
        ValueError: If ``codes`` are not inputs of the program, or a layer's integers have another shape than in the
            program.

    >>> from bitwright.export.operations import Dense, Input
    >>> from bitwright.quant.fixed_point import FixedPoint
    >>> dense = Dense("fc", "x", np.array([[1, 2], [3, -1]]), FixedPoint(4, 4), None)
    >>> program = Program((Input("x", "", (2,), FixedPoint(4, 4)), dense))
    >>> first_difference(program, {"fc": np.array([[7, 0], [1, 2]])}, np.array([[1, 2], [1, 0]])) is None
    True
    """
    results: dict[str, Integers] = {}
    for name, expected in program.trace(codes):
        results[name] = expected
        if name not in found:
            continue
        if found[name].shape != expected.shape:
            raise ValueError(f"{name}: integers must be of shape {expected.shape}, not {found[name].shape}")
        wrong = found[name] != expected
        if not wrong.any():
            continue
        operation = next(operation for operation in program.operations if operation.name == name)
        image, *element = map(int, np.argwhere(wrong)[0])
        taken = [results[source] for source in operation.sources] or [codes]
        cause, detail = explain(DifferingLayer(program, operation, taken, expected, found[name]))
        if len(codes) < FEW_INPUTS and cause != "unknown":
            detail += f" (told from {len(codes)} input{'s' if len(codes) > 1 else ''} only)"
        return Difference(
            layer=name,
            operation=type(operation).__name__,
            image=image,
            element=tuple(element),
            expected=int(expected[image, *element]),
            found=int(found[name][image, *element]),
            different=int(wrong.sum()),
            compared=wrong.size,
            cause=cause,
            detail=detail,
        )
    return None
