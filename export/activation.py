"""From an accumulator to the next quantiser's codes: the cheapest operation that is exact on every possible code."""

from dataclasses import dataclass, replace

import numpy as np

from bitwright.export.accumulator import Accumulator
from bitwright.export.activation_levels import levels_of, positional, same_levels, tabulated
from bitwright.export.doubts import doubts, table_doubts
from bitwright.export.line import Line
from bitwright.export.multiply_add import find_multiply_add
from bitwright.export.operations import Affine, MultiplyAdd, Operation, Requantize, Table, Threshold
from bitwright.export.quantizer import ActivationQuantizer, Quantizer, is_power_of_two
from bitwright.export.step_function import MOST_VALUES, NotMonotoneError, StepFunction
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint

MOST_COMPARATORS = 3
"""Up to so many thresholds a value, comparators are cheaper than a multiplier."""

MOST_ENTRIES = 1 << 14
"""Of a table."""


MANY_COMPARATORS = 16
"""Beyond which a table of all codes is less logic, in a LUT's terms, where there are at most 2**8 codes."""

SMALL_TABLE_BITS = 8


@dataclass(frozen=True, eq=False)
class Activation:
    """A lowered activation.

    Args:
        operation: Computes the quantiser's codes.
        undecided: Sums, over all channels, whose code in the network depends on the order of adding float32 numbers.
        ties: Those of them that lie on a rounding boundary itself: the last bit of float32 decides them by chance.
        sums: All sums, over all channels.
        before: What prepares the codes for the operation, if anything must.
    """

    operation: Operation
    undecided: int = 0
    ties: int = 0
    sums: int = 1
    before: Operation | None = None


