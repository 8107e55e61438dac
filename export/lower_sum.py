"""A sum of branches whose scales are no multiples of each other, on the coarsest grid that no code notices."""

from dataclasses import replace

import numpy as np

from bitwright.export.accumulator import Accumulator
from bitwright.export.activation import Activation, lower_activation
from bitwright.export.elementwise import after
from bitwright.export.lower_join import joined
from bitwright.export.lower_state import FINEST_BITS, LoweringState
from bitwright.export.lowered import Branch, Lowered
from bitwright.export.operations import Integers
from bitwright.export.quantizer import ActivationQuantizer

COARSEST_BITS = 4
"""Of the multipliers that bring two branches to one grid: where the search for the fewest begins."""

MOST_PAIRS = 1 << 22
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
    exact = left * total.left.slope + total.left.offset + right * total.right.slope + total.right.offset
    wanted = quantizer.codes(after(exact.astype(np.float32), source.steps))
    for bits in range(COARSEST_BITS, FINEST_BITS):
        trial = state.trial()
        trial.discard(source.sum_operations)
        coarse = replace(joined(trial, total, bits), steps=source.steps, layout=source.layout)
        activation = lower_activation(name, accumulator_of(trial, coarse), quantizer)
        if np.array_equal(_computed(trial, activation, source, (left, right), total.left, total.right), wanted):
            state.adopt(trial)
            return replace(activation, undecided=0, ties=0)
    return None


def _pairs(state: LoweringState, left: Branch, right: Branch) -> tuple[Integers, Integers] | None:
    """Return every pair of codes ``(V, C)``; None if there are too many."""
    intervals = [state.tensor(branch.source).interval for branch in (left, right)]
    ranges = [np.arange(interval.ends[0], interval.ends[1] + 1) for interval in intervals]
    channels = len(intervals[0].lowest)
    if len(ranges[0]) * len(ranges[1]) * channels > MOST_PAIRS:
        return None
    grids = np.meshgrid(*ranges, indexing="ij")
    columns = [np.repeat(grid.reshape(-1, 1), channels, axis=1) for grid in grids]
    first, second = (
        np.clip(codes, interval.lowest, interval.highest) for codes, interval in zip(columns, intervals, strict=True)
    )
    return first, second


def _computed(
    state: LoweringState,
    activation: Activation,
    source: Lowered,
    codes: tuple[Integers, Integers],
    left: Branch,
    right: Branch,
) -> Integers:
    """Return what the operations of a sum and its activation give for pairs of codes."""
    results = {left.source.operation: codes[0], right.source.operation: codes[1]}
    for operation in state.operations:
        if operation.name in results or not all(name in results for name in operation.sources) or not operation.sources:
            continue
        formats = [state.tensor(name).format for name in operation.sources]
        results[operation.name] = operation.compute([results[name] for name in operation.sources], formats)
    assert source.sum is not None
    return activation.operation.compute([results[source.sum.name]], [state.tensor(source.sum.name).format])


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
