"""What `search` found, for the page of its winner: the front, the sensitivity of each layer, the winner's reasons."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from bitwright.calibration.candidate import Cost
from bitwright.calibration.moves import Part
from bitwright.cli.page_calibration import Bits, Count, Share
from bitwright.cli.report_sheet import clean
from bitwright.cli.search_wanted import Wanted
from bitwright.quant.recipe import Recipe

COSTS: Mapping[Cost, str] = {
    "weight_bits": "bits of weights",
    "bit_operations": "effective bit operations",
    "lut": "LUT, estimated",
    "yosys_lut": "LUT, counted by Yosys",
}


@dataclass(frozen=True)
class CandidateEntry:
    """A candidate in `search.json`, as `calibration.candidate.Candidate`.

    Args:
        recipe: Its widths.
        accuracy: On the validation split.
        weight_bits: Of all weights.
        bit_operations: Effective bit operations of one inference.
        lut: Estimate as unrolled logic, if it was counted.
        images: Of the validation split.
        yosys_lut: What Yosys counts, if it was asked.
    """

    recipe: Recipe
    accuracy: Share
    weight_bits: Count
    bit_operations: Count
    lut: Annotated[float, Field(ge=0, lt=2**63, allow_inf_nan=False)] | None
    images: Count
    yosys_lut: Count | None = None


@dataclass(frozen=True, kw_only=True)
class FrontEntry(CandidateEntry):
    """One on the front, lowered: outputs compared with PyTorch's, and those that differ."""

    integers_compared: Count
    different: Count


@dataclass(frozen=True)
class Sensitivity:
    """What one layer alone loses at one width, as `calibration.sensitivity.Sensitivity`."""

    layer: str
    part: Part
    bit_width: Bits
    accuracy: Share
    loss: Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]


@dataclass(frozen=True)
class SearchFile:
    """What `search.json` says.

    Args:
        wanted: What was searched for.
        float_accuracy: Of the float network, on validation.
        target_accuracy: The least; 0 where a cost is the target.
        candidates: How many were tried.
        winner: Of them; None where none reached the target.
        front: The best of them, the cheapest first.
        sensitivity: Of each layer.
        recipe_overrides: What the command line said of the recipe to begin with, as in "recipe.input_bit_width=4".
    """

    wanted: Wanted
    float_accuracy: Share
    target_accuracy: Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
    candidates: Count
    winner: CandidateEntry | None
    front: tuple[FrontEntry, ...]
    sensitivity: tuple[Sensitivity, ...]
    recipe_overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Point:
    """A candidate on the front.

    Args:
        accuracy: On the validation split.
        weight_bits: Of all weights.
        bit_operations: Effective bit operations of one inference.
        lut: Estimate as unrolled logic, to the nearest; None where it was not counted.
        yosys_lut: What Yosys counts; None where it was not asked.
        weights: Bits of each layer's weights, as "4 2 3".
        activations: Bits of the activations behind each but the last.
        integers_compared: Outputs compared between PyTorch and the integers.
        different: Of them.
        winner: Whether it is the winner.
    """

    accuracy: float
    weight_bits: int
    bit_operations: int
    lut: int | None
    yosys_lut: int | None
    weights: str
    activations: str
    integers_compared: int
    different: int
    winner: bool


@dataclass(frozen=True)
class Reason:
    """Why a layer of the winner has its widths; they are None where the layer says nothing of its own."""

    layer: str
    weight_bit_width: int | None
    activation_bit_width: int | None
    why: str


