"""Networks are broken on purpose, on disk and in memory: each time the right layer and the right cause are named."""

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bitwright.export.operations import (
    Conv2d,
    Dense,
    Flatten,
    Input,
    Integers,
    MaxPool2d,
    MultiplyAdd,
    Operation,
    Requantize,
    Threshold,
)
from bitwright.export.precision import minimal
from bitwright.export.program import Program
from bitwright.hls.csim import Simulation
from bitwright.hls.csim_build import build_library
from bitwright.hls.difference import Difference, first_difference
from bitwright.hls.difference_layer import DifferingLayer
from bitwright.hls.project import write_project
from bitwright.hls.target import Target
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.fixed_point import FixedPoint, Rounding

IMAGE = (6, 8, 2)  # no two sizes alike: a wrong order of the axes must show
EIGHTHS = FixedPoint(4, 1)
BIT = Bipolar()
TAPPED = [
    "conv1",
    "pool1",
    "act1",
    "fc1",
    "act2",
    "fc2",
]  # by hls4ml: all but the port, and the reshape that does nothing

random = np.random.default_rng(20240607)


def integers(lowest: int, highest: int, *shape: int) -> Integers:
    return random.integers(lowest, highest + 1, shape)


def signs(*shape: int) -> Integers:
    return 2 * integers(0, 1, *shape) - 1


FIXED = Program(
    (
        Input("x", "", IMAGE, EIGHTHS),
        Conv2d("conv1", "x", integers(-7, 7, 3, 3, 2, 2), EIGHTHS, integers(-40, 40, 2), (1, 1), (1, 1, 1, 1)),
        MaxPool2d("pool1", "conv1", (2, 2), (2, 2)),
        MultiplyAdd(
            "act1",
            "pool1",
            integers(5, 15, 2),
            integers(-60, 60, 2),
            7,
            FixedPoint(4, 2, signed=False, rounding="AP_RND_CONV", overflow="AP_SAT"),
        ),
        Flatten("flat", "act1"),
        Dense("fc1", "flat", integers(-7, 7, 24, 5), EIGHTHS, integers(-40, 40, 5)),
        Requantize("act2", "fc1", FixedPoint(5, 4, rounding="AP_RND_CONV", overflow="AP_SAT_SYM")),
        Dense("fc2", "act2", integers(-7, 7, 5, 4), EIGHTHS, None),
    )
)

BINARY = Program(
    (
        Input("x", "", IMAGE, FixedPoint(4, 4)),
        Conv2d("conv1", "x", signs(3, 3, 2, 2), BIT, None, (1, 1), (0, 0, 0, 0)),
        MaxPool2d("pool1", "conv1", (2, 2), (2, 2)),
        Threshold("act1", "pool1", np.array([[12], [15]]), np.array([True, False]), BIT),
        Flatten("flat", "act1"),
        Dense("fc1", "flat", signs(12, 8), BIT, None),
        Threshold("act2", "fc1", integers(-3, 3, 8, 1), np.ones(8, np.bool_), BIT),
        Dense("fc2", "act2", signs(8, 4), BIT, None),
    )
)

NETWORKS = {"fixed": FIXED, "binary": BINARY}


def images(program: Program, count: int = 48) -> Integers:
    """Return random images, and for each filter those that drive it to its ends."""
    form = program.input.format
    drawn = np.random.default_rng(1).integers(form.lowest, form.highest + 1, (count, *IMAGE))
    weight = operation(program, "conv1").weight  # (3, 3, C, F)
    windows = np.stack([np.where(sign * weight > 0, form.highest, form.lowest) for sign in (-1, 1)])
    driving = np.tile(np.moveaxis(windows, -1, 1).reshape(-1, *weight.shape[:3]), (1, 2, 3, 1))
    return np.concatenate([drawn, driving[:, : IMAGE[0], : IMAGE[1]]])


def operation(program: Program, name: str) -> Any:  # noqa: ANN401 - the tests know which
    return next(operation for operation in program.operations if operation.name == name)


