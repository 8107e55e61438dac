"""What `prune` took out of a network, for the page of its run: each layer before and now, the figure, the LUT."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from bitwright.cli.report_sheet import clean
from bitwright.cli.run_folder import RunFolder, digest
from bitwright.models.pruning_settings import PruningSettings

Count = Annotated[int, Field(ge=0, lt=2**63)]
Figure = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class LayerFigures:
    """A layer's weights, how many of them are not zero, and their bits."""

    name: str
    weights: Count
    nonzero: Count
    bits: Count


@dataclass(frozen=True)
class SplitFigures:
    """An accuracy, or a mean squared error, on both splits."""

    validation: Figure
    test: Figure


@dataclass(frozen=True)
class LutFigures:
    """LUT of the hls4ml project and of unrolled logic, as `bitwright estimate` has them."""

    hls4ml: Count
    unrolled: Count


@dataclass(frozen=True)
class StageFigures:
    """A network before it was pruned, just pruned, or trained further."""

    layers: tuple[LayerFigures, ...]
    accuracy: SplitFigures | None = None
    mean_squared_error: SplitFigures | None = None
    lut: LutFigures | None = None

    def __post_init__(self) -> None:
        """Refuse a stage with none of the figures, or both.

        Raises:
            ValueError: If it is one.
        """
        if (self.accuracy is None) == (self.mean_squared_error is None):
            raise ValueError("accuracy: figures must be an accuracy or a mean squared error, not none and not both")


@dataclass(frozen=True)
class PruningFile:
    """What `pruning.json` says, as far as the page shows it."""

    source: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    settings: PruningSettings
    before: StageFigures
    pruned: StageFigures
    retrained: StageFigures | None = None

    def __post_init__(self) -> None:
        """Refuse stages of other layers, or of another figure.

        Raises:
            ValueError: If there are such.
        """
        shapes = {
            (tuple(layer.name for layer in stage.layers), stage.accuracy is None)
            for stage in (self.before, self.pruned, self.retrained)
            if stage is not None
        }
        if len(shapes) > 1:
            raise ValueError("layers: stages must be of the same layers and figure, not of others")


@dataclass(frozen=True)
class PrunedLayer:
    """A layer before and now."""

    name: str
    weights_before: int
    weights: int
    nonzero_before: int
    nonzero: int
    bits_before: int
    bits: int


@dataclass(frozen=True)
class StageResult:
    """What the network of one stage reached: an accuracy, or a mean squared error."""

    stage: Literal["before", "pruned", "trained further"]
    validation: float
    test: float


@dataclass(frozen=True)
class Pruning:
    """What the page shows of it.

    Args:
        source: Name of the run that was pruned.
        words: What went.
        figure: What `results` are.
        results: One a stage.
        layers: In the order of definition.
        lut_before: Estimates of the network before; None where there are none.
        lut: Of the network as it is.
    """

    source: str
    words: str
    figure: Literal["accuracy", "mean squared error"]
    results: tuple[StageResult, ...]
    layers: tuple[PrunedLayer, ...]
    lut_before: LutFigures | None = None
    lut: LutFigures | None = None


def read_pruning(path: Path, run: RunFolder) -> PruningFile:
    """Read pruning.json.

    Args:
        path: Of the file.
        run: Whose weights it is to be of.

    Raises:
        ValueError: If it is damaged, or of other weights.
        OSError: If it cannot be read.
    """
    try:
        found = TypeAdapter(PruningFile).validate_json(path.read_bytes())
    except ValidationError as error:
        raise ValueError(f"{path}: pruning must be as `bitwright prune` wrote it, not changed; prune again") from error
    if run.checkpoint.is_file() and run.stamp_value("prune", "result") != digest(run.checkpoint):
        raise ValueError(
            f"{path}: pruning must be of the run's weights, not of others; prune again, or delete the file"
        )
    return found


def pruning(found: PruningFile) -> Pruning:
    """Return what the page shows of a pruning."""
    now = found.retrained or found.pruned
    stages = (("before", found.before), ("pruned", found.pruned), ("trained further", found.retrained))
    results = []
    for name, stage in stages:
        if stage is not None:
            reached = stage.accuracy or stage.mean_squared_error
            assert reached is not None
            results.append(StageResult(name, reached.validation, reached.test))  # type: ignore[arg-type]  # of the three
    layers = tuple(
        PrunedLayer(
            clean(after.name), before.weights, after.weights, before.nonzero, after.nonzero, before.bits, after.bits
        )
        for before, after in zip(found.before.layers, now.layers, strict=True)
    )
    figure: Literal["accuracy", "mean squared error"] = "accuracy" if now.accuracy else "mean squared error"
    lut_before = found.before.lut if now.lut else None
    lut = now.lut if lut_before else None
    return Pruning(found.source, found.settings.words, figure, tuple(results), layers, lut_before, lut)
