"""From an accumulator to the next quantiser's codes: the cheapest operation that is exact on every possible code."""

from dataclasses import dataclass

import numpy as np

from bitwright.export.elementwise import Line, Step
from bitwright.export.multiply_add import find_multiply_add
from bitwright.export.operations import Integers, Interval, MultiplyAdd, Operation, Requantize, Threshold
from bitwright.export.quantizer import Floats, Quantizer
from bitwright.export.step_function import StepFunction, tabulate
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint

MOST_COMPARATORS = 3
"""Up to so many thresholds a value, comparators are cheaper than a multiplier."""


@dataclass(frozen=True, eq=False)
class Accumulator:
    """What an activation is computed from.

    Args:
        operation: Name of the operation that gives it.
        format: Of its codes.
        interval: That its codes cannot leave, a channel.
        scale: Worth of one code, float32: powers of two, ``()`` or ``(C,)``.
        steps: Elementwise operations between it and the quantiser, in order.
    """

    operation: str
    format: Format
    interval: Interval
    scale: Floats
    steps: tuple[Step, ...]

    def values(self, codes: Integers) -> Floats:
        """Return what the network computes in float32 for codes ``(V, 1)`` or ``(V, C)``, before its quantiser."""
        values = codes.astype(np.float32) * np.broadcast_to(self.scale, self.interval.lowest.shape)
        with np.errstate(over="ignore", invalid="ignore"):  # infinity saturates; what is no number is refused
            for step in self.steps:
                values = step(values)
        if np.isnan(values).any():
            raise ValueError("values must be numbers, not NaN; train again, a batch norm may have overflowed")
        return values

    def line(self) -> Line:
        """Return the same without rounding, from code to value."""
        slope = np.broadcast_to(self.scale.astype(np.float64), self.interval.lowest.shape)  # (C,)
        line = Line(slope, np.zeros(slope.shape))
        for step in self.steps:
            line = line.then(step)
        return line


def lower_activation(name: str, source: Accumulator, quantizer: Quantizer) -> Operation:
    """Return the operation that quantises an accumulator as the network does.

    1. A shift, where the network only divides by powers of two: `Requantize`.
    2. One comparator, or up to three: `Threshold`.
    3. One multiplier and one adder: `MultiplyAdd`, with the fewest bits that agree.
    4. As many comparators as it takes: `Threshold`.

    Raises:
        ValueError: If a value is not a number, or a scale is no power of two.
    """
    lowest_code, highest_code = quantizer.range
    scale = np.broadcast_to(quantizer.scale.reshape(-1), source.interval.lowest.shape)
    flat = Quantizer(scale, quantizer.bit_width, quantizer.signed, quantizer.narrow, quantizer.bipolar)
    spacing = 2 if quantizer.bipolar else 1
    levels = (highest_code - lowest_code) // spacing + 1
    steps = tabulate(lambda codes: (flat.codes(source.values(codes)) - lowest_code) // spacing, source.interval, levels)
    form = quantizer.format()
    thresholds = steps.thresholds
    if isinstance(source.format, Bipolar):
        thresholds = np.where(thresholds == 0, 1, thresholds)  # a wire knows no 0: what +1 reaches and -1 does not is 1
    threshold = Threshold(name, source.operation, thresholds, steps.rising, form)
    if quantizer.bipolar or not isinstance(form, FixedPoint) or isinstance(source.format, Bipolar):
        return threshold
    shift = Requantize(name, source.operation, form)
    if agrees(shift, source.format, steps, lowest_code):
        return shift
    if levels - 1 <= MOST_COMPARATORS:
        return threshold
    line = source.line()
    found = find_multiply_add(steps, Line(line.slope / scale, line.offset / scale), lowest_code)
    if found is None:
        return threshold
    affine = MultiplyAdd(name, source.operation, found.multiplier, found.offset, found.shift, form)
    return affine if agrees(affine, source.format, steps, lowest_code) else threshold


def agrees(operation: Operation, format: Format, steps: StepFunction, lowest_code: int) -> bool:  # noqa: A002
    """Return whether a monotone operation is the step function: at both sides of every step, and at both ends."""
    interval = steps.interval
    columns = [interval.lowest, interval.highest, *steps.thresholds.T, *(steps.thresholds.T - 1)]
    codes = np.clip(np.stack(columns), interval.lowest, interval.highest)  # (2 + 2K, C)
    channels = zip(steps.thresholds, codes.T, strict=True)
    reached = np.stack([np.searchsorted(thresholds, code, "right") for thresholds, code in channels], axis=1)
    wanted = lowest_code + np.where(steps.rising, reached, steps.levels - 1 - reached)
    return bool((operation.run(codes, format) == wanted).all())