CODES = {name: images(program) for name, program in NETWORKS.items()}
TRACES = {name: dict(program.trace(CODES[name])) for name, program in NETWORKS.items()}


# In memory: the found integers are those of a changed program


def difference_with(network: str, name: str, **fields: object) -> Difference | None:
    """Change fields of one operation, and compare; results wrap as those of C++ do."""
    program = NETWORKS[network]
    changed = replace(operation(program, name), **fields)
    operations = tuple(changed if each.name == name else each for each in program.operations)
    found = {}
    for each, codes in Program(operations).trace(CODES[network]):
        form = program.tensors[each].format
        found[each] = form.plain().overflowed(codes) if isinstance(form, FixedPoint) else codes
    return first_difference(program, found, CODES[network])


def difference_of(network: str, name: str, found: Integers) -> Difference:
    """Compare where one layer gives these integers."""
    difference = first_difference(NETWORKS[network], {name: found}, CODES[network])
    assert difference is not None
    check(difference, network, {name: found}, name)
    return difference


def check(difference: Difference | None, network: str, found: Mapping[str, Integers], layer: str) -> None:
    """Hold every field that is no cause against the arrays."""
    assert difference is not None
    expected = TRACES[network][layer]
    place = (difference.image, *difference.element)
    assert difference.layer == layer
    assert difference.operation == type(operation(NETWORKS[network], layer)).__name__
    assert difference.expected == expected[place] != found[layer][place] == difference.found
    assert difference.different == (expected != found[layer]).sum()
    assert difference.compared == expected.size


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
    layer = DifferingLayer(program, convolution, codes, expected, expected)
    total = sum(inputs[..., None] * weight[index] for index, inputs in layer.taps())
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


def holds(detail: str, field: str, value: int) -> bool:
    """Return whether a detail's range of one field holds a value."""
    found = re.search(rf"{field} \[[\d, ]+\] acts as (-?\d+)(?: to (-?\d+)| or (less|more))?", detail)
    assert found, detail
    lowest, highest, open_end = found.groups()
    if open_end:
        return value <= int(lowest) if open_end == "less" else value >= int(lowest)
    return int(lowest) <= value <= int(highest or lowest)


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


def operation_run(network: str, name: str, **fields: object) -> Integers:
    """Return what one layer gives with other fields, from the program's integers."""
    program = NETWORKS[network]
    changed: Operation = replace(operation(program, name), **fields)
    result: Integers = changed.run(TRACES[network][changed.source], program.tensors[changed.source].format)
    return result


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


# On disk: the written project is edited and compiled


Edit = Callable[[Path], None]
Found = tuple[dict[str, Integers], Difference | None]


class Projects:
    """Written projects, compiled once each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.libraries: dict[Path, Path] = {}

    def project(self, network: str, io_type: Literal["io_parallel", "io_stream"] = "io_parallel") -> Path:
        """Return the unbroken project."""
        project = self.folder / f"{network}_{io_type}"
        if not project.exists():
            program = NETWORKS[network]
            write_project(program, minimal(program), Target(io_type=io_type), project)
            self.libraries[project] = build_library(project, self.folder / "libraries")
        return project

    def simulate(self, project: Path, network: str, tmp_path: Path) -> Found:
        """Trace a project; a library reads its weights but once, when it is first run, so that this runs a copy."""
        library = shutil.copy(self.libraries[project], tmp_path / "copy.so")
        found = Simulation(Path(library), project, NETWORKS[network]).trace(CODES[network])
        return found, first_difference(NETWORKS[network], found, CODES[network])

    def compile_with(self, network: str, edit: Edit, tmp_path: Path) -> Found:
        """Edit a copy of the project's sources, compile and trace it."""
        project = tmp_path / "project"
        shutil.copytree(self.project(network), project)
        edit(project)
        self.libraries[project] = build_library(project, tmp_path / "libraries")
        return self.simulate(project, network, tmp_path)

    def load_with(self, project: Path, network: str, name: str, edit: Callable[[Any], Any], tmp_path: Path) -> Found:
        """Edit the numbers that the simulation loads when it starts, trace, and put them back."""
        path = project / "firmware" / "weights" / f"{name}.txt"
        before = path.read_text()
        numbers = np.array([float(number) for number in before.split(",")])
        path.write_text(", ".join(map(repr, edit(numbers).reshape(-1).tolist())))
        try:
            return self.simulate(project, network, tmp_path)
        finally:
            path.write_text(before)


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Projects:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not on the PATH")
    return Projects(tmp_path_factory.mktemp("projects"))


