"""Which one number of a channel, changed, gives the found integers: solved for, not searched."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bitwright.export.operations import Affine, Integers, Linear, MultiplyAdd, Operation, Table, Threshold
from bitwright.hls.difference_layer import Cause, DifferingLayer
from bitwright.quant.bipolar import Bipolar

MOST_NAMED = 3
"""Changes that a detail spells out; the rest it counts."""


@dataclass(frozen=True)
class Change:
    """One number of an operation.

    Args:
        field: Its field.
        index: Where in the field.
        value: What it acts as.
        text: The same for people.
    """

    field: str
    index: tuple[int, ...]
    value: int
    text: str


@dataclass(frozen=True)
class Range:
    """Integers from ``lowest`` to ``highest``; None is no bound."""

    lowest: int | None
    highest: int | None

    @property
    def empty(self) -> bool:
        """Whether there are none."""
        return self.lowest is not None and self.highest is not None and self.lowest > self.highest

    def nearest(self, value: int) -> int:
        """Return the integer of the range nearest to a value.

        >>> Range(3, None).nearest(1)
        3
        """
        if self.lowest is not None and value < self.lowest:
            return self.lowest
        return self.highest if self.highest is not None and value > self.highest else value

    def __str__(self) -> str:
        """Spell it: one number, or from which to which."""
        if self.lowest is None or self.highest is None:
            return f"{self.highest} or less" if self.lowest is None else f"{self.lowest} or more"
        return str(self.lowest) if self.lowest == self.highest else f"{self.lowest} to {self.highest}"


def one_number(layer: DifferingLayer) -> Iterator[tuple[Cause, str, Integers]]:
    """Yield the one number that explains the one channel that differs."""
    if len(layer.differing_channels) == 1 and not isinstance(layer.operation, Table):
        yield from one_number_a_channel(layer)
    if isinstance(layer.operation, Table):
        yield from _entries(layer, layer.operation, most=1)


def one_number_a_channel(layer: DifferingLayer) -> Iterator[tuple[Cause, str, Integers]]:
    """Yield one number for each channel that differs."""
    if isinstance(layer.operation, Table):
        yield from _entries(layer, layer.operation, most=len(layer.operation.entries))
        return
    changes = []
    for channel in layer.differing_channels:
        change = _change(layer, channel)
        if change is None:
            return
        changes.append(change)
    cause: Cause = "threshold" if isinstance(layer.operation, Threshold) else "weight"
    yield cause, _named(changes), layer.run(_with(layer.operation, changes))


def _named(changes: Sequence[Change]) -> str:
    named = "; ".join(change.text for change in changes[:MOST_NAMED])
    return named + (f"; and {len(changes) - MOST_NAMED} more" if len(changes) > MOST_NAMED else "")


def _entries(layer: DifferingLayer, operation: Table, most: int) -> Iterator[tuple[Cause, str, Integers]]:
    """Yield the entries of a table that act as others, where that explains every channel."""
    places = layer.inputs - operation.lowest
    changes = []
    for place in np.unique(places[layer.found != layer.expected]).tolist():
        value, before = int(layer.found[places == place][0]), int(operation.entries[place])
        text = f"entry for {place + operation.lowest} acts as {value}, not {before}"
        changes.append(Change("entries", (place,), value, text))
    if len(changes) <= most:
        yield "weight", _named(changes), layer.run(_with(operation, changes))


def _with(operation: Operation, changes: Sequence[Change]) -> Operation:
    """Return the operation with numbers changed."""
    fields: dict[str, Integers] = {}
    for change in changes:
        values = fields.get(change.field, getattr(operation, change.field))
        if values is None:
            assert isinstance(operation, Linear)
            values = np.zeros(operation.weight.shape[-1], np.int64)
        values = values.copy()
        values[change.index] = change.value
        fields[change.field] = values
    return with_fields(operation, fields)


def with_fields(operation: Operation, fields: Mapping[str, object]) -> Operation:
    """Return the operation with fields replaced."""
    return replace(operation, **fields)  # type: ignore[arg-type]  # fields of the subclass


def _change(layer: DifferingLayer, channel: int) -> Change | None:
    match layer.operation:
        case Linear() as operation:
            return _linear_change(layer, operation, channel)
        case MultiplyAdd() as operation:
            return _multiply_add_change(layer, operation, channel)
        case Affine() as operation:
            return _affine_change(layer, operation, channel)
        case Threshold() as operation:
            return _threshold_change(layer, operation, channel)
        case _:
            return None


def _linear_change(layer: DifferingLayer, operation: Linear, channel: int) -> Change | None:
    """Find the bias or the weight: the difference is constant, or everywhere the same multiple of one input."""
    difference = _wrapped(layer, layer.found[..., channel] - layer.expected[..., channel])  # (N, *positions)
    if (difference == difference.flat[0]).all():
        before = 0 if operation.bias is None else int(operation.bias[channel])
        value = before + int(difference.flat[0])
        return Change("bias", (channel,), value, f"bias [{channel}] acts as {value}, not {before}")
    # The least change has wrapped the least
    place = np.unravel_index(
        np.where(difference == 0, np.iinfo(np.int64).max, np.abs(difference)).argmin(), difference.shape
    )
    wanted = int(difference[place])
    found: list[Change] = []
    for index, inputs in layer.taps():
        values = inputs[..., min(channel, inputs.shape[-1] - 1)]
        at_place = int(values[place])
        if at_place == 0 or wanted % at_place:
            continue
        before = int(operation.weight[*index, channel])
        value = before + wanted // at_place
        if isinstance(operation.weight_format, Bipolar) and value not in (-1, 1):
            continue
        if _wrapped(layer, difference - (value - before) * values).any():
            continue
        where = (*index, channel)
        found.append(Change("weight", where, value, f"weight {list(where)} acts as {value}, not {before}"))
    if not found:
        return None
    others = f" (or one of {len(found) - 1} more that met the same inputs)" if len(found) > 1 else ""
    return replace(found[0], text=found[0].text + others)


def _wrapped(layer: DifferingLayer, values: Integers) -> Integers:
    """Return differences modulo the result's width, as signed numbers."""
    if layer.format is None:
        return values
    return replace(layer.format.plain(), signed=True).overflowed(values)


