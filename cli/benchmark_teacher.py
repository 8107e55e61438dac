"""What benchmarks share: an experiment of configs/ whose teacher is trained first."""

from collections.abc import Sequence
from pathlib import Path

from bitwright.cli.experiment import Experiment, read
from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_train import train, training_key

CONFIGS = Path(__file__).parents[1] / "configs"


def taught(config: str, overrides: Sequence[str], runs_dir: Path, data_dir: Path | None) -> Experiment:
    """Return an experiment of configs/; the run that it names as its teacher is trained below the same folder.

    Args:
        config: Name of the experiment.
        overrides: Of it.
        runs_dir: Where runs lie.
        data_dir: Of the data sets.

    Raises:
        ValueError: If the teacher is refused.
        OSError: If a file cannot be read or written.
    """
    path = CONFIGS / f"{config}.toml"
    named = read(path, overrides).train.teacher
    if not named:
        return read(path, overrides)
    teacher = RunFolder(runs_dir / Path(named).parent.name)
    experiment = read(CONFIGS / f"{teacher.path.name}.toml")
    finished = [teacher.checkpoint, teacher.metrics]
    if not teacher.is_current("train", training_key(experiment, teacher), present=finished):
        train(experiment, teacher, data_dir)  # only then: it locks a run that benchmarks side by side share
    return read(path, [*overrides, f'train.teacher="{teacher.checkpoint}"'])
