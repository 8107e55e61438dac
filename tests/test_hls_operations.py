"""Every operation in both io types: projects of many, compiled, and every layer's integers read from its tap."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
    Multiply,
    MultiplyAdd,
    Operation,
    Requantize,
    Reshape,
    Table,
    Threshold,
    Transpose,
    Upsample,
)
from bitwright.export.precision import Precision, minimal
from bitwright.export.program import Program
from bitwright.hls.csim import Simulation
from bitwright.hls.csim_build import build_library
from bitwright.hls.layer_list import layer_list
from bitwright.hls.project import write_project
from bitwright.hls.target import Target
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint, format_of

RANDOM = np.random.default_rng(7)
CODE = FixedPoint(4, 2)
NIBBLE = FixedPoint(4, 4)
BIT = Bipolar()
ONE = FixedPoint(1, 1, signed=False)
TWO = FixedPoint(2, 2)
TERNARY = format_of(1.0, 2, signed=True, narrow=True)
NONE = (0, 0, 0, 0)


def integers(lowest: int, highest: int, *shape: int) -> Integers:
    return RANDOM.integers(lowest, highest + 1, shape)


def signs(*shape: int) -> Integers:
    return RANDOM.choice(np.array([-1, 1]), shape)


def sparse(*shape: int) -> Integers:
    """Weights of which most are 0, with a whole row and a whole filter of zeros."""
    weight = integers(-8, 7, *shape) * (RANDOM.random(shape) < 0.3)
    weight[:, 1], weight[..., 2] = 0, 0
    return weight


def conv(name: str, source: str, weight: Integers, form: Format, **more: Any) -> Conv2d:  # noqa: ANN401
    return Conv2d(name, source, weight, form, **{"bias": None, "stride": (1, 1), "padding": NONE} | more)


def depthwise(name: str, source: str, weight: Integers, form: Format, **more: Any) -> DepthwiseConv2d:  # noqa: ANN401
    return DepthwiseConv2d(name, source, weight, form, **{"bias": None, "stride": (1, 1), "padding": NONE} | more)


# Branches that nothing reads are fine in C simulation: their taps report them
PROGRAMS = {
    "chain of every new operation": Program(
        (
            Input("x", "", (4, 6, 3), CODE),
            Affine("affine", "x", np.array([3, -7, 1]), integers(-40, 40, 3), 5),
            depthwise(
                "dw", "x", integers(-8, 7, 3, 2, 3), FixedPoint(4, 1), bias=integers(-9, 9, 3), padding=(1, 0, 1, 1)
            ),
            Add("sum", "affine", "dw"),
            Multiply("product", "affine", "dw"),
            depthwise("average", "sum", np.ones((2, 3, 3), np.int64), ONE, stride=(2, 3)),
            Table("table", "x", integers(-8, 7, 16), -8, format_of(0.5, 4, signed=True)),
            MaxPool2d("pool", "table", (2, 3), (2, 3)),
            Concat("both", "average", "pool"),
            Upsample("larger", "both", (2, 3)),
            Transpose("turned", "larger", (2, 0, 1)),
            Reshape("reshaped", "turned", (3, 4, 12)),
            Flatten("flat", "reshaped"),
            Requantize("act", "flat", format_of(1.0, 6, signed=True)),
            Dense("fc", "act", integers(-2, 1, 144, 4), TWO, None),
        )
    ),
    "convolutions": Program(
        (
            Input("x", "", (5, 6, 3), CODE),
            conv("pointwise", "x", integers(-8, 7, 1, 1, 3, 5), NIBBLE, bias=integers(-9, 9, 5), stride=(2, 2)),
            conv("uneven", "x", integers(-8, 7, 3, 2, 3, 4), NIBBLE, stride=(2, 1), padding=(0, 1, 2, 0)),
            conv("sparse", "x", sparse(3, 3, 3, 4), NIBBLE),
            conv("two bits", "x", integers(-2, 1, 2, 2, 3, 4), TWO, stride=(2, 2)),
            conv("halves", "x", integers(-2, 1, 2, 2, 3, 4), FixedPoint(2, 1)),
            conv("signs", "x", signs(3, 3, 3, 2), BIT, padding=(1, 1, 1, 1)),
            conv("out", "two bits", signs(1, 1, 4, 2), BIT),
        )
    ),
    "depthwise convolutions": Program(
        (
            Input("x", "", (5, 6, 3), CODE),
            depthwise("signs", "x", signs(2, 3, 3), BIT, bias=integers(-4, 4, 3), stride=(2, 2), padding=(1, 1, 0, 1)),
            depthwise("left over", "x", integers(-8, 7, 2, 2, 3), NIBBLE, stride=(3, 2)),
            depthwise("single", "x", integers(-8, 7, 1, 1, 3), NIBBLE),
            depthwise("ones", "single", np.ones((2, 2, 3), np.int64), ONE, stride=(2, 2)),
            depthwise("bits", "x", integers(0, 1, 3, 3, 3), ONE),
            depthwise("two bits", "x", integers(-2, 1, 2, 2, 3), TWO),
            Concat("pair", "x", "x"),
            Add("twice", "pair", "pair"),
        )
    ),
    "one row": Program(
        (
            Input("x", "", (1, 12, 3), CODE),
            conv("conv", "x", integers(-8, 7, 1, 3, 3, 4), NIBBLE, bias=integers(-9, 9, 4), padding=(0, 1, 0, 1)),
            depthwise("dw", "x", integers(-8, 7, 1, 3, 3), NIBBLE, stride=(1, 2), padding=(0, 0, 0, 1)),
            MaxPool2d("pool", "conv", (1, 2), (1, 2)),
            conv("pointwise", "pool", integers(-8, 7, 1, 1, 4, 2), NIBBLE),
            conv("strided", "x", integers(-8, 7, 1, 4, 3, 2), NIBBLE, stride=(1, 3)),
            Upsample("larger", "pool", (1, 3)),
            Transpose("rows", "x", (1, 0, 2)),
            Transpose("turned", "x", (0, 2, 1)),
            conv("out", "turned", integers(-8, 7, 1, 2, 12, 3), NIBBLE),
        )
    ),
    "bits": Program(
        (
            Input("x", "", (4, 4, 2), BIT),
            conv("numbers", "x", integers(-8, 7, 2, 2, 2, 3), FixedPoint(4, 2), bias=integers(-9, 9, 3)),
            conv("signs", "x", signs(2, 2, 2, 3), BIT),
            Affine("affine", "x", np.array([3, -2]), np.array([1, -5]), 2),
            MultiplyAdd("act", "x", np.array([5, -9]), np.array([30, -7]), 3, format_of(0.5, 4, signed=True)),
            Concat("pair", "x", "x"),
            Concat("four", "pair", "pair"),
            Upsample("larger", "pair", (2, 2)),
            Transpose("turned", "larger", (2, 1, 0)),
            Reshape("reshaped", "turned", (8, 2, 16)),
            Table("table", "four", np.array([5, -3, 2]), -1, format_of(0.5, 4, signed=True)),
            Flatten("flat", "four"),
            Dense("fc", "flat", signs(128, 5), BIT, None),
            Threshold("wide", "flat", np.ones((128, 2), np.int64), np.ones(128, bool), TERNARY),
            Dense("shifted", "wide", signs(128, 5), BIT, integers(-9, 9, 5)),
        )
    ),
    "vectors": Program(
        (
            Input("x", "", (6,), FixedPoint(5, 2)),
            Affine("affine", "x", integers(1, 9, 6), integers(-50, 50, 6), 4),
            Affine("finer", "x", np.full(6, 8), np.zeros(6, np.int64), 6),
            Table("table", "x", integers(0, 15, 32), -16, format_of(0.25, 4, signed=False)),
            Add("sum", "affine", "table"),
            Threshold("gate", "x", integers(-8, 7, 6, 1), np.array([True, False] * 3), ONE),
            Multiply("gated", "gate", "sum"),
            Concat("both", "sum", "x"),
            Table("signs", "x", signs(32), -16, BIT),
            Concat("bits", "signs", "signs"),
            Dense("xnor", "bits", signs(12, 4), BIT, None),
            Reshape("image", "both", (2, 2, 3)),
            conv("conv", "image", integers(-8, 7, 2, 1, 3, 4), NIBBLE),
            Reshape("out", "conv", (4, 2)),
        )
    ),
    "flattened": Program(
        (
            Input("x", "", (2, 4, 3), CODE),
            Flatten("flat", "x"),
            Threshold(
                "levels",
                "flat",
                np.sort(integers(-8, 8, 24, 3), axis=1),
                RANDOM.random(24) < 0.5,
                format_of(1.0, 2, signed=True),
            ),
            MultiplyAdd("act", "flat", integers(-99, 99, 24), integers(-99, 99, 24), 6, format_of(0.5, 4, signed=True)),
            MultiplyAdd("cut", "flat", np.full(24, 4), np.zeros(24, np.int64), 2, format_of(1.0, 2, signed=True)),
            MultiplyAdd("uncut", "cut", np.full(24, 4), np.zeros(24, np.int64), 2, format_of(1.0, 2, signed=True)),
            Requantize("again", "uncut", format_of(1.0, 2, signed=True)),
            # Casts that round every value to 0, at which hls4ml's headers abort
            Requantize("zero", "x", format_of(32.0, 3, signed=True)),
            MultiplyAdd("zeros", "x", np.ones(3, np.int64), np.ones(3, np.int64), 12, format_of(1.0, 3, signed=True)),
            Dense("fc1", "act", integers(-8, 7, 24, 12), NIBBLE, None),
            Reshape("pixels", "fc1", (2, 2, 3)),
            Flatten("out", "pixels"),
        )
    ),
}


def codes(form: Format, shape: tuple[int, ...]) -> Integers:
    """Every value of the format in every place, and random ones."""
    values = np.array([-1, 1]) if isinstance(form, Bipolar) else np.arange(form.lowest, form.highest + 1)
    every = np.broadcast_to(values.reshape(-1, *[1] * len(shape)), (len(values), *shape))
    return np.concatenate([every, RANDOM.choice(values, (48, *shape))])


def check(program: Program, folder: Path, precision: Precision | None = None, **target: Any) -> Mapping[str, Integers]:  # noqa: ANN401
    """Compile the program's project, and compare its output and every tap."""
    target = {"io_type": "io_stream"} | target
    write_project(program, precision or minimal(program), Target.model_validate(target), folder / "hls")
    simulation = Simulation(build_library(folder / "hls", folder / "csim"), folder / "hls", program)
    inputs = codes(program.input.format, program.input.shape)
    assert (simulation(inputs) == program(inputs)).all()
    found = simulation.trace(inputs)
    differing = [name for name, expected in program.trace(inputs) if not (found.get(name, expected) == expected).all()]
    assert differing == []
    return found


