"""From the integer program to logic: the integers of alkaid's interpreter, of Verilator and of GHDL."""

import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, reject, settings
from random_graphs import RandomGraph, random_graphs
from rtl_programs import PROGRAMS, inputs_of

from bitwright.export.lower import lower
from bitwright.export.operations import Integers
from bitwright.export.problems import UnsupportedOperatorError
from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar
from bitwright.rtl.design import Language, write_design
from bitwright.rtl.simulation import build_simulation, run_simulation
from bitwright.rtl.size import lut_estimates
from bitwright.rtl.trace import trace


def interpreted(program: Program, codes: Integers) -> Integers:
    """The integers that alkaid's interpreter finds."""
    logic = trace(program)
    wires = codes if not isinstance(program.input.format, Bipolar) else (codes + 1) // 2
    found = logic.predict(wires.reshape(len(codes), -1).astype(np.float64)).astype(np.int64)
    return np.asarray(2 * found - 1 if isinstance(program.output.format, Bipolar) else found, np.int64)


def simulated(program: Program, codes: Integers, folder: Path, language: Language) -> Integers:
    """The integers that the design gives in Verilator."""
    design = write_design(program, folder / "rtl", language, latency_cutoff=2.0)
    built = build_simulation(design, folder / "rtl", folder / "cache")
    return run_simulation(built, design, codes.reshape(len(codes), -1), folder / "parts")


@pytest.mark.parametrize("name", PROGRAMS)
def test_logic_of_each_layer_gives_the_programs_integers(name: str) -> None:
    program = PROGRAMS[name]()
    codes = inputs_of(program, 400)
    assert (interpreted(program, codes) == program(codes)).all()


@settings(max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(random_graphs(power_of_two=True, most_layers=3))
def test_logic_of_a_random_graph_gives_the_programs_integers(graph: RandomGraph) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = lower(graph.model(), "model").program
        except UnsupportedOperatorError:
            reject()
    assume(sum(lut_estimates(program).values()) < 4000)
    codes = inputs_of(program, 50)
    refused = ""
    try:
        found = interpreted(program, codes)
    except ValueError as refusal:
        refused = str(refusal)
    if refused:
        assert re.search(r"(weights|constants) must be below 2\*\*|outputs must depend on the input", refused)
        reject()
    assert (found == program(codes)).all()


FEW = ("padded convolution of bits", "multiplication and addition", "even results only")


@pytest.mark.parametrize(
    "name", [name if name in FEW else pytest.param(name, marks=pytest.mark.slow) for name in PROGRAMS]
)
def test_verilog_of_each_layer_gives_the_programs_integers(name: str, tmp_path: Path) -> None:
    program = PROGRAMS[name]()
    codes = inputs_of(program, 1100)
    assert (simulated(program, codes, tmp_path, "verilog") == program(codes)).all()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ghdl") is None, reason="no GHDL")
@pytest.mark.parametrize("name", PROGRAMS)
def test_vhdl_of_each_layer_gives_the_programs_integers(name: str, tmp_path: Path) -> None:
    program = PROGRAMS[name]()
    codes = inputs_of(program, 100)
    assert (simulated(program, codes, tmp_path, "vhdl") == program(codes)).all()
