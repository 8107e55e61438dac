"""The benchmark of 1-bit layers beside fixed-point ones: its table, its pairs, and what a layer alone is."""

import re

import numpy as np
import pytest

from bitwright.cli.benchmark_fold import CODES, alone
from bitwright.cli.benchmark_packing import Figure, pairs, table
from bitwright.export.operations import Add, Dense, Input, Threshold
from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.fixed_point import FixedPoint

FOUND = [
    Figure("1:64", accuracy, images=400, bits=1000, estimate=estimate, lut=lut, different=0)
    for accuracy, estimate, lut in ((0.96, 3000.0, 2500), (0.94, 3100.0, None))
] + [
    Figure("2:32", 0.955, images=400, bits=800, estimate=1525.0, lut=1400, different=0),
    Figure("3:16", 0.90, images=400, bits=700, estimate=900.0, lut=None, different=1),
]


def test_table_has_means_from_the_least_accurate_network_to_the_most() -> None:
    assert list(table(FOUND))[2:] == [
        "| 3 | 16 | 90.00 | 700 | 900 | - | 1 |",
        "| 1 | 64 | 95.00 ± 1.41 | 1,000 | 3,050 | 2,500 (1 seeds) | 0 |",
        "| 2 | 32 | 95.50 | 800 | 1,525 | 1,400 (1 seeds) | 0 |",
    ]


def test_pairs_are_networks_of_equal_accuracy() -> None:
    # One standard error of 95 % on 400 images is 1.09 points: 90 % is another accuracy
    assert list(pairs(FOUND)) == [
        "1:64 and 2:32: 95.00 and 95.50 %, standard error 1.09; the binary one takes 2.00 of the LUT (alkaid's "
        "estimate) and 1.25 of the bits"
    ]


@pytest.fixture
def program() -> Program:
    """A layer on codes, signs, and a layer on bits."""
    code = FixedPoint(4, 4)
    first = Dense("a", "x", np.ones((3, 2), np.int64), code, None)
    signs = Threshold("s", "a", np.zeros((2, 1), np.int64), np.array([True, False]), Bipolar())
    last = Dense("b", "s", np.array([[1], [-1]]), Bipolar(), None)
    return Program((Input("x", "", (3,), code), first, signs, last))


def test_layer_alone_takes_what_it_takes_in_the_network(program: Program) -> None:
    layer, codes = alone(program, "b")
    assert (codes.shape, set(codes.ravel().tolist())) == ((CODES, 2), {-1, 1})
    assert set(layer(codes).ravel().tolist()) == {-2, 0, 2}
    _, codes = alone(program, "a")
    assert (codes.min(), codes.max()) == (-8, 7)


def test_layer_that_is_not_there_is_refused(program: Program) -> None:
    message = "bench-fold: layer must be one of a, s, b, not c"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        alone(program, "c")


def test_layer_of_two_inputs_is_refused() -> None:
    code = FixedPoint(4, 4)
    tensor = Input("x", "", (3,), code)
    program = Program((tensor, Add("sum", "x", "x")))
    message = "bench-fold: sum must take one input, not 2; choose another layer"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        alone(program, "sum")
