"""Products of two tensors that a network computes: gates of 0 and 1, and any other, against qonnx's executor."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import executed, graph, program_integers, score_integers

from bitwright.export.gates import gates
from bitwright.export.lower import LoweredNetwork, lower
from bitwright.export.operations import Multiply
from bitwright.export.program_file import read, write

LAYERS = "[in] q = Quant (x, s, z, four) [w1] v = Quant (w, half, zero, three) [fc] m = MatMul (q, v) "
GATE = "a = Add (m, c) [gate] g = UnsignedQuant (a, one, zero, one) [gated] p = Mul (g, m) [sum] t = Add (m, p) "
LAST = "[act] y = Quant (t, half, zero, eight)"


def compare(body: str, scale: float, zero_point: float = 0.0, **more: Any) -> LoweredNetwork:  # noqa: ANN401
    rng = np.random.default_rng(3)
    constants = {
        "s": scale,
        "z": zero_point,
        "w": rng.integers(-4, 4, (3, 5)) / 2,
        "c": np.array([0.0, 1.5, -2.0, 9.0, -9.0]),
    }
    values = rng.normal(0, 3 * scale, (64, 3)).astype(np.float32)
    network = lower(graph(body, (1, 3), (1, 5), **{**constants, **more}))
    model = graph(body, (64, 3), (64, 5), **{**constants, **more})
    assert (program_integers(network, values) == score_integers(network, executed(model, values))).all()
    return network


def test_gate_passes_a_sum_or_none_of_it() -> None:
    network = compare(LAYERS + GATE + LAST, 0.5)
    gated = network.program.tensors["gated"]
    assert next(each for each in network.program.operations if each.name == "gated").sources == ("gate", "fc")
    assert gated.format.width == network.program.tensors["fc"].format.width
    assert network.undecided == {}


SIGN = "a = Add (m, c) [sgn] b = BipolarQuant (a, one) h = Mul (b, half) "


@pytest.mark.parametrize("passes", ["g = Add (h, half)", "g = Sub (half, h)", "f = Add (h, half) g = Mul (f, w2)"])
def test_sign_that_is_made_0_or_a_number_is_one_bit(passes: str) -> None:
    body = LAYERS + SIGN + passes + " [gated] p = Mul (g, m) [sum] t = Add (m, p) " + LAST
    network = compare(body, 0.5, w2=-4.0)
    product = next(each for each in network.program.operations if isinstance(each, Multiply))
    gate_format = network.program.tensors[product.left].format
    assert (gate_format.width, gate_format.lowest, gate_format.highest) == (1, 0, 1)
    assert gates(network.program) == gates(read(write(network.program))) == (product.left,)
    assert network.undecided == {}


def test_sign_that_is_made_two_other_numbers_is_refused() -> None:
    body = LAYERS + SIGN + "g = Add (h, one) [gated] t = Mul (g, m) " + LAST
    says = r"gated \(Mul\): factors must be accumulators or quantised, not the result of Add; put a quantiser between"
    with pytest.raises(ValueError, match=says):
        lower(graph(body, (1, 3), (1, 5), s=0.5, z=0.0, w=np.ones((3, 5)), c=np.zeros(5)))


@given(exponents=st.tuples(st.integers(-4, 4), st.integers(-4, 4)), zero_point=st.integers(-3, 3))
@settings(max_examples=20, deadline=None)
def test_products_on_power_of_two_scales_are_exact(exponents: tuple[int, int], zero_point: int) -> None:
    body = LAYERS + "[act1] r = Quant (m, t, zero, four) [product] t2 = Mul (m, r) [act] y = Quant (t2, u, zero, eight)"
    scales = {"t": 2.0 ** exponents[1], "u": 2.0 ** sum(exponents)}
    network = compare(body, 2.0 ** exponents[0], zero_point, **scales)
    assert network.undecided == {}


def test_product_of_signs_is_a_number() -> None:
    body = LAYERS + "[act1] r = BipolarQuant (m, half) [product] t = Mul (r, m) " + LAST
    network = compare(body, 0.25)
    product = next(each for each in network.program.operations if isinstance(each, Multiply))
    assert network.program.tensors[product.left].format.width == 2


@pytest.mark.parametrize(("step", "least"), [(0.21, 0.25), (0.013, 0.0)])
def test_products_on_float_scales_say_which_share_lies_by_a_boundary(step: float, least: float) -> None:
    body = LAYERS + "[act1] r = Quant (m, t, zero, four) [product] p = Mul (m, r) [act] y = Quant (p, u, zero, eight)"
    weight = np.random.default_rng(3).integers(-4, 4, (3, 5)) / 2
    network = lower(graph(body, (1, 3), (1, 5), s=0.3, z=0.0, t=0.7, u=step, w=weight))
    share = network.undecided.get("act", 0.0)
    assert share > least if least else share == 0  # 0.3 * 0.5 * 0.7 is half of the first step


def test_product_needs_branches_of_one_shape() -> None:
    body = LAYERS + "[other] k = Quant (n, half, zero, three) [fc2] o = MatMul (q, k) [product] y = Mul (m, o)"
    says = r"product \(Mul\): branches must be of one shape, not \(5,\) and \(2,\); reshape one"
    with pytest.raises(ValueError, match=says):
        lower(graph(body, (1, 3), (1, 5), s=0.5, z=0.0, w=np.ones((3, 5)), n=np.ones((3, 2))))
