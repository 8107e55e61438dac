"""Measure the networks of the field on their data: `make bench-accuracy`. Days without a GPU, if nothing is there yet.

Every network of `ROWS` is trained with each seed (configs/<name>.toml), exported, lowered and simulated in C, and
docs/accuracy.md is written from the runs' verdicts, with the published figures beside. What was trained is not trained
again. --write-only makes the page of the runs that are there.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bitwright.cli.benchmark_accuracy_page import ROWS, curves_of, page, rows_of
from bitwright.cli.benchmark_arguments import Parser, a_seed, ends_in_one_line, one_of
from bitwright.cli.benchmark_origins import prepared
from bitwright.cli.compare_facts import RunFacts, facts
from bitwright.cli.console import note
from bitwright.cli.experiment import changed, read
from bitwright.cli.run_folder import EXPERIMENT, RunFolder, write_text
from bitwright.cli.stage_export import export
from bitwright.cli.stage_hls import hls
from bitwright.cli.stage_train import train
from bitwright.cli.versions import installed
from bitwright.models.dataset import data_folder
from bitwright.models.hardware import processor

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "accuracy.md"


def run_of(config: str, seed: int, runs_dir: Path) -> RunFolder:
    """Return the folder of a network that was trained with a seed.

    >>> run_of("mnist_tfc_w1a1", 2, Path("runs")).path.name
    'mnist_tfc_w1a1_s2'
    """
    return RunFolder(runs_dir / f"{config}_s{seed}")


def measure(config: str, seed: int, runs_dir: Path, data_dir: Path | None, overrides: Sequence[str] = ()) -> None:
    """Train a network, what it names first, export and lower it, simulate it in C; do nothing of it that is done.

    Args:
        config: Name of the experiment.
        seed: Of everything.
        runs_dir: Where runs lie.
        data_dir: Of the data sets.
        overrides: Of the experiment: fewer epochs, say. The page names them.

    Raises:
        ValueError: If an integer differs between two levels, or a stage refuses something.
        OSError: If a file cannot be read or written.
    """
    run = run_of(config, seed, runs_dir)
    experiment = changed(prepared(config, seed, run.path.name, runs_dir, data_dir), overrides)
    train(experiment, run, data_dir)
    export(experiment, run, data_dir)
    verdict = hls(experiment, run, csim_inputs=ROWS[config].csim_inputs)
    if not verdict.exact:
        raise ValueError(
            f"{run.path}: integers must be the same at every level, not different; "
            f"`bitwright diff {run.path}` says where"
        )
    note(f"{run.path.name}: {verdict.levels['program'].accuracy:.2%}, exact at {', '.join(verdict.levels)}")


def finished(
    runs_dir: Path, seeds: Sequence[int], data_dir: Path | None, configs: Iterable[str] = ROWS
) -> dict[str, list[RunFacts]]:
    """Return what the runs that were compared say, by experiment.

    Args:
        runs_dir: Where runs lie.
        seeds: That count.
        data_dir: Of the data sets.
        configs: Experiments that count.
    """
    found: dict[str, list[RunFacts]] = {}
    for config in configs:
        for seed in seeds:
            run = run_of(config, seed, runs_dir)
            if run.verification.is_file() and (run.path / EXPERIMENT).is_file():
                told = facts(run, read(run.path / EXPERIMENT), data_dir)
                if told.accuracy is None or not told.levels:
                    note(f"{run.path}: not counted: {'; '.join(told.notes)}")
                    continue
                found.setdefault(config, []).append(told)
    return found


@ends_in_one_line
def main(arguments: Sequence[str]) -> int:
    """Measure what is not there yet, and write the page; return the exit status."""
    parser = Parser(__file__, __doc__)
    parser.add_argument(
        "experiments",
        nargs="*",
        type=one_of(ROWS),
        metavar="EXPERIMENT",
        help=f"of {', '.join(ROWS)}; all, if left out",
    )
    parser.add_argument("--seeds", type=a_seed, nargs="+", default=[1, 2, 3])
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument(
        "--write-only", action="store_true", help="train nothing: make the page of the runs that are there"
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="leave rows empty that are not named or have no run; else they stay as the page has them",
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of the trainings, such as train.epochs=12; the page names it",
    )
    _measure_and_write(parser.read(arguments))
    return 0


def _measure_and_write(options: argparse.Namespace) -> None:
    for override in options.overrides:
        if not override.startswith("train.") or options.write_only:
            wanted = "left out with --write-only" if options.write_only else "of a training, as train.epochs=12"
            raise ValueError(f"--set: setting must be {wanted}, not {override}; change configs/ for others")
    data_dir = data_folder(options.data_dir)
    if not options.write_only:
        for config in options.experiments or ROWS:
            for seed in options.seeds:
                measure(config, seed, options.runs_dir, data_dir, options.overrides)
    earlier = PAGE.read_text() if PAGE.is_file() and not options.fresh else ""
    found = finished(options.runs_dir, options.seeds, data_dir, options.experiments or ROWS)
    write_text(PAGE, page(found, installed(), processor(), rows_of(earlier), curves_of(earlier)))
    note(f"{PAGE} written")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
