"""From the integer program to logic: every operation, on symbolic integers."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from alkaid.trace import FVArray
from alkaid.trace import trace as trace_logic
from alkaid.trace.passes import optimize
from alkaid.types import CombLogic

from bitwright.export.operations import (
    Add,
    Affine,
    Concat,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    Flatten,
    Input,
    Integers,
    MaxPool2d,
    Multiply,
    MultiplyAdd,
    Operation,
    Requantize,
    Reshape,
    Table,
    Tensor,
    Threshold,
    Transpose,
    Upsample,
)
from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import shift_round
from bitwright.rtl.symbols import (
    HARDWARE,
    SOLVER,
    Symbol,
    Symbols,
    at_least,
    clipped,
    each,
    ends,
    inputs,
    known,
    larger,
    looked_up,
    plus,
    product,
    refuse_large_weights,
    shift_round_half_even,
    times,
    weighted,
)
from bitwright.rtl.windows import positions, taps

MOST_BITS = 53
"""Of an integer: alkaid counts in float64."""


CONSTANT = "rtl: outputs must depend on the input, not be constant; train the network again"


@dataclass(frozen=True, eq=False)
class Wires:
    """Symbolic values of one tensor.

    Args:
        symbols: Of the tensor's shape: codes; where the format is `Bipolar`, bits, 1 for +1.
        format: Of the codes.
    """

    symbols: Symbols
    format: Format

    @property
    def codes(self) -> Symbols:
        """The codes, +1 and -1 where they are bits."""
        return each(lambda bit: plus(times(bit, 2), -1), self.symbols) if self.is_bits else self.symbols

    @property
    def is_bits(self) -> bool:
        """Whether the symbols are bits."""
        return isinstance(self.format, Bipolar)


def trace(program: Program, progress: Callable[[str], None] = lambda _: None) -> CombLogic:
    """Return the logic that computes a program's output from its input.

    Args:
        program: Any that is small enough to have a multiplier, or rather its adders, for every product.
        progress: Called with the name of each operation before it is traced.

    Returns:
        Combinational logic: inputs in the order of `Program.input`, outputs in that of its output. Codes of `Bipolar`
        are bits on both sides.

    Raises:
        ValueError: If an operation cannot be held.
    """
    form = program.input.format
    refuse(program.input, form)
    width, signed = (1, False) if isinstance(form, Bipolar) else (form.width, form.signed)
    port = inputs(program.input.shape, width, signed=signed)
    wires = {program.input.name: Wires(port, form)}
    last_use = {name: i for i, operation in enumerate(program.operations) for name in operation.sources}
    for i, operation in enumerate(program.operations[1:], start=1):
        progress(operation.name)
        refuse(operation, program.tensors[operation.name].format)
        sources = [wires[name] for name in operation.sources]
        wires[operation.name] = apply(operation, sources, program.tensors[operation.name])
        for name in operation.sources:
            if last_use[name] == i:
                wires.pop(name, None)
    outputs = wires[program.operations[-1].name].symbols.reshape(-1)
    refuse_constants(outputs)
    progress("optimising")
    logic = trace_logic(FVArray(port.reshape(-1), SOLVER, HARDWARE), FVArray(outputs, SOLVER, HARDWARE), optimize=False)
    return optimize(logic, retrace=False)  # traced again, some logic gives other integers: alkaid 0.8.2


def apply(operation: Operation, sources: Sequence[Wires], result: Tensor) -> Wires:
    """Return an operation's result on symbolic integers.

    Args:
        operation: One that `refuse` lets pass.
        sources: What it takes.
        result: Shape and format of what it gives.

    Raises:
        ValueError: With its name, if a weight or a constant has too many bits.
    """
    try:
        symbols = RULES[type(operation)](operation, sources)
    except ValueError as error:
        raise ValueError(f"{operation.name}: {error}") from error
    return Wires(symbols.reshape(result.shape), result.format)


def refuse_constants(outputs: Symbols) -> None:
    """Refuse outputs that are all constant.

    Raises:
        ValueError: If they are.
    """
    if all(isinstance(symbol, int) for symbol in outputs.flat):
        raise ValueError(CONSTANT)


def refuse(operation: Operation, form: Format) -> None:
    """Refuse what is not traced: other operations, other ways to round, numbers that float64 does not hold.

    Raises:
        ValueError: With the operation's name.
    """
    if type(operation) not in RULES and not isinstance(operation, Input):
        kind = type(operation).__name__
        raise ValueError(f"{operation.name}: operation must be one that RTL knows, not {kind}; use `bitwright hls`")
    if form.width > MOST_BITS:
        raise ValueError(
            f"{operation.name}: result must have at most {MOST_BITS} bits in RTL, not {form.width}; use fewer"
        )
    if not isinstance(operation, MultiplyAdd | Requantize):
        return
    kept = operation.format
    if kept.rounding != "AP_RND_CONV" or kept.overflow == "AP_WRAP":
        raise ValueError(
            f"{operation.name}: format must round half to even and saturate in RTL, not be {kept.ap_fixed}; "
            "use a quantiser"
        )


def _products(wires: Wires, weight: Integers, taken: Integers) -> Symbols:
    """Return the sums of products of some values with the rows of ``(K, C)`` weights.

    Bits stay bits: ``sum((2 b - 1) w) = 2 sum(b w) - sum(w)``.

    Args:
        wires: A tensor.
        weight: One row for each value.
        taken: Which values, ``(K,)``; -1 is a zero.
    """
    rows = weight[taken >= 0]
    sums = weighted(wires.symbols.reshape(-1)[taken[taken >= 0]], rows)
    if not wires.is_bits:
        return sums
    return each(lambda matches, whole: plus(times(matches, 2), -whole), sums, rows.sum(axis=0))


def _biased(sums: Symbols, bias: Integers | None) -> Symbols:
    return sums if bias is None else each(plus, sums, bias)


def _dense(operation: Dense, sources: Sequence[Wires]) -> Symbols:
    (wires,) = sources
    return _biased(_products(wires, operation.weight, np.arange(len(operation.weight))), operation.bias)


def _conv(operation: Conv2d, sources: Sequence[Wires]) -> Symbols:
    (wires,) = sources
    filters = operation.weight.shape[-1]
    weight = operation.weight.reshape(-1, filters)
    windows = taps(wires.symbols.shape, operation.weight.shape[:2], operation.stride, operation.padding)
    sums = np.stack([_products(wires, weight, window.reshape(-1)) for window in windows])  # (H' * W', F)
    return _biased(sums, operation.bias)


def _depthwise(operation: DepthwiseConv2d, sources: Sequence[Wires]) -> Symbols:
    (wires,) = sources
    channels = operation.weight.shape[-1]
    weight = operation.weight.reshape(-1, channels)
    windows = taps(wires.symbols.shape, operation.weight.shape[:2], operation.stride, operation.padding)
    sums = np.empty((len(windows), channels), object)
    for at, window in enumerate(windows):
        for channel in range(channels):
            sums[at, channel] = _products(wires, weight[:, channel : channel + 1], window[:, channel])[0]
    return _biased(sums, operation.bias)


def _max_pool(operation: MaxPool2d, sources: Sequence[Wires]) -> Symbols:
    (wires,) = sources
    symbols = wires.symbols.reshape(-1)
    windows = taps(wires.symbols.shape, operation.kernel, operation.stride)  # (P, taps, C)
    result = np.empty((len(windows), windows.shape[2]), object)
    for at in np.ndindex(result.shape):
        first, *others = symbols[windows[at[0], :, at[1]]]
        for other in others:
            first = larger(first, other)
        result[at] = first
    return result


def _move(operation: Operation, sources: Sequence[Wires]) -> Symbols:
    """Move symbols as the operation moves their positions."""
    (wires,) = sources
    moved = operation.compute([positions(wires.symbols.shape)[None]], [wires.format])
    return np.asarray(wires.symbols.reshape(-1)[moved], object)


def _requantize(operation: Requantize, sources: Sequence[Wires]) -> Symbols:
    (wires,) = sources
    form = operation.format
    shift = wires.format.fractional - form.fractional
    return each(lambda code: _rounded(code, shift, form.lowest, form.highest), wires.codes)


def _multiply_add(operation: MultiplyAdd, sources: Sequence[Wires]) -> Symbols:
    (wires,) = sources
    lowest, highest = operation.format.lowest, operation.format.highest
    refuse_large_weights(operation.multiplier)

    def one(code: Symbol, multiplier: int, offset: int) -> Symbol:
        code = clipped(code, *_ends_that_matter(ends(code), multiplier, offset, operation.shift, (lowest, highest)))
        return _rounded(plus(times(code, multiplier), offset), operation.shift, lowest, highest)

    return each(one, wires.codes, operation.multiplier, operation.offset)


def _ends_that_matter(
    interval: tuple[int, int], multiplier: int, offset: int, shift: int, saturated: tuple[int, int]
) -> tuple[int, int]:
    """Return the codes below and above which the result of a multiply-add stays at its end.

    Saturated there, a code has fewer bits to be multiplied.
    """

    def result(code: int) -> int:
        rounded = shift_round(np.array([code * multiplier + offset]), shift, "AP_RND_CONV")
        return int(rounded[0]) if multiplier >= 0 else -int(rounded[0])

    lowest, highest = saturated if multiplier >= 0 else (-saturated[1], -saturated[0])
    codes = range(interval[0], interval[1] + 1)
    first = bisect_right(codes, lowest, key=result) - 1  # the last code that gives the lowest, or less
    last = bisect_left(codes, highest, key=result)
    return codes[max(first, 0)], codes[min(last, len(codes) - 1)]


def _rounded(code: Symbol, shift: int, lowest: int, highest: int) -> Symbol:
    """Divide by ``2**shift``, round half to even and saturate; saturated first, fewer bits are rounded."""
    if shift > 0:
        code = clipped(code, lowest << shift, highest << shift)
    return clipped(shift_round_half_even(code, shift), lowest, highest)


def _threshold(operation: Threshold, sources: Sequence[Wires]) -> Symbols:
    (wires,) = sources
    form = operation.format
    bits = isinstance(form, Bipolar)
    lowest, highest = (0, 1) if bits else (form.lowest, form.highest)
    result = np.empty(wires.symbols.shape, object)
    codes = wires.codes
    for at in np.ndindex(result.shape):
        thresholds = operation.thresholds[at[-1]].tolist()
        rising = operation.rising[at[-1]]
        # A falling channel counts what lies below its thresholds, from the other end
        steps = [at_least(codes[at], t) if rising else at_least(times(codes[at], -1), 1 - t) for t in thresholds]
        start = lowest if rising else highest - len(thresholds)
        result[at] = known(reduce(plus, steps, start))
    return result


def _table(operation: Table, sources: Sequence[Wires]) -> Symbols:
    (wires,) = sources
    entries = operation.entries
    if isinstance(operation.format, Bipolar):
        entries = operation.format.bits(entries)
    return each(lambda code: looked_up(code, entries, operation.lowest), wires.codes)


def _affine(operation: Affine, sources: Sequence[Wires]) -> Symbols:
    (wires,) = sources
    return each(lambda code, m, a: plus(times(code, m), a), wires.codes, operation.multiplier, operation.offset)


def _aligned(sources: Sequence[Wires]) -> list[Symbols]:
    """Return the codes of both sources on the finer of their binary points."""
    finest = max(wires.format.fractional for wires in sources)
    ups = [1 << (finest - wires.format.fractional) for wires in sources]
    return [each(lambda code, up=up: times(code, up), wires.codes) for wires, up in zip(sources, ups, strict=True)]


def _add(operation: Add, sources: Sequence[Wires]) -> Symbols:
    return each(plus, *_aligned(sources))


def _multiply(operation: Multiply, sources: Sequence[Wires]) -> Symbols:
    return each(product, *(wires.codes for wires in sources))


def _concat(operation: Concat, sources: Sequence[Wires]) -> Symbols:
    parts = [wires.symbols for wires in sources] if all(w.is_bits for w in sources) else _aligned(sources)
    return np.concatenate(parts, axis=-1)


RULES: dict[type[Operation], Callable[..., Symbols]] = {
    Add: _add,
    Affine: _affine,
    Concat: _concat,
    Conv2d: _conv,
    Dense: _dense,
    DepthwiseConv2d: _depthwise,
    Flatten: _move,
    MaxPool2d: _max_pool,
    Multiply: _multiply,
    MultiplyAdd: _multiply_add,
    Requantize: _requantize,
    Reshape: _move,
    Table: _table,
    Threshold: _threshold,
    Transpose: _move,
    Upsample: _move,
}
"""How each operation is traced."""
