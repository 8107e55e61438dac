"""Measure calibration beside training on real data: `make bench-calibration`. Takes hours where nothing is there yet.

For each data set and seed: LeNet-5 in float (configs/*_lenet5_float.toml), calibrated to 8, 6 and 4 bits on 512 images,
and that of 4 bits trained on for a few epochs, of whose weights the moving average is kept. Each fixed-point network is
exported and lowered, and its integers at the levels torch, qonnx and program are compared on the whole test set. The
jets have only a sample at hand: the same on a part of it, the rest to score.

On Fashion-MNIST there is a third way: a larger float network teaches LeNet-5 in float, and again at 4 bits.
"""

import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bitwright.calibration.settings import CalibrationSettings
from bitwright.cli.benchmark_arguments import Parser, a_seed, ends_in_one_line, one_of, whole
from bitwright.cli.benchmark_origins import CONFIGS, trained
from bitwright.cli.compare_facts import facts
from bitwright.cli.console import note, out
from bitwright.cli.experiment import Experiment, changed, read
from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_calibrate import calibrate
from bitwright.cli.stage_export import export
from bitwright.cli.stage_hls import judge
from bitwright.cli.stage_train import train
from bitwright.models.dataset import data_folder, load_test

TEACHERS = {"fashion_lenet5_float": "fashion_lenet5_x3_float"}
"""Experiments of larger float networks, by those whose networks learn from them."""

IMAGES = ("mnist_lenet5_float", "fashion_lenet5_float")
TRAINED_ON = ("train.average_weights=0.999", 'train.keep="last"')
"""How a network is trained on."""

JETS_TRAINED_ON = 700
JETS_TRAINING = ("train.epochs=40", "train.batch_size=32")


@dataclass(frozen=True)
class Figure:
    """What one network reached.

    Args:
        data: Name of the data set.
        how: As "PTQ 8 bit".
        seed: Of the float network.
        accuracy: On the test set.
        loss: Points below the float network.
        compared: Integers, over the levels.
        different: Of them.
    """

    data: str
    how: str
    seed: int
    accuracy: float
    loss: float
    compared: int
    different: int


def figures(
    config: Path, seed: int, runs_dir: Path, data_dir: Path | None, epochs: int, overrides: Sequence[str] = ()
) -> Iterator[Figure]:
    """Train, calibrate and train on; yield what each network reached.

    Args:
        config: Of the float network.
        seed: Of everything.
        runs_dir: Where runs lie; what is there is not done again.
        data_dir: Of the data sets.
        epochs: Of training at 4 bits.
        overrides: Of the experiment.
    """
    experiment = read(config, [f"seed={seed}", f"name={config.stem}_s{seed}", *overrides])
    run = RunFolder(runs_dir / experiment.name)
    train(experiment, run, data_dir)
    reached = _measured(run, data_dir)
    yield Figure(experiment.data.name, "float", seed, reached, 0.0, 0, 0)
    for bits in (8, 6):
        widths = {"weight_bit_width": bits, "activation_bit_width": bits, "input_bit_width": 8}
        fixed = calibrate(run.path, runs_dir, data_dir, (), widths, CalibrationSettings(), None)
        yield _figure(read(fixed.path / "experiment.toml"), fixed, f"PTQ {bits} bit", seed, reached, data_dir)
    widths = {"weight_bit_width": 4, "activation_bit_width": 4, "input_bit_width": 8}
    start = calibrate(
        run.path,
        runs_dir,
        data_dir,
        ["recipe.weight_scale=per_channel"],
        widths,
        CalibrationSettings(rounding="learned", fold=False),
        f"{experiment.name}_ptq_w4a4",
    )
    begun = read(start.path / "experiment.toml")
    yield _figure(begun, start, "PTQ 4 bit, learned rounding, per channel", seed, reached, data_dir)
    settings = [f"name={experiment.name}_qat_w4a4", "train.learning_rate=0.0005", *TRAINED_ON]
    four, last = _trained_on(begun, start, epochs, settings, runs_dir, data_dir)
    yield _figure(four, last, f"the same, QAT of {epochs} epochs", seed, reached, data_dir)


def taught(
    config: Path, teacher: str, seed: int, runs_dir: Path, data_dir: Path | None, epochs: int
) -> Iterator[Figure]:
    """Train in float with a teacher, calibrate to 4 bits and train on with it; yield what each network reached.

    Args:
        config: Of the float network; the accuracy of its run without a teacher is what losses are counted from.
        teacher: Name of the teacher's experiment.
        seed: Of everything but the teacher.
        runs_dir: Where runs lie; what is there is not done again.
        data_dir: Of the data sets.
        epochs: Of training at 4 bits.
    """
    alone = trained(config.stem, seed, runs_dir, data_dir)
    reached = _measured(alone, data_dir)
    lessons = [
        f'train.teacher="{trained(teacher, None, runs_dir, data_dir).checkpoint}"',
        "train.distillation_weight=0.9",
        "train.distillation_temperature=1.0",
        *TRAINED_ON,
    ]
    experiment = read(config, [f"seed={seed}", f"name={config.stem}_taught_s{seed}", "train.epochs=30", *lessons])
    run = RunFolder(runs_dir / experiment.name)
    train(experiment, run, data_dir)
    accuracy = _measured(run, data_dir)
    name = experiment.data.name
    yield Figure(name, "float, with a teacher", seed, accuracy, 100 * (reached - accuracy), 0, 0)
    widths = {"weight_bit_width": 4, "activation_bit_width": 4, "input_bit_width": 8}
    settings = CalibrationSettings(rounding="learned", fold=False)
    start = calibrate(run.path, runs_dir, data_dir, ["recipe.weight_scale=per_channel"], widths, settings, None)
    begun = read(start.path / "experiment.toml")
    yield _figure(begun, start, "that, PTQ 4 bit, learned rounding, per channel", seed, reached, data_dir)
    changes = [f"name={experiment.name}_qat_w4a4", "train.learning_rate=0.001", "train.learn_scales=false", *lessons]
    four, last = _trained_on(begun, start, epochs, changes, runs_dir, data_dir)
    yield _figure(four, last, f"that, QAT of {epochs} epochs with the teacher", seed, reached, data_dir)


