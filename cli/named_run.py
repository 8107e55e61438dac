"""What a command's argument means: an experiment, a run, or a network that comes with the package."""

from collections.abc import Iterable
from pathlib import Path

from bitwright.cli.experiment import Experiment, changed, read
from bitwright.cli.run_folder import EXPERIMENT, RunFolder
from bitwright.cli.stage_pretrained import unpack
from bitwright.hls.target import Target
from bitwright.models.autoencoder_settings import AUTOENCODER
from bitwright.models.pretrained_file import PREFIX


def resolve(argument: Path, runs_dir: Path, overrides: Iterable[str]) -> tuple[Experiment, RunFolder]:
    """Return the experiment and the folder that a command's argument means.

    A network of the package (``pretrained:NAME``) is unpacked into a run of its own, as if it had been trained there.

    Args:
        argument: An experiment's TOML file, the folder of a run, or ``pretrained:NAME``.
        runs_dir: Where runs lie.
        overrides: As `experiment.read` takes them.

    Raises:
        FileNotFoundError: If it is none of these.
        ValueError: If the experiment is refused, or no network of the package has the name.
        OSError: If a network of the package cannot be unpacked.
    """
    if str(argument).startswith(PREFIX):
        run = RunFolder(runs_dir / str(argument).removeprefix(PREFIX))
        return changed(unpack(run), overrides), run
    if argument.is_dir():
        if not (argument / EXPERIMENT).is_file() and RunFolder(argument).lowered.is_file():
            raise FileNotFoundError(
                f"{argument}: run must be a folder with {EXPERIMENT}, not one of a QONNX file; "
                "run `bitwright convert` again, which verifies too"
            )
        if not (argument / EXPERIMENT).is_file():
            raise FileNotFoundError(
                f"{argument}: run must be a folder with {EXPERIMENT}, not another; give an experiment's TOML file"
            )
        return read(argument / EXPERIMENT, overrides), RunFolder(argument)
    experiment = read(argument, overrides)
    return experiment, RunFolder(runs_dir / experiment.name)


def exported(argument: Path, runs_dir: Path, overrides: Iterable[str]) -> tuple[RunFolder, Target]:
    """Return the run that a command's argument means, or the folder that `convert` wrote, and what it is built for.

    Raises:
        FileNotFoundError: If it is neither.
        ValueError: If the experiment is refused.
    """
    run = RunFolder(argument)
    if run.lowered.is_file() and not (argument / EXPERIMENT).exists():
        return run, Target()
    settings, run = resolve(argument, runs_dir, overrides)
    return run, settings.hls


def refuse_autoencoder(where: Path, experiment: Experiment, what: str, remedy: str) -> None:
    """Refuse an autoencoder where accuracies are gone by.

    Args:
        where: The run, or the experiment's file.
        experiment: Its settings.
        what: Goes by them.
        remedy: What to do instead.

    Raises:
        ValueError: If it is one.

    >>> refuse_autoencoder(Path("run"), Experiment(name="run"), "a search", "calibrate it")
    """
    if experiment.model.kind == AUTOENCODER:
        raise ValueError(f"{where}: network must be a classifier for {what}, not an autoencoder; {remedy}")
