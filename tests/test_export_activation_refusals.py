"""Activations that no operation can be are refused, every message whole."""

import re
from typing import Literal

import numpy as np
import pytest
from activation_codes import lowered, quantizer_of
from onnx import helper
from random_activations import kernel

from bitwright.export.elementwise import Elementwise
from bitwright.export.kernel import Kernel
from bitwright.export.quantizer import Floats


def test_function_that_is_no_number_somewhere_is_refused() -> None:
    huge, nothing = (Elementwise("Mul", np.array(value, np.float32)) for value in (1e38, 0))
    says = "values must be numbers, not NaN; train again, a batch norm may have overflowed"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        lowered((huge, huge, nothing), quantizer_of(4))


def test_function_that_rises_and_falls_over_too_many_codes_is_refused() -> None:
    says = (
        "a function that rises and falls must have at most 16384 codes before it, over all channels that differ, "
        "not 20001; put a quantiser of one scale before it, or use a monotone activation"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        lowered((kernel("Abs"),), quantizer_of(4), (-10000, 10000))


PLACES: dict[str, Literal["Elu", "HardSwish"]] = {"rising": "Elu", "rising and falling": "HardSwish"}


@pytest.mark.parametrize("kind", PLACES.values(), ids=PLACES)
def test_code_that_depends_on_where_onnxruntime_computes_it_is_refused(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A last bit that the end of the tensor changes, put where it changes a code."""
    step = Kernel(kind, helper.make_node(kind, ["a"], ["b"]), {}, 20)
    run = Kernel._run

    def wavering(self: Kernel, values: Floats) -> Floats:
        return run(self, values) + np.float32(1 if values.size == 1 else 0)

    monkeypatch.setattr(Kernel, "_run", wavering)
    says = (
        f"quantised values must not depend on where in a tensor onnxruntime computes {kind}, as they do; "
        "use Relu, LeakyRelu, Sigmoid or Tanh"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        lowered((step,), quantizer_of(4, signed=True))
