"""The stage `train`: from an experiment to a checkpoint."""

import shutil
import time
import tomllib
from pathlib import Path

import numpy as np
import tomli_w

from bitwright.cli.console import err, note
from bitwright.cli.experiment import Experiment
from bitwright.cli.processes import check_processes, has_text, is_first_process, wait_for_first
from bitwright.cli.run_folder import EXPERIMENT, RunFolder, digest, write_text
from bitwright.cli.versions import installed

KEY = "training/key"


def train(experiment: Experiment, run: RunFolder, data_dir: Path | None) -> None:
    """Train the experiment's network; do nothing if that was done, go on if it was interrupted.

    A finished training of other settings in the same folder is kept, under ``previous/``.

    Raises:
        ValueError: If data, network or processes are refused, or the training diverges.
        OSError: If the folder cannot be written, or the data cannot be had.
    """
    run.check_place()
    first = is_first_process(experiment.train)
    if first:
        run.lock()
    key = training_key(experiment, run)
    finished = [run.checkpoint, run.metrics]
    marker, unfinished = run.path / KEY, run.path / "training" / "resume.ckpt"
    whole = all(path.exists() for path in (*finished, marker)) and not unfinished.exists()
    if whole and has_text(marker, key) and not run.is_current("train", key):  # killed between its last two steps
        if not first:
            return
        run.finish("train", key, 0.0, (), **_origins(experiment, run))
    if run.is_current("train", key, present=finished):
        if first:
            store_experiment(experiment, run)  # its other sections may have changed
            note(f"train: {run.checkpoint} is up to date")
        return
    check_processes(experiment.train)
    started = time.monotonic()
    # torch and Lightning take seconds to import: not before it is clear that they are needed
    from bitwright.models import dataset  # noqa: PLC0415
    from bitwright.models.checkpoint import NetworkDescription, load, start_from  # noqa: PLC0415
    from bitwright.models.distillation import load_teacher  # noqa: PLC0415
    from bitwright.models.figure import figure_of, in_words, measured, name_in_words  # noqa: PLC0415
    from bitwright.models.pruning import zeros_of  # noqa: PLC0415
    from bitwright.models.training import train as fit  # noqa: PLC0415

    if not first:  # it brings the data, too
        wait_for_first(marker, key)
    data = dataset.load(experiment.data.name, data_dir, validation=experiment.data.validation_fraction, console=err)
    description = NetworkDescription(
        experiment.model, experiment.recipe, tuple(data.train.inputs.shape[1:]), len(data.classes)
    )
    network = description.build()  # what cannot be built, or started from, is refused before anything is set aside
    if experiment.train.start_from:
        anew = start_from(Path(experiment.train.start_from), network)
        if anew and first:
            note(f"train: weights that {experiment.train.start_from} does not have begin anew: {', '.join(anew)}")
    if experiment.train.keep_zeros:
        zeros_of(Path(experiment.train.start_from), network)
    if experiment.train.teacher:
        load_teacher(experiment.train, description)
        _check_teacher_data(experiment)
    run.create()
    if first:
        run.lock()
        set_aside(run, key)
        store_experiment(experiment, run)
    metrics = fit(
        description, experiment.train, data, experiment.seed, run.path, report=None if err.is_terminal else note
    )
    if not first:
        return
    # Imported late for the same reason
    from bitwright.export.torch_level import run_torch  # noqa: PLC0415

    network, _ = load(run.checkpoint, description)
    outputs = run_torch(network, data.test.inputs.astype(np.float32) * np.float32(data.input_scale))
    figure = figure_of(experiment.model.kind)
    validation = in_words(figure, metrics[f"validation_{figure}"])
    test = in_words(figure, measured(experiment.model.kind, outputs, data.test, data.input_scale))
    note(
        f"train: best of {metrics['epochs']} epochs is {metrics['best_epoch'] + 1}; {name_in_words(figure)} "
        f"{validation} on validation, {test} on test"
    )
    run.finish("train", key, time.monotonic() - started, (), **_origins(experiment, run))


def training_finished(experiment: Experiment, run: RunFolder) -> None:
    """Note that the checkpoint in the run's folder is this experiment's: `train` has nothing to do."""
    key = training_key(experiment, run)
    write_text(run.path / KEY, key)
    run.finish("train", key, 0.0, (), **_origins(experiment, run))


