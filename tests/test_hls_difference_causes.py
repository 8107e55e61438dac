"""Networks are broken in memory: overflow, rounding, order and scale are told apart."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from difference_networks import (
    BINARY,
    CODES,
    EIGHTHS,
    FIXED,
    IMAGE,
    TRACES,
    difference_of,
    difference_with,
    operation,
    operation_run,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bitwright.quant.fixed_point import FixedPoint, Rounding


@given(
    name=st.sampled_from(["conv1", "fc1", "fc2"]),
    missing=st.integers(1, 5),
    mode=st.sampled_from(["AP_WRAP", "AP_SAT"]),
    signed=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_narrow_accumulator_is_found_with_its_width(
    name: str, missing: int, mode: Literal["AP_WRAP", "AP_SAT"], signed: bool
) -> None:
    needed = FIXED.tensors[name].format
    width = needed.width - missing
    expected = TRACES["fixed"][name]
    found = FixedPoint(width, width, signed=signed, overflow=mode).overflowed(expected)
    assume((found != expected).any())
    difference = difference_of("fixed", name, found)
    assert difference.cause == "overflow"
    if not signed and mode == "AP_SAT" and expected.max() < 2**width:
        return  # any width above fits as well
    word = "wraps" if mode == "AP_WRAP" else "saturates"
    sign, needs = ("", f"{needed.width} are") if signed else (" unsigned", f"{needed.width} signed ones are")
    assert difference.detail == f"accumulator {word} at {width}{sign} bits: {needs} needed"


def test_accumulator_that_saturates_at_every_addition_is_found() -> None:
    dense = operation(FIXED, "fc1")
    form = FixedPoint(8, 8, overflow="AP_SAT")
    total = np.broadcast_to(dense.bias, TRACES["fixed"]["fc1"].shape)
    for row in range(24):
        product = form.overflowed(TRACES["fixed"]["flat"][:, row, None] * dense.weight[row])
        total = form.overflowed(total + product)
    difference = difference_of("fixed", "fc1", total)
    assert difference.cause == "overflow"
    assert difference.detail == "accumulator saturates at 8 bits: 12 are needed; it does so at every addition"


def test_narrow_match_counter_is_found() -> None:
    found = 2 * (((TRACES["binary"]["fc1"] + 12) // 2) % 8) - 12
    difference = difference_of("binary", "fc1", found)
    assert difference.cause == "overflow"
    assert difference.detail == "match counter wraps at 3 bits: 4 are needed"


def test_coarse_products_are_found() -> None:
    dense = operation(FIXED, "fc1")
    products = TRACES["fixed"]["flat"][:, :, None] * dense.weight >> 2
    difference = difference_of("fixed", "fc1", (products.sum(axis=1) + (dense.bias >> 2)) << 2)
    assert difference.cause == "rounding"
    assert difference.detail == "accumulator drops 2 fraction bits and rounds down (AP_TRN): 5 are needed"


@pytest.mark.parametrize("name", ["act1", "act2"])
@pytest.mark.parametrize("rounding", ["AP_TRN", "AP_RND"])
def test_other_rounding_is_found(name: str, rounding: Rounding) -> None:
    form = replace(operation(FIXED, name).format, rounding=rounding)
    difference = difference_with("fixed", name, format=form)
    assert difference is not None
    assert (difference.layer, difference.cause) == (name, "rounding")
    words = {"AP_TRN": "down (AP_TRN)", "AP_RND": "half up (AP_RND)"}[rounding]
    assert difference.detail == f"rounds {words} instead of half to even (AP_RND_CONV)"


def test_other_overflow_mode_is_found() -> None:
    difference = difference_with("fixed", "act2", format=replace(operation(FIXED, "act2").format, overflow="AP_WRAP"))
    assert difference is not None
    assert difference.cause == "overflow"
    assert difference.detail == "wraps (AP_WRAP), the program saturates symmetrically (AP_SAT_SYM)"


def test_narrow_quantiser_is_found() -> None:
    form = replace(operation(FIXED, "act1").format, width=3, integer=1)
    difference = difference_of("fixed", "act1", operation_run("fixed", "act1", format=form))
    assert (difference.cause, difference.detail) == ("overflow", "result saturates at 3 bits: 4 are needed")


def test_coarse_quantiser_is_found() -> None:
    form = replace(operation(FIXED, "act2").format, width=4)
    difference = difference_of("fixed", "act2", operation_run("fixed", "act2", format=form) << 1)
    assert difference.cause == "rounding"
    assert difference.detail == "result drops 1 fraction bit and rounds half to even (AP_RND_CONV): 1 are needed"


@pytest.mark.parametrize("order", [(2, 0, 1), (1, 0, 2), (2, 1, 0)])
def test_rows_in_another_order_after_a_flatten_are_found(order: tuple[int, int, int]) -> None:
    weight = operation(FIXED, "fc1").weight.reshape(3, 4, 2, 5).transpose(*order, 3).reshape(24, 5)
    difference = difference_with("fixed", "fc1", weight=weight)
    assert difference is not None
    names = ", ".join("HWC"[axis] for axis in order)
    assert difference.cause == "layout"
    assert difference.detail == f"rows are in ({names}) order, the program's in (H, W, C)"


def test_inputs_in_another_order_after_a_flatten_are_found() -> None:
    moved = TRACES["fixed"]["act1"].transpose(0, 3, 1, 2).reshape(-1, 24)
    difference = difference_of("fixed", "fc1", operation(FIXED, "fc1").run(moved, FIXED.tensors["flat"].format))
    assert difference.cause == "layout"
    assert difference.detail == "rows are in (H, W, C) order, and read as if in (C, H, W)"


def test_transposed_kernel_is_found() -> None:
    difference = difference_with("fixed", "conv1", weight=operation(FIXED, "conv1").weight.transpose(1, 0, 2, 3))
    assert difference is not None
    assert difference.cause == "layout"
    assert difference.detail == "weights are in (KW, KH, C, F) order, the program's in (KH, KW, C, F)"


def test_kernel_in_reverse_order_is_found() -> None:
    difference = difference_with("fixed", "conv1", weight=operation(FIXED, "conv1").weight[::-1, ::-1])
    assert difference is not None
    assert (difference.cause, difference.detail) == ("layout", "rows and columns of the kernel are in reverse order")


def test_transposed_dense_weights_are_found() -> None:
    difference = difference_with("fixed", "fc2", weight=operation(FIXED, "fc2").weight.T.reshape(5, 4))
    assert difference is not None
    assert (difference.cause, difference.detail) == ("layout", "weights are in (F, K) order, the program's in (K, F)")


def test_results_in_another_order_are_found() -> None:
    pooled = TRACES["fixed"]["pool1"]
    difference = difference_of("fixed", "pool1", pooled.transpose(0, 3, 1, 2).reshape(pooled.shape))
    assert (difference.cause, difference.detail) == (
        "layout",
        "results are in (C, H, W) order, the program's in (H, W, C)",
    )


def test_channels_that_changed_places_are_found() -> None:
    difference = difference_of("fixed", "fc2", TRACES["fixed"]["fc2"][:, [0, 3, 2, 1]])
    assert (difference.cause, difference.detail) == ("layout", "channels [1, 3] hold what belongs into [3, 1]")


@pytest.mark.parametrize("name", ["conv1", "fc2"])
@pytest.mark.parametrize("exponent", [-2, -1, 1])
def test_scale_of_a_linear_layer_is_found(name: str, exponent: int) -> None:
    expected = TRACES["fixed"][name]
    difference = difference_of("fixed", name, expected << exponent if exponent > 0 else expected >> -exponent)
    assert (difference.cause, difference.detail) == ("scale", f"values are 2**{exponent} times what they should be")


def test_scale_before_a_quantiser_is_found() -> None:
    difference = difference_with("fixed", "act1", shift=6)
    assert difference is not None
    assert difference.cause == "scale"
    assert difference.detail == "values before rounding are 2**1 times what they should be"


def test_scale_of_thresholds_is_found() -> None:
    difference = difference_with("binary", "act1", thresholds=operation(BINARY, "act1").thresholds * 2)
    assert difference is not None
    assert (difference.cause, difference.detail) == ("scale", "thresholds are 2**1 times what they should be")


def test_narrow_weight_type_is_found() -> None:
    weight = FixedPoint(3, 3).overflowed(operation(FIXED, "fc1").weight)
    difference = difference_with("fixed", "fc1", weight=weight)
    assert difference is not None
    assert (difference.cause, difference.detail) == ("overflow", "weight type wraps at 3 bits: 4 are needed")


def test_narrow_input_port_is_found_at_the_first_layer() -> None:
    codes = FixedPoint(3, 3, overflow="AP_SAT").overflowed(CODES["fixed"])
    difference = difference_of("fixed", "conv1", operation(FIXED, "conv1").run(codes, EIGHTHS))
    assert (difference.cause, difference.detail) == ("overflow", "input port saturates at 3 bits: 4 are needed")


def test_input_with_channels_first_is_found_at_the_first_layer() -> None:
    codes = CODES["fixed"].transpose(0, 3, 1, 2).reshape(-1, *IMAGE)
    difference = difference_of("fixed", "conv1", operation(FIXED, "conv1").run(codes, EIGHTHS))
    assert difference.cause == "layout"
    assert difference.detail == "inputs are in (C, H, W) order, the program's in (H, W, C)"
