"""Gates of a program: which they are, and how often they are open, against counting by hand."""

import numpy as np

from bitwright.export.gates import activation_bits, gates, open_shares
from bitwright.export.operations import Input, Multiply, Threshold
from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.fixed_point import FixedPoint

CODE, BIT = FixedPoint(4, 4), FixedPoint(1, 1, signed=False)


def gate(name: str, threshold: int, *, rising: bool = True) -> Threshold:
    return Threshold(name, "x", np.full((3, 1), threshold), np.full(3, rising), BIT)


PROGRAM = Program(
    (
        Input("x", "", (3,), CODE),
        gate("above", 2),
        gate("below", -5, rising=False),
        gate("unread", 0),
        Threshold("sign", "x", np.zeros((3, 1), np.int64), np.ones(3, bool), FixedPoint(2, 2, rounding="AP_RND_CONV")),
        Multiply("gated", "x", "above"),
        Multiply("signed", "sign", "gated"),
        Multiply("out", "below", "signed"),
    )
)


def test_gates_are_bits_that_are_factors() -> None:
    assert gates(PROGRAM) == ("above", "below")


def test_shares_are_those_of_all_values_of_all_inputs() -> None:
    codes = np.random.default_rng(0).integers(-8, 8, (300, 3))
    seen: list[int] = []
    assert open_shares(PROGRAM, codes, seen.append) == {
        "above": float((codes >= 2).mean()),
        "below": float((codes < -5).mean()),
    }
    assert seen == [128, 128, 44]


def test_program_without_gates_has_no_shares() -> None:
    program = Program((Input("x", "", (3,), Bipolar()),))
    assert open_shares(program, np.ones((5, 3), np.int64)) == {}


def test_an_activation_has_one_bit_and_the_share_of_the_second() -> None:
    assert activation_bits({"a": 0.0}) == 1
    assert activation_bits({"a": 1.0, "b": 0.5}) == 1.75