def is_new(experiment: Experiment, run: RunFolder) -> bool:
    """Return whether no training of these settings was begun in the run's folder."""
    return not has_text(run.path / KEY, training_key(experiment, run))


def training_key(experiment: Experiment, run: RunFolder) -> str:
    """Return a digest of all settings that the weights of a run depend on, as far as they are not the defaults.

    A key that a later version adds, with a default that is what was done before, leaves finished trainings as they are.

    Raises:
        FileNotFoundError: If a checkpoint to start or to learn from is gone, and the run is not finished.
        IsADirectoryError: If a folder is named instead of one.
        ValueError: If it is the run's own.
    """
    parts = [experiment.data, experiment.model, experiment.recipe.without_reasons()]
    training = experiment.train.model_copy(update={"logger": "csv"})
    began = [origin for origin in _origins(experiment, run).values() if origin]
    return digest(
        str(experiment.seed), *(part.model_dump_json(exclude_defaults=True) for part in (*parts, training)), *began
    )


def _origins(experiment: Experiment, run: RunFolder) -> dict[str, str]:
    """Return the digests of the checkpoints that a training starts from and learns from; none where it has none."""
    train = experiment.train
    return {"start": _origin("start_from", train.start_from, run), "teacher": _origin("teacher", train.teacher, run)}


def _origin(key: str, named: str, run: RunFolder) -> str:
    """Return the digest of another run's checkpoint; where a training is finished, though the file be gone."""
    if not named:
        return ""
    path = Path(named)
    if path.resolve() == run.checkpoint.resolve():
        raise ValueError(
            f"train.{key}: checkpoint must be of another run, not {named!r} itself; give the new one a name of its "
            "own with --set name=..."
        )
    if path.is_dir():
        own = RunFolder(path).checkpoint
        raise IsADirectoryError(
            f"train.{key}: checkpoint must be a file, not the folder {named!r}; name "
            f"{own if own.is_file() else f'the {own.name} of a trained run'}"
        )
    if path.is_file():
        return digest(path)
    known = run.stamp_value("train", "start" if key == "start_from" else key)
    if not known:
        raise FileNotFoundError(
            f"train.{key}: checkpoint must be an existing file, not {named!r}; train that network first"
        )
    return known


def _check_teacher_data(experiment: Experiment) -> None:
    """Refuse a teacher whose run says that it learned from other data; one that lies in no run says nothing.

    Raises:
        ValueError: Naming both.
    """
    try:
        told = tomllib.loads((Path(experiment.train.teacher).parent / EXPERIMENT).read_text())
        theirs = told["data"]["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if theirs != experiment.data.name:
        raise ValueError(
            f"train.teacher: network must have learned from data.name = {experiment.data.name!r} as this one, not from "
            f"{theirs!r}; name the checkpoint of another run"
        )


def store_experiment(experiment: Experiment, run: RunFolder) -> None:
    """Write the resolved experiment into the run's folder."""
    versions = ", ".join(f"{part} {version}" for part, version in installed().items())
    settings = experiment.model_dump(exclude_none=True)
    settings["model"]["hidden"] = list(experiment.model.hidden)
    text = f"# Every setting of this run, defaults filled in.\n# {versions}\n\n{tomli_w.dumps(settings)}"
    path = run.path / EXPERIMENT
    if not path.exists() or path.read_text() != text:
        write_text(path, text)


def set_aside(run: RunFolder, key: str) -> None:
    """Move a finished training of other settings out of the way, and drop an unfinished one.

    Args:
        run: Where it may lie.
        key: Of the training that is to come.
    """
    marker = run.path / KEY
    if has_text(marker, key):
        return
    shutil.rmtree(marker.parent, ignore_errors=True)
    if run.checkpoint.exists():
        previous = run.path / "previous"
        number = 1 + max((int(path.name) for path in previous.glob("*") if path.name.isdecimal()), default=0)
        kept = previous / str(number)
        kept.mkdir(parents=True)
        for path in (run.checkpoint, run.metrics, run.path / EXPERIMENT):
            if path.exists():
                shutil.move(path, kept / path.name)
        note(f"{run.path}: the checkpoint there was not of these settings; it lies in {kept}")
    run.verification.unlink(missing_ok=True)
    run.metrics.unlink(missing_ok=True)
    write_text(marker, key)
