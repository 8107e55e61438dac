"""What synthesis would refuse is said before."""

from dataclasses import replace

import pytest

from bitwright.estimates.layers import Matrix, Move
from bitwright.estimates.limits import findings
from bitwright.estimates.reported import MLP
from bitwright.estimates.settings import settings_of
from bitwright.hls.target import Target


def dense(inputs: int, outputs: int) -> Matrix:
    """A dense layer of 16 bits."""
    layer = MLP.layers[0]
    assert isinstance(layer, Matrix)
    return replace(layer, name="fc", inputs=inputs, outputs=outputs)


def texts(layer: Matrix | Move, **settings: object) -> list[str]:
    """What is said of a layer."""
    return [finding.text for finding in findings([layer], settings_of(Target.model_validate(settings)))]


def test_4096_products_may_be_partitioned() -> None:
    assert texts(dense(64, 64)) == []


def test_more_products_of_the_strategy_latency_are_found() -> None:
    assert texts(dense(241, 17)) == [
        "fc: array mult must have at most 4096 elements to be partitioned completely, not 4097; set strategy Resource"
    ]


def test_strategy_resource_has_no_array_of_products() -> None:
    assert texts(dense(784, 64), strategy="Resource", reuse_factor=784) == []


def test_result_of_a_convolution_is_partitioned_in_parallel_alone() -> None:
    conv = replace(dense(9, 8), kind="conv", positions=26 * 26, pixels=28 * 28)
    assert texts(conv) == [
        "fc: array result must have at most 4096 elements to be partitioned completely, not 5408; set io_type io_stream"
    ]
    assert texts(conv, io_type="io_stream") == []


def test_large_input_is_found() -> None:
    assert texts(Move("x", "input", 64 * 64, 64, 3, 8)) == [
        "x: array result must have at most 4096 elements to be partitioned completely, not 12288; set io_type io_stream"
    ]


def test_loop_that_vivado_does_not_unroll_is_found() -> None:
    found = texts(dense(784, 64), strategy="Resource", reuse_factor=8, backend="Vivado")
    assert found == [
        "fc: loop MultLoop must unroll to at most 4096 products, not 6272; set a reuse factor of 14 or more"
    ]
    assert texts(dense(784, 64), strategy="Resource", reuse_factor=8) == []


def test_illegal_reuse_factor_is_named_with_its_neighbours() -> None:
    assert texts(dense(16, 5), strategy="Resource", reuse_factor=7) == [
        "fc: reuse factor must be one that is legal for 16 inputs and 5 outputs, 4 or 8 next to it, not 7; "
        "`bitwright hls` takes 8"
    ]


@pytest.mark.parametrize("settings", [{}, {"strategy": "Resource"}])
def test_any_factor_is_legal_with_latency(settings: dict[str, str]) -> None:
    factor = 7 if not settings else 8
    assert texts(dense(16, 5), reuse_factor=factor, **settings) == []


def test_depthwise_convolution_stays_with_the_strategy_latency() -> None:
    depthwise = replace(dense(9 * 500, 500), kind="depthwise", positions=4, pixels=16)
    message = "fc: array mult must have at most 4096 elements to be partitioned completely, not 4500"
    assert f"{message}; take fewer channels" in texts(depthwise, strategy="Resource", reuse_factor=7)
