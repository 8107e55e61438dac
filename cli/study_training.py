"""Studies by training: the same network, data and seeds, and one setting that varies."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.table import Table

from bitwright.calibration.evaluate import scores
from bitwright.cli.console import err, out
from bitwright.cli.experiment import Experiment, changed, override_key
from bitwright.cli.named_run import refuse_autoencoder, resolve
from bitwright.cli.run_folder import STUDY, RunFolder, digest, write_text
from bitwright.cli.stage_train import train
from bitwright.cli.study_chart import variants_chart
from bitwright.cli.study_store import Result, Setting, Store
from bitwright.models import dataset
from bitwright.models.batches import accuracy
from bitwright.models.checkpoint import load
from bitwright.models.dataset import DataSet

ALONE = ("train.devices", "train.nodes")
"""Keys that are 1 in a study: each training is one process."""


@dataclass(frozen=True)
class TrainingPlan:
    """How to train each variant.

    Args:
        epochs: Of each training.
        seeds: Each variant is trained once with each.
    """

    epochs: int
    seeds: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class TrainingSource:
    """The experiment whose setting varies.

    Args:
        experiment: Its settings.
        run: Its folder, in which studies lie.
        data_dir: Of the data sets.
    """

    experiment: Experiment
    run: RunFolder
    data_dir: Path | None

    @property
    def folder(self) -> Path:
        """Where studies lie."""
        return self.run.path / STUDY

    @cached_property
    def data(self) -> DataSet:
        """The data set."""
        data = self.experiment.data
        return dataset.load(data.name, self.data_dir, validation=data.validation_fraction, console=err)

    def store(self, study: str) -> Store:
        """Open what a study has found so far; points of another data set or other files to start from are dropped."""
        files = [Path(name) for name in (self.experiment.train.start_from, self.experiment.train.teacher) if name]
        data = self.experiment.data.model_dump_json()
        return Store(self.folder / f"{study}.json", digest(data, *(path for path in files if path.is_file())))

    def trained_accuracy(self, experiment: Experiment) -> float:
        """Train a variant, or go on where that was interrupted; return its accuracy on the test set."""
        run = RunFolder(self.folder / experiment.name)
        train(experiment, run, self.data_dir)
        network, _ = load(run.checkpoint)
        return accuracy(scores(network, self.data.test, self.data.input_scale), self.data.test.labels)


def open_training(
    source: Path, runs_dir: Path, data_dir: Path | None, overrides: Iterable[str], varied: str
) -> TrainingSource:
    """Find an experiment, and keep other studies of it waiting.

    Args:
        source: The experiment's file, or the folder of a run.
        runs_dir: Where runs lie.
        data_dir: Of the data sets.
        overrides: As `experiment.read` takes them.
        varied: Key that the study itself sets.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If the experiment is refused, an override says what the study says, or another study is under way.
    """
    overrides = tuple(overrides)
    for key in map(override_key, overrides):
        if key in ALONE:
            raise ValueError(
                f"--set: key must be one that the study does not set itself, not {key!r}; each training takes one"
            )
        if key in (varied, "train.epochs", "seed"):
            raise ValueError(
                f"--set: key must be another than {varied}, train.epochs and seed, not {key!r}; the study varies the "
                "first, and --epochs and --seeds are options"
            )
    experiment, run = resolve(source, runs_dir, overrides)
    refuse_autoencoder(source, experiment, "a study", "train each variant, and see `bitwright compare`")
    return TrainingSource(experiment, run, data_dir)


def compare(source: TrainingSource, plan: TrainingPlan, study: str, key: str, values: Sequence[str]) -> None:
    """Train the experiment with each value of a key; write the figures, the table and the plot, and print them.

    Args:
        source: The experiment.
        plan: How to train it.
        study: Names the files.
        key: Of the experiment, as in ``recipe.sign_gradient``.
        values: That it takes in turn.

    Raises:
        ValueError: If a network cannot be trained, or another study of the experiment is under way.
        OSError: If a file cannot be read or written.
    """
    variants = {
        (value, seed): _variant(source.experiment, plan, study, key, value, seed)
        for seed in plan.seeds  # outside: one seed of every variant is the first thing to look at
        for value in values
    }
    source.folder.mkdir(parents=True, exist_ok=True)
    RunFolder(source.folder).lock()
    store = source.store(study)
    settings = [_setting(value, seed, experiment) for (value, seed), experiment in variants.items()]

    def compute(setting: Setting) -> Result:
        return {"accuracy": source.trained_accuracy(variants[setting["value"], setting["seed"]])}

    found = store.results(settings, compute, _words)
    points = {
        value: [float(result["accuracy"]) for (name, _), result in zip(variants, found, strict=True) if name == value]
        for value in values
    }
    column = key.rpartition(".")[2]
    rows = [{column: value, **_row(accuracies)} for value, accuracies in points.items()]
    store.finish(asdict(plan), {"": rows})
    figures = {row[column]: (row["accuracy"], row["standard_deviation"]) for row in rows}
    variants_chart(store.path.with_suffix(".svg"), figures, label=column)
    _show(store.path.with_suffix(""), plan, column, figures)


def _variant(base: Experiment, plan: TrainingPlan, study: str, key: str, value: str, seed: int) -> Experiment:
    """Return the experiment of one training: `bitwright train` with it gives the same network."""
    name = f"{study}_{value}_s{seed}"
    alone = [f"{each}=1" for each in ALONE]  # several would start this whole command once more each
    return changed(base, [f"{key}={value}", f"seed={seed}", f"name={name}", f"train.epochs={plan.epochs}", *alone])


def _setting(value: str, seed: int, experiment: Experiment) -> Setting:
    return {
        "value": value,
        "seed": seed,
        "model": experiment.model.model_dump(exclude_defaults=True),
        "recipe": experiment.recipe.without_reasons().model_dump(exclude_defaults=True),
        "train": experiment.train.model_dump(exclude_defaults=True, exclude={"logger"}),
    }


def _words(setting: Setting, result: Result) -> str:
    return f"{setting['value']}, seed {setting['seed']}: {result['accuracy']:.2%}"


def _row(accuracies: Sequence[float]) -> dict[str, Any]:
    return {
        "accuracy": statistics.fmean(accuracies),
        "standard_deviation": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        "lowest": min(accuracies),
        "highest": max(accuracies),
        "seeds": len(accuracies),
    }


def _show(where: Path, plan: TrainingPlan, column: str, figures: Mapping[str, tuple[float, float | None]]) -> None:
    seeds = f"seed {plan.seeds[0]}" if len(plan.seeds) == 1 else f"{len(plan.seeds)} seeds"
    epochs = "1 epoch" if plan.epochs == 1 else f"{plan.epochs} epochs"
    table = Table(title=f"accuracy on test; {seeds}, {epochs}")
    table.add_column(column)
    table.add_column("accuracy", justify="right")
    cells = {value: _cell(*figure) for value, figure in figures.items()}
    for value, cell in cells.items():
        table.add_row(value, cell)
    out.print(table)
    lines = [f"| {column} | accuracy on test; {seeds}, {epochs} |", "|---|---|"]
    lines += [f"| `{value}` | {cell} |" for value, cell in cells.items()]
    write_text(where.with_suffix(".md"), "\n".join(lines) + "\n")
    out.print(f"written  {where}.json, .csv, .md and .svg", markup=False)


def _cell(mean: float, deviation: float | None) -> str:
    return f"{mean:.2%}" if deviation is None else f"{mean:.2%} ± {100 * deviation:.2f}"
