"""What a run's folder says of itself, read for its page; a part that is missing or damaged leaves the others."""

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from bitwright.cli.experiment import Experiment, read
from bitwright.cli.page_again import calibrated_again, trained_again
from bitwright.cli.page_calibration import CalibrationFile, calibration, read_calibration
from bitwright.cli.page_facts import Epoch, Level, Network, Page, Training, Verdict
from bitwright.cli.page_hardware import hardware
from bitwright.cli.page_layers import measurable, network
from bitwright.cli.page_pruning import pruning, read_pruning
from bitwright.cli.page_search import SearchFile, read_search, search
from bitwright.cli.report_sheet import clean
from bitwright.cli.run_folder import EXPERIMENT, PRUNING, RunFolder
from bitwright.cli.stage_export import load_array, load_program
from bitwright.cli.versions import installed
from bitwright.export.operations import Integers
from bitwright.export.precision import read_precision
from bitwright.export.program import Program
from bitwright.hls.verification import Verification
from bitwright.quant.recipe import Recipe

Content = TypeVar("Content")

CALIBRATION = "calibration.json"
SEARCH = "search.json"

TRAINED_AGAIN = (
    "Trained again: network, values and hardware are those from before; bitwright export makes the first two anew, "
    "bitwright hls and rtl the last."
)


def collect(run: RunFolder) -> Page:
    """Return all that the page of a run shows.

    >>> collect(RunFolder(Path("nowhere"))).verdict is None
    True
    """
    problems: list[str] = []

    def take(path: Path, read: Callable[[], Content]) -> Content | None:
        """Return what a file says; where it cannot be read, keep the reason and go on."""
        if not path.is_file():
            return None
        try:
            return read()
        except (ValueError, OSError) as error:
            problems.append(_without_folder(str(error), run))
            return None

    name = clean(run.path.resolve().name)
    called = shown_path(run)
    experiment = run.path / EXPERIMENT
    text = take(experiment, experiment.read_text)
    found = hardware(run, called)
    training = take(run.metrics, lambda: _training(run.metrics)) or _from_log(run, take)
    made = _made(run, take, training)
    pruned = take(run.path / PRUNING, lambda: read_pruning(run.path / PRUNING, run))
    page = Page(
        name=name,
        verdict=take(run.verification, lambda: _verdict(run.verification)),
        training=training if training is None or training.epochs else None,
        calibration=calibration(made.calibration) if made.calibration else None,
        search=search(made.search, made.recipe) if made.search else None,
        pruning=pruning(pruned) if pruned else None,
        network=take(run.lowered, lambda: _network(run, take)),
        stages=tuple(found.stages),
        absent=tuple(found.absent),
        notes=tuple(_without_folder(note, run) for note in found.notes),
        experiment=text,
        versions=installed(),
        commands=_commands(run, called, made, training),
    )
    problems += [_without_folder(problem, run) for problem in found.problems]
    return replace(page, problems=(*([TRAINED_AGAIN] if run.was_trained_again else []), *problems))


def shown_path(run: RunFolder) -> str:
    """Return how commands on the page name the run's folder: never by a path of this machine alone.

    >>> shown_path(RunFolder(Path("/home/someone/runs/a"))), shown_path(RunFolder(Path("runs/a")))
    ('a', 'runs/a')
    """
    path = run.path
    return clean(path.resolve().name if path.is_absolute() or ".." in path.parts else path.as_posix())


def _without_folder(text: str, run: RunFolder) -> str:
    return clean(text.replace(f"{run.path}/", "").replace(str(run.path), run.path.name))


@dataclass(frozen=True)
class _Made:
    """What `calibrate` and `search` wrote of a run, as far as it can be read."""

    experiment: Experiment | None = None
    calibration: CalibrationFile | None = None
    search: SearchFile | None = None

    @property
    def recipe(self) -> Recipe | None:
        return self.experiment.recipe if self.experiment else None


