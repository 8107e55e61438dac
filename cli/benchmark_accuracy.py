"""Measure the networks of the field on their data: `make bench-accuracy`. Days without a GPU, if nothing is there yet.

Every network of `ROWS` is trained with each seed (configs/<name>.toml), exported, lowered and simulated in C, and
docs/accuracy.md is written from the runs' verdicts, with the published figures beside. What was trained is not trained
again. --write-only makes the page of the runs that are there.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from bitwright.cli.benchmark_origins import CONFIGS, prepared
from bitwright.cli.compare_facts import RunFacts, facts
from bitwright.cli.compare_speed import processor
from bitwright.cli.console import note
from bitwright.cli.experiment import Experiment, read
from bitwright.cli.run_folder import EXPERIMENT, RunFolder, write_text
from bitwright.cli.stage_export import export
from bitwright.cli.stage_hls import hls
from bitwright.cli.stage_train import train
from bitwright.cli.versions import installed
from bitwright.models.dataset import data_folder

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "accuracy.md"

PUBLISHED_BY = {
    "bnn_pynq": "Brevitas, `brevitas_examples/bnn_pynq`; input of 1 or 2 bits for the MLPs, of 8 for CNV",
    "fracbnn": "Zhang et al., FracBNN, arXiv:2012.12206; 1.4 bits an activation, shortcuts and last layer in float",
}


@dataclass(frozen=True)
class Row:
    """A network of the table.

    Args:
        network: Its name in the field.
        published: Accuracy on test that others have published for it, in percent.
        source: Of that, a key of `PUBLISHED_BY`.
        csim_inputs: Test inputs to simulate in C; all, if None.
    """

    network: str
    published: float | None = None
    source: str = ""
    csim_inputs: int | None = None


CSIM_INPUTS = 1000
"""Of CIFAR-10's 10,000: an image takes a tenth of a second, and its 10 integers are of all layers' sums."""

ROWS: Mapping[str, Row] = {
    "mnist_tfc_w1a1": Row("TFC", 93.17, "bnn_pynq"),
    "mnist_tfc_w1a2": Row("TFC", 94.79, "bnn_pynq"),
    "mnist_tfc_w2a2": Row("TFC", 96.60, "bnn_pynq"),
    "mnist_sfc_w1a1": Row("SFC", 97.81, "bnn_pynq"),
    "mnist_sfc_w1a2": Row("SFC", 98.31, "bnn_pynq"),
    "mnist_sfc_w2a2": Row("SFC", 98.66, "bnn_pynq"),
    "mnist_lfc_w1a1": Row("LFC", 98.88, "bnn_pynq"),
    "mnist_lfc_w1a2": Row("LFC", 98.99, "bnn_pynq"),
    "mnist_lenet5_w1a1": Row("LeNet-5"),
    "mnist_lenet5_w2a2": Row("LeNet-5"),
    "mnist_lenet5_x2_w1a1": Row("LeNet-5, twice the channels"),
    "mnist_lenet5_x2_w2a2": Row("LeNet-5, twice the channels"),
    "cifar10_cnv_w1a1": Row("CNV", 84.22, "bnn_pynq", csim_inputs=CSIM_INPUTS),
    "cifar10_cnv_w1a2": Row("CNV", 87.80, "bnn_pynq", csim_inputs=CSIM_INPUTS),
    "cifar10_cnv_w2a2": Row("CNV", 89.03, "bnn_pynq", csim_inputs=CSIM_INPUTS),
    "cifar10_resnet8_w2a2": Row("ResNet-8, first and last weights of 8 bits", csim_inputs=CSIM_INPUTS),
    "cifar10_resnet8_w4a4": Row("ResNet-8, first and last weights of 8 bits", csim_inputs=CSIM_INPUTS),
    "cifar10_resnet20_w1a1": Row("ResNet-20", csim_inputs=CSIM_INPUTS),
    "cifar10_fracbnn_w1a1": Row("FracBNN without gates", csim_inputs=CSIM_INPUTS),
    "cifar10_fracbnn_w1a2": Row("FracBNN, the second bit gated", 89.1, "fracbnn", csim_inputs=CSIM_INPUTS),
    "cifar10_mobilenet_v2_w4a4": Row("MobileNetV2", csim_inputs=CSIM_INPUTS),
}
"""By the name of the experiment, in the order of the table."""


def run_of(config: str, seed: int, runs_dir: Path) -> RunFolder:
    """Return the folder of a network that was trained with a seed.

    >>> run_of("mnist_tfc_w1a1", 2, Path("runs")).path.name
    'mnist_tfc_w1a1_s2'
    """
    return RunFolder(runs_dir / f"{config}_s{seed}")


def measure(config: str, seed: int, runs_dir: Path, data_dir: Path | None) -> None:
    """Train a network, what it names first, export and lower it, simulate it in C; do nothing of it that is done.

    Args:
        config: Name of the experiment.
        seed: Of everything.
        runs_dir: Where runs lie.
        data_dir: Of the data sets.

    Raises:
        ValueError: If an integer differs between two levels, or a stage refuses something.
        OSError: If a file cannot be read or written.
    """
    run = run_of(config, seed, runs_dir)
    experiment = prepared(config, seed, run.path.name, runs_dir, data_dir)
    train(experiment, run, data_dir)
    export(experiment, run, data_dir)
    verdict = hls(experiment, run, csim_inputs=ROWS[config].csim_inputs)
    if not verdict.exact:
        raise ValueError(
            f"{run.path}: integers must be the same at every level, not different; "
            f"`bitwright diff {run.path}` says where"
        )
    note(f"{run.path.name}: {verdict.levels['program'].accuracy:.2%}, exact at {', '.join(verdict.levels)}")


def finished(runs_dir: Path, seeds: Sequence[int], data_dir: Path | None) -> dict[str, list[RunFacts]]:
    """Return what the runs that were compared say, by experiment.

    Args:
        runs_dir: Where runs lie.
        seeds: That count.
        data_dir: Of the data sets.
    """
    found: dict[str, list[RunFacts]] = {}
    for config in ROWS:
        for seed in seeds:
            run = run_of(config, seed, runs_dir)
            if run.verification.is_file() and (run.path / EXPERIMENT).is_file():
                found.setdefault(config, []).append(facts(run, read(run.path / EXPERIMENT), data_dir))
    return found


def rows_of(text: str) -> dict[str, str]:
    r"""Return the rows of a page that have a figure, by experiment: runs that lie elsewhere, of an earlier day.

    >>> rows_of("| TFC | `mnist_tfc_w1a1` | 1, 1 | 95.87 | |\n| SFC | `mnist_sfc_w1a1` | 1, 1 |  | |")
    {'mnist_tfc_w1a1': '| TFC | `mnist_tfc_w1a1` | 1, 1 | 95.87 | |'}
    """
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = {line: [cell.strip() for cell in line.split("|")] for line in lines}
    return {part[2].strip("`"): line for line, part in cells.items() if part[2].strip("`") in ROWS and part[4]}


def page(
    found: Mapping[str, Sequence[RunFacts]],
    versions: Mapping[str, str],
    cpu: str,
    kept: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return docs/accuracy.md.

    Args:
        found: Runs by experiment; those that are missing are open rows.
        versions: Of the parts.
        cpu: That the page was made on.
        kept: Rows of an earlier page, for experiments without runs.
    """
    lines = [
        "<!-- Made by `make bench-accuracy`; do not edit. -->",
        "",
        "# Accuracy of the networks of the field",
        "",
        "Test accuracy in percent: the mean over the seeds and, of several, the standard deviation, of the integer",
        "program; beside it what others have published for the network at these widths. Integers are those of all",
        "outputs on the test set, compared with those of PyTorch at each further level. A row without a figure was not",
        "measured.",
        "",
        *table(found, kept),
        "",
        *(f"{number}. {text}." for number, text in enumerate(PUBLISHED_BY.values(), 1)),
        "",
        "The input of our networks has 8 bits where the experiment does not say otherwise. Each row is",
        "`python -m bitwright.cli.benchmark_accuracy EXPERIMENT`, of `configs/EXPERIMENT.toml`, where every setting",
        "stands.",
        f"Made with {', '.join(f'{part} {version}' for part, version in versions.items())}",
        f"on {cpu}.",
    ]
    return "\n".join(lines) + "\n"


