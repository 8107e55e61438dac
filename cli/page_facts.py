"""What the page of a run shows: all its numbers and words, before anything is drawn."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bitwright.cli.page_calibration import Calibration
from bitwright.cli.page_pruning import Pruning
from bitwright.cli.page_search import Search


@dataclass(frozen=True)
class Level:
    """One level against the first.

    Args:
        name: As "csim".
        compared: Integers compared.
        different: Integers that differ.
        accuracy: Share of the labels that are met; None where there are no labels.
        seconds: That it took.
        mean_squared_error: Of an autoencoder's outputs to its inputs; None of other networks.
    """

    name: str
    compared: int
    different: int
    accuracy: float | None
    seconds: float
    mean_squared_error: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What `verification.json` says.

    Args:
        exact: Whether no integer differs at any level.
        chip_exact: Whether none differs below the program.
        test_set: Inputs compared.
        largest_error: Greatest distance of the program's scores from the network's, in the network's units.
        undecided: Share of the sums before a layer's quantiser that float32 may round either way, by layer.
        levels: From the network to the chip.
        fewer: Inputs of the levels that ran only the first ones, by level.
    """

    exact: bool
    chip_exact: bool
    test_set: int
    largest_error: float
    undecided: Mapping[str, float]
    levels: tuple[Level, ...]
    fewer: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Epoch:
    """One epoch of the training, counted from 1; None where nothing was logged."""

    epoch: int
    train_loss: float | None = None
    validation_loss: float | None = None
    validation_accuracy: float | None = None


@dataclass(frozen=True)
class Training:
    """What `metrics.json` says, or, of a training without an end, its log."""

    epochs: int
    history: tuple[Epoch, ...]
    best_epoch: int | None = None
    validation_accuracy: float | None = None
    validation_mean_squared_error: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Bin:
    """So many weights from one code to another, both ends included."""

    lowest: int
    highest: int
    count: int


@dataclass(frozen=True)
class Weights:
    """The weights of a layer on their grid.

    Args:
        type: As Vitis HLS spells it.
        width: Its bits.
        step: Worth of one code.
        count: How many there are.
        zeros: How many are 0.
        lowest: Smallest code there is.
        highest: Largest.
        bins: Over the whole type; one a code where they are few.
        tallest: Index of the bin with most.
    """

    type: str
    width: int
    step: float
    count: int
    zeros: int
    lowest: int
    highest: int
    bins: tuple[Bin, ...]
    tallest: int


@dataclass(frozen=True)
class Span:
    """From one code to another, both ends included."""

    lowest: int
    highest: int


@dataclass(frozen=True)
class Values:
    """The result of a layer: what its type could hold, what is proven, what was seen; all in codes.

    Args:
        type: The narrowest that is proven enough.
        given: That of the project, where `precision.toml` asks for another.
        width: Bits of ``type``.
        step: Worth of one code.
        holds: Codes of the type.
        proven: Codes that the weights let through.
        measured: Codes that were seen; None without inputs.
        at_lowest: Share of the values seen that lie at the lowest code of the type; None unless the layer saturates.
        at_highest: And at the highest.
    """

    type: str
    given: str | None
    width: int
    step: float
    holds: Span
    proven: Span
    measured: Span | None = None
    at_lowest: float | None = None
    at_highest: float | None = None


@dataclass(frozen=True)
class Accumulator:
    """Type and bits that the sums need, and those that `precision.toml` gives them."""

    needed_type: str
    needed_bits: int
    given_type: str
    given_bits: int


@dataclass(frozen=True)
class Cost:
    """What a layer takes, if nothing is shared in time.

    Args:
        multiplications: For one input.
        operands: Bits of both factors, as "6 x 5".
        weight_bits: Of all weights.
        constant_bits: Of these and all other constants.
        lut_estimate: LUT as unrolled logic, estimated.
    """

    multiplications: int
    operands: str
    weight_bits: int
    constant_bits: int
    lut_estimate: int


@dataclass(frozen=True)
class Layer:
    """One operation of the program.

    Args:
        name: Its name.
        kind: As "Dense".
        how: How it is done in hardware.
        sources: Names of those whose results it takes.
        shape: Of the result, as "8 x 8 x 4".
        size: Number of values of the result.
        values: The result.
        cost: What it takes.
        weights: Where it has some.
        accumulator: Where it adds.
    """

    name: str
    kind: str
    how: str
    sources: tuple[str, ...]
    shape: str
    size: int
    values: Values
    cost: Cost
    weights: Weights | None = None
    accumulator: Accumulator | None = None


@dataclass(frozen=True)
class Network:
    """The program.

    Args:
        layers: In the order of execution.
        measured_inputs: How many of the run's inputs were run to see the values.
        multiplications: Of all layers.
        weights: Number of weights.
        weight_bits: Their bits.
        lut_estimate: Of all layers.
    """

    layers: tuple[Layer, ...]
    measured_inputs: int
    multiplications: int
    weights: int
    weight_bits: int
    lut_estimate: int


@dataclass(frozen=True)
class Stage:
    """What one tool says at one stage.

    Args:
        title: The stage.
        tool: Who says so.
        source: File in the run's folder.
        words: What is no number.
        figures: Numbers, by names that say their units.
    """

    title: str
    tool: str
    source: str
    words: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Absent:
    """A stage that was not reached, the command that makes it, and what that needs besides."""

    title: str
    command: str
    needs: str = ""


@dataclass(frozen=True)
class Page:
    """All of it.

    Args:
        name: The run's.
        verdict: None before anything was compared.
        training: None where nothing is known of it, or there was none.
        calibration: Of a run that `calibrate` or `search` wrote.
        search: Of a run that a search won.
        pruning: Of a run that `prune` wrote.
        network: None before the network was lowered.
        stages: Hardware figures, in the order of the flow.
        absent: What is not there.
        notes: What to know of the figures.
        problems: What could not be read, or is of another training.
        experiment: Text of `experiment.toml`, or None.
        versions: Of the parts that are installed.
        commands: That make the run again.
    """

    name: str
    verdict: Verdict | None = None
    training: Training | None = None
    calibration: Calibration | None = None
    search: Search | None = None
    pruning: Pruning | None = None
    network: Network | None = None
    stages: tuple[Stage, ...] = ()
    absent: tuple[Absent, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    experiment: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    commands: tuple[str, ...] = ()

    def data(self) -> dict[str, Any]:
        """Return what the page embeds as JSON; numbers that JSON has no word for are null.

        >>> Page("run", training=Training(1, (Epoch(1, train_loss=float("nan")),))).data()["training"]["history"]
        [{'epoch': 1, 'train_loss': None, 'validation_loss': None, 'validation_accuracy': None}]
        """
        found: dict[str, Any] = json.loads(json.dumps(_finite(asdict(self))))
        return found


def _finite(value: Any) -> Any:  # noqa: ANN401 - JSON
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {name: _finite(entry) for name, entry in value.items()}
        case list() | tuple():
            return [_finite(entry) for entry in value]
        case _:
            return value
