"""Symbolic integers: what alkaid traces, kept to the few operations that were found exact.

alkaid's own rounding, saturation, maximum and lookup give other integers in some cases (halves that round to even,
constants that wrap, negated values), and its interpreter shares those faults. Here they are put together from
additions, constant shifts and selections, and constants are computed in Python.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from alkaid.trace import FVariable, FVArray
from numpy.typing import NDArray

import bitwright.rtl.alkaid_repairs  # noqa: F401 - before anything is traced
from bitwright.export.operations import Integers

Symbol: TypeAlias = FVariable | int
"""One integer: a variable, or known."""
Symbols: TypeAlias = NDArray[np.object_]
"""Many."""

HARDWARE = (1, -1, -1)
"""alkaid's figures of an adder: cost by its bits, delay of a LUT."""

SOLVER = {"hard_dc": 2}
"""Of constant matrices: at most two levels deeper than an adder tree need be."""

MOST_ROWS = 256
"""Of a matrix that is searched for common sums at once."""

MOST_PRODUCTS = 8192
"""And its products. 196 rows of 32 take 7 s, 784 rows of 8 take a minute."""

MOST_WEIGHT = 1 << 24
"""alkaid holds weights as float32."""

MOST_CONSTANT = 1 << 31
"""And what is added in 32 bits."""


def inputs(shape: Sequence[int], width: int, *, signed: bool) -> Symbols:
    """Return variables of a port, of any value that ``width`` bits hold."""
    kept, integer, fraction = (np.full(tuple(shape), n, np.int8) for n in (int(signed), width - signed, 0))
    return np.asarray(FVArray.from_kif(kept, integer, fraction, HARDWARE, 0, SOLVER), object)


def ends(symbol: Symbol) -> tuple[int, int]:
    """Return the smallest and the largest value."""
    return (symbol, symbol) if isinstance(symbol, int) else (int(symbol.low), int(symbol.high))


def known(symbol: Symbol) -> Symbol:
    """Return a variable that has one value only as that value."""
    lowest, highest = ends(symbol)
    return lowest if lowest == highest else symbol


def each(function: Callable[..., Symbol], *arrays: Symbols | Integers) -> Symbols:
    """Return a function of every value; arrays are broadcast, integers become Python's.

    >>> each(lambda a, b: a + b, np.array([1, 2]), np.array([10]))
    array([11, 12], dtype=object)
    """
    together = np.broadcast_arrays(*(array.astype(object) for array in arrays))
    result = np.empty(together[0].shape, object)
    for at in np.ndindex(result.shape):
        result[at] = known(function(*(array[at] for array in together)))
    return result


def refuse_large_weights(weight: Integers | int) -> None:
    """Refuse factors that alkaid would round.

    Raises:
        ValueError: If there are any.
    """
    largest = int(np.abs(weight).max(initial=0))
    if largest >= MOST_WEIGHT:
        raise ValueError(f"weights must be below 2**24 in RTL, not {largest}; use fewer bits")


def weighted(symbols: Symbols, weight: Integers) -> Symbols:
    """Return ``symbols @ weight``: variables ``(K,)``, integers ``(K, C)``.

    Variables of one bit are packed into look-up tables, six at a time.

    Raises:
        ValueError: If a weight is too large.
    """
    refuse_large_weights(weight)
    parts = [_upward(symbol) for symbol in symbols]
    starts, signs = (np.array([part[i] for part in parts], np.int64) for i in (1, 2))
    constant = starts @ weight
    varying = signs != 0
    if not varying.any():
        return constant.astype(object)
    turned = (signs[:, None] * weight)[varying].astype(np.float64)
    sums = _blocked(np.array([part[0] for part in parts], object)[varying], turned)
    return each(plus, sums, constant)


