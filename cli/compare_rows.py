"""The rows of a comparison: what the runs of one experiment come to together."""

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bitwright.cli.compare_facts import RunFacts
from bitwright.cli.compare_groups import groups, name_of
from bitwright.cli.compare_speed import Speed
from bitwright.hls.verification import LEVELS
from bitwright.models.settings import ModelSettings
from bitwright.quant.recipe import FLOAT, Recipe

SIZES = ("weights", "weight_bits", "packed_bytes", "program_bytes", "checkpoint_bytes", "bit_operations")


@dataclass(frozen=True)
class Spread:
    """Of one figure over seeds.

    Args:
        mean: Of all values.
        standard_deviation: With ``count - 1`` below; None of one value.
        lowest: Of all values.
        highest: Of all values.
        count: How many there are.
    """

    mean: float
    standard_deviation: float | None
    lowest: float
    highest: float
    count: int


@dataclass(frozen=True)
class Compared:
    """Integers of one level: summed over the runs that have it."""

    runs: int
    compared: int
    different: int


@dataclass(frozen=True, eq=False)
class Row:
    """One experiment.

    Args:
        name: Of its run; of several, what their names share.
        data: Name of the data set.
        network: Its kind and size.
        widths: Bits of weights and activations, "mixed" or "float".
        seeds: Of its runs.
        accuracy: On the test set; None of an autoencoder.
        mean_squared_error: Of an autoencoder, on the test set.
        weights: Their number.
        weight_bits: Of all of them.
        compression: Bits of as many float32 weights, as a multiple of theirs.
        packed_bytes: Of the program's constants at their widths, see `compare_size.packed`.
        program_bytes: Of model.lowered.onnx.
        checkpoint_bytes: Of checkpoint.safetensors.
        bit_operations: Of one inference, see `compare_size.bit_operations`.
        levels: What was compared at each level; None where it was not run.
        hardware: Cells by stage, and by kind.
        hls: What the hls4ml project is for.
        speed: On this machine's CPU; None where it was not measured.
        notes: What is missing, and why.
        runs: The same of each run.
    """

    name: str
    data: str
    network: str
    widths: str
    seeds: tuple[int, ...]
    accuracy: Spread | None
    mean_squared_error: Spread | None
    weights: int | None
    weight_bits: int | None
    compression: float | None
    packed_bytes: int | None
    program_bytes: int | None
    checkpoint_bytes: int | None
    bit_operations: int | None
    levels: Mapping[str, Compared | None]
    hardware: Mapping[str, Mapping[str, int]]
    hls: str
    speed: Speed | None
    notes: tuple[str, ...]
    runs: tuple[Mapping[str, Any], ...]


def rows(found: Iterable[RunFacts], speeds: Mapping[Path, Speed]) -> list[Row]:
    """Return a row for each experiment, by data set, the most accurate first; autoencoders behind, the closest first.

    Args:
        found: The runs.
        speeds: By the folder of the run that was timed.
    """
    made = [_row(group, speeds) for group in groups(found)]
    return sorted(made, key=lambda row: (row.data, *_merit(row), row.name))


def _merit(row: Row) -> tuple[float, float]:
    """Return what rows of a data set are sorted by; those without a figure stand last."""
    error = row.mean_squared_error.mean if row.mean_squared_error else math.inf
    return -row.accuracy.mean if row.accuracy else 1.0, error


def _row(group: Sequence[RunFacts], speeds: Mapping[Path, Speed]) -> Row:
    first = group[0].experiment
    sizes = {name: mean([getattr(facts, name) for facts in group]) for name in SIZES}
    bits, weights = sizes["weight_bits"], sizes["weights"]
    return Row(
        name=name_of([facts.name for facts in group]),
        data=first.data.name,
        network=network_name(first.model),
        widths=widths_name(first.recipe),
        seeds=tuple(facts.experiment.seed for facts in group),
        accuracy=spread([facts.accuracy for facts in group]),
        mean_squared_error=spread([facts.mean_squared_error for facts in group]),
        compression=round(FLOAT * weights / bits, 3) if bits and weights else None,
        levels={level: _compared(level, group) for level in LEVELS},
        hardware=_hardware(group),
        hls=f"{first.hls.part}, {first.hls.io_type}, {first.hls.strategy}, reuse {first.hls.reuse_factor}",
        speed=next((speeds[facts.run.path] for facts in group if facts.run.path in speeds), None),
        notes=tuple(_notes(group)),
        runs=tuple(_run(facts) for facts in group),
        **sizes,
    )