def _made(run: RunFolder, take: Callable[..., Any], training: Training | None) -> _Made:
    """Read how a run was made without training; nothing of one that was trained."""
    calibrated, searched, experiment = run.path / CALIBRATION, run.path / SEARCH, run.path / EXPERIMENT
    trained = training is not None and training.epochs > 0
    found = take(calibrated, lambda: read_calibration(calibrated, trained=trained))
    if trained or not (calibrated.is_file() or searched.is_file()):
        return _Made(calibration=found)
    settings = take(experiment, lambda: read(experiment))
    recipe = settings.recipe if settings else None
    return _Made(settings, found, take(searched, lambda: read_search(searched, recipe)))


def _commands(run: RunFolder, called: str, made: _Made, training: Training | None) -> tuple[str, ...]:
    """Return the commands that make the run again; none where it is not known how it was made."""
    if made.calibration and made.experiment:
        wanted, overrides = (made.search.wanted, made.search.recipe_overrides) if made.search else (None, ())
        return calibrated_again(run, made.experiment, made.calibration, wanted, overrides)
    trained = training.epochs > 0 if training else not (run.path / CALIBRATION).is_file()
    return trained_again(run, called) if trained else ()


def _verdict(path: Path) -> Verdict:
    try:
        found = TypeAdapter(Verification).validate_json(path.read_bytes())
    except ValidationError as error:
        raise ValueError(
            f"{path}: verdict must be as `bitwright verify` wrote it, not changed; run it again"
        ) from error
    if found.impossible:
        raise ValueError(clean(f"{path}: {found.impossible}; run `bitwright verify` again"))
    levels = tuple(Level(clean(name), **vars(level)) for name, level in found.levels.items())
    undecided = {clean(name): share for name, share in found.undecided.items()}
    fewer = {clean(name): inputs for name, inputs in found.fewer.items()}
    return Verdict(found.exact, found.chip_exact, found.test_set, found.largest_error, undecided, levels, fewer)


def _training(path: Path) -> Training:
    try:
        return _from_one(TypeAdapter(Training).validate_json(path.read_bytes()))
    except ValidationError as error:
        raise ValueError(
            f"{path}: metrics must be as `bitwright train` wrote them, not changed; train again"
        ) from error


def _from_log(run: RunFolder, take: Callable[[Path, Callable[[], Training]], Training | None]) -> Training | None:
    """Read the log of a training that has not come to its end."""
    logs = list((run.path / "training" / "csv").glob("version_*/metrics.csv"))
    if run.metrics.is_file() or not logs:
        return None
    newest = max(logs, key=lambda path: path.stat().st_mtime)
    return take(newest, lambda: log_training(newest))


def log_training(path: Path) -> Training:
    """Return what Lightning's log says: a line holds some of an epoch's values, the others are empty.

    Raises:
        ValueError: If it is no such log.
    """
    epochs: dict[int, dict[str, float]] = {}
    with path.open(newline="") as lines:
        for row in csv.DictReader(lines):
            try:
                values = epochs.setdefault(int(row["epoch"]), {})
                values |= {name: float(text) for name, text in row.items() if name in Epoch.__match_args__[1:] and text}
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path}: log must be as Lightning wrote it, not changed; train again") from error
    history = tuple(Epoch(epoch, **values) for epoch, values in sorted(epochs.items()))
    return _from_one(Training(epochs=len(history), history=history))


def _from_one(training: Training) -> Training:
    """Count epochs from 1, as `bitwright train` does when it prints."""
    history = tuple(replace(each, epoch=each.epoch + 1) for each in training.history)
    best = training.best_epoch
    return replace(training, history=history, best_epoch=None if best is None else best + 1)


def _network(run: RunFolder, take: Callable[..., Any]) -> Network:
    program = load_program(run)
    precision = take(run.precision, lambda: read_precision(run.precision, program))
    inputs = take(run.inputs, lambda: _inputs(run, program))
    return network(program, precision, inputs if inputs is not None and len(inputs) else None)


def _inputs(run: RunFolder, program: Program) -> Integers:
    inputs = load_array(run.inputs)[: measurable(program)]
    try:
        program.check_input(inputs)
    except ValueError as error:
        raise ValueError(f"{run.inputs}: inputs must be of this program, not of another; export again") from error
    return inputs
