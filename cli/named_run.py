"""What a command's argument means: an experiment, a run, or a network that comes with the package."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from bitwright.cli.console import note
from bitwright.cli.experiment import Experiment, changed, override_key, read, shown, value_at
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
        ValueError: If the experiment is refused, no network of the package has the name, or a folder's run is to get
            another name.
        OSError: If a network of the package cannot be unpacked.
    """
    overrides = tuple(overrides)
    if str(argument).startswith(PREFIX):
        run = RunFolder(runs_dir / str(argument).removeprefix(PREFIX))
        own = unpack(run)
        return _of_its_name(changed(own, overrides), own, run), run
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
        own, run = read(argument / EXPERIMENT), RunFolder(argument)
        return _of_its_name(read(argument / EXPERIMENT, overrides), own, run), run
    experiment = read(argument, overrides)
    return experiment, RunFolder(runs_dir / experiment.name)


def _of_its_name(experiment: Experiment, own: Experiment, run: RunFolder) -> Experiment:
    """Return an experiment whose run lies in a folder that was named; refuse to call it otherwise."""
    if experiment.name not in (own.name, run.path.name):
        raise ValueError(
            f"--set: name must be {own.name!r} as in {run.path / EXPERIMENT}, not {experiment.name!r}; leave it "
            "out, or train that file under the new name"
        )
    return experiment


def made(
    argument: Path, runs_dir: Path, overrides: Iterable[str], heeded: Sequence[str] = ()
) -> tuple[Experiment, RunFolder]:
    """Return the experiment and the folder of a run that is there, for a command that trains nothing.

    Args:
        argument: As `resolve` takes it.
        runs_dir: Where runs lie.
        overrides: As `experiment.read` takes them; what the run has already may be said again.
        heeded: Sections and keys that the command itself goes by: they may be others than the run's.

    Raises:
        FileNotFoundError: If it is no run.
        ValueError: If the experiment is refused, an override would change nothing, or a file's network or data are not
            those of the run.
        OSError: If a network of the package cannot be unpacked.
    """
    overrides = tuple(overrides)
    settings, run = resolve(argument, runs_dir, overrides)
    path = run.path / EXPERIMENT
    if overrides and path.is_file():
        own = read(path)
        for key in map(override_key, overrides):
            section = key.partition(".")[0]
            has, wanted = value_at(own, key), value_at(settings, key)
            if has == wanted or key == "name" or key in heeded or section in heeded:
                continue
            by = (
                "it is of the hls4ml project, which `bitwright hls` writes"
                if section == "hls"
                else "`bitwright train` makes a run of other settings"
            )
            raise ValueError(
                f"--set: {key} must be {'left out' if has is None else shown(has)} as in {path}, not {shown(wanted)}; "
                f"{by}"
            )
    if path.is_file() and argument.is_file():
        _compare(argument, settings, path, read(path))
    return settings, run


def _compare(argument: Path, settings: Experiment, path: Path, own: Experiment) -> None:
    """Refuse a file whose network or data are not those of the run; say that its training is another.

    The target is left to the commands that go by it.
    """
    wanted, has = (each.model_copy(update={"recipe": each.recipe.without_reasons()}) for each in (settings, own))
    for section in ("data", "model", "recipe"):
        for key in _different(section, wanted, has):
            ours = value_at(has, key)
            raise ValueError(
                f"{argument}: {key} must be {'left out' if ours is None else shown(ours)} as in {path}, not "
                f"{shown(value_at(wanted, key))}; name the run's folder to go on from it, or run `bitwright train`"
            )
    for key in (*_different("seed", wanted, has), *_different("train", wanted, has)):
        if key != "train.logger":
            ours, theirs = (shown(value_at(each, key)) for each in (has, wanted))
            note(f"{path.parent}: trained with {key} = {ours}, not {theirs} as in {argument}")


def _different(section: str, one: Experiment, other: Experiment) -> list[str]:
    """Return the keys of a section whose values are not those of another experiment.

    >>> _different("train", Experiment(name="a"), changed(Experiment(name="b"), ["train.epochs=3"]))
    ['train.epochs']
    """
    ours, theirs = value_at(one, section), value_at(other, section)
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        return [section] if ours != theirs else []
    return [key for name in {**ours, **theirs} for key in _different(f"{section}.{name}", one, other)]


def target_without_run(argument: Path, overrides: Iterable[str], heeded: Sequence[str]) -> Target:
    """Return what a program without an experiment is built for: the default, but for what is overridden.

    Args:
        argument: Where the program is.
        overrides: As `made` takes them.
        heeded: Likewise.

    Raises:
        ValueError: If an override is of what the command does not go by, or is refused.

    >>> target_without_run(Path("converted"), ["hls.reuse_factor=4"], ["hls"]).reuse_factor
    4
    """
    overrides = tuple(overrides)
    for key in map(override_key, overrides):
        if key not in heeded and key.partition(".")[0] not in heeded:
            raise ValueError(
                f"--set: {key} must be left out for {argument}, which is no run with settings of its own; its program "
                "is what it is"
            )
    return changed(Experiment(name="program"), overrides).hls


def exported(
    argument: Path, runs_dir: Path, overrides: Iterable[str], heeded: Sequence[str] = ()
) -> tuple[RunFolder, Target]:
    """Return the run that a command's argument means, or the folder that `convert` wrote, and what it is built for.

    Args:
        argument: As `resolve` takes it.
        runs_dir: Where runs lie.
        overrides: As `made` takes them.
        heeded: Likewise.

    Raises:
        FileNotFoundError: If it is neither.
        ValueError: If the experiment or an override is refused.
    """
    run = RunFolder(argument)
    if run.lowered.is_file() and not (argument / EXPERIMENT).exists():
        return run, target_without_run(argument, overrides, heeded)
    settings, run = made(argument, runs_dir, overrides, heeded)
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
