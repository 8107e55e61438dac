"""Projects of single operations, compiled and run on every value that their input can take."""

from pathlib import Path

import numpy as np
import pytest

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
from bitwright.hls.project import write_project
from bitwright.hls.target import Target
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint, format_of

RANDOM = np.random.default_rng(7)
CODE = FixedPoint(6, 3)


def thresholds(channels: int, count: int, lowest: int, highest: int) -> Integers:
    return np.sort(RANDOM.integers(lowest, highest + 2, (channels, count)), axis=1)


def signs(*shape: int) -> Integers:
    return RANDOM.choice(np.array([-1, 1]), shape)


def threshold(form: Format, count: int) -> tuple[Operation, ...]:
    return (Threshold("act", "x", thresholds(3, count, -32, 31), np.array([True, False, True]), form),)


def dense(weights: Integers, form: Format, bias: Integers | None = None) -> tuple[Operation, ...]:
    return (Dense("fc", "x", weights, form, bias),)


IMAGE = (5, 4, 3)
CASES: dict[str, tuple[tuple[int, ...], Format, tuple[Operation, ...]]] = {
    "threshold to a sign": (IMAGE, CODE, threshold(Bipolar(), 1)),
    "threshold to unsigned": (IMAGE, CODE, threshold(format_of(0.5, 2, signed=False), 3)),
    "threshold to narrow": (IMAGE, CODE, threshold(format_of(2.0, 3, signed=True, narrow=True), 6)),
    "threshold to signed": (IMAGE, CODE, threshold(format_of(1.0, 3, signed=True), 7)),
    "threshold of bits to two bits": (
        IMAGE,
        Bipolar(),
        (
            Threshold(
                "act", "x", np.ones((3, 2), np.int64), np.ones(3, bool), format_of(1.0, 2, signed=True, narrow=True)
            ),
            Conv2d("conv", "act", signs(3, 3, 3, 4), Bipolar(), None, (1, 1), (1, 1, 1, 1)),
        ),
    ),
    "requantize": (IMAGE, CODE, (Requantize("act", "x", format_of(0.5, 3, signed=True)),)),
    "multiply-add": (
        IMAGE,
        CODE,
        (
            MultiplyAdd(
                "act", "x", np.array([300, -77, 0]), np.array([-900, 511, 128]), 8, format_of(0.25, 4, signed=False)
            ),
        ),
    ),
    "dense": ((9,), CODE, dense(RANDOM.integers(-7, 8, (9, 4)), FixedPoint(4, 1), RANDOM.integers(-50, 50, 4))),
    "dense of ternary weights": ((9,), CODE, dense(RANDOM.integers(-1, 2, (9, 4)), FixedPoint(2, 1))),
    "dense of binary weights": ((9,), CODE, dense(signs(9, 4), Bipolar())),
    "binary dense": ((9,), Bipolar(), dense(signs(9, 4), Bipolar())),
    "dense of binary data": ((9,), Bipolar(), dense(RANDOM.integers(-7, 8, (9, 4)), FixedPoint(4, 1))),
    "convolution": (
        IMAGE,
        CODE,
        (
            Conv2d(
                "conv",
                "x",
                RANDOM.integers(-7, 8, (3, 2, 3, 4)),
                FixedPoint(4, 4),
                RANDOM.integers(-50, 50, 4),
                (1, 1),
                (1, 0, 1, 1),
            ),
        ),
    ),
    "strided convolution": (
        IMAGE,
        CODE,
        (Conv2d("conv", "x", RANDOM.integers(-7, 8, (3, 2, 3, 4)), FixedPoint(4, 4), None, (2, 2), (0, 0, 0, 0)),),
    ),
    "binary convolution": (
        IMAGE,
        Bipolar(),
        (Conv2d("conv", "x", signs(3, 3, 3, 4), Bipolar(), None, (1, 1), (0, 0, 0, 0)),),
    ),
    "padded convolution of binary weights": (
        IMAGE,
        CODE,
        (Conv2d("conv", "x", signs(3, 3, 3, 4), Bipolar(), None, (1, 1), (1, 1, 1, 1)),),
    ),
    "pool of signed": ((4, 6, 3), CODE, (MaxPool2d("pool", "x", (2, 3), (2, 3)),)),
    "pool of bits": ((4, 6, 3), Bipolar(), (MaxPool2d("pool", "x", (2, 2), (2, 2)),)),
    "flatten": (IMAGE, CODE, (Flatten("flat", "x"), Dense("fc", "flat", np.eye(60, dtype=np.int64), CODE, None))),
}


def codes(form: Format, shape: tuple[int, ...]) -> Integers:
    """Every value of the format in every place, and random ones."""
    values = np.array([-1, 1]) if isinstance(form, Bipolar) else np.arange(form.lowest, form.highest + 1)
    every = np.broadcast_to(values.reshape(-1, *[1] * len(shape)), (len(values), *shape))
    return np.concatenate([every, RANDOM.choice(values, (64, *shape))])


# In parallel the operations meet each other in test_fuzz_csim, too; alone they take a minute
@pytest.mark.parametrize("io_type", [pytest.param("io_parallel", marks=pytest.mark.slow), "io_stream"])
def test_project_gives_the_integers_of_its_program(io_type: str, tmp_path: Path) -> None:
    for name, (shape, form, operations) in CASES.items():
        program = Program((Input("x", "", shape, form), *operations))
        project = tmp_path / name.replace(" ", "_")
        write_project(program, minimal(program), Target.model_validate({"io_type": io_type}), project)
        simulation = Simulation(build_library(project, tmp_path / "csim"), project, program)
        inputs = codes(form, shape)
        assert (simulation(inputs) == program(inputs)).all(), name


def test_project_replaces_another_whole(tmp_path: Path) -> None:
    program = Program((Input("x", "", (9,), CODE), *dense(RANDOM.integers(-7, 8, (9, 4)), FixedPoint(4, 1))))
    (tmp_path / "hls").mkdir()
    (tmp_path / "hls" / "left over").touch()
    write_project(program, minimal(program), Target(part="xc7z020clg400-1", clock_period_ns=8.0), tmp_path / "hls")
    assert [path.name for path in tmp_path.iterdir()] == ["hls"]
    assert not (tmp_path / "hls" / "left over").exists()
    assert 'set part "xc7z020clg400-1"' in (tmp_path / "hls" / "project.tcl").read_text()
    assert "set clock_period 8.0" in (tmp_path / "hls" / "project.tcl").read_text()
