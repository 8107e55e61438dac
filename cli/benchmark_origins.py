"""What benchmarks share: an experiment of configs/ whose teacher, and whose calibrated start, are made first."""

from pathlib import Path

from bitwright.calibration.settings import CalibrationSettings
from bitwright.cli.experiment import Experiment, read
from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_calibrate import calibrate
from bitwright.cli.stage_train import train, training_key

CONFIGS = Path(__file__).parents[1] / "configs"
CALIBRATED = "_ptq_"
"""Between the name of a float run and the widths that it was calibrated to."""


def prepared(config: str, seed: int, name: str, runs_dir: Path, data_dir: Path | None) -> Experiment:
    """Return an experiment of configs/; the runs that it names are made below the same folder.

    A teacher is the same for all seeds. What a training starts from, ``runs/<float>_ptq_<widths>``, is calibrated from
    a float network of the seed, with learned rounding: the seeds share nothing but what they learn from.

    Args:
        config: Name of the experiment.
        seed: Of everything but the teacher.
        name: Of the run.
        runs_dir: Where runs lie.
        data_dir: Of the data sets.

    Raises:
        ValueError: If a network that it names is refused.
        OSError: If a file cannot be read or written.
    """
    path = CONFIGS / f"{config}.toml"
    experiment = read(path)
    overrides = [f"seed={seed}", f"name={name}"]
    if experiment.train.teacher:
        teacher = trained(_folder(experiment.train.teacher), None, runs_dir, data_dir)
        overrides.append(f'train.teacher="{teacher.checkpoint}"')
    if experiment.train.start_from:
        floating, _, _ = _folder(experiment.train.start_from).partition(CALIBRATED)
        start = _calibrated(trained(floating, seed, runs_dir, data_dir), experiment, runs_dir, data_dir)
        overrides.append(f'train.start_from="{start.checkpoint}"')
    return read(path, overrides)


def _folder(checkpoint: str) -> str:
    return Path(checkpoint).parent.name


def trained(config: str, seed: int | None, runs_dir: Path, data_dir: Path | None) -> RunFolder:
    """Return the run of a float experiment of configs/, trained: with a seed, or with its own under its own name.

    Args:
        config: Name of the experiment.
        seed: Of everything, and in the run's name; the experiment's, and not in the name, if None.
        runs_dir: Where runs lie.
        data_dir: Of the data sets.

    Raises:
        ValueError: If the network is refused.
        OSError: If a file cannot be read or written.
    """
    name = config if seed is None else f"{config}_s{seed}"
    run = RunFolder(runs_dir / name)
    experiment = read(CONFIGS / f"{config}.toml", [] if seed is None else [f"seed={seed}", f"name={name}"])
    finished = [run.checkpoint, run.metrics]
    if not run.is_current("train", training_key(experiment, run), present=finished):
        train(experiment, run, data_dir)  # only then: it locks a run that benchmarks side by side share
    return run


def _calibrated(floating: RunFolder, experiment: Experiment, runs_dir: Path, data_dir: Path | None) -> RunFolder:
    recipe = experiment.recipe
    widths = {key: getattr(recipe, key) for key in ("weight_bit_width", "activation_bit_width", "input_bit_width")}
    scale = f"recipe.weight_scale={recipe.weight_scale}"
    settings = CalibrationSettings(rounding="learned", fold=False)
    return calibrate(floating.path, runs_dir, data_dir, [scale], widths, settings, None)
