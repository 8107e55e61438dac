"""Logic used clock after clock: the integers of alkaid's emulation and of Verilator, what is refused, what it takes."""

import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from alkaid.stateful.fsm import FSMEmu
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st
from random_graphs import RandomGraph, random_graphs
from rtl_programs import PROGRAMS, inputs_of

from bitwright.export.lower import lower
from bitwright.export.operations import (
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
    Threshold,
)
from bitwright.export.problems import UnsupportedOperatorError
from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint
from bitwright.rtl.design import Language, write_design
from bitwright.rtl.fold import Digits, Inputs, Lines
from bitwright.rtl.folded import READY, Folded, folded, plan
from bitwright.rtl.folded_size import folded_lut_estimates
from bitwright.rtl.simulation import build_simulation, run_simulation
from bitwright.rtl.size import lut_estimates

CODE, WEIGHT = FixedPoint(5, 5), FixedPoint(4, 4)
RELU = FixedPoint(4, 6, signed=False, rounding="AP_RND_CONV", overflow="AP_SAT")
RNG = np.random.default_rng(8)


def _dense(name: str, source: str, inputs: int, outputs: int, *, bits: bool = False, bias: bool = True) -> Dense:
    shape = (inputs, outputs)
    weight = RNG.choice([-1, 1], shape) if bits else RNG.integers(-7, 8, shape)
    return Dense(name, source, weight, Bipolar() if bits else WEIGHT, RNG.integers(-9, 9, outputs) if bias else None)


def _signs(name: str, source: str, channels: int) -> Threshold:
    return Threshold(name, source, RNG.integers(-4, 4, (channels, 1)), RNG.choice([True, False], channels), Bipolar())


def _conv(source: str, channels: int, *, padding: tuple[int, int, int, int] = (0, 0, 0, 0), stride: int = 1) -> Conv2d:
    weight = RNG.integers(-3, 4, (3, 2, channels, 2))
    return Conv2d("conv", source, weight, WEIGHT, RNG.integers(-9, 9, 2), (stride, 1), padding)


def _of(shape: tuple[int, ...], form: Format, *operations: Operation) -> Program:
    return Program((Input("x", "", shape, form), *operations))


CHAINS: dict[str, Program] = {
    "signed codes, then codes above 0": _of(
        (7,),
        CODE,
        _dense("count", "x", 7, 5),
        Requantize("wire", "count", RELU),
        _dense("control", "wire", 5, 3, bias=False),
    ),
    "codes, then bits": _of(
        (7,), CODE, _dense("a", "x", 7, 9, bits=True), _signs("act", "a", 9), _dense("b", "act", 9, 3, bits=True)
    ),
    "bits, then bits": _of(
        (8,), Bipolar(), _dense("a", "x", 8, 6, bits=True), _signs("s", "a", 6), _dense("b", "s", 6, 4, bits=True),
        _signs("t", "b", 4),
    ),
    "an image of codes, pooled": _of(
        (9, 4, 2),
        CODE,
        _conv("x", 2, padding=(1, 1, 2, 0)),
        MaxPool2d("pool", "conv", (2, 2), (2, 1)),
        MultiplyAdd("act", "pool", np.array([3, -5]), np.array([1, 2]), 3, RELU),
        Flatten("flat", "act"),
        _dense("b", "flat", 30, 3),
    ),
    "an image of bits": _of((8, 4, 1), Bipolar(), _conv("x", 1, stride=2), _signs("act", "conv", 2)),
    "a depthwise convolution, overlapping pools": _of(
        (9, 4, 2),
        CODE,
        DepthwiseConv2d("conv", "x", RNG.integers(-3, 4, (2, 2, 2)), WEIGHT, None, (1, 1), (0, 1, 1, 0)),
        MaxPool2d("pool", "conv", (3, 2), (1, 2)),
    ),
    "a layer on bits that stays whole": _of(
        (6,), CODE, _dense("a", "x", 6, 4), _signs("act", "a", 4), _dense("b", "act", 4, 3), Requantize("c", "b", RELU)
    ),
}  # fmt: skip