def retype(name: str, before: str, after: str) -> Edit:
    """Return the edit of one typedef, which must be as it is said to be."""

    def edit(project: Path) -> None:
        defines = project / "firmware" / "defines.h"
        old = f"typedef {before} {name};"
        assert old in defines.read_text()
        defines.write_text(defines.read_text().replace(old, f"typedef {after} {name};"))

    return edit


def put(index: tuple[int, ...], shape: tuple[int, ...], value: float) -> Callable[[Any], Any]:
    """Return the edit of one number."""

    def edit(numbers: Any) -> Any:  # noqa: ANN401
        assert numbers[np.ravel_multi_index(index, shape)] != value
        numbers[np.ravel_multi_index(index, shape)] = value
        return numbers

    return edit


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
def test_unbroken_project_agrees_at_every_tap(
    projects: Projects, network: str, io_type: Literal["io_parallel", "io_stream"], tmp_path: Path
) -> None:
    found, difference = projects.simulate(projects.project(network, io_type), network, tmp_path)
    assert list(found) == TAPPED
    assert difference is None


def test_libraries_in_one_process_share_no_variables(projects: Projects) -> None:
    if shutil.which("nm") is None:
        pytest.skip("nm is not on the PATH")
    library = projects.libraries[projects.project("fixed", "io_stream")]
    listed = subprocess.run(["nm", "--dynamic", str(library)], capture_output=True, text=True, check=True).stdout
    assert "line_buffer" in listed
    assert [line for line in listed.splitlines() if " u " in line] == []  # g++'s process-wide ones


@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
@pytest.mark.parametrize(
    ("name", "file", "index"), [("conv1", "w2", (2, 0, 1, 1)), ("fc1", "w6", (17, 3)), ("fc2", "w8", (4, 0))]
)
def test_weight_edited_on_disk_is_found(
    projects: Projects,
    io_type: Literal["io_parallel", "io_stream"],
    name: str,
    file: str,
    index: tuple[int, ...],
    tmp_path: Path,
) -> None:
    weight = operation(FIXED, name).weight
    value = int(-weight[index]) or 3
    edit = put(index, weight.shape, value / 8)
    found, difference = projects.load_with(projects.project("fixed", io_type), "fixed", file, edit, tmp_path)
    check(difference, "fixed", found, name)
    assert difference is not None
    assert difference.cause == "weight"
    assert difference.detail == f"weight {list(index)} acts as {value}, not {weight[index]}"


def test_binary_weight_edited_on_disk_is_found(projects: Projects, tmp_path: Path) -> None:
    weight = operation(BINARY, "fc1").weight
    edit = put((7, 5), weight.shape, int(weight[7, 5] < 0))
    found, difference = projects.load_with(projects.project("binary"), "binary", "w6", edit, tmp_path)
    check(difference, "binary", found, "fc1")
    assert difference is not None
    assert difference.cause == "weight"
    assert difference.detail == f"weight [7, 5] acts as {-weight[7, 5]}, not {weight[7, 5]}"


def test_multiplier_edited_on_disk_is_found(projects: Projects, tmp_path: Path) -> None:
    multiplier = int(operation(FIXED, "act1").multiplier[1])
    step = 2.0**-3  # 7 bits of the shift, 2 of the result, less 6 of the accumulator
    edit = put((1,), (2,), (multiplier - 2) * step)
    found, difference = projects.load_with(projects.project("fixed"), "fixed", "s4", edit, tmp_path)
    check(difference, "fixed", found, "act1")
    assert difference is not None
    assert difference.cause == "weight"
    assert difference.detail == f"multiplier [1] acts as {multiplier - 2}, not {multiplier}"


