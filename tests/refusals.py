"""What tests of refusals share: small graphs by their nodes, and the whole message that each must end in."""

from typing import Any

import numpy as np
import pytest
from networks import graph

from bitwright.export.lower import lower
from bitwright.export.problems import UnsupportedOperatorError

INPUT = "[in] q = Quant (x, half, zero, four)"
DENSE = f"{INPUT} [wq] v = Quant (w, half, zero, three)"
CONV = f"{INPUT} [wq] v = Quant (k, half, zero, three)"
W = np.array([[1.0, -0.5, 0.5], [-1.5, 0.5, 1.0]])
K = np.arange(16).reshape(2, 2, 2, 2) % 7 / 2 - 1.5
IN, OUT = (1, 2), (1, 3)
PIXELS, POSITIONS = (1, 2, 4, 4), (1, 2, 3, 3)

Sizes = tuple[int, ...]
Refusal = tuple[str, Sizes, Sizes, dict[str, Any], str]
"""Nodes, shape of the input, shape of the output, constants, message behind the file's name."""


def dense_case(body: str, message: str, shape: Sizes = IN, result: Sizes = OUT, **constants: Any) -> Refusal:  # noqa: ANN401
    return body, shape, result, {"w": W, **constants}, message


def image_case(body: str, message: str, result: Sizes = POSITIONS, shape: Sizes = PIXELS, **constants: Any) -> Refusal:  # noqa: ANN401
    return body, shape, result, {"k": K, **constants}, message


def check_refusal(case: Refusal) -> None:
    body, shape, result, constants, message = case
    model = graph(body, shape, result, **constants)
    with pytest.raises(UnsupportedOperatorError) as refused:
        lower(model, "model.onnx")
    assert str(refused.value) == f"model.onnx: {message}"
