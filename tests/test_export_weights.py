"""Which operations count as weights of a network."""

import numpy as np

from bitwright.export.operations import Dense, DepthwiseConv2d, Input
from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.fixed_point import FixedPoint

CODE = FixedPoint(4, 4, signed=False)
BIT = FixedPoint(1, 1, signed=False)


def test_sum_of_a_window_has_no_weights() -> None:
    ones = np.ones((2, 2, 3), np.int64)
    image = Input("x", "", (4, 4, 3), CODE)
    pool = DepthwiseConv2d("pool", "x", ones, BIT, None, (1, 1), (0, 0, 0, 0))
    layer = DepthwiseConv2d("layer", "pool", ones, Bipolar(), None, (1, 1), (0, 0, 0, 0))
    program = Program((image, pool, layer))
    assert (program.weighted, program.weights, program.weight_bits) == ((layer,), 12, 12)


def test_weights_count_at_the_width_of_their_layer() -> None:
    first = Dense("first", "x", np.ones((3, 5), np.int64), FixedPoint(3, 3), None)
    program = Program((Input("x", "", (3,), CODE), first))
    assert (program.weights, program.weight_bits) == (15, 45)
