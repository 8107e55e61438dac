"""Measure logic that is used clock after clock beside unrolled logic: `make bench-fold BENCH_RUNS="runs/x runs/y"`.

Each exported run, or one layer of it alone, for each reuse factor: LUT and flip-flops as alkaid counts them, LUT as
Yosys counts them if asked for, cycles, and the integers that differ from the program's in Verilator, on the whole test
set (of a layer alone, on random codes).
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from bitwright.cli.benchmark_arguments import Parser, ends_in_one_line, one_of, positive, whole
from bitwright.cli.console import note, out
from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_export import load_array, load_program
from bitwright.cli.versions import installed
from bitwright.export.operations import Input, Integers
from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar
from bitwright.rtl.design import TOP, sources, write_design
from bitwright.rtl.folded_size import folded_lut_estimates
from bitwright.rtl.simulation import build_simulation, run_simulation
from bitwright.synth.yosys import Family, synthesize

SEED = 1
CODES = 2000
"""Random inputs of a layer alone."""


def alone(program: Program, name: str) -> tuple[Program, Integers]:
    """Return one layer of a program as a program, and random codes of its input.

    Raises:
        ValueError: If there is no such layer, or it takes more than one input.
    """
    operation = next((each for each in program.operations[1:] if each.name == name), None)
    if operation is None:
        names = ", ".join(each.name for each in program.operations[1:])
        raise ValueError(f"bench-fold: layer must be one of {names}, not {name}")
    if len(operation.sources) != 1:
        takes = len(operation.sources)
        raise ValueError(f"bench-fold: {name} must take one input, not {takes}; choose another layer")
    (source,) = operation.sources
    given = program.tensors[source]
    rng, shape = np.random.default_rng(SEED), (CODES, *given.shape)
    form = given.format
    bits = isinstance(form, Bipolar)
    codes = rng.choice([-1, 1], shape) if bits else rng.integers(form.lowest, form.highest + 1, shape)
    return Program((Input(source, "", given.shape, form), operation)), codes


def measure(
    name: str, program: Program, codes: Integers, reuse_factor: int, latency_cutoff: float, family: Family | None
) -> tuple[list[str], bool]:
    """Return a row of the table, and whether every integer is the program's."""
    before = sum(folded_lut_estimates(program, reuse_factor).values())
    with tempfile.TemporaryDirectory(prefix="bitwright-fold-") as scratch:
        place = Path(scratch)
        design = write_design(program, place / "rtl", latency_cutoff=latency_cutoff, reuse_factor=reuse_factor)
        built = build_simulation(design, place / "rtl", place / "cache")
        found = run_simulation(built, design, codes.reshape(len(codes), -1), place / "parts")
        lut = "-"
        if family is not None:
            figures, _ = synthesize(sources(place / "rtl", design.language), TOP, family, place / family)
            lut = f"{figures.cells.lut:,}"
    different = int((found != program(codes)).sum())
    cells = [f"{before:,.0f}", f"{design.lut_estimate:,.0f}", lut, f"{design.register_bits:,}"]
    row = [name, str(reuse_factor), *cells, str(design.latency_cycles), f"{different} of {found.size:,}"]
    note(", ".join(row))
    return row, not different


@ends_in_one_line
def main(arguments: Sequence[str]) -> int:
    """Measure one network after the other, and print the table."""
    parser = Parser(__file__, __doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of exported runs; chains of layers")
    parser.add_argument("--layer", action="append", help="this one alone; repeat it")
    parser.add_argument("--reuse-factors", type=whole(1), nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--latency-cutoff", type=positive, default=5.0)
    parser.add_argument("--yosys", type=one_of(Family), help="count LUT for this family (xc7, xcup), too: minutes")
    options = parser.read(arguments)
    out.print(", ".join(f"{part} {version}" for part, version in installed().items()), markup=False)
    table = Table("network", "reuse factor", "LUT, before", "LUT, alkaid", "LUT, Yosys", "FF", "latency", "different")
    good = True
    for folder in options.runs:
        run = RunFolder(folder)
        program, name = load_program(run), folder.name
        networks = [(name, program, load_array(run.inputs))]
        if options.layer:
            networks = [(f"{name} {layer}", *alone(program, layer)) for layer in options.layer]
        for network in networks:
            for reuse_factor in options.reuse_factors:
                row, exact = measure(*network, reuse_factor, options.latency_cutoff, options.yosys)
                table.add_row(*row)
                good &= exact
    out.print(table)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
