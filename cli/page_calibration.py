"""What `calibrate` did to a float network, for the page of its run: its figure, and every tensor before and after."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from bitwright.calibration.observers import Method
from bitwright.calibration.settings import CalibrationSettings, Rounding
from bitwright.cli.report_sheet import clean

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Squared = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Single = Annotated[float, Field(ge=-3.5e38, le=3.5e38, allow_inf_nan=False)]
"""A value of single precision: pictures may subtract any two."""

Bits = Annotated[int, Field(ge=0, le=64)]
Count = Annotated[int, Field(ge=0, lt=2**63)]

METHODS: Mapping[Method, str] = {
    "min_max": "range of all values",
    "moving_average": "moving average of the batches' ranges",
    "percentile": "a percentile",
    "mse": "least squared error",
    "entropy": "least loss of entropy (KL)",
}
ROUNDINGS: Mapping[Rounding, str] = {
    "nearest": "each to the nearest",
    "gptq": "a layer's together (GPTQ)",
    "gpfq": "a layer's together (GPFQ)",
    "learned": "up or down, learned (AdaRound)",
}


@dataclass(frozen=True)
class Accuracy:
    """Share of a split's labels that are met before and after."""

    float: Share
    fixed_point: Share


@dataclass(frozen=True)
class Accuracies:
    """Of both splits."""

    validation: Accuracy
    test: Accuracy


@dataclass(frozen=True)
class SquaredError:
    """Mean squared error of an autoencoder's outputs before and after."""

    float: Squared
    fixed_point: Squared


@dataclass(frozen=True)
class SquaredErrors:
    """Of both splits."""

    validation: SquaredError
    test: SquaredError


@dataclass(frozen=True)
class CalibratedTensor:
    """A layer's weights, or an activation, as `calibration.layer_errors.LayerError`, which needs torch."""

    name: str
    bit_width: Annotated[int, Field(ge=1, le=64)]
    exponent: Annotated[int, Field(ge=-1100, le=1100)] | None
    lowest: Single
    highest: Single
    lowest_held: Single
    highest_held: Single
    signal_to_noise_db: Single

    def __post_init__(self) -> None:
        """Refuse ranges that end before they begin.

        Raises:
            ValueError: If one does.
        """
        if self.lowest > self.highest or self.lowest_held > self.highest_held:
            raise ValueError(f"{self.name}: range must end above its beginning, not below")


@dataclass(frozen=True)
class CalibrationFile:
    """What `calibration.json` says.

    Args:
        source: Name of the float network's experiment.
        settings: How it was calibrated.
        layers: Every tensor, in the order of definition.
        accuracy: Before and after; None of an autoencoder.
        mean_squared_error: Of an autoencoder, before and after.
    """

    source: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    settings: CalibrationSettings
    layers: tuple[CalibratedTensor, ...]
    accuracy: Accuracies | None = None
    mean_squared_error: SquaredErrors | None = None

    def __post_init__(self) -> None:
        """Refuse a calibration with none of the figures, or both.

        Raises:
            ValueError: If it is one.
        """
        if (self.accuracy is None) == (self.mean_squared_error is None):
            raise ValueError("accuracy: figures must be an accuracy or a mean squared error, not none and not both")


@dataclass(frozen=True)
class Calibration:
    """What the page shows of it.

    Args:
        source: Name of the float network's experiment.
        accuracy: Before and after; None of an autoencoder.
        mean_squared_error: Of an autoencoder, before and after.
        layers: Every tensor, in the order of definition.
        settings: What was done, and how, in words and numbers.
    """

    source: str
    accuracy: Accuracies | None
    mean_squared_error: SquaredErrors | None
    layers: tuple[CalibratedTensor, ...]
    settings: Mapping[str, str | int | float] = field(default_factory=dict)


def read_calibration(path: Path, *, trained: bool) -> CalibrationFile:
    """Read calibration.json.

    Args:
        path: Of the file.
        trained: Whether the run's weights come from a training: then the file is of those before it.

    Raises:
        ValueError: If it is damaged, or not of this run's weights.
        OSError: If it cannot be read.
    """
    if trained:
        raise ValueError(
            f"{path}: calibration must be of the run's weights, not of those before its training; delete the file"
        )
    try:
        return TypeAdapter(CalibrationFile).validate_json(path.read_bytes(), strict=True)
    except ValidationError as error:
        raise ValueError(
            f"{path}: calibration must be as `bitwright calibrate` wrote it, not changed; calibrate again"
        ) from error


def calibration(found: CalibrationFile) -> Calibration:
    """Return what the page shows of a calibration."""
    layers = tuple(replace(layer, name=clean(layer.name)) for layer in found.layers)
    return Calibration(found.source, found.accuracy, found.mean_squared_error, layers, in_words(found.settings))


def in_words(settings: CalibrationSettings) -> dict[str, str | int | float]:
    """Return settings as people read them; the percentile where one was taken.

    >>> in_words(CalibrationSettings(samples=64))["inputs observed"]
    64
    """
    methods = (settings.method, settings.weight_method)
    return {
        "inputs observed": settings.samples,
        "ranges of activations": METHODS[settings.method],
        "ranges of weights": METHODS[settings.weight_method],
        **({"percentile": settings.percentile} if "percentile" in methods else {}),
        "rounding of weights": ROUNDINGS[settings.rounding],
        "batch norms": "folded into the layers before them" if settings.fold else "kept",
        "ranges of neighbouring layers": "made alike" if settings.equalize else "as they were",
        "mean error of each channel": "taken off its bias" if settings.correct_bias else "left",
    }
