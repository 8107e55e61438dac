"""Runs that are the same experiment but for the seed: they are one row of a comparison."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import takewhile
from pathlib import Path
from typing import Any

from bitwright.cli.compare_facts import RunFacts
from bitwright.cli.experiment import Experiment, read
from bitwright.cli.page_calibration import read_calibration
from bitwright.cli.page_collect import CALIBRATION
from bitwright.cli.run_folder import EXPERIMENT, PRUNING, RunFolder

CHECKPOINT = ".safetensors"
INDIFFERENT = ("logger",)
"""Settings of a training that its weights do not depend on."""


def groups(found: Iterable[RunFacts]) -> list[list[RunFacts]]:
    """Return the runs of each experiment, each seed once: a second run of a seed begins a group of its own."""
    places: dict[tuple[str, int], dict[int, RunFacts]] = {}
    for facts in found:
        key, turn, seed = same_but_for_the_seed(facts.run, facts.experiment), 0, facts.experiment.seed
        while seed in places.setdefault((key, turn), {}):
            turn += 1
        places[key, turn][seed] = facts
    return [[runs[seed] for seed in sorted(runs)] for runs in places.values()]


def same_but_for_the_seed(run: RunFolder, experiment: Experiment) -> str:
    """Return a text that runs share if all their settings but name and seed are the same.

    A checkpoint that a training starts from counts as the experiment that made it, whatever its seed.

    Args:
        run: Its folder, which tells how the run was made.
        experiment: Its settings.
    """
    return json.dumps(_key(run, experiment, (run.path.resolve(),)), sort_keys=True)


def _key(run: RunFolder, experiment: Experiment, seen: tuple[Path, ...]) -> dict[str, Any]:
    parts = experiment.model_copy(update={"recipe": experiment.recipe.without_reasons()})
    settings = parts.model_dump(mode="json", exclude={"name", "seed"})
    training = {name: value for name, value in settings["train"].items() if name not in INDIFFERENT}
    settings["train"] = {name: _origin(run, value, seen) for name, value in training.items()}
    made = _made(run)
    if made is not None:
        del settings["recipe"]["bias_bit_width"]  # calibration gives biases the bits that they turn out to need
    pruned = _pruned(run, seen)
    if pruned is not None:
        settings["train"].pop("start_from")  # the pruned weights, which lie in the run itself
    return {**settings, "made": made, "pruned": pruned}


def _pruned(run: RunFolder, seen: tuple[Path, ...]) -> object:
    """Return how a run was pruned, and the experiment of what was; nothing of one that was not."""
    path = run.path / PRUNING
    if not path.is_file():
        return None
    try:
        report = json.loads(path.read_text())
        settings, source = report["settings"], str(report["source"])
    except (OSError, ValueError, KeyError, TypeError):
        return str(path)
    return {"settings": settings, "of": _origin(run, str(run.path.parent / source / f"checkpoint{CHECKPOINT}"), seen)}


def _origin(run: RunFolder, value: object, seen: tuple[Path, ...]) -> object:
    """Return a setting; of one that names a checkpoint, the experiment behind it where that is at hand."""
    if not (isinstance(value, str) and value.endswith(CHECKPOINT)):
        return value
    path = Path(value)
    for folder in (path.parent, run.path.parent / path.parent.name):
        if (folder / EXPERIMENT).is_file() and folder.resolve() not in seen:
            try:
                made_by = read(folder / EXPERIMENT)
            except (ValueError, OSError):
                continue
            return _key(RunFolder(folder), made_by, (*seen, folder.resolve()))
    return value


def _made(run: RunFolder) -> object:
    """Return how a run was calibrated; nothing of one that was trained."""
    path = run.path / CALIBRATION
    try:
        trained = json.loads(run.metrics.read_text())["epochs"] > 0
    except (OSError, ValueError, KeyError, TypeError):
        trained = not path.is_file()
    if trained or not path.is_file():
        return None
    try:
        return asdict(read_calibration(path, trained=False).settings)
    except (OSError, ValueError):
        return CALIBRATION


def name_of(names: Sequence[str]) -> str:
    """Return one name for all: what they share, and a star for what differs.

    >>> name_of(["lenet5_s1_w4"]), name_of(["lenet5_s1_w4", "lenet5_s2_w4"]), name_of(["a", "a_2"])
    ('lenet5_s1_w4', 'lenet5_s*_w4', 'a*')
    """
    head = _shared(names)
    rest = [name[len(head) :] for name in names]
    tail = _shared([each[::-1] for each in rest])[::-1]
    return f"{head}*{tail}" if any(each != tail for each in rest) else head


def _shared(texts: Sequence[str]) -> str:
    """Return what all texts begin with."""
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*texts, strict=False))
    return "".join(letters[0] for letters in alike)
