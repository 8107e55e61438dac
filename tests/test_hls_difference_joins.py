"""Networks of branches are broken in memory: the right layer and the right cause are named."""

from collections.abc import Callable

import numpy as np
import pytest
from difference_networks import CODES, JOINED, TRACES, difference_of, difference_with, operation, operation_run
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bitwright.export.operations import Input, Integers, Multiply, Threshold
from bitwright.export.program import Program
from bitwright.hls.difference import first_difference
from bitwright.quant.fixed_point import FixedPoint

TRACE = TRACES["joined"]


def test_first_branch_in_order_is_named() -> None:
    found = {"sum": TRACE["sum"] + 1, "dw": TRACE["dw"] + 1, "table": TRACE["table"] + 1}
    difference = first_difference(JOINED, found, CODES["joined"])
    assert difference is not None
    assert (difference.layer, difference.operation) == ("dw", "DepthwiseConv2d")


@given(name=st.sampled_from(["scaled", "dw", "sum", "both", "turned", "larger"]), missing=st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_narrow_result_is_found_with_its_width(name: str, missing: int) -> None:
    needed = JOINED.tensors[name].format
    narrow = FixedPoint(needed.width - missing, needed.width - missing)
    found = narrow.overflowed(TRACE[name])
    assume((found != TRACE[name]).any())
    difference = difference_of("joined", name, found)
    part = "accumulator" if name == "dw" else "result"
    assert difference.cause == "overflow"
    assert difference.detail == f"{part} wraps at {narrow.width} bits: {needed.width} are needed"


@pytest.mark.parametrize("name", ["scaled", "sum", "both"])
def test_result_of_fewer_fraction_bits_is_found(name: str) -> None:
    difference = difference_of("joined", name, TRACE[name] >> 2 << 2)
    needed = JOINED.tensors[name].format.fractional
    assert difference.cause == "rounding"
    assert difference.detail == f"result drops 2 fraction bits and rounds down (AP_TRN): {needed} are needed"


def test_scale_of_an_affine_is_found() -> None:
    difference = difference_with("joined", "scaled", multiplier=operation(JOINED, "scaled").multiplier * 2)
    assert difference is not None
    assert (difference.layer, difference.cause) == ("scaled", "scale")
    assert difference.detail == "multipliers are 2**1 times what they should be, the offset is not"


@pytest.mark.parametrize("exponent", [-1, 2])
def test_scale_of_one_branch_of_a_sum_is_found(exponent: int) -> None:
    scaled, other = TRACE["scaled"] << 2, TRACE["dw"]  # in steps of the sum
    found = (scaled << exponent if exponent > 0 else scaled >> -exponent) + other
    difference = difference_of("joined", "sum", found)
    assert (difference.cause, difference.detail) == (
        "scale",
        f"values of scaled are 2**{exponent} times what they should be",
    )


def test_scale_of_a_product_is_found() -> None:
    code, gate = FixedPoint(4, 2), FixedPoint(1, 1, signed=False)
    program = Program(
        (
            Input("x", "", (3,), code),
            Threshold("gate", "x", np.array([[1], [-2], [0]]), np.ones(3, bool), gate),
            Multiply("gated", "gate", "x"),
        )
    )
    codes = np.arange(-8, 8)[:, None] + np.zeros(3, np.int64)
    kept = dict(program.trace(codes))["gated"]
    assert first_difference(program, {"gated": kept}, codes) is None
    difference = first_difference(program, {"gated": kept >> 1}, codes)
    assert difference is not None
    assert (difference.layer, difference.cause) == ("gated", "scale")
    assert difference.detail == "values are 2**-1 times what they should be"


@given(field=st.sampled_from(["multiplier", "offset"]), channel=st.integers(0, 1), by=st.integers(-20, 20).filter(bool))
@settings(max_examples=30, deadline=None)
def test_one_number_of_an_affine_is_found(field: str, channel: int, by: int) -> None:
    before = getattr(operation(JOINED, "scaled"), field)
    after = before + by * (np.arange(2) == channel)
    difference = difference_with("joined", "scaled", **{field: after})
    assert difference is not None
    assert difference.cause == "weight"
    assert difference.detail == f"{field} [{channel}] acts as {after[channel]}, not {before[channel]}"


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_one_depthwise_weight_is_found(data: st.DataObject) -> None:
    weight = operation(JOINED, "dw").weight
    index = tuple(data.draw(st.integers(0, size - 1)) for size in weight.shape)
    changed = weight.copy()
    changed[index] = data.draw(st.integers(-8, 7).filter(lambda value: value != weight[index]))
    difference = difference_with("joined", "dw", weight=changed)
    assert difference is not None
    assert difference.cause == "weight"
    assert difference.detail == f"weight {list(index)} acts as {changed[index]}, not {weight[index]}"


def test_entries_of_a_table_are_found() -> None:
    entries = operation(JOINED, "table").entries.copy()
    entries[[2, 9]] = [-1, 5]
    difference = difference_with("joined", "table", entries=entries)
    assert difference is not None
    assert difference.cause == "weight"
    assert difference.detail == "entry for -6 acts as -1, not 7; entry for 1 acts as 5, not 4"


def transposed(axes: tuple[int, ...]) -> Integers:
    return TRACE["both"].transpose(0, *(axis + 1 for axis in axes)).reshape(TRACE["turned"].shape)


LAYOUTS: dict[str, tuple[str, Callable[[], Integers], str]] = {
    "branches": (
        "both",
        lambda: np.concatenate([TRACE["table"] << 5, TRACE["sum"]], axis=-1),
        "table stands before sum",
    ),
    "axis": (
        "both",
        lambda: np.concatenate([TRACE["sum"], TRACE["table"] << 5], axis=2).reshape(TRACE["both"].shape),
        "branches are put side by side along axis 1, not the channels",
    ),
    "axes": ("turned", lambda: transposed((2, 0, 1)), "axes are (2, 0, 1), the program's (1, 0, 2)"),
    "tiles": (
        "larger",
        lambda: np.tile(TRACE["turned"], (1, 1, 2, 1)),
        "images stand side by side instead of rows and columns that are repeated",
    ),
    "flattened": (
        "flat",
        lambda: TRACE["act"].transpose(0, 3, 1, 2).reshape(TRACE["flat"].shape),
        "values are read along axes (2, 0, 1), the program's along (0, 1, 2)",
    ),
    "bits": (
        "table",
        lambda: operation(JOINED, "table").entries[CODES["joined"] % 16],
        "entries are in the order of codes, not of their bits",
    ),
    "kernel": (
        "dw",
        lambda: operation_run("joined", "dw", weight=operation(JOINED, "dw").weight[::-1, ::-1]),
        "rows and columns of the kernel are in reverse order",
    ),
}


@pytest.mark.parametrize(("name", "found", "detail"), LAYOUTS.values(), ids=LAYOUTS)
def test_other_order_is_found(name: str, found: Callable[[], Integers], detail: str) -> None:
    difference = difference_of("joined", name, found())
    assert (difference.cause, difference.detail) == ("layout", detail)


def test_narrow_port_is_found_behind_a_branch() -> None:
    codes = FixedPoint(3, 3, overflow="AP_SAT").overflowed(CODES["joined"])
    difference = difference_of("joined", "scaled", operation(JOINED, "scaled").run(codes, FixedPoint(4, 1)))
    assert (difference.cause, difference.detail) == ("overflow", "input port saturates at 3 bits: 4 are needed")


def test_arbitrary_integers_of_a_join_have_no_cause() -> None:
    difference = difference_of("joined", "sum", np.random.default_rng(3).integers(-20, 20, TRACE["sum"].shape))
    assert difference.cause == "unknown"
