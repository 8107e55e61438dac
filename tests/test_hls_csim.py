"""Running a compiled project: chunks, processes, deaths."""

import re
from pathlib import Path

import numpy as np
import pytest

from bitwright.export.operations import Dense, Input
from bitwright.export.program import Program
from bitwright.hls.csim import run_csim
from bitwright.hls.csim_build import build_library
from bitwright.hls.tool_error import ToolError
from bitwright.quant.fixed_point import FixedPoint

CODE = FixedPoint(8, 8)
PROGRAM = Program((Input("x", "", (1,), CODE), Dense("fc", "x", np.array([[2]]), CODE, None)))
DOUBLES = 'extern "C" void bitwright_double(double *x, double *y) { y[0] = 2 * x[0]; }\n'
ABORTS = '#include <cstdlib>\nextern "C" void bitwright_double(double *x, double *y) { std::abort(); }\n'


def library(folder: Path, bridge: str) -> tuple[Path, Path]:
    (folder / "hls" / "firmware").mkdir(parents=True)
    (folder / "hls" / "firmware" / "bitwright.cpp").write_text("int nothing;\n")
    (folder / "hls" / "bitwright_bridge.cpp").write_text(bridge)
    return build_library(folder / "hls", folder / "csim"), folder / "hls"


def test_every_input_is_simulated_once_and_in_order(tmp_path: Path) -> None:
    inputs = np.arange(-128, 122)[:, None]
    done: list[int] = []
    found = run_csim(*library(tmp_path, DOUBLES), PROGRAM, inputs, tmp_path / "parts", done.append)
    assert (found == 2 * inputs).all()
    assert sum(done) == len(inputs)


def test_finished_chunks_are_not_simulated_again(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    np.save(tmp_path / "parts" / "000000100.npy", np.full((100, 1), 7))
    found = run_csim(*library(tmp_path, DOUBLES), PROGRAM, np.zeros((250, 1), np.int64), tmp_path / "parts")
    assert found[:, 0].tolist() == [0] * 100 + [7] * 100 + [0] * 50


def test_simulation_that_dies_is_reported(tmp_path: Path) -> None:
    compiled, project = library(tmp_path, ABORTS)
    message = f"csim: simulation must run to its end, not die; see what {compiled.name} prints with one process"
    with pytest.raises(ToolError, match=f"^{re.escape(message)}$"):
        run_csim(compiled, project, PROGRAM, np.zeros((3, 1), np.int64), tmp_path / "parts")
