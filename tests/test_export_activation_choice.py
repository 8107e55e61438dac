"""Which operation an activation becomes: a shift, comparators, one multiplier or a table."""

from dataclasses import replace

import numpy as np
import pytest
from activation_codes import NORM, all_codes, is_the_network, lowered, quantizer_of, run, source_of
from onnx import helper
from random_activations import CHANNELS, FORMAT, kernel

from bitwright.export.activation import lower_activation
from bitwright.export.elementwise import Elementwise, Step
from bitwright.export.kernel import Kernel
from bitwright.export.operations import Affine, MultiplyAdd, Requantize, Table, Threshold
from bitwright.export.quantizer import Floats, Quantizer
from bitwright.quant.fixed_point import FixedPoint, format_of


@pytest.mark.parametrize("bit_width", [1, 2, 3, 6])
def test_relu_and_a_power_of_two_scale_are_a_shift(bit_width: int) -> None:
    operation = lowered((Elementwise("Relu"),), quantizer_of(bit_width))
    assert isinstance(operation, Requantize)
    assert operation.format == format_of(0.5, bit_width, signed=False)


@pytest.mark.parametrize("quantizer", [quantizer_of(1, signed=True, bipolar=True), quantizer_of(1)])
def test_one_bit_is_one_comparator_whose_direction_is_the_sign_of_the_norm(quantizer: Quantizer) -> None:
    operation = lowered(NORM, quantizer)
    assert isinstance(operation, Threshold)
    assert operation.thresholds.shape == (CHANNELS, 1)
    assert operation.rising.tolist() == [True, False, True]


def test_two_bits_are_three_comparators_and_more_are_one_multiplier() -> None:
    two, three = (lowered(NORM, quantizer_of(bits)) for bits in (2, 3))
    assert isinstance(two, Threshold)
    assert two.thresholds.shape == (CHANNELS, 3)
    assert isinstance(three, MultiplyAdd)


def test_scale_that_is_no_power_of_two_is_one_multiplier() -> None:
    quantizer = replace(quantizer_of(5, signed=True, scale=0.3), zero_point=4)
    operation = is_the_network(source_of((), scale=np.array(float(np.float32(0.0123)))), quantizer).operation
    assert isinstance(operation, MultiplyAdd)
    assert operation.format == FixedPoint(5, 5, rounding="AP_RND_CONV", overflow="AP_SAT")


def test_function_on_no_line_is_as_many_comparators_as_it_takes() -> None:
    bend = (Elementwise("Relu"), Elementwise("RSub", np.array(3, np.float32)), Elementwise("Relu"), *NORM)
    operation = lowered(bend, quantizer_of(4, signed=True))
    assert isinstance(operation, Threshold)
    assert operation.thresholds.shape == (CHANNELS, 15)


def test_function_that_rises_and_falls_is_a_table_of_every_code() -> None:
    operation = lowered((kernel("Abs"),), quantizer_of(4), (-20, 30))
    assert isinstance(operation, Table)
    assert (operation.lowest, len(operation.entries)) == (-20, 51)
    assert operation.entries.tolist() == [round(abs(code) / 8) for code in range(-20, 31)]


def test_function_that_onnxruntime_rounds_by_position_is_a_table_where_no_code_depends_on_it() -> None:
    swish = Kernel("HardSwish", helper.make_node("HardSwish", ["a"], ["b"]), {}, 20)
    source = source_of((swish,), scale=np.array(float(np.float32(0.0371))))
    quantizer = quantizer_of(6, signed=True, scale=0.11)
    operation = lower_activation("act", source, quantizer).operation
    assert isinstance(operation, Table)
    codes = all_codes(source)
    x = codes * float(np.float32(0.0371))
    exact = x * np.clip(x / 6 + 0.5, 0, 1) / float(np.float32(0.11))
    sure = np.abs(exact % 1 - 0.5) > 1e-4
    wanted = np.clip(np.rint(exact), -32, 31)
    assert sure.sum() > 590
    assert (operation.run(codes, FORMAT) == wanted)[sure].all()


@pytest.mark.parametrize("scale", [np.array(0.5, np.float32), np.array([0.5, 0.25, 0.5], np.float32)])
def test_function_that_rises_and_falls_in_its_own_way_a_channel_takes_one_part_of_a_table_each(scale: Floats) -> None:
    steps: tuple[Step, ...] = (*NORM, kernel("Abs")) if scale.ndim == 0 else (kernel("Abs"),)
    quantizer = replace(quantizer_of(4), scale=scale)
    source = source_of(steps, (-20, 30))
    activation = lower_activation("act", source, quantizer)
    assert isinstance(activation.before, Affine)
    codes = np.arange(-20, 31)[:, None] * np.ones(3, np.int64)
    found = run(activation.operation, run(activation.before, codes))
    assert (found == quantizer.codes(source.values(codes))).all()
    assert len({tuple(column) for column in found.T.tolist()}) > 1
