"""Widths learned by gradient, for a whole front in one go: `bitwright search --learn`."""

import json
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bitwright.calibration.candidate import key_of
from bitwright.calibration.costs import costs
from bitwright.calibration.evaluate import scores
from bitwright.calibration.learned_network import ZERO, LearnedNetwork, fixed, learnable
from bitwright.calibration.learned_widths import LearnSettings, cost_weights, find_ranges, first_cost, learn
from bitwright.cli.console import note, out
from bitwright.cli.run_folder import RunFolder, digest, write_text
from bitwright.cli.search_chart import WORDS
from bitwright.cli.search_lowering import accumulator_bits, check
from bitwright.cli.search_state import Search
from bitwright.cli.stage_train import store_experiment, training_finished
from bitwright.models.batches import accuracy
from bitwright.models.checkpoint import NetworkDescription, save
from bitwright.quant.recipe import LEFT_OUT, Recipe

STATE = "state.safetensors"
"""Of a network that still learns: what the next point goes on from."""


@dataclass(frozen=True)
class LearnedPoint:
    """One point of the sweep.

    Args:
        cost_weight: Weight of the cost in the loss.
        recipe: The learned widths; of a layer's channels the widest.
        weight_widths: Bits of each layer's weights: one number, or one a channel; of a pruned channel 1, of a layer
            that has left 0.
        accuracy: Of the network trained at these widths, on the validation split.
        weight_bits: Of it.
        bit_operations: Of it.
        lut: Estimate for it as unrolled logic.
        integers_compared: Of its lowering with PyTorch; all were equal.
        accumulator_bits: Of its widest accumulator.
    """

    cost_weight: float
    recipe: Recipe
    weight_widths: dict[str, list[int]]
    accuracy: float
    weight_bits: int
    bit_operations: int
    lut: float
    integers_compared: int
    accumulator_bits: int


def learn_front(search: Search) -> list[Recipe]:
    """Learn the widths for each weight of the cost, and score the recipes that come of it, without their training.

    The trained networks lie in ``learned/`` below the search's folder, each a run that `bitwright export` takes. What
    is finished there is not learned again.

    Args:
        search: Under way.

    Returns:
        The recipes.

    Raises:
        ValueError: If the widths cannot be learned, a network's integers are not PyTorch's, or an accumulator is wider
            than was wanted.
        OSError: If a file cannot be read or written.
    """
    folder, wanted = search.folder / "learned", search.wanted
    RunFolder(search.folder).lock()  # candidates may be shared by processes, a network that learns may not
    settings = _settings(search)
    weights = cost_weights(wanted.learn)
    about = (repr(settings), wanted.learn_widths, str(weights), str(search.removable))
    setting = digest(search.setting, key_of(search.start), *about)
    points = _finished(search.folder / "learned.json", setting)
    if len(points) < len(weights):
        learned, whole = _begin(search, settings)
        if points:
            _restore(folder / str(len(points)) / STATE, setting, learned)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        for stop in range(len(points), len(weights)):
            started = time.monotonic()
            learn(learned, search.data, settings, weight=weights[stop], whole=whole, stop=stop)
            run = RunFolder(folder / str(stop + 1))
            points.append(_write(search, learned, run, weights[stop], started))
            save_file(learned.state(), run.path / STATE, metadata={"setting": setting})
            text = json.dumps({"setting": setting, "points": [_plain(point) for point in points]}, indent=2)
            write_text(search.folder / "learned.json", text + "\n")
    return _scored(search, points)


def _settings(search: Search) -> LearnSettings:
    train = search.source.experiment.train
    return LearnSettings(
        cost="weight_bits" if search.wanted.cost == "weight_bits" else "bit_operations",
        epochs=search.wanted.learn_epochs,
        batch_size=train.batch_size,
        learning_rate=train.learning_rate,
        shift_pixels=train.shift_pixels,
        seed=search.source.experiment.seed,
    )


