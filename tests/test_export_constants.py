"""Constants on their grid; what cannot be one is refused in `test_export_lower_refusals`, too."""

import re
from typing import Any

import numpy as np
import pytest
from networks import executed, graph

from bitwright.export.constants import QuantizedConstant, quantized_constant, read_quantizer, read_truncation
from bitwright.export.quantizer import Quantizer

WEIGHT = np.random.default_rng(1).normal(0, 2, (3, 4))
PLAIN = Quantizer(np.array(1.0, np.float32), 4, signed=True, narrow=False, bipolar=False)


def constant(quantizer: str, scale: Any, values: Any = WEIGHT) -> tuple[QuantizedConstant, Any]:  # noqa: ANN401
    """Return the constant and what qonnx computes for it."""
    bits = "" if quantizer.startswith("Bipolar") else ", zero, four"
    model = graph(f"v = {quantizer} (w, s{bits}) y = Add (x, v)", (3, 4), (3, 4), w=values, s=scale)
    found = quantized_constant(model, model.graph.node[0])
    assert found is not None
    return found, executed(model, np.zeros((3, 4), np.float32))


@pytest.mark.parametrize("quantizer", ["Quant", "NarrowQuant", "UnsignedQuant", "BipolarQuant"])
@pytest.mark.parametrize("scale", [0.25, 0.3, [[0.5], [0.25], [1.0]], [[0.5], [0.37], [1.1]], [[0.5, 0.25, 1.0, 2.0]]])
def test_codes_times_scale_are_the_values_that_qonnx_computes(quantizer: str, scale: Any) -> None:  # noqa: ANN401
    found, wanted = constant(quantizer, scale)
    assert (found.codes.astype(np.float32) * found.scale == wanted).all()
    assert found.codes.dtype == np.int64
    transposed = found.transposed()
    assert (transposed.codes.astype(np.float32) * transposed.scale == wanted.T).all()


@pytest.mark.parametrize("mode", ["ROUND", "floor", "CEIL", "UP", "DOWN", "HALF_UP", "HALF_DOWN", "HALF_EVEN"])
@pytest.mark.parametrize("zero_point", [0.0, 3.0, -2.0])
def test_zero_point_is_subtracted_from_codes_of_every_rounding_mode(zero_point: float, mode: str) -> None:
    quant = f'qonnx.custom_op.general.Quant <signed=1, narrow=0, rounding_mode="{mode}">'
    model = graph(f"v = {quant} (w, s, z, four) y = Add (x, v)", (3, 4), (3, 4), w=WEIGHT, s=0.3, z=zero_point)
    found = quantized_constant(model, model.graph.node[0])
    assert found is not None
    assert (found.quantizer.zero_point, found.quantizer.rounding) == (int(zero_point), mode.upper())
    wanted = executed(model, np.zeros((3, 4), np.float32))
    assert (found.codes.astype(np.float32) * found.scale == wanted).all()
    assert found.codes.min() >= -8 - zero_point
    assert found.codes.max() <= 7 - zero_point


def test_scale_is_told_for_each_index_of_an_axis() -> None:
    found, _ = constant("Quant", [[0.5], [0.25], [1.0]])
    assert found.channel_scale(0).tolist() == [0.5, 0.25, 1.0]
    assert found.transposed().channel_scale(1).tolist() == [0.5, 0.25, 1.0]
    assert constant("Quant", 0.25)[0].channel_scale(1).tolist() == [0.25] * 4


def test_scale_along_the_other_axis_is_refused() -> None:
    found, _ = constant("Quant", [[0.5], [0.25], [1.0]])
    with pytest.raises(
        ValueError,
        match=r"^scale of weights must be one a tensor or one an output channel, not finer; "
        r"use a per-tensor or per-channel weight quantiser$",
    ):
        found.channel_scale(1)


def test_quantiser_of_a_computed_tensor_is_no_constant() -> None:
    model = graph("y = Quant (x, half, zero, four)", (1, 2), (1, 2))
    assert quantized_constant(model, model.graph.node[0]) is None


@pytest.mark.parametrize(
    ("name", "signed", "narrow"), [("Quant", True, False), ("NarrowQuant", True, True), ("UnsignedQuant", False, False)]
)
def test_parameters_are_read(name: str, signed: bool, narrow: bool) -> None:
    model = graph(f"y = {name} (x, half, zero, three)", (1, 2), (1, 2))
    found = read_quantizer(model, model.graph.node[0])
    assert (found.bit_width, found.signed, found.narrow, found.bipolar) == (3, signed, narrow, False)
    assert found.uniform_scale == 0.5