def _multiply_add_change(layer: DifferingLayer, operation: MultiplyAdd, channel: int) -> Change | None:
    """Find the offset or the multiplier: every found integer bounds what it can be."""
    codes, found = (values[..., channel].reshape(-1) for values in (layer.inputs, layer.found))
    multiplier, offset = int(operation.multiplier[channel]), int(operation.offset[channel])
    form = operation.format
    if not form.holds(int(found.min()), int(found.max())):
        return None
    pairs = sorted(set(zip(codes.tolist(), found.tolist(), strict=True)))
    bounds = [
        (
            code,
            None if result == form.lowest else _least_sum(result, operation.shift),
            None if result == form.highest else _least_sum(result + 1, operation.shift) - 1,
        )
        for code, result in pairs
    ]
    offsets = _common(
        Range(_less(lowest, code * multiplier), _less(highest, code * multiplier)) for code, lowest, highest in bounds
    )
    multipliers = _common(
        _multipliers(code, _less(lowest, offset), _less(highest, offset)) for code, lowest, highest in bounds
    )
    changes = [
        Change(field, (channel,), values.nearest(before), f"{field} [{channel}] acts as {values}, not {before}")
        for field, values, before in (("offset", offsets, offset), ("multiplier", multipliers, multiplier))
        if not values.empty
    ]
    return replace(changes[0], text=", or ".join(change.text for change in changes)) if changes else None


def _affine_change(layer: DifferingLayer, operation: Affine, channel: int) -> Change | None:
    """Find the offset or the multiplier: the difference is constant, or everywhere the same multiple of the input."""
    difference = _wrapped(layer, layer.found[..., channel] - layer.expected[..., channel])
    codes = layer.inputs[..., channel]
    for field, values in (("offset", np.ones_like(codes)), ("multiplier", codes)):
        place = np.unravel_index(np.where(values == 0, np.iinfo(np.int64).max, np.abs(values)).argmin(), values.shape)
        if values[place] == 0 or difference[place] % values[place]:
            continue
        by, before = int(difference[place] // values[place]), int(getattr(operation, field)[channel])
        if not _wrapped(layer, difference - by * values).any():
            return Change(field, (channel,), before + by, f"{field} [{channel}] acts as {before + by}, not {before}")
    return None


def _least_sum(result: int, shift: int) -> int:
    """Return the least sum that a shift, half to even, rounds to ``result`` or more.

    >>> [_least_sum(result, 2) for result in (1, 2, 3)]
    [3, 6, 11]
    """
    return result if shift == 0 else ((2 * result - 1) << (shift - 1)) + result % 2


def _less(bound: int | None, value: int) -> int | None:
    return None if bound is None else bound - value


def _multipliers(code: int, lowest: int | None, highest: int | None) -> Range:
    """Return the multipliers whose product with a code lies between two bounds."""
    if code == 0:
        possible = (lowest is None or lowest <= 0) and (highest is None or highest >= 0)
        return Range(None, None) if possible else Range(1, 0)
    if code < 0:
        code, lowest, highest = -code, _negated(highest), _negated(lowest)
    return Range(None if lowest is None else -(-lowest // code), None if highest is None else highest // code)


def _negated(bound: int | None) -> int | None:
    return None if bound is None else -bound


def _common(ranges: Iterator[Range]) -> Range:
    every = list(ranges)
    return Range(
        max((r.lowest for r in every if r.lowest is not None), default=None),
        min((r.highest for r in every if r.highest is not None), default=None),
    )


def _threshold_change(layer: DifferingLayer, operation: Threshold, channel: int) -> Change | None:
    """Find the threshold: with the others counted, what remains must be reached from one code on; or the direction."""
    codes, found = (values[..., channel].reshape(-1) for values in (layer.inputs, layer.found))
    lowest, highest = operation.format.lowest, operation.format.highest
    step = 2 if isinstance(operation.format, Bipolar) else 1
    count = (found - lowest) // step if operation.rising[channel] else (highest - found) // step
    thresholds = operation.thresholds[channel]
    for level, before in enumerate(thresholds.tolist()):
        others = np.delete(thresholds, level)
        reached = count - (codes[:, None] >= others).sum(axis=1)
        if ((reached != 0) & (reached != 1)).any():
            continue
        not_reached = codes[reached == 0]
        values = Range(
            int(not_reached.max()) + 1 if not_reached.size else None,
            int(codes[reached == 1].min()) if (reached == 1).any() else None,
        )
        if not values.empty:
            text = f"threshold {[channel, level]} acts as {values}, not {before}"
            return Change("thresholds", (channel, level), values.nearest(before), text)
    if np.array_equal(found, lowest + highest - layer.expected[..., channel].reshape(-1)):
        rising = bool(operation.rising[channel])
        directions = "falls, the program's rises" if rising else "rises, the program's falls"
        return Change("rising", (channel,), not rising, f"channel [{channel}] {directions}")
    return None