@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_layer_gives_the_integers_of_its_operation(name: str, io_type: str, tmp_path: Path) -> None:
    program = named(PROGRAMS[name])
    found = check(program, tmp_path, io_type=io_type)
    untapped = {operation.name for operation in program.operations[1:]} - set(found)
    assert all(isinstance(o, Reshape) for o in program.operations if o.name in untapped)


def named(program: Program) -> Program:
    """Return the program with names that C++ takes."""

    def plain(operation: Operation) -> Operation:
        links = {key: value.replace(" ", "_") for key, value in vars(operation).items() if isinstance(value, str)}
        return replace(operation, **links)

    return Program(tuple(map(plain, program.operations)))


@pytest.mark.parametrize(
    ("name", "io_type", "backend"),
    [("depthwise convolutions", "io_parallel", "Vivado"), ("bits", "io_stream", "Vitis")],
)
def test_layers_are_exact_with_the_strategy_resource(name: str, io_type: str, backend: str, tmp_path: Path) -> None:
    check(named(PROGRAMS[name]), tmp_path, io_type=io_type, backend=backend, strategy="Resource", reuse_factor=4)


@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
def test_wider_types_than_needed_change_no_integer(io_type: str, tmp_path: Path) -> None:
    code = format_of(1.0, 3, signed=True)
    program = Program(
        (
            Input("x", "", (2, 3, 2), CODE),
            Threshold("levels", "x", np.sort(integers(-8, 8, 2, 7), axis=1), np.array([True, False]), code),
            Transpose("turned", "levels", (1, 0, 2)),
            Upsample("larger", "turned", (1, 2)),
            Affine("affine", "larger", np.array([3, -5]), np.array([7, 1]), 2),
            Add("sum", "affine", "larger"),
            Concat("both", "sum", "larger"),
            Reshape("reshaped", "both", (2, 3, 8)),
            Table("table", "larger", integers(0, 15, 8), -4, format_of(0.5, 4, signed=False)),
            Flatten("flat", "reshaped"),
        )
    )
    precision = {name: dict(roles) for name, roles in minimal(program).items()}
    for name, roles in precision.items():
        for role, form in roles.items():
            if isinstance(form, FixedPoint) and role != "table" and name != "table":
                roles[role] = FixedPoint(form.width + 3, form.integer + 1, form.signed)
    check(program, tmp_path, precision, io_type=io_type)


