"""The command `synth`: what a run costs in logic, by open tools, and by the vendor's where they are there."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from bitwright.cli.console import err, error_line, note, out
from bitwright.cli.run_folder import RunFolder
from bitwright.hls.tool_error import ToolError
from bitwright.rtl.design import TOP, Design, read_design, sources
from bitwright.synth.ecp5 import PlaceAndRoute, Size, place_and_route, refuse_too_large
from bitwright.synth.refused_cpp import refused_cpp
from bitwright.synth.vendor_run import Finished, Missing, run_steps
from bitwright.synth.vendor_tool import Step
from bitwright.synth.yosys import Family, Synthesis, synthesize

SHOWN = 5
"""Refusals of C++ that are shown; one cause may show in many."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Args:
        families: For Yosys.
        ecp5: Size of the device to place and route on, or None.
        seed: Of the placement.
        steps: Of the vendor's tools.
    """

    families: tuple[Family, ...] = tuple(Family)
    ecp5: Size | None = None
    seed: int = 1
    steps: tuple[str, ...] = ("csynth",)


@dataclass
class Found:
    """What came of a run: filled as it goes on, so that a failure leaves what was done before."""

    name: str
    synthesis: list[Synthesis] = field(default_factory=list)
    placed: list[PlaceAndRoute] = field(default_factory=list)
    finished: list[Finished] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    failures: int = 0

    @property
    def good(self) -> bool:
        """Whether something was done, and nothing failed."""
        return not self.failures and bool(self.synthesis or self.placed or self.finished)


def synth(runs: Sequence[RunFolder], wanted: Wanted, jobs: int = 1) -> bool:
    """Synthesise runs side by side, and show what was found.

    Args:
        runs: Their folders.
        wanted: What to do.
        jobs: Runs at a time at most.

    Returns:
        Whether each came to something, and nothing failed. A failure is said at once; the other runs go on.

    Raises:
        ValueError: If another command works in a run's folder.
    """
    for run in runs:
        run.lock()
    with ThreadPoolExecutor(jobs) as pool:
        found = list(pool.map(lambda run: _run(run, wanted), runs))
    _show(found)
    return all(one.good for one in found)


def _run(run: RunFolder, wanted: Wanted) -> Found:
    found = Found(run.path.name)
    project = run.project.is_dir()
    if project:
        with _said(found):
            _check(run, found)
    elif wanted.steps:
        note(f"{found.name}: no project for C synthesis in {run.project}; run `bitwright hls` first")
    sound = project and not found.failures
    if (run.rtl / "design.json").is_file():
        with _said(found):
            _open(run, wanted, found)
    else:
        note(f"{found.name}: no design for Yosys in {run.rtl}; run `bitwright rtl {run.path}` first")
    if sound:
        with _said(found):
            _vendor(run, wanted, found)
    return found


@contextmanager
def _said(found: Found) -> Iterator[None]:
    """Say what failed, and go on with what else there is to do."""
    try:
        yield
    except (ValueError, OSError, ToolError) as error:
        found.failures += 1
        err.print(error_line(error), style="red", markup=False)


def _open(run: RunFolder, wanted: Wanted, found: Found) -> None:
    design = read_design(run.rtl)
    if run.is_of_another_program("rtl_design"):
        raise ValueError(f"{run.rtl}: design must be of the run's program, not of another; run `bitwright rtl` again")
    if design.language != "verilog":
        raise ValueError(
            f"{run.rtl}: language must be verilog for Yosys, not {design.language}; "
            f"run `bitwright rtl {run.path} --language verilog`"
        )
    files = sources(run.rtl, design.language)
    for family in wanted.families:
        note(f"{found.name}: yosys for {family}")
        figures, new = synthesize(files, TOP, family, run.path / "synth" / family, _Tell(found.name))
        found.synthesis.append(figures)
        note(f"{found.name}: yosys for {family} " + (f"took {figures.seconds:.0f} s" if new else "is up to date"))
    if wanted.ecp5 is not None:
        _place(run, design, files, wanted.ecp5, wanted.seed, found)


def _place(run: RunFolder, design: Design, files: list[Path], size: Size, seed: int, found: Found) -> None:
    # Smaller tables are never fewer: minutes of Yosys are saved
    refuse_too_large(size, lut4=max((figures.cells.lut for figures in found.synthesis), default=0))
    note(f"{found.name}: yosys and nextpnr for ECP5 {size}")
    ports = design.input.bits, design.output.bits
    folder = run.path / "synth" / f"ecp5-{size}"
    figures, new = place_and_route(files, TOP, ports, folder, size, seed, _Tell(found.name))
    found.placed.append(figures)
    note(f"{found.name}: place-and-route " + (f"took {figures.seconds:.0f} s" if new else "is up to date"))


def _check(run: RunFolder, found: Found) -> None:
    refusals = refused_cpp(run.project)
    if refusals:
        more = f"; and {len(refusals) - SHOWN} more" if len(refusals) > SHOWN else ""
        listed = "; ".join(map(str, refusals[:SHOWN]))
        raise ValueError(f"{run.project}: C++ must be such that HLS takes it, not with {listed}{more}; change it")
    note(f"{found.name}: nothing in the C++ that HLS would refuse")


def _vendor(run: RunFolder, wanted: Wanted, found: Found) -> None:
    steps = [Step(step) for step in wanted.steps]
    finished, missing = run_steps(run.project, steps, run.path / "synth" / "vendor", _Tell(found.name))
    found.finished.extend(finished)
    found.missing.extend(missing)


@dataclass(frozen=True)
class _Tell:
    """Say whose progress it is: several runs may speak at a time."""

    name: str

    def __call__(self, text: str) -> None:
        note(f"{self.name}: {text}")


def _show(found: Sequence[Found]) -> None:
    """Print a table for each stage, and what could not be done."""
    if any(one.synthesis for one in found):
        _show_synthesis(found)
    if any(one.placed for one in found):
        _show_placed(found)
    for one in found:
        for step in one.finished:
            version = step.version or "(version not stated)"
            out.print(
                f"{one.name}: {step.step.label} by {step.tool} {version}, {step.seconds:.0f} s; see `bitwright report`",
                markup=False,
            )
        for lacking in one.missing:
            out.print(f"{one.name}: {lacking}", markup=False)


def _show_synthesis(found: Sequence[Found]) -> None:
    first = next(figures for one in found for figures in one.synthesis)
    sizes = [f"lut{size}" for size in range(1, 7)]
    table = Table(title=f"{first.stage}, {first.tool}: LUT are not packed; the vendor's figure is lower")
    table.add_column("run")
    table.add_column("family")
    rest = ("LUT", "FF", "carry", "DSP", "BRAM 18k", "URAM", "LUTRAM", "SRL", "depth", "cells ns", "s")
    for heading in (*map(str.upper, sizes), *rest):
        table.add_column(heading, justify="right")
    for one in found:
        for figures in one.synthesis:
            cells = figures.cells
            kinds = (cells.lut, cells.ff, cells.carry, cells.dsp, cells.bram_18k, cells.uram, cells.lutram, cells.srl)
            counts = [*(getattr(cells, size) for size in sizes), *kinds]
            delay = "-" if figures.longest_path_ps is None else f"{figures.longest_path_ps / 1000:.2f}"
            depth = "-" if figures.logic_depth_cells is None else str(figures.logic_depth_cells)
            times = (depth, delay, f"{figures.seconds:.0f}")
            table.add_row(one.name, figures.family, *(f"{count:,}" for count in counts), *times)
    out.print(table)
    out.print("depth: cells between registers; cells ns: their delays on a 7-series device, no wires", markup=False)


def _show_placed(found: Sequence[Found]) -> None:
    first = next(figures for one in found for figures in one.placed)
    table = Table(title=f"{first.stage}, harness included")
    for heading in ("run", "device", "LUT4", "FF", "of them harness", "BRAM 18k", "DSP", "MHz", "seed", "s"):
        table.add_column(heading, justify="left" if heading in ("run", "device") else "right")
    for one in found:
        for figures in one.placed:
            table.add_row(
                one.name,
                f"{figures.device}-{figures.speed_grade}{figures.package}",
                f"{figures.lut4:,} of {figures.lut4_available:,}",
                f"{figures.ff:,} of {figures.ff_available:,}",
                f"{figures.harness_ff:,}",
                f"{figures.bram_18k:,}",
                f"{figures.dsp:,}",
                "-" if figures.clock_mhz is None else f"{figures.clock_mhz:.1f}",
                str(figures.seed),
                f"{figures.seconds:.0f}",
            )
    out.print(table)
