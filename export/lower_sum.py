"""A sum of two quantised branches that float32 rounds: the network's code for every pair of codes."""

from dataclasses import replace

import numpy as np

from bitwright.export.accumulator import Accumulator
from bitwright.export.activation import MOST_ENTRIES, Activation, lower_activation
from bitwright.export.elementwise import after
from bitwright.export.layer_names import unique_name
from bitwright.export.lower_join import joined
from bitwright.export.lower_numbers import widened
from bitwright.export.lower_state import FINEST_BITS, LoweringState
from bitwright.export.lower_sum_channels import Channels, kinds_of_channels
from bitwright.export.lowered import Lowered, Sum
from bitwright.export.operations import Add, Affine, Integers, Interval, Operation, Table
from bitwright.export.quantizer import ActivationQuantizer, Quantizer, Truncation

COARSEST_BITS = 4
"""Of the multipliers that bring two branches to one grid: where the search for the fewest begins."""

FEW = 2.0**-10
"""Share of pairs that may differ by chance."""

MOST_PAIRS = 1 << 21
"""Pairs of codes, over all channels that differ, that are tried for each number of bits."""


def settled_sum(
    state: LoweringState,
    name: str,
    source: Lowered,
    quantizer: Quantizer | Truncation,
    finest: Activation,
    *,
    may_change: bool,
) -> Activation:
    """Lower a sum of two quantised branches and its quantiser as the network computes every pair of codes.

    The network's float32 sum of two quantised values is no function of one integer, but of two. Every pair that can
    occur is computed as the network does, and by the operations:

    1. multipliers of the fewest bits with which every pair has the network's code;
    2. where there are none, a table of all pairs;
    3. where that is too large, the finest grid; the pairs that differ are counted, and refused where they are many.

    Args:
        state: Has the sum on the finest grid; gets what replaces it.
        name: Of the quantiser's operation.
        source: The sum, and the steps behind it.
        quantizer: Behind them.
        finest: The quantiser of the sum on the finest grid.
        may_change: Whether nothing else reads the sum.

    Returns:
        The quantiser's operation, and what it leaves undecided.
    """
    total = source.sum
    assert total is not None
    branches = total.left.source, total.right.source
    if source.operation != total.name or any(branch.noise.any() for branch in branches):
        return finest  # of sums that depend on the order of adding
    intervals = [state.tensor(branch).interval for branch in branches]
    kinds = kinds_of_channels(total, intervals, source.steps, quantizer)
    pairs = _pairs([kinds.of_interval(interval) for interval in intervals])
    if pairs is None or branches[0].operation == branches[1].operation:
        return finest
    with np.errstate(over="ignore", invalid="ignore"):
        values = after(kinds.of_sum(total).values(*pairs), kinds.of_steps(source.steps))
        wanted = kinds.of_quantizer(quantizer).codes(values)  # (V, K)
    kept = {operation.name for operation in state.operations} - set(source.sum_operations)
    for bits in range(COARSEST_BITS, FINEST_BITS) if may_change else ():
        trial = state.trial()
        trial.discard(source.sum_operations)
        coarse = replace(joined(trial, total, bits), steps=source.steps, layout=source.layout)
        activation = lower_activation(name, accumulator_of(trial, coarse), quantizer)
        added = [operation for operation in trial.operations if operation.name not in kept]
        if np.array_equal(_computed(trial, added, activation, pairs, total, kinds), wanted):
            state.adopt(trial)
            _tell_scale(state, total, coarse)
            return replace(activation, undecided=0, ties=0)
        if not source.near:
            break  # on an exact grid bits change nothing
    added = [operation for operation in state.operations if operation.name in source.sum_operations]
    wrong = _computed(state, added, finest, pairs, total, kinds) != wanted
    differing, tried = int((wrong.sum(axis=0) * kinds.counts).sum()), len(wanted) * int(kinds.counts.sum())
    if not differing:
        return replace(finest, undecided=0, ties=0)
    if may_change and len(wanted) <= MOST_ENTRIES and (wanted == wanted[:, :1]).all():
        _tell_scale(state, total, None)
        return Activation(_table(state, name, source, quantizer, wanted[:, 0]))
    by_chance = differing < FEW * tried  # else the scales meet the boundaries, but for their last bits
    return replace(finest, undecided=differing, ties=0 if by_chance else differing, sums=tried)


