"""Networks are broken in memory: the right layer and the one wrong number are named."""

from dataclasses import replace

import numpy as np
import pytest
from difference_networks import (
    BINARY,
    CODES,
    EIGHTHS,
    FIXED,
    IMAGE,
    NETWORKS,
    TRACES,
    check,
    difference_of,
    difference_with,
    holds,
    operation,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bitwright.export.operations import (
    Conv2d,
    Input,
    Threshold,
)
from bitwright.export.program import Program
from bitwright.hls.difference import first_difference
from bitwright.hls.difference_layer import DifferingLayer
from bitwright.quant.fixed_point import FixedPoint


@pytest.mark.parametrize("network", NETWORKS)
def test_equal_integers_give_no_difference(network: str) -> None:
    assert first_difference(NETWORKS[network], TRACES[network], CODES[network]) is None
    assert first_difference(NETWORKS[network], {}, CODES[network]) is None


def test_first_layer_that_differs_is_named() -> None:
    found = dict(TRACES["fixed"])
    found["fc2"] = found["fc2"] + 1
    found["act2"] = found["act2"].copy()
    found["act2"][7, 3] += 2
    difference = first_difference(FIXED, found, CODES["fixed"])
    check(difference, "fixed", found, "act2")
    assert difference is not None
    assert (difference.image, difference.element, difference.different) == (7, (3,), 1)


def test_integers_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^fc2: integers must be of shape \(52, 4\), not \(52, 3\)$"):
        first_difference(FIXED, {"fc2": TRACES["fixed"]["fc2"][:, :3]}, CODES["fixed"])


def test_cause_that_few_inputs_tell_says_so() -> None:
    found, codes = TRACES["fixed"]["fc2"][:1].copy(), CODES["fixed"][:1]
    found[0, 1] += 3
    difference = first_difference(FIXED, {"fc2": found}, codes)
    assert difference is not None
    assert difference.detail == "bias [1] acts as 3, not 0 (told from 1 input only)"


def test_arbitrary_integers_have_no_cause() -> None:
    noise = np.random.default_rng(3).integers(-20, 20, TRACES["fixed"]["fc1"].shape)
    difference = difference_of("fixed", "fc1", noise)
    assert (difference.cause, difference.detail) == (
        "unknown",
        "5 of 5 channels differ, and no single change that was tried gives these integers",
    )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_one_weight_is_found_with_its_value(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["conv1", "fc1", "fc2"]))
    weight = operation(FIXED, name).weight
    index = tuple(data.draw(st.integers(0, size - 1)) for size in weight.shape)
    before = int(weight[index])
    value = data.draw(st.integers(-8, 7).filter(lambda value: value != before))
    changed = weight.copy()
    changed[index] = value
    difference = difference_with("fixed", name, weight=changed)
    assume(difference is not None)  # an input that is always 0 hides its weights
    assert difference is not None
    assert (difference.layer, difference.cause) == (name, "weight")
    assert difference.element[-1] == index[-1]
    assert f"weight {list(index)} acts as {value}, not {before}" in difference.detail or "more" in difference.detail


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_one_flipped_bit_of_a_binary_weight_is_found(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["conv1", "fc1", "fc2"]))
    weight = operation(BINARY, name).weight
    index = tuple(data.draw(st.integers(0, size - 1)) for size in weight.shape)
    changed = weight.copy()
    changed[index] *= -1
    difference = difference_with("binary", name, weight=changed)
    assert difference is not None
    assert (difference.layer, difference.cause) == (name, "weight")
    assert f"weight {list(index)} acts as {changed[index]}, not {weight[index]}" in difference.detail


@given(channel=st.integers(0, 4), by=st.integers(-30, 30).filter(bool))
@settings(max_examples=20, deadline=None)
def test_one_bias_is_found_with_its_value(channel: int, by: int) -> None:
    bias = operation(FIXED, "fc1").bias
    difference = difference_with("fixed", "fc1", bias=bias + by * (np.arange(5) == channel))
    assert difference is not None
    assert difference.cause == "weight"
    assert difference.detail == f"bias [{channel}] acts as {bias[channel] + by}, not {bias[channel]}"


@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(*[st.integers(0, 2)] * 4),
)
@settings(max_examples=25, deadline=None)
def test_taps_are_the_inputs_that_a_convolution_multiplies(
    kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int, int, int]
) -> None:
    weight = np.random.default_rng(5).integers(-7, 8, (*kernel, 2, 3))
    convolution = Conv2d("conv", "x", weight, EIGHTHS, None, stride, padding)
    program = Program((Input("x", "", IMAGE, EIGHTHS), convolution))
    codes = CODES["fixed"][:3]
    expected = program(codes).reshape(3, *program.output.shape)
    layer = DifferingLayer(program, convolution, [codes], expected, expected)
    total = sum(inputs * weight[index] for index, inputs in layer.taps())
    np.testing.assert_array_equal(total, expected)


def test_missing_bias_is_found_in_every_channel() -> None:
    bias = operation(FIXED, "fc1").bias
    difference = difference_with("fixed", "fc1", bias=None)
    assert difference is not None
    assert difference.cause == "weight"
    assert difference.detail.startswith(f"bias [0] acts as 0, not {bias[0]}; ")
    assert difference.detail.endswith("; and 2 more")


@given(
    field=st.sampled_from(["multiplier", "offset"]), channel=st.integers(0, 1), by=st.integers(-200, 200).filter(bool)
)
@settings(max_examples=40, deadline=None)
def test_one_multiplier_or_offset_is_found(field: str, channel: int, by: int) -> None:
    before = getattr(operation(FIXED, "act1"), field)
    after = before + by * (np.arange(2) == channel)
    difference = difference_with("fixed", "act1", **{field: after})
    assume(difference is not None)  # a little more offset may round to the same
    assert difference is not None
    assert (difference.layer, difference.cause) == ("act1", "weight")
    assert f"[{channel}] acts as " in difference.detail
    if field in difference.detail:
        assert holds(difference.detail, field, int(after[channel]))


@given(channel=st.integers(0, 7), value=st.integers(-13, 13))
@settings(max_examples=40, deadline=None)
def test_one_threshold_is_found_with_the_values_that_it_can_be(channel: int, value: int) -> None:
    thresholds = operation(BINARY, "act2").thresholds.copy()
    thresholds[channel] = value
    difference = difference_with("binary", "act2", thresholds=thresholds)
    assume(difference is not None)
    assert difference is not None
    assert (difference.layer, difference.cause) == ("act2", "threshold")
    assert f"threshold [{channel}, 0]" in difference.detail
    assert holds(difference.detail, "threshold", value)


def test_one_threshold_of_several_levels_is_found() -> None:
    levels = Threshold("t", "x", np.array([[-5, 0, 4], [-3, 1, 2]]), np.array([True, False]), FixedPoint(2, 2))
    program = Program((Input("x", "", (2,), FixedPoint(4, 4)), levels))
    codes = np.stack([np.arange(-8, 8)] * 2, axis=1)
    broken = replace(levels, thresholds=np.array([[-5, 0, 4], [-3, 1, 6]]))
    difference = first_difference(program, {"t": broken.run(codes, FixedPoint(4, 4))}, codes)
    assert difference is not None
    assert (difference.cause, difference.detail) == ("threshold", "threshold [1, 2] acts as 6, not 2")


def test_reversed_direction_of_a_threshold_is_found() -> None:
    difference = difference_with("binary", "act1", rising=np.array([True, True]))
    assert difference is not None
    assert (difference.cause, difference.detail) == ("threshold", "channel [1] rises, the program's falls")