@dataclass(frozen=True)
class Search:
    """What the page shows of a search.

    Args:
        cost: What was to become less, as a point names it.
        cost_words: The same for people.
        float_accuracy: Of the float network, on validation.
        target_accuracy: The least; None where a cost is the target.
        budget: The most that the cost may be, if that is the target.
        candidates: How many were tried.
        images: Of the validation split, that accuracies were counted on.
        layers: Names, in the order of a point's widths.
        front: Points, the cheapest first.
        sensitivity: Of each layer.
        reasons: Of the winner's widths.
    """

    cost: Cost
    cost_words: str
    float_accuracy: float
    target_accuracy: float | None
    budget: int | None
    candidates: int
    images: int
    layers: tuple[str, ...]
    front: tuple[Point, ...]
    sensitivity: tuple[Sensitivity, ...]
    reasons: tuple[Reason, ...]


def read_search(path: Path, recipe: Recipe | None) -> SearchFile:
    """Read search.json.

    Args:
        path: Of the file.
        recipe: Of the run; None where it is not known.

    Raises:
        ValueError: If it is damaged, or the run is not its winner.
        OSError: If it cannot be read.
    """
    try:
        found = TypeAdapter(SearchFile).validate_json(path.read_bytes(), strict=True)
    except ValidationError as error:
        raise ValueError(f"{path}: search must be as `bitwright search` wrote it, not changed; search again") from error
    winner = found.winner
    if winner is None or not any(point.recipe == winner.recipe for point in found.front):
        raise ValueError(f"{path}: front must hold the winner, not others alone; search again")
    counts: dict[Cost, list[float | None]] = {
        "lut": [point.lut for point in found.front],
        "yosys_lut": [point.yosys_lut for point in found.front],
    }
    if None in counts.get(found.wanted.cost, []):
        raise ValueError(f"{path}: LUT of every point must be counted, not left out; search again")
    if recipe is not None and _widths(recipe) != _widths(winner.recipe):
        raise ValueError(f"{path}: winner must have this run's recipe, not another; delete the file, or search again")
    return found


def _widths(recipe: Recipe) -> Recipe:
    """Leave out what the winner's run may add: reasons, and the bits that its biases need."""
    return recipe.without_reasons().model_copy(update={"bias_bit_width": 0})


def search(found: SearchFile, recipe: Recipe | None) -> Search:
    """Return what the page shows of a search.

    Args:
        found: The file, with a winner.
        recipe: Of the run, with its reasons.
    """
    winner = found.winner
    assert winner is not None  # `read_search` refuses it
    cost, budget = found.wanted.cost, found.wanted.budget
    return Search(
        cost=cost,
        cost_words=COSTS[cost],
        float_accuracy=found.float_accuracy,
        target_accuracy=None if budget is not None else found.target_accuracy,
        budget=budget,
        candidates=found.candidates,
        images=winner.images,
        layers=tuple(map(clean, winner.recipe.layers)),
        front=tuple(_point(each, winner) for each in found.front),
        sensitivity=tuple(replace(each, layer=clean(each.layer)) for each in found.sensitivity),
        reasons=tuple(_reasons(recipe)),
    )


def _point(entry: FrontEntry, winner: CandidateEntry) -> Point:
    own = entry.recipe.layers.values()
    return Point(
        accuracy=entry.accuracy,
        weight_bits=entry.weight_bits,
        bit_operations=entry.bit_operations,
        lut=None if entry.lut is None else round(entry.lut),
        yosys_lut=entry.yosys_lut,
        weights=widths_text(layer.weight_bit_width for layer in own),
        activations=widths_text(layer.activation_bit_width for layer in own),
        integers_compared=entry.integers_compared,
        different=entry.different,
        winner=entry.recipe == winner.recipe,
    )


def widths_text(widths: Iterable[int | None]) -> str:
    """Return widths on one line; a layer that has none of its own is left out.

    >>> widths_text([4, 2, None])
    '4 2'
    """
    return " ".join(str(width) for width in widths if width is not None)


def _reasons(recipe: Recipe | None) -> Iterator[Reason]:
    for name, own in (recipe.layers if recipe else {}).items():
        if own.why:
            yield Reason(clean(name), own.weight_bit_width, own.activation_bit_width, clean(own.why))
