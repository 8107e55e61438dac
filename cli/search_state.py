"""A search under way, and how it begins."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bitwright.calibration.candidate import Candidate, CandidateFile
from bitwright.calibration.evaluate import calibration_inputs, scores
from bitwright.calibration.fold import unfoldable
from bitwright.calibration.moves import uniform
from bitwright.calibration.post_training import binarisable, check_float, prepare
from bitwright.calibration.scorer import LutOf, Scorer
from bitwright.calibration.settings import CalibrationSettings, check_widths
from bitwright.cli.console import err, note, progress_bar
from bitwright.cli.experiment import Experiment, changed
from bitwright.cli.named_run import refuse_autoencoder
from bitwright.cli.search_lowering import lowered, lut
from bitwright.cli.search_wanted import Wanted
from bitwright.cli.stage_calibrate import FloatRun, origin, use_threads
from bitwright.models import dataset
from bitwright.models.batches import accuracy
from bitwright.models.checkpoint import load
from bitwright.models.dataset import DataSet
from bitwright.models.network import layer_names, removable_layers, unactivated_layers
from bitwright.quant.recipe import Recipe

INPUT_BITS = 8


@dataclass(frozen=True, eq=False)
class Search:
    """A search under way.

    Args:
        wanted: What for.
        source: The float network's run.
        folder: Where its candidates lie.
        data: The data set.
        scorer: Of recipes.
        layers: Names of the layers with weights.
        removable: Those that may be left out.
        binarisable: Those whose weights may have 1 bit.
        float_accuracy: On validation.
        target: Least accuracy.
        start: The recipe to begin with.
        setting: Digest of all that a candidate's score depends on, but its recipe.
    """

    wanted: Wanted
    source: FloatRun
    folder: Path
    data: DataSet
    scorer: Scorer
    layers: tuple[str, ...]
    removable: tuple[str, ...]
    binarisable: frozenset[str]
    float_accuracy: float
    target: float
    start: Recipe
    setting: str

    def comparable(self) -> list[Candidate]:
        """Return the candidates whose cost was counted: all, but where it is LUT, which other searches leave out."""
        counted = self.wanted.by_estimate().cost != "lut"
        return [each for each in self.scorer.file if counted or each.lut is not None]


def begin(source: FloatRun, data_dir: Path | None, wanted: Wanted) -> Search:
    """Load everything, and observe the float network.

    Raises:
        ValueError: If the network is not float, is an autoencoder, or cannot be calibrated.
        OSError: If a file cannot be read.
    """
    experiment = source.experiment
    refuse_autoencoder(source.run.path, experiment, "a search", "`bitwright calibrate` it to each width")
    use_threads(experiment)
    network, description = load(source.checkpoint)
    check_float(description)
    data = dataset.load(experiment.data.name, data_dir, validation=experiment.data.validation_fraction, console=err)
    if wanted.binary and not description.model.batch_norm:
        raise ValueError(
            "--binary: network must have batch norms, not none; train it with model.batch_norm = true, or leave it out"
        )
    trains = description.model.tensor_train_rank > 0
    kept = not trains and description.model.batch_norm and unfoldable(network)
    fold = not (kept or trains or wanted.binary)
    if trains:
        note("search: a batch norm behind a tensor train has a factor an output, and no core has; batch norms stay")
    if kept:
        note("search: a batch norm behind a max pooling has negative factors; batch norms stay where they are")
    settings = CalibrationSettings(method=wanted.method, rounding=wanted.rounding, samples=wanted.samples, fold=fold)
    inputs = calibration_inputs(data.train, data.input_scale, settings.samples, experiment.seed)
    with progress_bar("observing", len(inputs)) as count:
        observed = prepare(network, description, inputs, settings, count)
    reached = accuracy(scores(network, data.validation, data.input_scale), data.validation.labels)
    folder = source.run.path / "search"
    setting = origin(source, settings)
    shape, classes = observed.description.input_shape, observed.description.classes
    model = observed.description.model
    layers = layer_names(model, shape, classes)
    binary = binarisable(observed) if wanted.binary else frozenset()
    unactivated = unactivated_layers(model, shape, classes)
    widest = uniform(layers, wanted.start_bit_width, wanted.start_bit_width, INPUT_BITS, unactivated)
    if wanted.max_accumulator_bits is not None:
        widest = widest.model_copy(update={"accumulator_bit_width": wanted.max_accumulator_bits})
    return Search(
        wanted=wanted,
        source=source,
        folder=folder,
        data=data,
        scorer=Scorer(
            observed,
            data.validation,
            data.input_scale,
            CandidateFile(folder / "candidates.jsonl", setting),
            _lut_of(shape) if wanted.by_estimate().cost == "lut" else None,
        ),
        layers=layers,
        removable=removable_layers(model, shape, classes),
        binarisable=binary,
        float_accuracy=reached,
        target=wanted.target(reached),
        start=_begun_with(experiment.model_copy(update={"recipe": widest}), source.recipe_overrides, binary),
        setting=setting,
    )


def _begun_with(experiment: Experiment, overrides: Iterable[str], binary: frozenset[str]) -> Recipe:
    """Return the recipe to begin with: of so many bits everywhere, but for what the command line says."""
    overrides = list(overrides)
    for key in (each.partition("=")[0].strip() for each in overrides):
        if key.endswith(("weight_bit_width", "activation_bit_width")) and not key.startswith("recipe.layers."):
            raise ValueError(
                f"--set: key must be of one layer in a search, not {key!r}, which no layer would heed; use "
                "--start-bit-width, or recipe.layers.NAME"
            )
    found = changed(experiment, overrides).recipe
    check_widths(found, binary)
    return found


def _lut_of(input_shape: tuple[int, ...]) -> LutOf:
    return lambda network, _: lut(lowered(network, input_shape))
