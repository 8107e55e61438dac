"""A program's layers, and their products and sums, against counting them one by one."""

from collections.abc import Iterator

import numpy as np
import pytest
from rtl_programs import PROGRAMS

from bitwright.estimates.describe import describe
from bitwright.estimates.layers import Matrix, Move
from bitwright.estimates.network import estimate
from bitwright.estimates.settings import settings_of
from bitwright.export.operations import Dense, DepthwiseConv2d, Flatten, Linear
from bitwright.export.precision import minimal
from bitwright.export.program import Program
from bitwright.hls.target import Target

SPEED = settings_of(Target()).part.speed
LINEAR = [name for name, make in PROGRAMS.items() if sum(isinstance(each, Linear) for each in make().operations) == 1]


def matrix_of(program: Program) -> Matrix:
    """The one layer with weights."""
    (layer,) = (each for each in describe(program, minimal(program), SPEED) if isinstance(each, Matrix))
    return layer


def weights_used(operation: Linear, program: Program) -> Iterator[list[int]]:
    """For every value of the result, the weights that it is a sum of, found by walking over windows."""
    *positions, outputs = program.tensors[operation.name].shape
    for _ in np.ndindex(*positions):
        for output in range(outputs):
            taps = []
            for index in np.ndindex(*operation.weight.shape):
                if index[-1] == output:
                    taps.append(int(operation.weight[index]))
            yield taps


@pytest.mark.parametrize("name", LINEAR)
def test_multiplications_are_those_that_are_counted(name: str) -> None:
    program = PROGRAMS[name]()
    operation = next(each for each in program.operations if isinstance(each, Linear))
    taps = list(weights_used(operation, program))
    layer = matrix_of(program)
    assert layer.multiplications == sum(map(len, taps))
    assert layer.taps == len(taps[0])


@pytest.mark.parametrize("name", LINEAR)
def test_additions_are_those_that_are_counted(name: str) -> None:
    program = PROGRAMS[name]()
    operation = next(each for each in program.operations if isinstance(each, Linear))
    biased = operation.bias is not None and operation.bias.any()
    terms = [sum(weight != 0 for weight in taps) for taps in weights_used(operation, program)]
    # A sum of no terms takes no addition either, which the estimate counts one too few of
    expected = sum(terms) if biased else sum(terms) - len(terms)
    assert matrix_of(program).additions == max(0, expected)


@pytest.mark.parametrize("name", LINEAR)
def test_constants_are_all_products_but_equal_ones(name: str) -> None:
    layer = matrix_of(PROGRAMS[name]())
    counts = layer.constants
    assert counts.zero + counts.shift + counts.one_adder + counts.other <= layer.products


@pytest.mark.parametrize(
    ("name", "arithmetic"),
    [
        ("dense", "multiply"),
        ("dense on bits", "xnor"),
        ("dense of bits", "weight_sign"),
        ("padded convolution of bits", "data_sign"),
    ],
)
def test_products_of_bits_are_no_multiplications(name: str, arithmetic: str) -> None:
    layer = matrix_of(PROGRAMS[name]())
    assert layer.arithmetic == arithmetic


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("strategy", ["Latency", "Resource"])
@pytest.mark.parametrize("backend", ["Vitis", "Vivado"])
def test_every_layer_has_figures(name: str, io_type: str, strategy: str, backend: str) -> None:
    program = PROGRAMS[name]()
    target = Target.model_validate(
        {"io_type": io_type, "strategy": strategy, "backend": backend, "reuse_factor": 2, "part": "xc7a100t"}
    )
    found = estimate(describe(program, minimal(program), SPEED), settings_of(target))
    names = {layer.name for layer in found.layers}
    assert names >= {operation.name for operation in program.operations}
    assert min(found.cells.lut, found.cells.ff, found.cells.dsp, found.cells.bram_18k) >= 0
    assert found.initiation_interval_cycles >= 1
    assert found.latency_cycles >= max(layer.latency_cycles for layer in found.layers)


def test_padding_is_a_layer_of_its_own_as_in_hls4ml() -> None:
    program = PROGRAMS["padded convolution"]()
    padding = describe(program, minimal(program), SPEED)[1]
    assert padding == Move("zp2d_conv", "padding", 5 * 8, 5, 2, 4, copies=True)


def test_dense_layer_behind_an_image_reads_all_positions() -> None:
    image = PROGRAMS["flattening"]()
    dense = Dense("fc", "f", np.ones((40, 3), np.int64), image.input.format, None)
    assert isinstance(image.operations[-1], Flatten)
    assert matrix_of(Program((*image.operations, dense))).pixels == 20


def test_depthwise_convolution_has_one_product_for_each_weight() -> None:
    program = PROGRAMS["depthwise convolution"]()
    operation = program.operations[-1]
    assert isinstance(operation, DepthwiseConv2d)
    assert matrix_of(program).products == operation.weight.size