def test_threshold_edited_on_disk_is_found(projects: Projects, tmp_path: Path) -> None:
    edit = put((0, 0), (2, 1), 9)
    found, difference = projects.load_with(projects.project("binary"), "binary", "t4", edit, tmp_path)
    check(difference, "binary", found, "act1")
    assert difference is not None
    assert difference.cause == "threshold"
    assert difference.detail.startswith("threshold [0, 0] acts as ")
    assert holds(difference.detail, "threshold", 9)


def test_rows_in_channel_first_order_on_disk_are_found(projects: Projects, tmp_path: Path) -> None:
    found, difference = projects.load_with(
        projects.project("fixed"),
        "fixed",
        "w6",
        lambda numbers: numbers.reshape(3, 4, 2, 5).transpose(2, 0, 1, 3),
        tmp_path,
    )
    check(difference, "fixed", found, "fc1")
    assert difference is not None
    assert difference.cause == "layout"
    assert difference.detail == "rows are in (C, H, W) order, the program's in (H, W, C)"


@pytest.mark.parametrize(
    ("network", "layer", "edit", "cause", "detail"),
    [
        (
            "fixed",
            "conv1",
            retype("conv1_accum_t", "ap_fixed<11,5>", "ap_fixed<10,4>"),
            "overflow",
            "accumulator wraps at 10 bits: 11 are needed",
        ),
        (
            "fixed",
            "fc1",
            retype("fc1_accum_t", "ap_fixed<12,7>", "ap_fixed<11,7>"),
            "rounding",
            "accumulator drops 1 fraction bit and rounds down (AP_TRN): 5 are needed",
        ),
        (
            "binary",
            "fc1",
            retype("fc1_accum_t", "ap_ufixed<4,4>", "ap_ufixed<3,3>"),
            "overflow",
            "match counter wraps at 3 bits: 4 are needed",
        ),
        (
            "fixed",
            "act1",
            retype("layer4_t", "ap_ufixed<4,2,AP_RND_CONV,AP_SAT,0>", "ap_ufixed<4,2,AP_TRN,AP_SAT,0>"),
            "rounding",
            "rounds down (AP_TRN) instead of half to even (AP_RND_CONV)",
        ),
        (
            "fixed",
            "act2",
            retype("layer7_t", "ap_fixed<5,4,AP_RND_CONV,AP_SAT_SYM,0>", "ap_fixed<5,4,AP_RND,AP_SAT_SYM,0>"),
            "rounding",
            "rounds half up (AP_RND) instead of half to even (AP_RND_CONV)",
        ),
    ],
)
def test_type_edited_on_disk_is_found(
    projects: Projects, network: str, layer: str, edit: Edit, cause: str, detail: str, tmp_path: Path
) -> None:
    found, difference = projects.compile_with(network, edit, tmp_path)
    check(difference, network, found, layer)
    assert difference is not None
    assert (difference.cause, difference.detail) == (cause, detail)


def test_scale_on_disk_is_found(projects: Projects, tmp_path: Path) -> None:
    def edit(project: Path) -> None:
        for name, before, after in (
            ("fc2_weight_t", "ap_fixed<4,1>", "ap_fixed<4,2>"),
            ("fc2_accum_t", "ap_fixed<10,6>", "ap_fixed<11,7>"),
            ("result_t", "ap_fixed<10,6>", "ap_fixed<11,7>"),
        ):
            retype(name, before, after)(project)
        weights = project / "firmware" / "weights" / "w8.txt"
        weights.write_text(", ".join(repr(2 * float(number)) for number in weights.read_text().split(",")))

    found, difference = projects.compile_with("fixed", edit, tmp_path)
    check(difference, "fixed", found, "fc2")
    assert difference is not None
    assert (difference.cause, difference.detail) == ("scale", "values are 2**1 times what they should be")
