"""The command `prune`: from a trained run to a smaller or sparser one."""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitwright.cli.console import err, note
from bitwright.cli.experiment import Experiment, changed, named, override_key
from bitwright.cli.processes import check_own_processes, is_first_process
from bitwright.cli.prune_figures import figures, show
from bitwright.cli.run_folder import PRUNING, RunFolder, digest, write_text
from bitwright.cli.stage_calibrate import FloatRun, read_float, use_threads
from bitwright.cli.stage_train import set_aside, store_experiment, train, training_finished, training_key
from bitwright.cli.versions import installed
from bitwright.models.pruning_settings import PruningSettings

if TYPE_CHECKING:
    from bitwright.models.dataset import DataSet

START = "pruned.safetensors"
OURS = ("train.start_from", "train.keep_zeros")


def prune(
    source: Path,
    runs_dir: Path,
    data_dir: Path | None,
    overrides: Iterable[str],
    settings: PruningSettings,
    epochs: int | None,
    name: str | None,
) -> RunFolder:
    """Prune a trained network, train what is left, and write it as a run of its own.

    Args:
        source: Of the network.
        runs_dir: Where runs lie.
        data_dir: Of the data sets.
        overrides: As `experiment.read` takes them; of the training and the project.
        settings: What goes.
        epochs: To train further; 0: not at all, None: a third of the run's.
        name: Of the new run.

    Raises:
        ValueError: If the network cannot be pruned so, or something else is refused.
        OSError: If a file cannot be read or written.
    """
    original = read_float(source, runs_dir, ())
    experiment = _experiment(original.experiment, overrides, epochs, name)
    check_own_processes(experiment.train, "prune")
    run = RunFolder(runs_dir / experiment.name)
    if run.path.resolve() == original.checkpoint.parent.resolve():
        raise ValueError(
            f"--name: run must be another than the one that is pruned, not {experiment.name}; choose another name"
        )
    start, report = run.path / START, run.path / PRUNING
    parts = (repr(settings), experiment.data.model_dump_json(), experiment.hls.model_dump_json(), str(installed()))
    key = digest(original.checkpoint, *parts)
    if is_first_process(experiment.train):
        run.lock()
        if run.is_current("prune", key, unchanged=[start, report]):
            note(f"prune: {start} is up to date")
        else:
            _prune(original, experiment, settings, run, data_dir)
            run.finish("prune", key, 0.0, unchanged=[start, report])
    model = experiment.model.model_copy(update={"widths": json.loads(report.read_text())["widths"]})
    experiment = experiment.model_copy(update={"model": model})
    if epochs == 0:
        if is_first_process(experiment.train):
            _take(experiment, run)
    else:
        zeros = json.loads(report.read_text())["keep_zeros"]
        training = experiment.train.model_copy(update={"start_from": str(start), "keep_zeros": zeros})
        experiment = experiment.model_copy(update={"train": training})
        train(experiment, run, data_dir)
    if is_first_process(experiment.train):
        result = digest(run.checkpoint)
        if run.stamp_value("prune", "result") != result:
            _measure(experiment, run, data_dir, trained=epochs != 0)
            run.finish("prune", key, 0.0, unchanged=[start, report], result=result)
        show(run, json.loads(report.read_text()))
    return run


def _experiment(original: Experiment, overrides: Iterable[str], epochs: int | None, name: str | None) -> Experiment:
    """Return the settings of the new run, but for what only the pruned network tells."""
    overrides = list(overrides)
    for override in overrides:
        key = override_key(override)
        if key in OURS or key.partition(".")[0] not in ("train", "hls", "seed"):
            raise ValueError(
                f"--set: key must be seed, or of train or hls and not one that pruning sets, not {key!r}; the network "
                "and its data are those of the run"
            )
        if key == "train.epochs" and epochs is not None:
            raise ValueError(
                f"--set: train.epochs must be left out with --epochs {epochs}, not said twice, as {override!r}; leave "
                "one out"
            )
    training = original.train.model_copy(
        update={
            "epochs": max(1, round(original.train.epochs / 3)),
            "float_weights_share": 0.0,  # the weights are quantised already
            "start_from": "",
            "keep_zeros": False,
        }
    )
    experiment = changed(original.model_copy(update={"train": training}), overrides)
    if epochs:
        experiment = changed(experiment, [f"train.epochs={epochs}"])
    return named(experiment, f"{original.name}_pruned" if name is None else name)