def lower_activation(name: str, source: Accumulator, quantizer: ActivationQuantizer) -> Activation:
    """Return the operation that quantises an accumulator as the network does.

    1. A shift, where the network only divides by powers of two: `Requantize`.
    2. One comparator, or up to three: `Threshold`.
    3. One multiplier and one adder: `MultiplyAdd`, with the fewest bits that agree. Sums that float32 does not decide
       anyway may take the side that lies on the line.
    4. A table, where the function rises and falls, or where it would take many comparators on few bits: `Table`.
    5. As many comparators as it takes: `Threshold`.

    Raises:
        ValueError: If a value is not a number, or no operation is exact.
    """
    form = quantizer.format()
    if isinstance(form, FixedPoint) and _is_shift(source, quantizer):
        return Activation(Requantize(name, source.operation, form))
    if source.noise.any() and not source.monotone and source.values_to_try > MOST_VALUES:
        source = replace(source, fine=True)
    level, levels = levels_of(source, quantizer)
    try:
        steps = tabulated(level, source, levels)
    except NotMonotoneError:
        return _table(name, source, quantizer)
    doubt = doubts(source, quantizer, steps)
    operation = _cheapest(name, source, quantizer, steps)
    if doubt.undecided and isinstance(operation, Threshold) and steps.levels - 1 > MOST_COMPARATORS:
        # Beside a line, only where float32 rounds by chance: take the line itself
        line = replace(source, fine=True)
        fine_level, _ = levels_of(line, quantizer)
        fine_steps = tabulated(fine_level, line, levels)
        finer = _cheapest(name, line, quantizer, fine_steps)
        if isinstance(finer, MultiplyAdd) and (fine_steps.rising == steps.rising).all() and doubt.allow(fine_steps):
            operation = finer
    if isinstance(operation, Threshold) and _is_better_tabulated(operation, source, quantizer):
        return _table(name, source, quantizer)
    interval = source.interval
    sums = int(((interval.highest - interval.lowest) // interval.stride + 1).sum())
    return Activation(operation, doubt.undecided, doubt.ties, sums)


def _is_shift(source: Accumulator, quantizer: ActivationQuantizer) -> bool:
    """Return whether nothing but a power of two lies between: ``code * 2**-f`` rounds alike in float32 and integers."""
    return (
        isinstance(quantizer, Quantizer)
        and not source.steps
        and not isinstance(source.format, Bipolar)
        and quantizer.zero_point == source.zero_point == 0
        and quantizer.rounding in ("ROUND", "HALF_EVEN")
        and quantizer.uniform_scale is not None
        and bool((source.scale == source.format.step).all())
        and not source.noise.any()
        and max(map(abs, source.interval.ends)) < 2**24
        and is_power_of_two(quantizer.uniform_scale)
        and 2.0**-100 < quantizer.uniform_scale < 2.0**100
    )


def _is_better_tabulated(operation: Threshold, source: Accumulator, quantizer: ActivationQuantizer) -> bool:
    """Return whether one small table serves all channels in the place of comparators whose count is many."""
    comparators = operation.thresholds.shape[1]
    few = comparators <= MANY_COMPARATORS or isinstance(source.format, Bipolar)
    if few or source.format.width > SMALL_TABLE_BITS or source.noise.any():
        return False
    level, _ = levels_of(source, quantizer)
    return source.is_uniform and same_levels(level, source)


def _cheapest(name: str, source: Accumulator, quantizer: ActivationQuantizer, steps: StepFunction) -> Operation:
    lowest_code, _ = quantizer.range
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
    if steps.levels - 1 <= MOST_COMPARATORS:
        return threshold
    line = source.line()
    scale = np.broadcast_to(np.asarray(quantizer.scale, np.float64).reshape(-1), (source.channels,))
    found = find_multiply_add(steps, Line(line.slope / scale, line.offset / scale + quantizer.zero_point), lowest_code)
    if found is None:
        return threshold
    affine = MultiplyAdd(name, source.operation, found.multiplier, found.offset, found.shift, form)
    return affine if agrees(affine, source.format, steps, lowest_code) else threshold


def agrees(operation: MultiplyAdd | Requantize, format: Format, steps: StepFunction, lowest_code: int) -> bool:  # noqa: A002
    """Return whether a monotone operation is the step function: at both sides of every step, and at both ends."""
    interval = steps.interval
    columns = [interval.lowest, interval.highest, *steps.thresholds.T, *(steps.thresholds.T - interval.stride)]
    codes = np.clip(np.stack(columns), interval.lowest, interval.highest)  # (2 + 2K, C)
    channels = zip(steps.thresholds, codes.T, strict=True)
    reached = np.stack([np.searchsorted(thresholds, code, "right") for thresholds, code in channels], axis=1)
    wanted = lowest_code + np.where(steps.rising, reached, steps.levels - 1 - reached)
    return bool((operation.run(codes, format) == wanted).all())


def _table(name: str, source: Accumulator, quantizer: ActivationQuantizer) -> Activation:
    """Tabulate a function that rises and falls, of every code that can occur: once, where it is one for all channels.

    Where each channel has its own, an addition puts the channels' codes one behind the other, and one table has all.
    """
    level, _ = levels_of(source, quantizer)
    lowest, highest = source.interval.ends
    shared = source.is_uniform and same_levels(level, source)
    one = source.hull() if shared else source
    size = (highest - lowest + 1) * one.channels
    if isinstance(source.format, Bipolar) or size > MOST_ENTRIES:
        raise ValueError(
            f"a function that rises and falls must have at most {MOST_ENTRIES} codes before it, over all channels that "
            f"differ, not {size}; put a quantiser of one scale before it, or use a monotone activation"
        )
    codes = np.clip(np.arange(lowest, highest + 1)[:, None], one.interval.lowest, one.interval.highest)  # (V, C)
    found = level(codes, one)
    undecided, ties = table_doubts(one, level, codes) if source.noise.any() else (0, 0)
    if one.is_positional and (found != level(codes, one, at_the_end=True)).any():
        raise ValueError(positional(source))
    spacing = 2 if quantizer.bipolar else 1
    entries = (quantizer.range[0] + spacing * found).T.reshape(-1)  # channel by channel
    many = source.channels if shared else 1
    doubts_and_sums = undecided * many, ties * many, entries.size * many
    if shared:
        return Activation(Table(name, source.operation, entries, lowest, quantizer.format()), *doubts_and_sums)
    ones, starts = np.ones(source.channels, np.int64), len(codes) * np.arange(source.channels) - lowest
    index = Affine(f"{name}_index", source.operation, ones, starts, 0)
    table = Table(name, index.name, entries, 0, quantizer.format())
    return Activation(table, *doubts_and_sums, before=index)
