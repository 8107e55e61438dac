"""Gates of an integer program: bits that let a sum pass or not, and how often they do."""

from collections.abc import Callable

import numpy as np

from bitwright.export.operations import Integers, Multiply
from bitwright.export.program import Program
from bitwright.quant.fixed_point import FixedPoint

BATCH = 128


def gates(program: Program) -> tuple[str, ...]:
    """Return the operations whose results are 0 or 1 and factors of a product, in the program's order."""
    factors = {name for each in program.operations if isinstance(each, Multiply) for name in each.sources}
    return tuple(each.name for each in program.operations if each.name in factors and _is_gate(program, each.name))


def _is_gate(program: Program, name: str) -> bool:
    form = program.tensors[name].format
    return isinstance(form, FixedPoint) and form.width == 1 and not form.signed and form.fractional == 0


def open_shares(
    program: Program, codes: Integers, progress: Callable[[int], None] = lambda _: None
) -> dict[str, float]:
    """Return which share of each gate's values is 1. Of a precision gate, one and its share are its activations' bits.

    Args:
        program: Any; without gates the result is empty.
        codes: Inputs ``(N, ...)``.
        progress: Called with the number of inputs of each batch.

    >>> from bitwright.export.operations import Input, Threshold
    >>> code, bit = FixedPoint(3, 3), FixedPoint(1, 1, signed=False)
    >>> gate = Threshold("gate", "x", np.array([[2]]), np.ones(1, bool), bit)
    >>> program = Program((Input("x", "", (1,), code), gate, Multiply("gated", "gate", "x")))
    >>> open_shares(program, np.array([[-4], [1], [2], [3]]))
    {'gate': 0.5}
    """
    counts, values = dict.fromkeys(gates(program), 0), dict.fromkeys(gates(program), 0)
    for start in range(0, len(codes), BATCH) if counts else ():
        batch = codes[start : start + BATCH]
        for name, result in program.trace(batch):
            if name in counts:
                counts[name] += int(result.sum())
                values[name] += result.size
        progress(len(batch))
    return {name: counts[name] / values[name] for name in counts if values[name]}


def activation_bits(shares: dict[str, float]) -> float:
    """Return the bits of an activation, the mean over precision gates.

    >>> activation_bits({"a": 0.25, "b": 0.5})
    1.375
    """
    return 1 + float(np.mean(list(shares.values())))
