"""The command `rtl`: the integer program as pipelined logic, simulated on the whole test set."""

import time
from pathlib import Path

from rich.table import Table

from bitwright.cli.console import note, out, progress_bar
from bitwright.cli.run_folder import RunFolder, digest
from bitwright.cli.stage_export import load_array, load_program, save_array
from bitwright.cli.stage_hls import judge, rtl_is_stale, was_approximate
from bitwright.cli.versions import installed
from bitwright.export.program import Program
from bitwright.hls.verification import Verification
from bitwright.rtl.design import FACTS, Design, Language, read_design, sources, write_design
from bitwright.rtl.folded_size import folded_lut_estimates
from bitwright.rtl.simulation import build_simulation, run_simulation
from bitwright.rtl.tools import ghdl

REUSE_FACTORS = (2, 4, 8, 16, 32, 64)
"""Offered where a network is too large to unroll."""


def rtl(
    run: RunFolder,
    language: Language,
    latency_cutoff: float,
    most_lut: int,
    *,
    reuse_factor: int = 1,
    part: str,
    clock_period_ns: float,
) -> tuple[Design, Verification]:
    """Write the run's program as RTL, compile it with its testbench, simulate the test set, compare every level.

    Args:
        run: Its folder.
        language: Of the sources.
        latency_cutoff: A register follows where the delay would be longer, in alkaid's units: some one for each LUT.
        most_lut: Networks whose estimate is above it are refused.
        reuse_factor: Clocks from one input to the next.
        part: For the vendor's scripts.
        clock_period_ns: For the vendor's scripts.

    Raises:
        ValueError: If the network was trained again after the export, is too large, or an operation cannot be held.
        ToolError: If a tool is missing or fails.
        OSError: If a file cannot be read or written.
    """
    run.check_exported()
    program = load_program(run)
    refuse_large(run.lowered, program, most_lut, reuse_factor)
    run.lock()
    approximate = was_approximate(run)
    run.verification.unlink(missing_ok=True)
    design = _write(
        run, program, language, latency_cutoff, reuse_factor=reuse_factor, part=part, clock_period_ns=clock_period_ns
    )
    _simulate(run, design, again=False)
    return design, judge(run, approximate=approximate)


def refuse_large(where: Path, program: Program, most_lut: int, reuse_factor: int = 1) -> None:
    """Refuse a network that is too large, before anything is traced.

    Raises:
        ValueError: With the estimate, the operations that it comes from, and what would do.
    """
    estimates = folded_lut_estimates(program, reuse_factor)
    total = round(sum(estimates.values()))
    if total <= most_lut:
        return
    largest = sorted(estimates, key=lambda name: -estimates[name])[:3]
    named = ", ".join(f"{name} {estimates[name]:,.0f}" for name in largest)
    again = _reuse_that_fits(program, most_lut, reuse_factor)
    offer = (
        "" if again is None else f"take an input every {again[0]} clocks (--reuse-factor {again[0]}: {again[1]:,}), "
    )
    form = "as unrolled logic" if reuse_factor == 1 else f"used for {reuse_factor} clocks"
    raise ValueError(
        f"{where}: network must take at most {most_lut:,} LUT {form}, not an estimated {total:,} ({named}); "
        f"{offer}let hls4ml reuse its multipliers (`bitwright hls`), take fewer bits, or allow it with "
        f"--most-lut {total}"
    )


def _reuse_that_fits(program: Program, most_lut: int, above: int) -> tuple[int, int] | None:
    """Return the least reuse factor of those tried whose estimate fits, and the estimate."""
    try:
        for factor in (one for one in REUSE_FACTORS if one > above):
            total = round(sum(folded_lut_estimates(program, factor).values()))
            if total <= most_lut:
                return factor, total
    except ValueError:  # it cannot be folded
        pass
    return None


