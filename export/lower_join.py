"""Rule: two tensors that the network computes; their sum is brought to one grid of integers."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
from onnx import NodeProto

from bitwright.export.accumulator import UNIT_ROUNDOFF
from bitwright.export.elementwise import Elementwise, Pair
from bitwright.export.layer_names import layer_name, unique_name
from bitwright.export.line import Doubles, Line
from bitwright.export.lower_arrange import arranged, as_image
from bitwright.export.lower_multiply import multiply_branches
from bitwright.export.lower_numbers import widened
from bitwright.export.lower_state import (
    FINEST_BITS,
    LoweringState,
    RefusalError,
    channel_array,
)
from bitwright.export.lowered import Branch, Lowered, Sum
from bitwright.export.operations import Add, Affine, Integers
from bitwright.export.quantizer import is_power_of_two
from bitwright.quant.fixed_point import fractional_bits

LINES = ("Mul", "Div", "Add", "Sub", "RSub", "Neg", "BatchNormalization")
"""Steps that are lines."""

MOST_BITS = 51
"""Of a sum of two branches and its multipliers: float64 holds it."""

FEWEST_BITS = 12
"""Of the multipliers of a sum that is no longer near its branches with less."""

MOST_PARTS = 64
"""Denominator up to which two scales count as whole multiples of a common one."""


def lower_join(state: LoweringState, node: NodeProto) -> None:
    """Add, subtract or multiply two branches; combine two functions of one tensor."""
    left, right = state.source(node, 0), state.source(node, 1)
    if left.operation == right.operation and np.array_equal(left.layout, right.layout):
        pair = Pair(node.op_type, left.steps, right.steps)  # type: ignore[arg-type]
        state.tensors[node.output[0]] = replace(left, steps=(pair,))
        return
    if node.op_type not in ("Add", "Sub", "Mul"):
        raise RefusalError(
            f"two computed tensors must be added or multiplied, not combined by {node.op_type}", "divide by a constant"
        )
    if left.shape != right.shape:
        raise RefusalError(f"branches must be of one shape, not {left.shape} and {right.shape}", "reshape one")
    if not np.array_equal(left.layout, right.layout) or state.tensor(left).shape != state.tensor(right).shape:
        left, right = (_in_order(state, source) for source in (left, right))
    name = layer_name(node, state.names)
    if node.op_type == "Mul":
        state.tensors[node.output[0]] = multiply_branches(state, name, left, right)
    else:
        state.tensors[node.output[0]] = add_branches(state, name, left, right, negative=node.op_type == "Sub")


def add_branches(state: LoweringState, name: str, left: Lowered, right: Lowered, *, negative: bool = False) -> Lowered:
    """Return the sum of two tensors of one layout, or their difference, on a grid that both lie on or come near."""
    first, second = _branch(state, left), _branch(state, right)
    if negative:
        second = replace(second, slope=-second.slope, offset=-second.offset)
    total = Sum(name, first, second, negative)
    before = set(state.results)
    made = joined(state, total, FINEST_BITS)
    if not made.noise.any():
        return made
    added = tuple(name for name in state.results if name not in before)
    return replace(made, near=_exact_grid(total) is None, sum=total, sum_operations=added)


def _in_order(state: LoweringState, source: Lowered) -> Lowered:
    return as_image(state, source) if len(source.shape) > 1 else arranged(state, source, source.layout)


def _branch(state: LoweringState, source: Lowered) -> Branch:
    """Return a branch as lines; refuse what is bent."""
    bent = [step.kind for step in source.steps if step.kind not in LINES or isinstance(step, Pair)]
    if bent:
        raise RefusalError(
            f"branches must be quantised after {bent[0]}, not added as floats", "put a quantiser before the addition"
        )
    interval = state.tensor(source).interval
    channels = len(interval.lowest)
    scale = channel_array(source.scale, channels)
    line = Line(scale, np.zeros(channels))  # of the code less its zero point
    noise = channel_array(source.noise, channels).copy()
    ends = np.stack([interval.lowest, interval.highest]).astype(np.float64) - source.zero_point
    if not all(is_power_of_two(abs(float(value))) for value in np.unique(scale)):
        noise += UNIT_ROUNDOFF * np.abs(ends * line.slope + line.offset).max(axis=0)
    for step in source.steps:
        before, line = line, step.line(line)
        noise = noise * np.abs(line.slope / np.where(before.slope == 0, 1, before.slope))
        if not _is_exact(step):
            noise += 4 * UNIT_ROUNDOFF * (np.abs(ends * line.slope).max(axis=0) + np.abs(line.offset))
    if not line.slope.all():
        raise RefusalError(
            "slope of every channel must be another number than 0, "
            f"not 0 as of channel {int((line.slope == 0).argmax())}",
            "train again; a batch norm's weight is zero",
        )
    bare = replace(source, steps=())
    return Branch(bare, source.steps, line.slope, line.offset, noise, np.abs(ends).max(axis=0))


def _is_exact(step: object) -> bool:
    """Return whether a step only moves the binary point."""
    return (
        isinstance(step, Elementwise)
        and step.kind in ("Mul", "Div")
        and all(is_power_of_two(abs(float(value))) for value in np.unique(np.asarray(step.constant)))
    )


def joined(state: LoweringState, total: Sum, bits: int) -> Lowered:
    """Return the sum of two branches on one grid.

    Scales that are whole multiples of a common one are brought to it exactly. For others the grid is so fine that the
    larger multiplier has ``bits`` bits, and the rest counts as noise.
    """
    left, right = total.left, total.right
    exact = _exact_grid(total)
    if exact is not None:
        factors, grid = exact
    else:
        grid = _near_grid(left, right, bits)
        near = [np.rint(branch.slope / grid).astype(np.int64) for branch in (left, right)]
        factors = near[0], near[1]
        factors = tuple(np.where(factor == 0, 1, factor) for factor in factors)  # type: ignore[assignment]
    offsets = [np.rint(branch.offset / grid).astype(np.int64) for branch in (left, right)]
    fractional = fractional_bits(float(grid[0])) if (grid == grid[0]).all() and is_power_of_two(float(grid[0])) else 0
    noise = left.noise + right.noise
    names = []
    for branch, factor, offset in zip((left, right), factors, offsets, strict=True):
        noise = noise + np.abs(branch.slope - factor * grid) * branch.largest + np.abs(branch.offset - offset * grid)
        names.append(_scaled(state, total.name, branch.source, factor, offset, fractional))
    name = state.add(Add(total.name, *names))
    tensor = state.tensor(name)
    worth = grid * 2.0 ** (fractional - tensor.format.fractional)
    largest = np.maximum(np.abs(tensor.interval.lowest), np.abs(tensor.interval.highest)) * np.abs(worth)
    if exact is None or not all(map(is_power_of_two, np.unique(worth).tolist())) or (largest / worth >= 2**24).any():
        noise = noise + UNIT_ROUNDOFF * largest
    scale = worth[0] if (worth == worth[0]).all() else worth
    return Lowered(name, np.asarray(scale), left.source.layout, noise=noise)


def _near_grid(left: Branch, right: Branch, bits: int) -> Doubles:
    """Return a grid ``(C,)`` so fine that rounding both slopes to it moves the sum by ``2**-bits`` of its range.

    Raises:
        RefusalError: If sums on it would not stay below 2**53, where float64 is exact.
    """
    longest = np.maximum(np.maximum(left.largest, right.largest), 1.0)
    room = MOST_BITS - int(np.ceil(np.log2(longest.max())))
    if room < FEWEST_BITS:
        raise RefusalError(
            f"branches must have codes below 2**{MOST_BITS - FEWEST_BITS}, not up to {longest.max():.0f}",
            "quantise them before the addition",
        )
    reach = np.maximum(np.abs(left.slope) * left.largest, np.abs(right.slope) * right.largest)
    return np.asarray(reach / longest / 2.0 ** min(bits, room))


def _exact_grid(total: Sum) -> tuple[tuple[Integers, Integers], Doubles] | None:
    """Return the factors of both branches and their grid, a channel, if there is one that both lie on."""
    if total.left.offset.any() or total.right.offset.any():
        return None
    found = _multiples(total.left.slope, total.right.slope)
    return None if found is None else (found[:2], found[2])


def _multiples(left: Doubles, right: Doubles) -> tuple[Integers, Integers, Doubles] | None:
    """Return whole multiples and their grid, a channel, where both scales are such; else None."""
    found: dict[float, Fraction] = {}
    for ratio in np.unique(left / right).tolist():
        fraction = Fraction(ratio).limit_denominator(MOST_PARTS)
        if ratio != 0 and is_power_of_two(abs(ratio)):
            fraction = Fraction(ratio)
        if fraction == 0 or float(fraction) != ratio or abs(fraction) > 2**20 or 1 / abs(fraction) > 2**20:
            return None
        found[ratio] = fraction
    fractions = [found[ratio] for ratio in (left / right).tolist()]
    down = np.array([fraction.denominator for fraction in fractions])
    up = np.array([fraction.numerator for fraction in fractions])
    sign = np.sign(right).astype(np.int64)
    grid = np.abs(right) / down
    return up * sign, down * sign, grid


def _scaled(
    state: LoweringState, name: str, source: Lowered, factor: Integers, offset: Integers, fractional: int
) -> str:
    """Return the operation whose codes are ``source``'s times a factor plus an offset, at a binary point."""
    source = widened(state, source)
    form = state.tensor(source).format
    up = fractional - form.fractional
    offset = offset - source.zero_point * factor
    if up >= 0 and (factor == 1 << up).all() and not offset.any():
        return source.operation  # the sum shifts by itself
    scaled = unique_name(f"{name}_{source.operation}", state.names)
    return state.add(Affine(scaled, source.operation, factor, offset, fractional))