def _tell_scale(state: LoweringState, total: Sum, now: Lowered | None) -> None:
    """Give the graph's tensors of a sum its new scale; forget them where its integers are an index, worth nothing."""
    for name in [name for name, tensor in state.tensors.items() if tensor.sum is total]:
        if now is None:
            del state.tensors[name]
        else:
            state.tensors[name] = replace(state.tensors[name], operation=now.operation, scale=now.scale)


def _pairs(intervals: list[Interval]) -> tuple[Integers, Integers] | None:
    """Return every pair of codes ``(V, K)``, the right one running fastest; None if there are too many."""
    channels = len(intervals[0].lowest)
    first_codes, second_codes = (interval.ends[1] - interval.ends[0] + 1 for interval in intervals)
    if first_codes * second_codes * channels > MOST_PAIRS:
        return None
    ranges = [_codes(interval) for interval in intervals]
    grids = np.meshgrid(*ranges, indexing="ij")
    columns = [np.repeat(grid.reshape(-1, 1), channels, axis=1) for grid in grids]
    first, second = (
        np.clip(codes, interval.lowest, interval.highest) for codes, interval in zip(columns, intervals, strict=True)
    )
    return first, second


def _codes(interval: Interval) -> Integers:
    """Return the codes of all channels together."""
    lowest, highest = interval.ends
    return np.arange(lowest, highest + 1, 2 if (lowest, highest, interval.stride) == (-1, 1, 2) else 1)


def _table(
    state: LoweringState, name: str, source: Lowered, quantizer: ActivationQuantizer, wanted: Integers
) -> Operation:
    """Replace a sum by the index of a pair of codes, and its quantiser by a table of all pairs."""
    total = source.sum
    assert total is not None
    state.discard(source.sum_operations)
    sides = [widened(state, branch.source) for branch in (total.left, total.right)]
    codes = [_codes(state.tensor(branch.source).interval) for branch in (total.left, total.right)]
    step = [int(own[1] - own[0]) if len(own) > 1 else 1 for own in codes]
    span = int(codes[1][-1] - codes[1][0]) // step[1] + 1  # codes of the right side
    ones = np.ones(state.tensor(sides[0]).shape[-1], np.int64)
    # index = (left - lowest) / step * span + (right - lowest) / step, times both steps to stay whole
    factors = span * step[1], step[0]
    names = []
    for side, part, factor, own in zip(("left", "right"), sides, factors, codes, strict=True):
        index = unique_name(f"{total.name}_{side}", state.names)
        names.append(state.add(Affine(index, part.operation, factor * ones, -factor * int(own[0]) * ones, 0)))
    state.add(Add(total.name, *names))
    stride = step[0] * step[1]
    entries = np.repeat(wanted, stride) if stride > 1 else wanted
    return Table(name, total.name, entries, 0, quantizer.format())


def _computed(
    state: LoweringState,
    added: list[Operation],
    activation: Activation,
    codes: tuple[Integers, Integers],
    total: Sum,
    kinds: Channels,
) -> Integers:
    """Return what a sum's own operations and its activation give for pairs of codes ``(V, K)``."""
    if activation.before is not None:
        added = [*added, activation.before]
    results = {total.left.source.operation: codes[0], total.right.source.operation: codes[1]}
    for operation in added:
        formats = [state.tensor(name).format for name in operation.sources]
        codes_read = [results[name] for name in operation.sources]
        results[operation.name] = kinds.of_operation(operation).compute(codes_read, formats)
    (read,) = activation.operation.sources
    return kinds.of_operation(activation.operation).compute([results[read]], [state.tensor(total.name).format])


def accumulator_of(state: LoweringState, source: Lowered) -> Accumulator:
    """Return what an activation of a tensor is computed from."""
    tensor = state.tensor(source)
    return Accumulator(
        source.operation,
        tensor.format,
        tensor.interval,
        source.scale,
        source.steps,
        source.zero_point,
        source.noise,
    )