def _notes(group: Sequence[RunFacts]) -> Iterator[str]:
    """Yield each note once, with the names of the runs that it is on."""
    for note in dict.fromkeys(note for facts in group for note in facts.notes):
        yield f"{', '.join(facts.name for facts in group if note in facts.notes)}: {note}"


def _run(facts: RunFacts) -> dict[str, Any]:
    return {
        "name": facts.name,
        "seed": facts.experiment.seed,
        "accuracy": facts.accuracy,
        "accuracy_from": (facts.figure_from or None) if facts.accuracy is not None else None,
        "mean_squared_error": facts.mean_squared_error,
        "mean_squared_error_from": (facts.figure_from or None) if facts.mean_squared_error is not None else None,
        **{name: getattr(facts, name) for name in SIZES},
        "levels": {name: asdict(level) for name, level in facts.levels.items()},
        "hardware": {stage: dict(cells) for stage, cells in facts.hardware.items()},
    }


def _compared(level: str, group: Sequence[RunFacts]) -> Compared | None:
    found = [facts.levels[level] for facts in group if level in facts.levels]
    if not found:
        return None
    return Compared(len(found), sum(each.compared for each in found), sum(each.different for each in found))


def _hardware(group: Sequence[RunFacts]) -> dict[str, dict[str, int]]:
    stages = dict.fromkeys(stage for facts in group for stage in facts.hardware)
    result: dict[str, dict[str, int]] = {}
    for stage in stages:
        having = [facts.hardware[stage] for facts in group if stage in facts.hardware]
        result[stage] = {
            kind: value for kind in having[0] if (value := mean([each.get(kind) for each in having])) is not None
        }
    return result


def mean(counts: Iterable[float | None]) -> int | None:
    """Return the mean of the counts that are there, rounded to a whole number; the runs' own stand beside it.

    >>> mean([1, 2, 5]), mean([2, None]), mean([None])
    (3, 2, None)
    """
    there = [count for count in counts if count is not None]
    return round(statistics.fmean(there)) if there else None


def spread(values: Iterable[float | None]) -> Spread | None:
    """Return the mean of what is there and how far it scatters.

    >>> spread([0.5, 1.0, None])
    Spread(mean=0.75, standard_deviation=0.3535533905932738, lowest=0.5, highest=1.0, count=2)
    """
    there = [value for value in values if value is not None]
    if not there:
        return None
    deviation = statistics.stdev(there) if len(there) > 1 else None
    return Spread(statistics.fmean(there), deviation, min(there), max(there), len(there))


def network_name(model: ModelSettings) -> str:
    """Return a network's kind and size in few words.

    >>> network_name(ModelSettings(hidden=(64, 32))), network_name(ModelSettings(kind="lenet5", channel_multiplier=2))
    ('mlp 64-32', 'lenet5, 2 x channels')
    """
    if model.kind in ("mlp", "autoencoder"):
        return f"{model.kind} {'-'.join(str(model.width(f'fc{i}', width)) for i, width in enumerate(model.hidden))}"
    narrower = ", narrower layers" if model.widths else ""
    times = "" if model.channel_multiplier == 1 else f", {model.channel_multiplier:g} x channels"
    return f"{model.kind}{times}{narrower}"


def widths_name(recipe: Recipe) -> str:
    """Return bits of weights / activations; "mixed" where layers differ.

    >>> widths_name(Recipe(weight_bit_width=1, activation_bit_width=2)), widths_name(Recipe(last_weight_bit_width=8))
    ('1/2', 'mixed')
    """
    if recipe.is_float:
        return "float"
    special = {
        name: width for name, width in recipe.widths().items() if width is not None and name != "input_bit_width"
    }
    weights = {width for name, width in special.items() if "weight" in name}
    activations = {width for name, width in special.items() if "weight" not in name}
    if len(weights) > 1 or len(activations) > 1:
        return "mixed"
    return f"{min(weights)}/{min(activations)}"
