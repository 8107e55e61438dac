"""Channels of a sum that are alike: of each kind one is tried, and counts for all."""

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bitwright.export.elementwise import Floats, Step
from bitwright.export.line import Doubles
from bitwright.export.lowered import Branch, Sum
from bitwright.export.operations import Affine, Integers, Interval, MultiplyAdd, Operation, Threshold
from bitwright.export.quantizer import Quantizer, Truncation

Kind = TypeVar("Kind", Floats, Doubles, Integers, NDArray[np.bool_])


@dataclass(frozen=True, eq=False)
class Channels:
    """One channel of each kind.

    Args:
        places: Where they stand among all ``(K,)``.
        counts: How many channels are as each ``(K,)``.
    """

    places: Integers
    counts: Integers

    def of(self, values: Kind) -> Kind:
        """Return what belongs to them, channels first; a scalar belongs to all."""
        return values if values.ndim == 0 else values[self.places]

    def of_interval(self, interval: Interval) -> Interval:
        """Return what they can be."""
        return Interval(self.of(interval.lowest), self.of(interval.highest), interval.stride)

    def of_steps(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """Return steps with their constants."""
        return tuple(step.moved(self.of) for step in steps)

    def of_sum(self, total: Sum) -> Sum:
        """Return a sum of them."""
        return replace(total, left=self._of_branch(total.left), right=self._of_branch(total.right))

    def of_quantizer(self, quantizer: Quantizer | Truncation) -> Quantizer | Truncation:
        """Return a quantiser with their scales."""
        match quantizer:
            case Quantizer():
                return replace(quantizer, scale=self.of(quantizer.scale))
            case Truncation():
                return replace(quantizer, scale=self.of(quantizer.scale), input_scale=self.of(quantizer.input_scale))

    def of_operation(self, operation: Operation) -> Operation:
        """Return an operation with their constants."""
        match operation:
            case Affine() | MultiplyAdd():
                return replace(operation, multiplier=self.of(operation.multiplier), offset=self.of(operation.offset))
            case Threshold():
                return replace(operation, thresholds=self.of(operation.thresholds), rising=self.of(operation.rising))
        return operation

    def _of_branch(self, branch: Branch) -> Branch:
        source = replace(branch.source, scale=self.of(branch.source.scale), noise=self.of(branch.source.noise))
        arrays = {name: self.of(getattr(branch, name)) for name in ("slope", "offset", "noise", "largest")}
        return replace(branch, source=source, steps=self.of_steps(branch.steps), **arrays)


def kinds_of_channels(
    total: Sum, intervals: list[Interval], steps: tuple[Step, ...], quantizer: Quantizer | Truncation
) -> Channels:
    """Return one channel of each kind: alike are those of the same codes, scales and constants.

    Args:
        total: The sum.
        intervals: Of its branches' codes.
        steps: Between the sum and its quantiser.
        quantizer: Behind them.
    """
    facts: list[NDArray[np.generic]] = [end for interval in intervals for end in (interval.lowest, interval.highest)]

    def note(values: Floats) -> Floats:
        facts.append(values)
        return values

    for branch in (total.left, total.right):
        facts += [branch.source.scale, branch.slope, branch.offset]
        for step in branch.steps:
            step.moved(note)
    for step in steps:
        step.moved(note)
    facts.append(quantizer.scale)
    if isinstance(quantizer, Truncation):
        facts.append(quantizer.input_scale)
    channels = len(intervals[0].lowest)
    table = np.stack([np.broadcast_to(np.asarray(fact, np.float64), (channels,)) for fact in facts])
    _, places, counts = np.unique(table, axis=1, return_index=True, return_counts=True)
    return Channels(places, counts)
