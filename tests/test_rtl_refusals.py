"""What RTL refuses: each by its whole message, before anything is written."""

from collections.abc import Callable

import numpy as np
import pytest
from rtl_programs import SIGNED, UNSIGNED, VECTOR, WEIGHT

from bitwright.export.operations import Dense, Input, MultiplyAdd, Operation, Quantizing, Requantize, Table
from bitwright.export.program import Program
from bitwright.quant.fixed_point import FixedPoint
from bitwright.rtl.trace import trace

SATURATED = FixedPoint(4, 4, rounding="AP_RND_CONV", overflow="AP_SAT")


class Unheard(Requantize):
    """An operation that nobody traces."""


def _multiply_add(form: FixedPoint, multiplier: int = 3) -> Operation:
    return MultiplyAdd("op", "x", np.full(6, multiplier), np.ones(6, np.int64), 2, form)


REFUSALS: dict[str, tuple[Callable[[], Quantizing | Operation], str]] = {
    "rounding to minus infinity": (
        lambda: Requantize("op", "x", FixedPoint(4, 3, overflow="AP_SAT")),
        "op: format must round half to even and saturate in RTL, not be ap_fixed<4,3,AP_TRN,AP_SAT>; use a quantiser",
    ),
    "wrapping": (
        lambda: _multiply_add(FixedPoint(4, 4, rounding="AP_RND_CONV")),
        "op: format must round half to even and saturate in RTL, not be ap_fixed<4,4,AP_RND_CONV>; use a quantiser",
    ),
    "a large multiplier": (
        lambda: _multiply_add(SATURATED, -(1 << 24)),
        "op: weights must be below 2**24 in RTL, not 16777216; use fewer bits",
    ),
    "a large weight": (
        lambda: Dense("op", "x", np.full((6, 1), 1 << 24), FixedPoint(26, 26), None),
        "op: weights must be below 2**24 in RTL, not 16777216; use fewer bits",
    ),
    "a wide result": (
        lambda: Requantize("op", "x", FixedPoint(54, 54, rounding="AP_RND_CONV", overflow="AP_SAT")),
        "op: result must have at most 53 bits in RTL, not 54; use fewer",
    ),
    "large entries": (
        lambda: Table("op", "x", np.arange(16) + (1 << 24), -8, FixedPoint(26, 26)),
        "op: entries must be below 2**24 in RTL, not 16777231; use fewer bits",
    ),
    "another operation": (
        lambda: Unheard("op", "x", SATURATED),
        "op: operation must be one that RTL knows, not Unheard; use `bitwright hls`",
    ),
    "constant outputs": (
        lambda: Dense("op", "x", np.zeros((6, 2), np.int64), WEIGHT, np.array([4, 0])),
        "rtl: outputs must depend on the input, not be constant; train the network again",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_traced_is_refused(name: str) -> None:
    make, says = REFUSALS[name]
    with pytest.raises(ValueError) as refusal:
        trace(Program((Input("x", "", VECTOR, SIGNED), make())))
    assert str(refusal.value) == says


def test_wide_input_is_refused() -> None:
    wide = Input("x", "", (1,), FixedPoint(54, 54))
    with pytest.raises(ValueError) as refusal:
        trace(Program((wide, Requantize("op", "x", SATURATED))))
    assert str(refusal.value) == "x: result must have at most 53 bits in RTL, not 54; use fewer"


def test_largest_weight_is_carried() -> None:
    weight = np.array([[(1 << 24) - 1]])
    program = Program((Input("x", "", (1,), UNSIGNED), Dense("op", "x", weight, FixedPoint(25, 25), None)))
    codes = np.arange(16)[:, None]
    assert (trace(program).predict(codes.astype(np.float64)) == program(codes)).all()