def emulated(program: Program, found: Folded, clocks: int, codes: Integers) -> Integers:
    """The integers that alkaid's emulation of a state machine finds."""
    bits = isinstance(program.input.format, Bipolar), isinstance(program.output.format, Bipolar)
    wires = ((codes + 1) // 2 if bits[0] else codes).reshape(len(codes), -1)
    rows = np.concatenate([np.repeat(wires, clocks, axis=0), np.zeros((found.latency_cycles, wires.shape[1]), int)])
    outputs = FSMEmu(found.machine).run({"model_inp": rows.astype(float)}, scheduled=False)
    assert outputs[READY][:, 0].tolist()[:-1] == [(edge + 1) % clocks == 0 for edge in range(len(rows) - 1)]
    wires = outputs["model_out"][found.latency_cycles - 1 :: clocks][: len(codes)].astype(np.int64)
    return np.asarray(2 * wires - 1 if bits[1] else wires, np.int64)


@pytest.mark.parametrize("clocks", [2, 3, 8])
@pytest.mark.parametrize("name", CHAINS)
def test_folded_chain_gives_the_programs_integers(name: str, clocks: int) -> None:
    program = CHAINS[name]
    codes = inputs_of(program, 7)
    found = folded(program, clocks, latency_cutoff=float(clocks))
    assert (emulated(program, found, clocks, codes) == program(codes)).all()


FOLDED_ALONE = [
    name
    for name in PROGRAMS
    if ("dense" in name and "depthwise" not in name)
    or name in ("convolution", "padded convolution", "even results only")
]


@pytest.mark.parametrize("name", [*FOLDED_ALONE, "depthwise convolution", "inputs that nothing reads"])
def test_folded_layer_gives_the_programs_integers(name: str) -> None:
    program = PROGRAMS[name]()
    codes = inputs_of(program, 7)
    assert (emulated(program, folded(program, 3, 2.0), 3, codes) == program(codes)).all()


@settings(max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(random_graphs(power_of_two=True, most_layers=3), st.integers(2, 6))
def test_folded_random_graph_gives_the_programs_integers(graph: RandomGraph, clocks: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = lower(graph.model(), "model").program
        except UnsupportedOperatorError:
            reject()
    assume(sum(lut_estimates(program).values()) < 4000)
    codes = inputs_of(program, 8)
    refused, machine = "", None
    try:
        machine = folded(program, clocks, 4.0)
    except ValueError as refusal:
        refused = str(refusal)
    if machine is None:
        assert re.search(r"must be below 2\*\*|outputs must depend|clock after clock|to be used clock", refused)
        reject()
    assert (emulated(program, machine, clocks, codes) == program(codes)).all()


def simulated(program: Program, clocks: int, folder: Path, language: Language) -> tuple[Integers, Integers]:
    """The integers that the design gives in its simulator, and the program's; more than one part of inputs."""
    codes = inputs_of(program, 520)
    design = write_design(program, folder / "rtl", language, latency_cutoff=2.0, reuse_factor=clocks)
    assert design.initiation_interval == clocks
    built = build_simulation(design, folder / "rtl", folder / "cache")
    return run_simulation(built, design, codes.reshape(len(codes), -1), folder / "parts"), program(codes)


FEW = ("codes, then bits",)


@pytest.mark.parametrize(
    "name", [name if name in FEW else pytest.param(name, marks=pytest.mark.slow) for name in CHAINS]
)
def test_verilog_of_folded_chain_gives_the_programs_integers(name: str, tmp_path: Path) -> None:
    found, wanted = simulated(CHAINS[name], 3, tmp_path, "verilog")
    assert (found == wanted).all()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ghdl") is None, reason="no GHDL")
@pytest.mark.parametrize("name", CHAINS)
def test_vhdl_of_folded_chain_gives_the_programs_integers(name: str, tmp_path: Path) -> None:
    found, wanted = simulated(CHAINS[name], 3, tmp_path, "vhdl")
    assert (found == wanted).all()


def test_what_is_folded_and_how() -> None:
    kinds = {name: [type(step) for step in plan(program, 4)] for name, program in CHAINS.items()}
    assert kinds["codes, then bits"] == [Digits, Threshold, Inputs]
    assert kinds["an image of codes, pooled"] == [Lines, Flatten, Digits]
    assert kinds["a layer on bits that stays whole"] == [Digits, Threshold, Dense, Requantize]


def test_more_clocks_take_less_logic() -> None:
    weight = np.random.default_rng(1).integers(-31, 32, (24, 16))
    program = _of((24,), FixedPoint(6, 6), Dense("fc", "x", weight, FixedPoint(6, 6), None))
    found = [folded(program, clocks, 5.0).lut_estimate for clocks in (2, 3, 6)]
    expected = [sum(folded_lut_estimates(program, clocks).values()) for clocks in (1, 2, 3, 6)]
    assert found == sorted(found, reverse=True)
    assert expected == sorted(expected, reverse=True)
    assert found[-1] < 0.6 * expected[0]


REFUSALS: dict[str, tuple[Callable[[], object], str]] = {
    "no clocks to use it again": (
        lambda: folded(CHAINS["codes, then bits"], 1, 5.0),
        "rtl: reuse_factor must be 2 or more to use logic again, not 1; 1 is a pipeline",
    ),
    "branches": (
        lambda: folded(PROGRAMS["sum of branches"](), 2, 5.0),
        "b: operation must take the result of the one before (a) to be used clock after clock, not of x; leave "
        "--reuse-factor out",
    ),
    "nothing to use again": (
        lambda: folded(PROGRAMS["flattening"](), 2, 5.0),
        "rtl: some operation must take codes with weights, or bits with weights of 1 bit in a dense layer, to be used "
        "clock after clock, not one of Flatten; leave --reuse-factor out",
    ),
    "constant outputs": (
        lambda: folded(_of((6,), CODE, Dense("op", "x", np.zeros((6, 2), np.int64), WEIGHT, np.array([4, 0]))), 2, 5.0),
        "rtl: outputs must depend on the input, not be constant; train the network again",
    ),
    "a large weight": (
        lambda: folded(_of((6,), CODE, Dense("op", "x", np.full((6, 1), 1 << 24), FixedPoint(26, 26), None)), 2, 5.0),
        "op: weights must be below 2**24 in RTL, not 16777216; use fewer bits",
    ),
    "a reuse factor of 0": (
        lambda: write_design(CHAINS["codes, then bits"], Path("nowhere"), reuse_factor=0),
        "rtl: reuse_factor must be 1 or more, not 0; 1 takes an input every clock",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_folded_is_refused_by_name(name: str) -> None:
    attempt, message = REFUSALS[name]
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        attempt()
