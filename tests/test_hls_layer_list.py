"""The layer list against hls4ml's own rules."""

import re

import hls4ml
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitwright.export.operations import Conv2d, Dense, Input, MaxPool2d
from bitwright.export.precision import minimal
from bitwright.export.program import Program
from bitwright.hls.layer_linear import legal_reuse_factor
from bitwright.hls.layer_list import layer_list
from bitwright.hls.target import Target
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.fixed_point import FixedPoint

CODE = FixedPoint(4, 4)


@given(st.integers(1, 40), st.integers(1, 24), st.integers(1, 2000))
def test_reuse_factor_is_the_one_that_hls4ml_would_take(inputs: int, outputs: int, wanted: int) -> None:
    backend = hls4ml.backends.get_backend("Vitis")
    nearest = backend.get_closest_reuse_factor(backend.get_valid_reuse_factors(inputs, outputs), wanted)
    dense = Dense("fc", "x", np.ones((inputs, outputs), np.int64), CODE, None)
    assert legal_reuse_factor(dense, Target(strategy="Resource", reuse_factor=wanted)) == nearest


def test_latency_takes_any_reuse_factor() -> None:
    dense = Dense("fc", "x", np.ones((7, 3), np.int64), CODE, None)
    assert legal_reuse_factor(dense, Target(reuse_factor=5)) == 5


@pytest.mark.parametrize("stride", [1, 3])
def test_streaming_pool_with_other_windows_is_refused(stride: int) -> None:
    program = Program((Input("x", "", (6, 6, 2), CODE), MaxPool2d("pool", "x", (2, 2), (stride, stride))))
    message = (
        "pool: pooling windows of io_stream must not overlap or leave gaps, not be (2, 2) every "
        f"({stride}, {stride}); use io_parallel, or a stride equal to the kernel"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        layer_list(program, minimal(program), Target(io_type="io_stream"))


def test_layer_list_gives_every_layer_a_type_for_every_role() -> None:
    program = Program((Input("x", "", (2,), CODE), Dense("fc", "x", np.array([[1, 2], [3, -1]]), CODE, None)))
    found = layer_list(program, minimal(program), Target())
    assert found.precision["x"] == {"result": "ap_fixed<4,4>"}
    assert found.precision["fc"] == {
        "weight": "ap_fixed<4,4>",
        "bias": "ap_ufixed<1,1>",
        "accum": "ap_fixed<6,6>",
        "result": "ap_fixed<6,6>",
    }


def test_reuse_factor_of_a_convolution_stays_within_the_inputs_of_one_output() -> None:
    conv = Conv2d("conv", "x", np.ones((1, 1, 3, 2), np.int64), Bipolar(), None, (1, 1), (0, 0, 0, 0))
    assert legal_reuse_factor(conv, Target(strategy="Resource", reuse_factor=6)) == 3


def test_streamed_kernel_of_one_row_that_skips_rows_is_refused() -> None:
    conv = Conv2d("conv", "x", np.ones((1, 3, 1, 2), np.int64), FixedPoint(2, 2), None, (2, 1), (0, 0, 0, 0))
    program = Program((Input("x", "", (4, 5, 1), FixedPoint(4, 4)), conv))
    says = (
        "conv: kernel of several columns must have several rows where io_stream moves by 2 rows, not one; "
        "use io_parallel, or a kernel of more rows"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        layer_list(program, minimal(program), Target(io_type="io_stream"))
    assert len(layer_list(program, minimal(program), Target(io_type="io_parallel")).layers) == 2
