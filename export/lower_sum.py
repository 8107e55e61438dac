"""A sum of branches whose scales are no multiples of each other, on the coarsest grid that no code notices."""

from dataclasses import replace

import numpy as np

from bitwright.export.accumulator import Accumulator
from bitwright.export.activation import Activation, lower_activation
from bitwright.export.elementwise import after
from bitwright.export.lower_join import joined
from bitwright.export.lower_state import FINEST_BITS, LoweringState
from bitwright.export.lowered import Branch, Lowered, Sum
from bitwright.export.operations import Integers, Operation
from bitwright.export.quantizer import ActivationQuantizer

COARSEST_BITS = 4
"""Of the multipliers that bring two branches to one grid: where the search for the fewest begins."""

MOST_PAIRS = 1 << 21
"""Pairs of codes, over all channels, that are tried for each number of bits."""


def coarser(state: LoweringState, name: str, source: Lowered, quantizer: ActivationQuantizer) -> Activation | None:
    """Lower a sum and its quantiser with the fewest bits that give every pair of codes the code it had.

    Every pair that can occur is computed twice: as the network does, from the branches' own scales, and as the
    operations do.

    Returns:
        The activation, its sum's operations being in the state; None if the finest grid must stay.
    """
    total = source.sum
    assert total is not None
    read = {name for operation in state.operations for name in operation.sources if operation.name != source.operation}
    if source.operation != total.name or read.intersection({source.operation}):
        return None
    pairs = _pairs(state, total.left, total.right)
    if pairs is None:
        return None
    left, right = pairs
    exact = total.left.worth(left) + total.right.worth(right)
    wanted = quantizer.codes(after(exact.astype(np.float32), source.steps))
    kept = {operation.name for operation in state.operations} - set(source.sum_operations)
    for bits in range(COARSEST_BITS, FINEST_BITS):
        trial = state.trial()
        trial.discard(source.sum_operations)
        coarse = replace(joined(trial, total, bits), steps=source.steps, layout=source.layout)
        activation = lower_activation(name, accumulator_of(trial, coarse), quantizer)
        added = [operation for operation in trial.operations if operation.name not in kept]
        if np.array_equal(_computed(trial, added, activation, (left, right), total), wanted):
            state.adopt(trial)
            return replace(activation, undecided=0, ties=0)
    return None


def _pairs(state: LoweringState, left: Branch, right: Branch) -> tuple[Integers, Integers] | None:
    """Return every pair of codes ``(V, C)``; None if there are too many."""
    intervals = [state.tensor(branch.source).interval for branch in (left, right)]
    channels = len(intervals[0].lowest)
    first_codes, second_codes = (interval.ends[1] - interval.ends[0] + 1 for interval in intervals)
    if first_codes * second_codes * channels > MOST_PAIRS:
        return None
    ranges = [np.arange(interval.ends[0], interval.ends[1] + 1) for interval in intervals]
    grids = np.meshgrid(*ranges, indexing="ij")
    columns = [np.repeat(grid.reshape(-1, 1), channels, axis=1) for grid in grids]
    first, second = (
        np.clip(codes, interval.lowest, interval.highest) for codes, interval in zip(columns, intervals, strict=True)
    )
    return first, second


def _computed(
    state: LoweringState,
    added: list[Operation],
    activation: Activation,
    codes: tuple[Integers, Integers],
    total: Sum,
) -> Integers:
    """Return what a sum's own operations and its activation give for pairs of codes ``(V, C)``."""
    results = {total.left.source.operation: codes[0], total.right.source.operation: codes[1]}
    for operation in added:
        formats = [state.tensor(name).format for name in operation.sources]
        results[operation.name] = operation.compute([results[name] for name in operation.sources], formats)
    return activation.operation.compute([results[total.name]], [state.tensor(total.name).format])


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