NUMBERS = "put a Threshold to two bits between"
REFUSED: dict[str, tuple[Format, tuple[Operation, ...], str]] = {
    "sum of bits": (
        BIT,
        (Add("op", "x", "x"),),
        f"op: source of Add must be numbers, not the one-bit x, whose wire is 0 for -1; {NUMBERS}",
    ),
    "product of bits": (
        BIT,
        (Multiply("op", "x", "x"),),
        f"op: source of Multiply must be numbers, not the one-bit x, whose wire is 0 for -1; {NUMBERS}",
    ),
    "depthwise of bits": (
        BIT,
        (depthwise("op", "x", signs(2, 2, 2), BIT),),
        f"op: source of DepthwiseConv2d must be numbers, not the one-bit x, whose wire is 0 for -1; {NUMBERS}",
    ),
    "cast of bits": (
        BIT,
        (Requantize("op", "x", format_of(1.0, 2, signed=True)),),
        f"op: source of Requantize must be numbers, not the one-bit x, whose wire is 0 for -1; {NUMBERS}",
    ),
    "padded bits": (
        BIT,
        (conv("op", "x", signs(2, 2, 2, 2), BIT, padding=(1, 0, 0, 0)),),
        f"op: source of Conv2d must be numbers, not the one-bit x, whose wire is 0 for -1; {NUMBERS}",
    ),
    "bias on a count of matches": (
        BIT,
        (conv("op", "x", signs(2, 2, 2, 2), BIT, bias=np.array([3, 0])),),
        f"op: source of Conv2d must be numbers, not the one-bit x, whose wire is 0 for -1; {NUMBERS}",
    ),
    "bits beside numbers": (
        BIT,
        (
            Affine("number", "x", np.array([3, 5]), np.array([0, 0]), 0),
            Concat("op", "number", "x"),
        ),
        f"op: sources of Concat must both be numbers or both one bit, not x alone one bit; {NUMBERS}",
    ),
    "table of many bits": (
        FixedPoint(17, 1),
        (Table("op", "x", np.zeros(2**17, np.int64), -(2**16), TWO),),
        "op: source of Table must be at most 16 bits wide, not 17; quantise it before, to fewer bits",
    ),
    "many readers": (
        CODE,
        tuple(Transpose(f"op{i}", "x", (1, 0, 2)) for i in range(8)),
        "x: stream must have at most 7 readers, not 8; use io_parallel",
    ),
}


@pytest.mark.parametrize(("form", "operations", "says"), REFUSED.values(), ids=REFUSED)
def test_what_hls4ml_would_get_wrong_is_refused(form: Format, operations: tuple[Operation, ...], says: str) -> None:
    program = Program((Input("x", "", (4, 4, 2), form), *operations))
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        layer_list(program, minimal(program), Target(io_type="io_stream"))
