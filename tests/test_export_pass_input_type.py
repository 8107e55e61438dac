"""A network without a quantiser of its input gets one, behind what the host computes first."""

import re

import numpy as np
import pytest
from networks import executed, graph, program_integers

from bitwright.export.interface import describe, output_codes
from bitwright.export.lower import lower
from bitwright.export.pass_input_type import quantize_input
from bitwright.quant.fixed_point import parse_ap_fixed

W = np.random.default_rng(1).normal(0, 1, (4, 3))
BODY = (
    "a = Sub (x, c) [scaled] b = Div (a, d) "
    "[wq] v = Quant (w, half, zero, four) m = MatMul (b, v) y = Quant (m, one, zero, eight)"
)
CONSTANTS = {"w": W, "c": np.array([0.5, 0.1, -1.0, 2.0]), "d": 1.7}


@pytest.mark.parametrize("text", ["ap_fixed<6,3>", "ap_ufixed<5,2>", "ap_fixed<4,2,AP_RND_CONV,AP_SAT_SYM>"])
def test_program_computes_the_network_with_the_quantiser(text: str) -> None:
    model = graph(BODY, (9, 4), (9, 3), **CONSTANTS)
    quantised = quantize_input(model, parse_ap_fixed(text))
    network = lower(quantised)
    assert network.program.input.format == parse_ap_fixed(text).plain()
    assert len(network.host.nodes) == 2
    values = np.random.default_rng(2).normal(0, 3, (9, 4)).astype(np.float32)
    expected = output_codes(describe(network).output, executed(quantised, values))
    assert (program_integers(network, values) == expected).all()


def test_graph_that_was_given_stays_as_it_is() -> None:
    model = graph(BODY, (9, 4), (9, 3), **CONSTANTS)
    before = model.model.SerializeToString()
    quantize_input(model, parse_ap_fixed("ap_fixed<6,3>"))
    assert model.model.SerializeToString() == before


def test_input_that_is_quantised_is_not_quantised_again() -> None:
    model = graph("[in] q = Quant (x, half, zero, four) y = Mul (q, two)", (1, 4), (1, 4))
    says = (
        "in (Quant): input must be without a quantiser where --input-type gives one, not with one; "
        "leave --input-type out"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        quantize_input(model, parse_ap_fixed("ap_fixed<6,3>"))
