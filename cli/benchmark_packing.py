"""Measure what 1-bit layers cost beside fixed-point ones of equal accuracy: `make bench-packing`.

Small networks on the digits, a few of each width, three seeds each: accuracy on the test set, bits of weights, LUT by
alkaid's estimate, and by Yosys for the seeds that are asked for. Networks whose mean accuracies lie within one standard
error of each other's are pairs to be compared.
"""

import argparse
import re
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import sqrt
from pathlib import Path

import numpy as np

from bitwright.cli.benchmark_arguments import Parser, a_seed, ends_in_one_line
from bitwright.cli.console import note, out
from bitwright.cli.experiment import read
from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_export import export, load_program
from bitwright.cli.stage_hls import judge
from bitwright.cli.stage_train import train
from bitwright.cli.versions import installed
from bitwright.rtl.design import FACTS, TOP, read_design, sources, write_design
from bitwright.synth.yosys import Family, synthesize

CONFIG = Path(__file__).parents[1] / "configs" / "digits_mlp_w6a6.toml"
NETWORKS = ("1:64,64", "1:128,64", "2:32,32", "3:24,16")
"""Bits of weights and activations, and sizes of the hidden layers."""


@dataclass(frozen=True)
class Figure:
    """What one network took and reached.

    Args:
        network: As in `NETWORKS`.
        accuracy: On the test set.
        images: Of the test set.
        bits: Of all weights.
        estimate: LUT, as alkaid estimates them.
        lut: As Yosys counts them for UltraScale+, or None.
        different: Integers that differ between the levels torch, qonnx and program.
    """

    network: str
    accuracy: float
    images: int
    bits: int
    estimate: float
    lut: int | None
    different: int


def known_network(text: str) -> str:
    """Read one of the networks.

    Raises:
        argparse.ArgumentTypeError: If it is not written as in `NETWORKS`.

    >>> known_network("2:32,32")
    '2:32,32'
    """
    if not re.fullmatch(r"([1-9]|1[0-6]):[1-9][0-9]*(,[1-9][0-9]*)*", text):
        raise argparse.ArgumentTypeError(f"must be bits, 1 to 16, and sizes, as 2:32,32, not {text!r}")
    return text


def measure(network: str, seed: int, runs_dir: Path, *, yosys: bool) -> Figure:
    """Train a network unless that was done, lower it, write its RTL, and synthesise it if asked for."""
    bits, _, hidden = network.partition(":")
    name = f"packing_w{bits}a{bits}_{hidden.replace(',', '_')}_s{seed}"
    wanted = [f"seed={seed}", f"name={name}", f"model.hidden=[{hidden}]"]
    wanted += [f"recipe.weight_bit_width={bits}", f"recipe.activation_bit_width={bits}", "train.epochs=40"]
    experiment = read(CONFIG, wanted)
    run = RunFolder(runs_dir / experiment.name)
    train(experiment, run, None)
    export(experiment, run, None)
    verdict = judge(run)
    level, program = verdict.levels["program"], load_program(run)
    if not (run.rtl / FACTS).is_file():
        write_design(program, run.rtl)
    lut = None
    if yosys:
        family = Family.XCUP
        lut = synthesize(sources(run.rtl, "verilog"), TOP, family, run.path / "synth" / family)[0].cells.lut
    different = sum(each.different for each in verdict.levels.values())
    assert level.accuracy is not None
    estimate = read_design(run.rtl).lut_estimate
    return Figure(network, level.accuracy, len(np.load(run.labels)), program.weight_bits, estimate, lut, different)


def table(found: Sequence[Figure]) -> Iterator[str]:
    """Yield the lines of a Markdown table: means over the seeds, from the least accurate to the most."""
    yield "| bits | hidden layers | test accuracy, % | bits of weights | LUT, alkaid | LUT, Yosys | different |"
    yield "|---|---|---|---|---|---|---|"
    names = dict.fromkeys(figure.network for figure in found)
    groups = {name: [figure for figure in found if figure.network == name] for name in names}
    for name in sorted(groups, key=lambda name: mean_accuracy(groups[name])):
        rows = groups[name]
        bits, _, hidden = name.partition(":")
        reached = [100 * figure.accuracy for figure in rows]
        spread = f" ± {statistics.stdev(reached):.2f}" if len(rows) > 1 else ""
        counted = [figure.lut for figure in rows if figure.lut is not None]
        lut = f"{statistics.fmean(counted):,.0f} ({len(counted)} seeds)" if counted else "-"
        yield (
            f"| {bits} | {hidden.replace(',', ', ')} | {statistics.fmean(reached):.2f}{spread} | {rows[0].bits:,} | "
            f"{statistics.fmean(figure.estimate for figure in rows):,.0f} | {lut} | "
            f"{sum(figure.different for figure in rows)} |"
        )


def mean_accuracy(rows: Sequence[Figure]) -> float:
    """Return the mean over the seeds."""
    return statistics.fmean(figure.accuracy for figure in rows)


def pairs(found: Sequence[Figure]) -> Iterator[str]:
    """Yield a line for each pair of a binary and another network of equal accuracy.

    Equal: nearer than the standard error of one mean, of which the test set's own size is the larger part.
    """
    groups = {name: [f for f in found if f.network == name] for name in dict.fromkeys(f.network for f in found)}
    for (name, rows), (other, others) in product(groups.items(), groups.items()):
        if not name.startswith("1:") or other.startswith("1:"):
            continue
        first, second = mean_accuracy(rows), mean_accuracy(others)
        error = sqrt(first * (1 - first) / rows[0].images)
        if abs(first - second) > error:
            continue
        lut = [statistics.fmean(figure.estimate for figure in group) for group in (rows, others)]
        yield (
            f"{name} and {other}: {100 * first:.2f} and {100 * second:.2f} %, standard error {100 * error:.2f}; the "
            f"binary one takes {lut[0] / lut[1]:.2f} of the LUT (alkaid's estimate) and "
            f"{rows[0].bits / others[0].bits:.2f} of the bits"
        )


@ends_in_one_line
def main(arguments: Sequence[str]) -> int:
    """Measure, and print the table and the pairs."""
    parser = Parser(__file__, __doc__)
    parser.add_argument(
        "--networks", nargs="+", type=known_network, default=list(NETWORKS), help="bits:sizes of hidden layers"
    )
    parser.add_argument("--seeds", type=a_seed, nargs="+", default=[1, 2, 3])
    parser.add_argument("--yosys-seeds", type=a_seed, nargs="*", default=[1], help="seeds whose RTL Yosys counts")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs") / "packing")
    options = parser.read(arguments)
    out.print(", ".join(f"{part} {version}" for part, version in installed().items()), markup=False)
    found: list[Figure] = []
    for network, seed in product(options.networks, options.seeds):
        figure = measure(network, seed, options.runs_dir, yosys=seed in options.yosys_seeds)
        note(f"{network}, seed {seed}: {figure.accuracy:.2%}, {figure.estimate:,.0f} LUT estimated, {figure.lut} Yosys")
        found.append(figure)
    for line in (*table(found), *pairs(found)):
        out.print(line, markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