def _begin(search: Search, settings: LearnSettings) -> tuple[LearnedNetwork, float]:
    """Return the network before the first point, and its cost."""
    observed = search.scorer.observed
    description = NetworkDescription(
        search.source.experiment.model,  # with its batch norms, which `observed` has folded
        search.start,
        observed.description.input_shape,
        observed.description.classes,
    )
    learned = learnable(search.source.checkpoint, description, search.wanted.learn_widths, search.removable)
    find_ranges(learned, search.data, settings)
    return learned, first_cost(learned, observed.inputs[:1], settings.cost)


def _write(search: Search, learned: LearnedNetwork, run: RunFolder, cost_weight: float, started: float) -> LearnedPoint:
    """Write the network as it is now as a run of its own."""
    data, example = search.data, search.scorer.observed.inputs[:1]
    network, description = fixed(learned, example)
    lowering = check(network, description.input_shape, data.validation, data.input_scale)
    if lowering.different:
        raise ValueError(
            f"search: integers of a learned network must be PyTorch's, not {lowering.different} of "
            f"{lowering.integers} others; search without --learn"
        )
    widest = accumulator_bits(lowering.program, description.recipe)
    reached = accuracy(scores(network, data.validation, data.input_scale), data.validation.labels)
    found = costs(network, example)
    base = search.source.experiment
    experiment = base.model_copy(
        update={"name": f"{base.name}_learned{run.path.name}", "recipe": description.recipe, "model": description.model}
    )
    run.create()
    save(run.checkpoint, network, description)
    metrics = {
        "epochs": search.wanted.learn_epochs,
        "best_epoch": search.wanted.learn_epochs - 1,
        "validation_accuracy": reached,
        "seconds": round(time.monotonic() - started, 1),
        "history": [],
    }
    write_text(run.metrics, json.dumps(metrics, indent=2) + "\n")
    store_experiment(experiment, run)
    training_finished(experiment, run)
    return LearnedPoint(
        cost_weight=cost_weight,
        recipe=learned.recipe(),
        weight_widths=learned.weight_widths(),
        accuracy=reached,
        weight_bits=found.weight_bits,
        bit_operations=found.bit_operations,
        lut=lowering.lut,
        integers_compared=lowering.integers,
        accumulator_bits=widest,
    )


def _scored(search: Search, points: list[LearnedPoint]) -> list[Recipe]:
    """Score the recipes as any other, and say what each point came to."""
    cost = search.wanted.cost
    for number, point in enumerate(points, 1):
        candidate = search.scorer.score(point.recipe)
        pruned = sum(bits == ZERO for layer in point.weight_widths.values() for bits in layer)
        gone = f", {pruned} channels pruned" if pruned else ""
        gone += "".join(f", {name} left out" for name, bits in point.weight_widths.items() if bits == [LEFT_OUT])
        gone += f", accumulators of {point.accumulator_bits} bits at most"
        note(
            f"search: learned {number} of {len(points)}, cost weighs {point.cost_weight:.3g}: {point.accuracy:.2%} "
            f"trained, {getattr(point, cost):,.0f} {WORDS[cost]}{gone}; {candidate.accuracy:.2%} without training, "
            f"{candidate.cost(cost):,.0f}"
        )
    folder = search.folder / "learned"
    out.print(
        f"learned  {folder}: {len(points)} networks trained at learned widths, as with `bitwright export {folder}/1`",
        markup=False,
    )
    return [point.recipe for point in points]


def _finished(path: Path, setting: str) -> list[LearnedPoint]:
    if not path.is_file():
        return []
    try:
        found = json.loads(path.read_text())
        if found["setting"] != setting:
            return []
        return [
            LearnedPoint(**{**point, "recipe": Recipe.model_validate(point["recipe"])}) for point in found["points"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: file must hold points as `bitwright search --learn` writes them, not something else; delete it"
        ) from error


def _restore(path: Path, setting: str, learned: LearnedNetwork) -> None:
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("setting") != setting:
                raise ValueError(f"{path}: state must be of this search, not of another; delete {path.parents[1]}.json")
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise ValueError(
            f"{path}: state must be a safetensors file, not something else; delete {path.parents[1]}.json"
        ) from error
    learned.restore(state)


def _plain(point: LearnedPoint) -> dict[str, Any]:
    return {**asdict(point), "recipe": point.recipe.model_dump(exclude_none=True)}
