"""Reuse factors against hls4ml's own rules."""

from dataclasses import replace

import hls4ml
from hypothesis import given
from hypothesis import strategies as st

from bitwright.estimates.layers import Matrix
from bitwright.estimates.reported import MLP
from bitwright.estimates.reuse import legal_reuse_factors, nearest, neighbours

INPUTS, OUTPUTS = st.integers(1, 60), st.integers(1, 40)


def matrix(inputs: int, outputs: int) -> Matrix:
    """A dense layer of 16 bits."""
    layer = MLP.layers[0]
    assert isinstance(layer, Matrix)
    return replace(layer, inputs=inputs, outputs=outputs)


@given(INPUTS, OUTPUTS)
def test_legal_factors_are_those_of_hls4ml(inputs: int, outputs: int) -> None:
    backend = hls4ml.backends.get_backend("Vitis")
    assert list(legal_reuse_factors(matrix(inputs, outputs))) == backend.get_valid_reuse_factors(inputs, outputs)


@given(INPUTS, OUTPUTS)
def test_factors_of_a_convolution_stay_within_the_inputs_of_one_output(inputs: int, outputs: int) -> None:
    backend = hls4ml.backends.get_backend("Vitis")
    legal = [factor for factor in backend.get_valid_reuse_factors(inputs, outputs) if factor <= inputs]
    assert list(legal_reuse_factors(replace(matrix(inputs, outputs), kind="conv"))) == legal


@given(INPUTS, OUTPUTS, st.integers(1, 3000))
def test_nearest_factor_is_the_one_that_hls4ml_takes(inputs: int, outputs: int, wanted: int) -> None:
    legal = legal_reuse_factors(matrix(inputs, outputs))
    closest = hls4ml.backends.get_backend("Vitis").get_closest_reuse_factor(list(legal), wanted)
    assert nearest(legal, wanted) == closest


@given(INPUTS, OUTPUTS, st.integers(1, 3000))
def test_nearest_factor_is_the_wanted_one_or_stands_next_to_it(inputs: int, outputs: int, wanted: int) -> None:
    legal = legal_reuse_factors(matrix(inputs, outputs))
    assert nearest(legal, wanted) in {wanted, *neighbours(legal, wanted)}
