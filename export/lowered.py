"""A graph's tensor as the program has it, while the graph is lowered."""

from dataclasses import dataclass, field

import numpy as np

from bitwright.export.elementwise import Floats, Step, after
from bitwright.export.line import Doubles
from bitwright.export.operation import Integers, Shape


@dataclass(frozen=True, eq=False)
class Lowered:
    """A graph's tensor as the program has it: ``steps((code - zero_point) * scale)``.

    Args:
        operation: Name of the operation whose result the codes are.
        scale: Worth of one code, float64, ``()`` or one a channel ``(C,)``; negative where a channel was turned round.
        layout: Where the graph's values stand in the program's tensor.
        steps: Elementwise operations not yet absorbed.
        zero_point: Code of zero.
        noise: How far the network's float32 sums may lie from the exact ones: ``()`` or ``(C,)``.
        near: Whether scales that are no multiples of each other met, so that the grid only comes near them.
        sum: The branches whose sum the codes are, if they are one that float32 rounds.
        sum_operations: What that sum took.
        view: Layer's name for the operation that moves the values, if one must, by the graph's last node that did.
    """

    operation: str
    scale: Doubles
    layout: Integers
    steps: tuple[Step, ...] = ()
    zero_point: int = 0
    noise: Doubles = field(default_factory=lambda: np.zeros(()))
    near: bool = False
    sum: "Sum | None" = None
    sum_operations: tuple[str, ...] = ()
    view: str = ""

    @property
    def shape(self) -> Shape:
        """Of the graph's tensor, without the batch."""
        return self.layout.shape


@dataclass(frozen=True, eq=False)
class Branch:
    """One side of a sum: ``slope * (code - zero_point) + offset``, a channel.

    Args:
        source: Without steps.
        steps: What the network computes of it before the sum.
        slope: Worth of a code, ``(C,)``.
        offset: Worth of zero, ``(C,)``.
        noise: How far the network's float32 values may lie from that, ``(C,)``.
        largest: Greatest magnitude of a code less its zero point, ``(C,)``.
    """

    source: Lowered
    steps: tuple[Step, ...]
    slope: Doubles
    offset: Doubles
    noise: Doubles
    largest: Doubles

    def values(self, codes: Integers) -> Floats:
        """Return the float32 values of quantised codes ``(V, C)``, as the network computes them."""
        exact = np.asarray((codes - self.source.zero_point) * self.source.scale, np.float32)
        return after(exact, self.steps)


@dataclass(frozen=True, eq=False)
class Sum:
    """A sum of two branches.

    Args:
        name: Of its operation.
        left: What is added to.
        right: What is added, its slope and offset turned round where it is subtracted.
        negative: Whether it is subtracted.
    """

    name: str
    left: Branch
    right: Branch
    negative: bool

    def values(self, left: Integers, right: Integers) -> Floats:
        """Return the float32 sums of pairs of quantised codes ``(V, C)``, as the network computes them."""
        sides = self.left.values(left), self.right.values(right)
        return sides[0] - sides[1] if self.negative else sides[0] + sides[1]