def _prune(
    original: FloatRun, experiment: Experiment, settings: PruningSettings, run: RunFolder, data_dir: Path | None
) -> None:
    """Write the pruned checkpoint, and the figures of the network before and after."""
    # Imported late: torch takes seconds
    from bitwright.models.channel_pruning import prune_channels  # noqa: PLC0415
    from bitwright.models.checkpoint import NetworkDescription, load, save  # noqa: PLC0415
    from bitwright.models.pruning import has_zeros, prune_weights  # noqa: PLC0415

    use_threads(experiment)
    data = _data(experiment, data_dir)
    expected = NetworkDescription(
        experiment.model, experiment.recipe, tuple(data.train.inputs.shape[1:]), len(data.classes)
    )
    network, description = load(original.checkpoint, expected)
    pruned, smaller = load(original.checkpoint, expected)
    if settings.structure == "channels":
        pruned, smaller = prune_channels(network, description, settings)
    else:
        prune_weights(pruned, settings)
    report = {
        "source": original.experiment.name,
        "settings": asdict(settings),
        "widths": dict(smaller.model.widths),
        "keep_zeros": has_zeros(pruned) and (settings.structure != "channels" or _keeps_zeros(original)),
        "before": figures(network, description, data, experiment.hls),
        "pruned": figures(pruned, smaller, data, None),
    }
    run.create()
    run.lock()
    run.forget("prune")
    save(run.path / START, pruned, smaller)
    _write(run, report)


def _keeps_zeros(original: FloatRun) -> bool:
    """Return whether zeros of the network are there to stay: it was trained, or just pruned, so."""
    if original.experiment.train.keep_zeros:
        return True
    try:
        return bool(json.loads((original.checkpoint.parent / PRUNING).read_text())["keep_zeros"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _take(experiment: Experiment, run: RunFolder) -> None:
    """Make the pruned checkpoint the run's own, without training."""
    start = run.path / START
    fields = type(experiment.train).model_fields
    alone = {name: fields[name].default for name in fields if name == "teacher" or name.startswith("distillation_")}
    training = experiment.train.model_copy(update=alone)
    experiment = experiment.model_copy(update={"train": training})
    key = training_key(experiment, run)
    present = [run.checkpoint, run.metrics]
    if run.is_current("train", key, present=present) and digest(run.checkpoint) == digest(start):
        store_experiment(experiment, run)
        return
    run.forget("train")
    set_aside(run, key)
    run.verification.unlink(missing_ok=True)
    partial = run.path / f".{run.checkpoint.name}.partial"
    partial.write_bytes(start.read_bytes())
    partial.replace(run.checkpoint)
    from bitwright.models.figure import figure_of  # noqa: PLC0415 - torch takes seconds

    figure = figure_of(experiment.model.kind)
    value = json.loads((run.path / PRUNING).read_text())["pruned"][figure]["validation"]
    metrics = {"epochs": 0, "best_epoch": 0, f"validation_{figure}": value, "seconds": 0.0, "history": []}
    write_text(run.metrics, json.dumps(metrics, indent=2) + "\n")
    store_experiment(experiment, run)
    training_finished(experiment, run)


def _measure(experiment: Experiment, run: RunFolder, data_dir: Path | None, *, trained: bool) -> None:
    """Add the figures of the run's network to its report."""
    from bitwright.models.checkpoint import load  # noqa: PLC0415 - torch takes seconds

    started = time.monotonic()
    network, description = load(run.checkpoint)
    report = json.loads((run.path / PRUNING).read_text())
    found = figures(network, description, _data(experiment, data_dir), experiment.hls)
    report.pop("retrained", None)
    _write(run, report | {"retrained" if trained else "pruned": found})
    note(f"prune: measured in {time.monotonic() - started:.0f} s")


def _write(run: RunFolder, report: Mapping[str, Any]) -> None:
    write_text(run.path / PRUNING, json.dumps(report, indent=2) + "\n")


def _data(experiment: Experiment, data_dir: Path | None) -> "DataSet":
    from bitwright.models import dataset  # noqa: PLC0415 - reading data needs scikit-learn, which takes a second

    return dataset.load(experiment.data.name, data_dir, validation=experiment.data.validation_fraction, console=err)