def _blocked(symbols: Symbols, weight: NDArray[np.float64]) -> Symbols:
    """Multiply block by block: the search for common sums takes the square of a matrix' size."""
    rows = np.array_split(np.arange(len(weight)), -(-len(weight) // MOST_ROWS))
    columns = np.array_split(np.arange(weight.shape[1]), -(-weight.shape[1] * len(rows[0]) // MOST_PRODUCTS))
    total: Symbols | None = None
    for taken in rows:
        given = FVArray(symbols[taken], SOLVER, HARDWARE)
        sums = np.concatenate([np.asarray(given @ weight[np.ix_(taken, part)], object) for part in columns])
        total = sums if total is None else each(plus, total, sums)
    assert total is not None
    return total


def _upward(symbol: Symbol) -> tuple[Symbol, int, int]:
    """Return ``u``, ``a`` and ``s`` such that a value is ``a + s u``: where it has two values, u is 0 or above.

    alkaid packs values of two into tables, and reads those tables wrongly where the value was negated or is below 0.
    """
    lowest, highest = ends(symbol)
    if isinstance(symbol, int):
        return 0, symbol, 0
    if highest - lowest != symbol.step:
        return symbol, 0, 1
    if symbol._factor > 0:
        return plus(symbol, -lowest), lowest, 1
    return plus(times(symbol, -1), highest), highest, -1


def plus(symbol: Symbol, other: Symbol) -> Symbol:
    """Return the sum.

    Raises:
        ValueError: If a constant has more bits than alkaid holds.
    """
    if isinstance(symbol, int) and not isinstance(other, int):
        symbol, other = other, symbol
    if isinstance(other, int) and not isinstance(symbol, int):
        constant = abs(other + _added(symbol))
        if constant // (constant & -constant or 1) >= MOST_CONSTANT:
            raise ValueError(f"constants must be below 2**31 in RTL, not {other + _added(symbol)}; use fewer bits")
    total: Symbol = symbol + other
    return total


def _added(symbol: FVariable) -> int:
    """Return the constant that was added last: alkaid adds the next one to it."""
    if symbol.opr != "cadd":
        return 0
    word = int(symbol._data)  # of 32 bits each: how far it is shifted down, and the number
    number, shift = (((part & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000 for part in (word, word >> 32))
    return int(number * 2.0**-shift * symbol._factor)


def times(symbol: Symbol, factor: int) -> Symbol:
    """Return the product with an integer.

    Raises:
        ValueError: If it is too large.
    """
    refuse_large_weights(factor)
    product: Symbol = symbol * factor
    return product


def product(symbol: Symbol, other: Symbol) -> Symbol:
    """Return the product of two values: for each bit of the narrower one the other, or 0.

    Raises:
        ValueError: If one is known and too large.
    """
    if isinstance(symbol, int):
        symbol, other = other, symbol
    if isinstance(other, int):
        return times(symbol, other)
    if _width(symbol) > _width(other):
        symbol, other = other, symbol
    lowest, _ = ends(symbol)
    bits = _width(symbol)
    total: Symbol = 0
    for place in range(bits):
        worth = -(1 << place) if lowest < 0 and place == bits - 1 else 1 << place
        bit = low_bits(floor_shift(symbol, place), 1)
        kept = _selected(plus(bit, -1), 0, other, (min(0, ends(other)[0]), max(0, ends(other)[1])))
        total = plus(total, times(known(kept), worth))
    return total


def _width(symbol: Symbol) -> int:
    """Return the bits of two's complement that hold a value, its sign's included where it has one."""
    lowest, highest = ends(symbol)
    return max(_magnitude_bits(lowest), _magnitude_bits(highest)) + (lowest < 0)


def at_least(symbol: Symbol, threshold: int) -> Symbol:
    """Return whether a value reaches a threshold, 1 or 0."""
    lowest, highest = ends(symbol)
    if lowest >= threshold or highest < threshold:
        return int(lowest >= threshold)
    assert not isinstance(symbol, int)
    step = int(symbol.step)
    if highest - lowest == step:  # of two values, the upper one; alkaid compares such wrongly
        between, _, sign = _upward(symbol)
        bit: FVariable = between * (1.0 / step)
        return bit if sign > 0 else plus(times(bit, -1), 1)
    reached = lowest + -(-(threshold - lowest) // step) * step  # the least value that does
    distance = plus(symbol, -reached)
    assert not isinstance(distance, int)
    below: FVariable = distance.is_negative()
    return ~below


def clipped(symbol: Symbol, lowest: int, highest: int) -> Symbol:
    """Return the nearest value within two ends."""
    if isinstance(symbol, int):
        return min(max(symbol, lowest), highest)
    if symbol.low < lowest == 0:
        symbol = known(symbol.relu())  # selected against 0, alkaid would lose the interval
    elif symbol.low < lowest:
        above = plus(symbol, -lowest)
        symbol = known(_selected(above, lowest, symbol, (lowest, max(lowest, ends(symbol)[1]))))
    if isinstance(symbol, int) or symbol.high <= highest:
        return symbol
    if highest == 0:
        symbol = times(known(times(symbol, -1).relu()), -1)  # type: ignore[union-attr]
    else:
        above = plus(symbol, -highest - 1)
        symbol = known(_selected(above, symbol, highest, (min(highest, ends(symbol)[0]), highest)))
    return symbol


def _selected(key: Symbol, negative: Symbol, other: Symbol, interval: tuple[int, int]) -> Symbol:
    """Return one value where the key is below 0, else the other one."""
    if isinstance(key, int):
        return negative if key < 0 else other
    if ends(key)[0] >= 0 or ends(key)[1] < 0:
        return negative if ends(key)[1] < 0 else other
    step = min(1.0 if isinstance(choice, int) else choice.step for choice in (negative, other))
    return key.msb_mux(negative, other, (float(interval[0]), float(interval[1]), step))


def larger(symbol: Symbol, other: Symbol) -> Symbol:
    """Return the larger of two values."""
    if isinstance(symbol, int):
        symbol, other = other, symbol
    if isinstance(symbol, int):
        assert isinstance(other, int)
        return max(symbol, other)
    if isinstance(other, int):
        return clipped(symbol, other, max(other, ends(symbol)[1]))
    if symbol._factor < 0 or other._factor < 0:  # alkaid selects wrongly among negated variables
        return plus(other, known((symbol - other).relu()))
    bits = (0, 1) == ends(symbol) == ends(other)
    return symbol | other if bits else symbol.max_of(other)


def floor_shift(symbol: Symbol, shift: int) -> Symbol:
    """Return ``floor(symbol / 2**shift)``."""
    if shift <= 0:
        return times(symbol, 1 << -shift)
    if isinstance(symbol, int):
        return symbol >> shift
    lowest, highest = (end >> shift for end in ends(symbol))
    if lowest == highest:
        return lowest
    signed, integer = lowest < 0, max(_magnitude_bits(lowest), _magnitude_bits(highest))
    return (symbol * 2.0**-shift).quantize(signed, integer, 0)


def low_bits(symbol: Symbol, count: int) -> Symbol:
    """Return ``symbol mod 2**count``."""
    if isinstance(symbol, int):
        return symbol & ((1 << count) - 1)
    lowest, highest = ends(symbol)
    if lowest >> count == highest >> count:
        return plus(symbol, -((lowest >> count) << count))
    return known(symbol.quantize(0, count, 0))


def shift_round_half_even(symbol: Symbol, shift: int) -> Symbol:
    """Return ``symbol / 2**shift``, halves to the even integer.

    ``floor(x / 2**s + 1/2)`` is right but for halves, where the bits that are cut are all zero: there its last bit
    becomes zero too.
    """
    if shift <= 0:
        return floor_shift(symbol, shift)
    moved = plus(symbol, 1 << (shift - 1))
    up, cut = known(floor_shift(moved, shift)), low_bits(moved, shift)
    if isinstance(cut, int):
        return low_bit_cleared(up) if cut == 0 else up
    between = cut.unary_bit_op("any")
    last = low_bits(up, 1)
    if isinstance(last, int):
        return up if last == 0 else plus(plus(up, -1), known(between))
    return plus(low_bit_cleared(up), last & between)


def low_bit_cleared(symbol: Symbol) -> Symbol:
    """Return ``2 * floor(symbol / 2)``."""
    return times(floor_shift(symbol, 1), 2)


def looked_up(symbol: Symbol, entries: Integers, lowest: int) -> Symbol:
    """Return ``entries[symbol - lowest]``; where alkaid does not know that a value cannot occur, any entry serves."""
    if isinstance(symbol, int):
        return int(entries[symbol - lowest])
    first, last = ends(symbol)
    step = int(symbol.step)
    places = np.arange(first, last + 1, step) - lowest
    table = entries[np.clip(places, 0, len(entries) - 1)].astype(np.float64)
    if np.abs(table).max() >= MOST_WEIGHT:
        raise ValueError(f"entries must be below 2**24 in RTL, not {np.abs(table).max():.0f}; use fewer bits")
    if (table == table[0]).all():
        return int(table[0])
    return symbol.lookup(table, (float(first), float(last), float(step)))


def _magnitude_bits(value: int) -> int:
    return (~value if value < 0 else value).bit_length()
