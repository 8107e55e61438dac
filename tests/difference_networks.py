"""Networks that tests of differences break, and what they hold differences against."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bitwright.export.operations import (
    Add,
    Affine,
    Concat,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    Flatten,
    Input,
    Integers,
    MaxPool2d,
    MultiplyAdd,
    Operation,
    Requantize,
    Table,
    Threshold,
    Transpose,
    Upsample,
)
from bitwright.export.program import Program
from bitwright.hls.difference import Difference, first_difference
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.fixed_point import FixedPoint, format_of

IMAGE = (6, 8, 2)  # no two sizes alike: a wrong order of the axes must show
EIGHTHS = FixedPoint(4, 1)
HALVES = format_of(0.5, 4, signed=True)
BIT = Bipolar()

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

JOINED = Program(
    (
        Input("x", "", IMAGE, EIGHTHS),
        Affine("scaled", "x", np.array([3, -5]), np.array([30, -17]), 4),
        DepthwiseConv2d("dw", "x", integers(-7, 7, 3, 2, 2), EIGHTHS, integers(-40, 40, 2), (1, 1), (1, 0, 1, 1)),
        Add("sum", "scaled", "dw"),
        Table("table", "x", np.array([3, -8, 7, 0, 1, 2, -3, 5, -1, 4, 6, -7, -2, -6, -5, -4]), -8, HALVES),
        Concat("both", "sum", "table"),
        Transpose("turned", "both", (1, 0, 2)),
        Upsample("larger", "turned", (1, 2)),
        Requantize("act", "larger", format_of(0.25, 4, signed=True)),
        Flatten("flat", "act"),
        Dense("fc", "flat", integers(-7, 7, 384, 3), EIGHTHS, None),
    )
)

NETWORKS = {"fixed": FIXED, "binary": BINARY, "joined": JOINED}


def images(program: Program, count: int = 48) -> Integers:
    """Return random images, and for each filter of a first convolution those that drive it to its ends."""
    form = program.input.format
    drawn = np.random.default_rng(1).integers(form.lowest, form.highest + 1, (count, *IMAGE))
    if program is JOINED:
        return drawn
    weight = operation(program, "conv1").weight  # (3, 3, C, F)
    windows = np.stack([np.where(sign * weight > 0, form.highest, form.lowest) for sign in (-1, 1)])
    driving = np.tile(np.moveaxis(windows, -1, 1).reshape(-1, *weight.shape[:3]), (1, 2, 3, 1))
    return np.concatenate([drawn, driving[:, : IMAGE[0], : IMAGE[1]]])


def operation(program: Program, name: str) -> Any:  # noqa: ANN401 - the tests know which
    return next(operation for operation in program.operations if operation.name == name)


CODES = {name: images(program) for name, program in NETWORKS.items()}
TRACES = {name: dict(program.trace(CODES[name])) for name, program in NETWORKS.items()}


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


def holds(detail: str, field: str, value: int) -> bool:
    """Return whether a detail's range of one field holds a value."""
    found = re.search(rf"{field} \[[\d, ]+\] acts as (-?\d+)(?: to (-?\d+)| or (less|more))?", detail)
    assert found, detail
    lowest, highest, open_end = found.groups()
    if open_end:
        return value <= int(lowest) if open_end == "less" else value >= int(lowest)
    return int(lowest) <= value <= int(highest or lowest)


def operation_run(network: str, name: str, **fields: object) -> Integers:
    """Return what one layer gives with other fields, from the program's integers."""
    program = NETWORKS[network]
    changed: Operation = replace(operation(program, name), **fields)
    codes = [TRACES[network][source] for source in changed.sources]
    return changed.compute(codes, [program.tensors[source].format for source in changed.sources])
