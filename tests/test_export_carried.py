"""Each thing that docs/limits.md says is carried, alone: the program's integers are those of qonnx's executor."""

import numpy as np
import pytest
from carried_graphs import CASES, Case
from networks import executed, graph, program_integers

from bitwright.export.interface import describe, output_codes
from bitwright.export.lower import LoweredNetwork, lower
from bitwright.export.operations import Affine, DepthwiseConv2d, MultiplyAdd, Requantize, Table, Threshold


def agrees(case: Case) -> LoweredNetwork:
    """Lower a graph, and compare its integers with those that qonnx's executor computes."""
    body, shape, result, constants = case
    model = graph(body, shape, result, **constants)
    network = lower(model)
    values = np.random.default_rng(5).normal(0, 3, shape).astype(np.float32)
    values[::2] = np.round(values[::2] * 2) / 4
    outputs = executed(model, values).reshape(len(values), -1)
    expected = output_codes(describe(network).output, outputs)
    assert len(np.unique(expected)) > 1
    assert (program_integers(network, values) == expected).all()
    return network


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_program_is_what_qonnx_computes(case: Case) -> None:
    agrees(case)


@pytest.mark.parametrize("scales", [(0.3, 0.5, 0.2), (0.9, 0.9, 0.2), (0.1, 0.7, 0.4), (0.2, 0.35, 0.6)])
def test_every_pair_of_codes_of_a_sum_rounds_as_in_float32(scales: tuple[float, float, float]) -> None:
    """Decimal scales meet halves but for float32's own rounding: no grid of integers does, a table of pairs does."""
    left, right, result = scales
    body = (
        "q = Quant (x, half, zero, four) [wq] v = Quant (w, sv, zero, two) a0 = MatMul (q, v) "
        "a = Quant (a0, sa, zero, four) [kq] u = Quant (k, su, zero, two) b0 = MatMul (q, u) "
        "b = Quant (b0, sb, zero, four) s = Add (a, b) y = Quant (s, sc, zero, eight)"
    )
    every = np.array([[a, b] for a in range(-8, 8) for b in range(-8, 8)], np.float32) * np.float32(0.5)
    constants = {
        "w": np.array([[2 * left], [0.0]]),
        "k": np.array([[0.0], [2 * right]]),
        "sv": 2 * left,
        "su": 2 * right,
        "sa": left,
        "sb": right,
        "sc": result,
    }
    model = graph(body, (256, 2), (256, 1), **constants)
    network = lower(model)
    expected = output_codes(describe(network).output, executed(model, every))
    assert (program_integers(network, every) == expected).all()
    assert network.undecided == {}


def kinds(name: str) -> list[type]:
    return [type(operation) for operation in agrees(CASES[name]).program.operations]


def test_cheapest_exact_form_is_taken() -> None:
    assert Requantize in kinds("residual")
    assert MultiplyAdd in kinds("any scale")
    assert Table in kinds("function Abs")
    assert Threshold in kinds("one bit of any scale")
    assert DepthwiseConv2d in kinds("average of nine")
    assert Affine not in kinds("residual")


def test_unequal_branches_take_the_fewest_bits_that_no_pair_of_codes_notices() -> None:
    network = agrees(CASES["residual of unequal scales"])
    multipliers = [o.multiplier for o in network.program.operations if isinstance(o, Affine)]
    assert max(int(np.abs(values).max()).bit_length() for values in multipliers) <= 12
    assert network.undecided == {}


def test_powers_of_two_leave_nothing_undecided_and_others_are_told() -> None:
    assert agrees(CASES["residual"]).undecided == {}
    assert set(agrees(CASES["any scale"]).undecided) <= {"Quant_2", "y"}
