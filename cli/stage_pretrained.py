"""The networks that come with the package: unpacked into a run, listed, and made from one."""

import json
from pathlib import Path

from bitwright.cli.console import note
from bitwright.cli.experiment import Experiment
from bitwright.cli.experiment import read as read_experiment
from bitwright.cli.run_folder import EXPERIMENT, RunFolder, write_text
from bitwright.cli.stage_train import store_experiment, training_finished
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
    if run.checkpoint.exists() and not marker.is_file():
        raise ValueError(
            f"{run.path}: folder must be free for {PREFIX}{name}, not hold a run of another origin; give --runs-dir "
            "another folder"
        )
    if run.checkpoint.exists() and run.metrics.exists():
        return experiment
    run.create()
    run.lock()
    validation = pretrained.accuracy["validation"]
    metrics = {"epochs": 0, "best_epoch": 0, "validation_accuracy": validation, "seconds": 0.0, "history": []}
    write_text(marker, json.dumps({"name": name, "accuracy": dict(pretrained.accuracy)}, indent=2) + "\n")
    store_experiment(experiment, run)
    pretrained.save_checkpoint(run.checkpoint)
    training_finished(experiment, run)
    write_text(run.metrics, json.dumps(metrics, indent=2) + "\n")
    note(f"{run.path}: unpacked {PREFIX}{name}, {pretrained.accuracy['test']:.2%} on the test set when it was packed")
    return experiment


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
        ValueError: If it is not exact, its weights are float, or it is too large for the package.
        OSError: If the file cannot be written.
    """
    # Neither is needed to unpack
    from bitwright.cli.stage_hls import judge  # noqa: PLC0415
    from bitwright.models.pretrained_pack import pack as write  # noqa: PLC0415

    verdict = judge(run)
    if not verdict.exact:
        raise ValueError(f"{run.path}: run must be exact at every level, not differ; see `bitwright diff {run.path}`")
    experiment = read_experiment(run.path / EXPERIMENT)
    start = {"start_from": "", "teacher": ""}  # of files that are not here
    experiment = experiment.model_copy(update={"train": experiment.train.model_copy(update=start)})
    reached = verdict.levels["program"].accuracy
    assert reached is not None
    accuracy = {"validation": json.loads(run.metrics.read_text())["validation_accuracy"], "test": reached}
    path = folder / f"{name}{SUFFIX}"
    size = write(run.checkpoint, experiment.model_dump(mode="json", exclude_defaults=True), accuracy, path)
    if size > MOST_BYTES:
        path.unlink()
        raise ValueError(f"{path}: file must be at most {MOST_BYTES} bytes, not {size}; pack a smaller network")
    return path