def _write(
    run: RunFolder,
    program: Program,
    language: Language,
    latency_cutoff: float,
    *,
    reuse_factor: int,
    part: str,
    clock_period_ns: float,
) -> Design:
    """Trace and write the design where the program or a setting changed."""
    settings = (language, repr(latency_cutoff), part, repr(clock_period_ns), str(reuse_factor))
    key = digest(run.lowered, *settings, str(installed()))
    if run.is_current("rtl_design", key, present=[run.rtl], unchanged=[run.rtl / FACTS]):
        note(f"rtl: {run.rtl} is up to date")
        return read_design(run.rtl)
    started = time.monotonic()
    if language == "vhdl":
        ghdl()  # before minutes are spent
    run.output("rtl").unlink(missing_ok=True)  # of the design that is about to go
    for figures in (*run.path.glob("synth/x*/*.json"), *run.path.glob("synth/ecp5-*/*.json")):
        figures.unlink()
    _set_aside(run)
    run.finish("rtl_design", "being written", 0.0)
    with progress_bar("tracing", len(program.operations) + 1) as count:

        def progress(what: str) -> None:
            note(f"rtl: {what}, {time.monotonic() - started:.0f} s")
            count(1)

        design = write_design(
            program,
            run.rtl,
            language,
            latency_cutoff,
            reuse_factor=reuse_factor,
            part=part,
            clock_period_ns=clock_period_ns,
            progress=progress,
        )
    content = digest(*_files(run, design))
    noted = {"program": digest(run.lowered), "content": content}
    run.finish("rtl_design", key, time.monotonic() - started, [run.rtl / FACTS], **noted)
    return design


def _files(run: RunFolder, design: Design) -> list[Path]:
    """Return what a simulation is compiled from."""
    return [*sources(run.rtl, design.language), run.rtl / "testbench.v"]


def _set_aside(run: RunFolder) -> None:
    """Keep a design that a person changed: a new one is about to take its place."""
    written = run.stamp_value("rtl_design", "content")
    if not written or not run.rtl.exists():
        return
    try:
        if written == digest(*_files(run, read_design(run.rtl))):
            return
    except (ValueError, OSError):
        pass  # without its facts it is changed
    number = 1
    while (kept := run.rtl.with_name(f"rtl.edited.{number}")).exists():
        number += 1
    run.rtl.replace(kept)
    note(f"rtl: your changed design lies in {kept}")


def simulate_again(run: RunFolder, *, again: bool) -> None:
    """Simulate the design that lies in a run's folder, where there is one, and it is of the run's program."""
    if not run.rtl.exists():
        return
    if rtl_is_stale(run):
        note(f"rtl: {run.rtl} is of another program, and left out; run `bitwright rtl` again")
        run.output("rtl").unlink(missing_ok=True)
        return
    _simulate(run, read_design(run.rtl), again=again)


def _simulate(run: RunFolder, design: Design, *, again: bool) -> None:
    """Compile the design as it lies on disk and run the test set through it, unless that was done."""
    key = digest(*_files(run, design), run.inputs)
    path = run.output("rtl")
    if not again and run.is_current("rtl", key, unchanged=[path]):
        note(f"rtl: {path} is up to date")
        return
    codes = load_array(run.inputs)
    started = time.monotonic()
    with progress_bar("compiling the RTL simulation", 1) as count:
        built = build_simulation(design, run.rtl, run.path / "rtl_sim")
        count(1)
    note(f"rtl: simulation compiled in {time.monotonic() - started:.0f} s")
    started = time.monotonic()
    with progress_bar("rtl level", len(codes)) as count:
        found = run_simulation(built, design, codes.reshape(len(codes), -1), run.path / "rtl_sim" / "parts", count)
    save_array(path, found)
    run.finish("rtl", key, time.monotonic() - started, unchanged=[path])


def show(run: RunFolder, design: Design) -> None:
    """Print what the design is."""
    table = Table("design", "", title=f"{run.path.name}: {design.language} in {run.rtl}")
    table.add_row("latency", f"{design.latency_cycles} cycles")
    table.add_row("initiation interval", f"{design.initiation_interval} cycle{'s' * (design.initiation_interval > 1)}")
    table.add_row("flip-flops", f"{design.register_bits:,}")
    table.add_row("LUT, alkaid's estimate", f"{design.lut_estimate:,.0f}")
    table.add_row("input", f"{design.input.values} values of {design.input.width} bits")
    table.add_row("output", f"{design.output.values} values of {design.output.width} bits")
    out.print(table)