@pytest.mark.parametrize(("name", "bipolar"), [("Quant", True), ("NarrowQuant", True), ("UnsignedQuant", False)])
def test_one_signed_bit_is_bipolar(name: str, bipolar: bool) -> None:
    model = graph(f"y = {name} (x, half, zero, one)", (1, 2), (1, 2))
    assert read_quantizer(model, model.graph.node[0]).bipolar is bipolar


TRUNC = 'qonnx.custom_op.general.Trunc <signed=1, narrow=0, rounding_mode="FLOOR">'


def truncated(**constants: Any) -> Any:  # noqa: ANN401
    given = {"s": 0.3, "z": 0.0, "o": np.float32(0.3) * 4, **constants}
    return graph(f"y = {TRUNC} (x, s, z, eight, o, four)", (1, 3), (1, 3), **given)


@pytest.mark.parametrize(("zero_point", "zero_after"), [(0.0, 0), (8.0, 2), (-4.0, -1)])
def test_truncation_is_read(zero_point: float, zero_after: int) -> None:
    model = truncated(z=zero_point)
    found = read_truncation(model, model.graph.node[0])
    assert (found.divisor, found.bit_width, found.signed, found.narrow) == (4.0, 4, True, False)
    assert (found.input_zero_point, found.zero_point, found.rounding) == (int(zero_point), zero_after, "FLOOR")
    values = np.array([[-1.5, 0.7, 2.9]], np.float32)
    codes = found.codes(values)
    assert ((codes - zero_after) * found.scale == executed(model, values)).all()


def test_truncation_of_a_zero_point_between_two_codes_is_refused() -> None:
    model = truncated(z=3.0)
    says = "zero point must be a multiple of 4, by which it is divided, not 3; use a symmetric quantiser"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        read_truncation(model, model.graph.node[0])


def test_truncation_by_several_divisors_is_refused() -> None:
    model = truncated(o=np.array([0.6, 1.2, 1.2]))
    says = "bits cut off must be one number for all channels, not several; use one scale"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        read_truncation(model, model.graph.node[0])


def test_truncation_of_version_1_is_refused() -> None:
    model = truncated()
    for entry in model.model.opset_import:
        if entry.domain:
            entry.version = 1
    says = "version of the operator must be 2, not 1; export again with Brevitas 0.12 or newer"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        read_truncation(model, model.graph.node[0])


REFUSED = {
    "zero point of one signed bit must be 0, not 1; use a symmetric quantiser": {"z": 1.0, "b": 1.0},
    "zero point must be a whole number below 2**24, not 0.5; use a symmetric quantiser": {"z": 0.5},
    "zero point must be a whole number below 2**24, not 16777216.0; use a symmetric quantiser": {"z": 2.0**24},
    "zero point must be one for all channels, not [0.0, 1.0]; use one zero point": {"z": np.array([1.0, 0.0])},
    "bit width must be a whole number from 1 to 32, not nan; change the recipe": {"b": np.nan},
    "scale must be positive and finite, not empty; train again": {"s": np.zeros((0,))},
    "scale must be positive and finite, not inf; train again": {"s": np.array([0.5, np.inf])},
}


@pytest.mark.parametrize(("says", "given"), REFUSED.items(), ids=REFUSED)
def test_impossible_parameters_are_refused(says: str, given: dict[str, Any]) -> None:
    constants = {"s": 0.5, "z": 0.0, "b": 4.0, **given}
    model = graph("y = Quant (x, s, z, b)", (1, 2), (1, 2), **constants)
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        read_quantizer(model, model.graph.node[0])


def test_rounding_mode_that_nobody_knows_is_refused() -> None:
    quant = 'qonnx.custom_op.general.Quant <signed=1, narrow=0, rounding_mode="SOMEHOW">'
    model = graph(f"y = {quant} (x, half, zero, four)", (1, 2), (1, 2))
    says = (
        "rounding mode must be one of ROUND, HALF_EVEN, CEIL, FLOOR, UP, DOWN, HALF_UP, HALF_DOWN, not SOMEHOW; "
        "set float_to_int_impl_type to ROUND"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        read_quantizer(model, model.graph.node[0])