def _trained_on(
    begun: Experiment,
    start: RunFolder,
    epochs: int,
    settings: Sequence[str],
    runs_dir: Path,
    data_dir: Path | None,
) -> tuple[Experiment, RunFolder]:
    experiment = changed(begun, [f"train.epochs={epochs}", f'train.start_from="{start.checkpoint}"', *settings])
    run = RunFolder(runs_dir / experiment.name)
    train(experiment, run, data_dir)
    return experiment, run


def _measured(run: RunFolder, data_dir: Path | None) -> float:
    """Return the accuracy on test of a float network."""
    accuracy = facts(run, read(run.path / "experiment.toml"), data_dir).accuracy
    assert accuracy is not None
    return accuracy


def _figure(
    experiment: Experiment, run: RunFolder, how: str, seed: int, reached: float, data_dir: Path | None
) -> Figure:
    export(experiment, run, data_dir)
    verdict = judge(run)
    accuracy = verdict.levels["program"].accuracy
    assert accuracy is not None
    compared = sum(level.compared for level in verdict.levels.values())
    different = sum(level.different for level in verdict.levels.values())
    return Figure(experiment.data.name, how, seed, accuracy, 100 * (reached - accuracy), compared, different)


def jets(folder: Path, data_dir: Path | None) -> None:
    """Write a set of jets to train on from the sample of test rows, drawn with seed 1."""
    sample = load_test("jets", data_dir, download=False)
    order = np.random.default_rng(1).permutation(len(sample))
    first, rest = sample.take(order[:JETS_TRAINED_ON]), sample.take(order[JETS_TRAINED_ON:])
    (folder / "jets").mkdir()
    np.savez(
        folder / "jets" / "lhc_jets_hlf.npz",
        X_train=first.inputs,
        y_train=first.labels,
        X_test=rest.inputs,
        y_test=rest.labels,
    )


def table(found: Sequence[Figure]) -> Iterator[str]:
    """Yield the lines of a Markdown table: mean and spread over the seeds."""
    yield "| data | network | test accuracy, % | below float, points | integers compared | different |"
    yield "|---|---|---|---|---|---|"
    for data, how in dict.fromkeys((each.data, each.how) for each in found):
        rows = [each for each in found if (each.data, each.how) == (data, how)]
        reached = [100 * each.accuracy for each in rows]
        spread = f" ± {statistics.stdev(reached):.2f}" if len(rows) > 1 else ""
        loss = statistics.fmean(each.loss for each in rows)
        yield (
            f"| {data} | {how} | {statistics.fmean(reached):.2f}{spread} | {loss:.2f} | "
            f"{sum(each.compared for each in rows):,} | {sum(each.different for each in rows)} |"
        )


def _rows(config: Path, seed: int, runs_dir: Path, data_dir: Path | None, epochs: int, rows: str) -> Iterator[Figure]:
    if rows != "taught":
        yield from figures(config, seed, runs_dir, data_dir, epochs)
    if rows != "plain" and config.stem in TEACHERS:
        yield from taught(config, TEACHERS[config.stem], seed, runs_dir, data_dir, epochs)


@ends_in_one_line
def main(arguments: Sequence[str]) -> int:
    """Measure and print the table."""
    parser = Parser(__file__, __doc__)
    parser.add_argument("--seeds", type=a_seed, nargs="+", default=[1, 2, 3])
    parser.add_argument("--configs", nargs="*", default=list(IMAGES), help="of configs/")
    parser.add_argument("--epochs", type=whole(1), default=10, help="of training at 4 bits")
    rows = ("all", "plain", "taught")
    parser.add_argument(
        "--rows", type=one_of(rows), default="all", help="plain, without a teacher; taught, with one; or all"
    )
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--jets", action="store_true", help="the sample of the jets, too")
    options = parser.read(arguments)
    configs = [CONFIGS / f"{name}.toml" for name in options.configs]
    for config in configs:
        read(config)  # what is not there is refused before anything is trained
    found: list[Figure] = []
    for config in configs:
        for seed in options.seeds:
            given = (config, seed, options.runs_dir, options.data_dir, options.epochs)
            for figure in _rows(*given, options.rows):
                note(f"{figure.data}, seed {seed}, {figure.how}: {figure.accuracy:.2%}, {figure.different} different")
                found.append(figure)
    if options.jets:
        with tempfile.TemporaryDirectory(prefix="bitwright-jets-") as scratch:
            jets(Path(scratch), data_folder(options.data_dir))
            for seed in options.seeds:
                runs = Path(scratch) / "runs"
                config = CONFIGS / "jets_mlp_float.toml"
                found += figures(config, seed, runs, Path(scratch), options.epochs, JETS_TRAINING)
    for line in table(found):
        out.print(line, markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
