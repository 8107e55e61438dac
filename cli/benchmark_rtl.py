"""What RTL takes, step by step, of exported runs; of none, of the jet tagger with seeded weights: `make bench-rtl`."""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.table import Table

from bitwright.cli.benchmark_arguments import Parser, ends_in_one_line
from bitwright.cli.console import note, out
from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_export import load_array, load_program
from bitwright.cli.versions import installed
from bitwright.export.interface import input_codes
from bitwright.export.lower import lower
from bitwright.export.operations import Integers
from bitwright.export.program import Program
from bitwright.export.qonnx_file import load
from bitwright.export.torch_export import write_qonnx
from bitwright.models.network import build
from bitwright.models.settings import ModelSettings
from bitwright.quant.recipe import Recipe
from bitwright.rtl.design import write_design
from bitwright.rtl.simulation import build_simulation, run_simulation
from bitwright.rtl.size import lut_estimates

SEED = 1
JETS = 10_000
"""Random inputs of the jet tagger."""


def jet_tagger() -> tuple[str, Program, Integers]:
    """Return 16-64-32-32-5 of 6 bits with random weights, and random standardised inputs."""
    torch.manual_seed(SEED)
    recipe = Recipe(weight_bit_width=6, activation_bit_width=6)
    network = build(ModelSettings(hidden=(64, 32, 32)), recipe, (16,), 5)
    with torch.no_grad():
        for _ in range(20):  # statistics for batch norms and scales
            network.train()(torch.randn(64, 16))
    with tempfile.TemporaryDirectory() as folder:
        write_qonnx(network, (16,), Path(folder) / "jets.onnx")
        lowered = lower(load(Path(folder) / "jets.onnx"))
    values = np.random.default_rng(SEED).normal(size=(JETS, 16)).astype(np.float32)
    return "jet tagger 16-64-32-32-5, 6 bit, random weights", lowered.program, input_codes(lowered, values)


def exported(folder: Path) -> tuple[str, Program, Integers]:
    """Return a run's program and test inputs."""
    run = RunFolder(folder)
    return folder.name, load_program(run), load_array(run.inputs)


def measure(name: str, program: Program, codes: Integers) -> tuple[list[str], bool]:
    """Return a row of the table, and whether every integer is the program's."""
    before = sum(lut_estimates(program).values())
    with tempfile.TemporaryDirectory(prefix="bitwright-rtl-") as scratch:
        place = Path(scratch)
        times = [time.monotonic()]
        design = write_design(program, place / "rtl", progress=lambda what: note(f"{name}: {what}"))
        times.append(time.monotonic())
        built = build_simulation(design, place / "rtl", place / "cache")
        times.append(time.monotonic())
        found = run_simulation(built, design, codes.reshape(len(codes), -1), place / "parts")
        times.append(time.monotonic())
    different = int((found != program(codes)).sum())
    estimates = [f"{before:,.0f}", f"{design.lut_estimate:,.0f}", f"{before / design.lut_estimate:.2f}"]
    steps = [f"{seconds:.1f}" for seconds in np.diff(times)]
    return [name, *estimates, str(design.latency_cycles), *steps, f"{different} of {found.size:,}"], not different


@ends_in_one_line
def main(arguments: Sequence[str]) -> int:
    """Trace, compile and simulate one network after the other, and print the table."""
    parser = Parser(__file__, __doc__)
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="folder of an exported run")
    runs = parser.read(arguments).runs
    out.print(", ".join(f"{part} {version}" for part, version in installed().items()) + f"; seed {SEED}")
    networks = [exported(folder) for folder in runs] or [jet_tagger()]
    headings = ("LUT, before", "LUT, alkaid", "ratio", "latency, cycles", "trace, s", "Verilator, s", "simulation, s")
    table = Table("network", *headings, "different")
    rows = [measure(*network) for network in networks]
    for row, _ in rows:
        table.add_row(*row)
    out.print(table)
    return 0 if all(good for _, good in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
