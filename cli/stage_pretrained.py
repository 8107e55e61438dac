"""The networks that come with the package: unpacked into a run, listed, and made from one."""

import json
import tempfile
from pathlib import Path

from bitwright.cli.console import note
from bitwright.cli.experiment import Experiment
from bitwright.cli.experiment import read as read_experiment
from bitwright.cli.run_folder import EXPERIMENT, RunFolder, digest, write_text
from bitwright.cli.stage_train import store_experiment, training_finished
from bitwright.models.autoencoder_settings import AUTOENCODER
from bitwright.models.pretrained_file import FOLDER, PREFIX, SUFFIX, read

ORIGIN = "pretrained.json"

MOST_BYTES = 300_000
"""Of one file: the package stays small."""


def unpack(run: RunFolder) -> Experiment:
    """Write the run of a network of the package, named as its folder, unless it is there; return its experiment.

    Raises:
        ValueError: If no network has the name, or the folder holds a run of the user's own.
        OSError: If the folder cannot be written.
    """
    name = run.path.name
    pretrained = read(name)
    experiment = Experiment.model_validate({**pretrained.experiment, "name": name})
    marker = run.path / ORIGIN
    if not _is_free(run):
        if not run.checkpoint.exists() or _unpacked(marker) != digest(run.checkpoint):
            raise ValueError(
                f"{run.path}: folder must be free for {PREFIX}{name}, not hold a run of another origin; give "
                f"--runs-dir another folder, or {run.path} for that run"
            )
        if run.metrics.exists():
            return experiment
    run.create()
    run.lock()
    if not run.checkpoint.exists():
        partial = run.path / f".{run.checkpoint.name}.unpacked"
        pretrained.save_checkpoint(partial)
        origin = {"name": name, "accuracy": dict(pretrained.accuracy), "checkpoint": digest(partial)}
        write_text(marker, json.dumps(origin, indent=2) + "\n")
        partial.replace(run.checkpoint)
    validation = pretrained.accuracy["validation"]
    metrics = {"epochs": 0, "best_epoch": 0, "validation_accuracy": validation, "seconds": 0.0, "history": []}
    store_experiment(experiment, run)
    training_finished(experiment, run)
    write_text(run.metrics, json.dumps(metrics, indent=2) + "\n")
    note(f"{run.path}: unpacked {PREFIX}{name}, {pretrained.accuracy['test']:.2%} on the test set when it was packed")
    return experiment


def _is_free(run: RunFolder) -> bool:
    """Return whether nothing was trained in the folder, not even begun."""
    return not (run.checkpoint.exists() or (run.path / "training").exists())


def _unpacked(marker: Path) -> str:
    """Return the digest of the checkpoint that was unpacked; nothing if none was."""
    try:
        return str(json.loads(marker.read_text())["checkpoint"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def pack(run: RunFolder, name: str, folder: Path = FOLDER) -> Path:
    """Make a network of the package from a run that is exact at every level that was run.

    Args:
        run: Trained and exported.
        name: Of the network.
        folder: Where the file goes.

    Returns:
        The file.

    Raises:
        FileNotFoundError: If the run is not trained or exported.
        ValueError: If it is not exact, an autoencoder, its weights are float, or it is too large for the package.
        OSError: If the file cannot be written.
    """
    # Neither is needed to unpack
    from bitwright.cli.stage_hls import judge  # noqa: PLC0415
    from bitwright.models.pretrained_pack import pack as write  # noqa: PLC0415

    verdict = judge(run)
    if not verdict.exact:
        raise ValueError(f"{run.path}: run must be exact at every level, not differ; see `bitwright diff {run.path}`")
    experiment = read_experiment(run.path / EXPERIMENT)
    training = experiment.train
    if training.start_from or training.teacher:
        raise ValueError(
            f"{run.path}: run must be trained without train.start_from and train.teacher, not with "
            f"{training.start_from or training.teacher!r}, which no file of the package can name; pack another run"
        )
    if experiment.model.kind == AUTOENCODER:
        raise ValueError(
            f"{run.path}: network must be a classifier, not an autoencoder; files of the package tell accuracies"
        )
    reached = verdict.levels["program"].accuracy
    assert reached is not None
    accuracy = {"validation": json.loads(run.metrics.read_text())["validation_accuracy"], "test": reached}
    path = folder / f"{name}{SUFFIX}"
    if path.exists():
        raise ValueError(f"{path}: file must be a new one, not one that is there; delete it, or choose another --name")
    settings = experiment.model_dump(mode="json", exclude_defaults=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".packing-") as scratch:
        made = Path(scratch) / path.name
        size = write(run.checkpoint, settings, accuracy, made)
        if size > MOST_BYTES:
            raise ValueError(f"{path}: file must be at most {MOST_BYTES} bytes, not {size}; pack a smaller network")
        made.replace(path)
    return path