def table(found: Mapping[str, Sequence[RunFacts]], kept: Mapping[str, str] = MappingProxyType({})) -> Iterator[str]:
    """Yield the lines of the table."""
    yield (
        "| network | experiment | weights, activations | accuracy | published | seeds | epochs | bits of weights | "
        "integers compared | different |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    places = {source: number for number, source in enumerate(PUBLISHED_BY, 1)}
    for config, row in ROWS.items():
        runs = found.get(config, ())
        if not runs and config in kept:
            yield kept[config]
            continue
        experiment = runs[0].experiment if runs else read(CONFIGS / f"{config}.toml")
        published = f"{row.published:.2f} [{places[row.source]}]" if row.published else ""
        network = f"{row.network}, with a teacher" if experiment.train.teacher else row.network
        yield f"| {network} | `{config}` | {_widths(experiment)} | {_reached(runs)} | {published} | {_rest(runs)} |"


def _widths(experiment: Experiment) -> str:
    recipe = experiment.recipe
    return f"{recipe.weight_bit_width}, {recipe.activation_bit_width}"


def _reached(runs: Sequence[RunFacts]) -> str:
    reached = [100 * each.accuracy for each in runs if each.accuracy is not None]
    if not reached:
        return ""
    return f"{statistics.fmean(reached):.2f}" + (f" ± {statistics.stdev(reached):.2f}" if len(reached) > 1 else "")


def _rest(runs: Sequence[RunFacts]) -> str:
    if not runs:
        return "| | | | "
    seeds = ", ".join(str(each.experiment.seed) for each in runs)
    levels = list(runs[0].levels)
    shared = [name for name in levels if all(name in each.levels for each in runs)]
    each_level = {name: sum(each.levels[name].compared for each in runs) for name in shared}
    numbers = "; ".join(
        f"{count:,} at each of {', '.join(name for name in shared if each_level[name] == count)}"
        for count in dict.fromkeys(each_level.values())
    )
    different = sum(level.different for each in runs for level in each.levels.values())
    bits = f"{runs[0].weight_bits:,}" if runs[0].weight_bits is not None else ""
    return f"{seeds} | {runs[0].experiment.train.epochs} | {bits} | {numbers} | {different}"


def main(arguments: Sequence[str]) -> None:
    """Measure what is not there yet, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", choices=[[], *ROWS], help=f"of {', '.join(ROWS)}; all, if left out")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument(
        "--write-only", action="store_true", help="train nothing: make the page of the runs that are there"
    )
    parser.add_argument(
        "--keep-rows",
        action="store_true",
        help="leave rows as the page has them where no run is there: measured before, of the same configs",
    )
    options = parser.parse_args(arguments)
    data_dir = data_folder(options.data_dir)
    if not options.write_only:
        for config in options.experiments or ROWS:
            for seed in options.seeds:
                measure(config, seed, options.runs_dir, data_dir)
    kept = rows_of(PAGE.read_text()) if options.keep_rows and PAGE.is_file() else {}
    write_text(PAGE, page(finished(options.runs_dir, options.seeds, data_dir), installed(), processor(), kept))
    note(f"{PAGE} written")


if __name__ == "__main__":
    main(sys.argv[1:])
