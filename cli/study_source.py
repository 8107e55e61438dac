"""The float network of a study, and what all studies do with it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from bitwright.calibration.evaluate import calibration_inputs, scores
from bitwright.calibration.fold import unfoldable
from bitwright.calibration.post_training import Observed, prepare, quantize
from bitwright.calibration.settings import CalibrationSettings
from bitwright.cli.console import err
from bitwright.cli.experiment import changed
from bitwright.cli.named_run import refuse_autoencoder
from bitwright.cli.run_folder import STUDY, RunFolder, digest
from bitwright.cli.stage_calibrate import FloatRun, read_float
from bitwright.cli.study_store import Store
from bitwright.models import dataset
from bitwright.models.batches import accuracy
from bitwright.models.checkpoint import NetworkDescription, load
from bitwright.models.dataset import DataSet
from bitwright.quant.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Source:
    """A trained float network; weights and data are read when they are first needed.

    Args:
        run: Its run.
        data_dir: Of the data sets.
    """

    run: FloatRun
    data_dir: Path | None

    @cached_property
    def loaded(self) -> tuple[nn.Module, NetworkDescription]:
        """The network in eval mode, and its description."""
        return load(self.run.checkpoint)

    @cached_property
    def data(self) -> DataSet:
        """The data set."""
        data = self.run.experiment.data
        return dataset.load(data.name, self.data_dir, validation=data.validation_fraction, console=err)

    @property
    def folder(self) -> Path:
        """Where studies lie."""
        return self.run.run.path / STUDY

    def store(self, study: str) -> Store:
        """Open what a study has found so far."""
        data = self.run.experiment.data.model_dump_json()
        return Store(self.folder / f"{study}.json", digest(self.run.checkpoint, data))

    def calibration(self, **settings: Any) -> CalibrationSettings:  # noqa: ANN401 - fields of the class
        """Return the settings of `bitwright calibrate`; batch norms are folded where they can be."""
        network, description = self.loaded
        model = description.model
        fold = not (model.batch_norm and (model.tensor_train_rank > 0 or unfoldable(network)))
        return CalibrationSettings(**{"fold": fold, **settings})

    def recipe(self, **widths: int) -> Recipe:
        """Return a fixed-point recipe, with what the command line says of it.

        Raises:
            ValueError: If that is refused.
        """
        base = self.run.experiment.model_copy(update={"recipe": Recipe.model_validate(widths)})
        return changed(base, self.run.recipe_overrides).recipe.without_reasons()

    def observed(self, settings: CalibrationSettings, seed: int) -> Observed:
        """Observe the network as `bitwright calibrate` does; of several roundings or weight methods only once."""
        alike = replace(settings, rounding="nearest", weight_method="mse")
        if (alike, seed) not in self._observed:
            network, description = self.loaded
            inputs = calibration_inputs(self.data.train, self.data.input_scale, settings.samples, seed)
            self._observed.clear()  # one holds all its inputs
            self._observed[alike, seed] = prepare(network, description, inputs, alike)
        return replace(self._observed[alike, seed], settings=settings)

    def calibrated_accuracy(self, settings: CalibrationSettings, seed: int, recipe: Recipe) -> float:
        """Return the test accuracy of the network that `bitwright calibrate` would write."""
        return self.test_accuracy(quantize(self.observed(settings, seed), recipe)[0])

    def test_accuracy(self, network: nn.Module) -> float:
        """Return a network's accuracy on the test set."""
        return accuracy(scores(network, self.data.test, self.data.input_scale), self.data.test.labels)

    @cached_property
    def _observed(self) -> dict[tuple[CalibrationSettings, int], Observed]:
        return {}


def open_source(source: Path, runs_dir: Path, data_dir: Path | None, overrides: Iterable[str] = ()) -> Source:
    """Find a trained float network, and keep other studies of it waiting.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not float, or another study of it is under way.
    """
    found = read_float(source, runs_dir, overrides)
    experiment = found.experiment
    refuse_autoencoder(source, experiment, "a study", "calibrate it to each width, and see `bitwright compare`")
    if not experiment.recipe.is_float:
        raise ValueError(
            f"{source}: run must be of a float network, not of one of {experiment.recipe.weight_bit_width} bits; "
            "train one first, as configs/mnist_lenet5_float.toml does"
        )
    opened = Source(found, data_dir)
    opened.folder.mkdir(parents=True, exist_ok=True)
    RunFolder(opened.folder).lock()
    return opened


def whole_numbers(option: str, texts: Iterable[str], lowest: int, highest: int, what: str) -> tuple[int, ...]:
    """Return an option's numbers, each once, in the order given.

    Raises:
        ValueError: If there is none, or one is no whole number or out of range.

    >>> whole_numbers("--bits", ["4", "2", "4"], 2, 16, "width")
    (4, 2)
    """
    found = []
    for text in texts:
        number = int(text) if text.strip().lstrip("-").isascii() and text.strip().lstrip("-").isdecimal() else None
        if number is None or not lowest <= number <= highest:
            raise ValueError(
                f"{option}: {what} must be a whole number from {lowest} to {highest}, not {text!r}; "
                f"try {option} {max(lowest, 4)}"
            )
        found.append(number)
    if not found:
        raise ValueError(f"{option}: {what} must be at least one, not none; try {option} {max(lowest, 4)}")
    return tuple(dict.fromkeys(found))
