"""Constants on their grid; what cannot be one is refused in `test_export_lower`."""

from typing import Any

import numpy as np
import pytest
from networks import executed, graph

from bitwright.export.constants import QuantizedConstant, quantized_constant, read_quantizer
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
@pytest.mark.parametrize("scale", [0.25, [[0.5], [0.25], [1.0]], [[0.5, 0.25, 1.0, 2.0]]])
def test_codes_times_scale_are_the_values_that_qonnx_computes(quantizer: str, scale: Any) -> None:  # noqa: ANN401
    found, wanted = constant(quantizer, scale)
    assert (found.codes * found.scale == wanted).all()
    assert found.codes.dtype == np.int64
    transposed = found.transposed()
    assert (transposed.codes * transposed.scale == wanted.T).all()


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
