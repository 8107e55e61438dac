"""The C simulation of a project in a process of its own: it may die, or never end."""

import os
import re
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from bitwright.export.operations import Integers
from bitwright.export.program import Program
from bitwright.hls.csim import Simulation

PATIENCE = 120.0
"""Seconds that a simulation may take."""


class SimulationError(RuntimeError):
    """A simulation that did not run to its end."""


def simulated(
    library: Path, project: Path, program: Program, codes: Integers, folder: Path, *, trace: bool
) -> Integers | dict[str, Integers]:
    """Run a simulation in a process of its own: it may die, or never end.

    Raises:
        SimulationError: If it does.
    """
    result, said = folder / "simulated.npy", folder / "simulated.log"
    result.unlink(missing_ok=True)
    arguments = (library, project, program, codes, result, said, trace)
    process = get_context("fork").Process(target=_simulate, args=arguments)
    process.start()
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        process.join()
        raise SimulationError(f"csim: simulation must end within {PATIENCE:g} s, not hang")
    if process.exitcode or not result.exists():
        words = said.read_text(errors="replace").strip().splitlines() if said.exists() else []
        # Of an assertion in hls4ml's C++ only what it says, not where and with which types
        last = re.sub(r"^.*: Assertion", "Assertion", words[-1]) if words else "silently"
        raise SimulationError(f"csim: simulation must run to its end, not die with {process.exitcode}: {last}")
    if "leftover data" in said.read_text(errors="replace"):
        raise SimulationError("csim: streams must be empty at the end of an input, not hold leftover data")
    found: Any = np.load(result, allow_pickle=True)
    return dict(found.item()) if trace else np.asarray(found)


def _simulate(
    library: Path,
    project: Path,
    program: Program,
    codes: Integers,
    result: Path,
    said: Path,
    trace: bool,
) -> None:
    with said.open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    simulation = Simulation(library, project, program)
    found: Any = simulation.trace(codes) if trace else simulation(codes)
    np.save(result, np.array(found, dtype=object) if trace else found, allow_pickle=True)
