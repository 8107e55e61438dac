"""The autoencoder: every kind of number from one definition, trained on its own inputs, and what it refuses."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from bitwright.models import reconstruction
from bitwright.models.autoencoder_settings import check_training
from bitwright.models.checkpoint import NetworkDescription, load
from bitwright.models.dataset import DataSet
from bitwright.models.dataset import load as load_data
from bitwright.models.figure import measured
from bitwright.models.network import STANDARDISED_RANGE, build, layer_names
from bitwright.models.settings import ModelSettings, TrainSettings
from bitwright.models.training import train
from bitwright.models.training_state import ResumePoint
from bitwright.quant.recipe import LayerRecipe, Recipe

KIND = ModelSettings(kind="autoencoder", hidden=(12, 4, 12))
RECIPES = {
    "float": Recipe.floating(),
    "fixed": Recipe(weight_bit_width=5, activation_bit_width=7, last_weight_bit_width=3),
    "ternary": Recipe(weight_bit_width=2, activation_bit_width=2),
    "binary": Recipe(weight_bit_width=1, activation_bit_width=1),
}
DESCRIPTION = NetworkDescription(KIND, Recipe(weight_bit_width=8, activation_bit_width=8), (1, 8, 8), 10)
SETTINGS = TrainSettings(epochs=3, batch_size=32, loss="squared_error", keep="loss", threads=1)
SEED = 3


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def digits() -> DataSet:
    """A fifth of the digits."""
    data = load_data("digits")
    return replace(data, train=data.train.take(np.arange(288)), validation=data.validation.take(np.arange(60)))


def trained(folder: Path, settings: TrainSettings = SETTINGS) -> dict[str, Any]:
    """Train, and return what stands in the metrics."""
    return train(DESCRIPTION, settings, digits(), SEED, folder, report=lambda _: None)


def weights(folder: Path) -> dict[str, list[Any]]:
    return {name: value.tolist() for name, value in load_file(folder / "checkpoint.safetensors").items()}


def given_back(folder: Path, inputs: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the kept network's output for raw digits."""
    network, _ = load(folder / "checkpoint.safetensors")
    with torch.no_grad():
        outputs = network(torch.from_numpy(inputs.astype(np.float32) / 16))
    found: NDArray[np.float32] = getattr(outputs, "value", outputs).numpy()
    return found


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 4, 5), (16,)], ids=str)
def test_network_gives_back_as_many_values_as_its_input_has(shape: tuple[int, ...], recipe: Recipe) -> None:
    network = build(KIND, recipe, shape, 10)
    values = int(np.prod(shape))
    assert network(torch.rand(4, *shape)).shape == (4, values)
    outputs = network.eval()(torch.rand(2, *shape))
    assert outputs.shape == (2, values)
    assert outputs.isfinite().all()
    bottleneck: Any = network.get_submodule("fc1")
    assert (bottleneck.in_features, bottleneck.out_features) == (12, 4)


def test_last_layer_is_linear() -> None:
    network = build(KIND, Recipe.floating(), (1, 8, 8), 10).eval()
    inside: list[torch.Tensor] = []
    network.get_submodule("out").register_forward_pre_hook(lambda _, inputs: inside.append(inputs[0]))
    outputs = network(torch.rand(5, 1, 8, 8))
    last: Any = network.get_submodule("out")
    assert torch.equal(outputs, inside[0] @ last.weight.T + last.bias)
    assert (outputs < 0).any()


def test_weights_are_of_the_recipes_grid() -> None:
    for name, values in (("ternary", 3), ("binary", 2)):
        network = build(KIND, RECIPES[name], (1, 8, 8), 10)
        for layer in ("fc0", "fc1", "fc2", "out"):
            module: Any = network.get_submodule(layer)
            assert len(module.quant_weight().value.unique()) == values


def test_features_have_the_range_of_standardised_ones() -> None:
    network = build(KIND, Recipe(), (16,), 5).eval()
    quantizer: Any = network.get_submodule("input")
    largest = quantizer(torch.full((1, 16), 1000.0)).value.max()
    assert 0.9 * STANDARDISED_RANGE[1] < largest <= STANDARDISED_RANGE[1]


def test_layers_and_widths_have_the_names_of_an_mlps() -> None:
    assert layer_names(KIND, (1, 8, 8), 10) == ("fc0", "fc1", "fc2", "out")
    network = build(KIND.model_copy(update={"widths": {"fc1": 3}}), Recipe(), (1, 8, 8), 10)
    bottleneck: Any = network.get_submodule("fc1")
    assert bottleneck.out_features == 3


def test_hidden_layers_are_a_bottleneck_if_left_out() -> None:
    assert ModelSettings(kind="autoencoder").hidden == (64, 16, 64)
    assert ModelSettings.model_validate({"kind": "autoencoder", "hidden": [8]}).hidden == (8,)
    assert ModelSettings().hidden == (64, 64, 64)


REFUSED_NETWORKS = {
    "width of the output": (
        {"widths": {"out": 3}},
        Recipe(),
        "model.widths: layer must be one of fc0, fc1, fc2, not 'out'; rename it (the last layer has one output a value "
        "of the input)",
    ),
    "layer left out": (
        {"hidden": (12, 12)},
        Recipe(layers={"fc1": LayerRecipe(weight_bit_width=0)}),
        "recipe.layers.fc1.weight_bit_width: width must be 1 to 16, not 0; only hidden layers of an MLP can be left "
        "out",
    ),
}


@pytest.mark.parametrize("case", REFUSED_NETWORKS.values(), ids=REFUSED_NETWORKS)
def test_network_that_cannot_be_is_refused(case: tuple[dict[str, Any], Recipe, str]) -> None:
    changes, recipe, message = case
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        build(KIND.model_copy(update=changes), recipe, (1, 8, 8), 10)


REFUSED_TRAININGS = {
    "cross entropy": (
        "autoencoder",
        {"loss": "cross_entropy"},
        "train.loss: value must be 'squared_error' for model.kind = 'autoencoder', not 'cross_entropy'; its outputs "
        "are no scores of classes",
    ),
    "accuracy": (
        "autoencoder",
        {"keep": "accuracy"},
        "train.keep: value must be 'loss' or 'last' for model.kind = 'autoencoder', not 'accuracy'; it names no "
        "classes",
    ),
    "teacher": (
        "autoencoder",
        {"teacher": "other.safetensors"},
        "train.teacher: value must be empty for model.kind = 'autoencoder', not 'other.safetensors'; a student learns "
        "scores of classes",
    ),
    "classifier": (
        "mlp",
        {},
        "train.loss: value must be 'cross_entropy' or 'squared_hinge' for model.kind = 'mlp', not 'squared_error'; "
        "that is for autoencoder",
    ),
}


@pytest.mark.parametrize("case", REFUSED_TRAININGS.values(), ids=REFUSED_TRAININGS)
def test_training_that_cannot_be_is_refused_before_it_begins(
    case: tuple[str, dict[str, Any], str], tmp_path: Path
) -> None:
    kind, changes, message = case
    model = ModelSettings.model_validate({"kind": kind, "hidden": (8,)})
    settings = SETTINGS.model_copy(update=changes)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_training(model, settings)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        train(replace(DESCRIPTION, model=model), settings, digits(), SEED, tmp_path, report=lambda _: None)
    assert not list(tmp_path.iterdir())


def test_metrics_have_the_error_of_the_best_epoch_and_no_accuracy(tmp_path: Path) -> None:
    metrics = trained(tmp_path)
    assert metrics == json.loads((tmp_path / "metrics.json").read_text())
    figures = {"epochs", "best_epoch", "validation_mean_squared_error", "seconds", "history"}
    assert set(metrics) == figures | {"hardware", "versions"}
    losses = [epoch["validation_loss"] for epoch in metrics["history"]]
    assert metrics["validation_mean_squared_error"] == min(losses) == losses[metrics["best_epoch"]]
    assert {name for epoch in metrics["history"] for name in epoch} == {"epoch", "train_loss", "validation_loss"}
    held = digits().validation
    outputs = given_back(tmp_path, held.inputs)
    error = np.mean((outputs - held.inputs.reshape(60, 64) / 16) ** 2)
    assert metrics["validation_mean_squared_error"] == pytest.approx(error, rel=1e-5)  # summed in float32
    assert measured("autoencoder", outputs, held, 1 / 16) == pytest.approx(error, rel=1e-12)


def test_images_that_are_moved_move_the_target_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    class Watched(reconstruction.Reconstruction):
        def wanted(self, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            found = super().wanted(inputs, labels)
            if self.training:
                seen.append((inputs, found))
            return found

    got: list[torch.Tensor] = []

    def watched(*arguments: Any) -> reconstruction.Reconstruction:  # noqa: ANN401 - as the class takes them
        module = Watched(*arguments)
        module.network.register_forward_pre_hook(lambda network, x: got.append(x[0]) if network.training else None)
        return module

    monkeypatch.setattr("bitwright.models.training.Reconstruction", watched)
    trained(tmp_path, SETTINGS.model_copy(update={"epochs": 1, "shift_pixels": 2}))
    still = {image.tobytes() for image in digits().train.inputs.astype(np.float32) / 16}
    steps = got[-len(seen) :]
    assert len(seen) == 9
    for (_, target), inputs in zip(seen, steps, strict=True):
        assert torch.equal(target, inputs.flatten(1))
    moved = [image.numpy().tobytes() not in still for inputs in steps for image in inputs]
    assert sum(moved) > len(moved) / 2


def test_killed_training_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained(tmp_path / "whole")
    save = ResumePoint.on_train_epoch_end

    def save_and_raise(self: ResumePoint, trainer: Any, pl_module: Any) -> None:  # noqa: ANN401 - Lightning's
        save(self, trainer, pl_module)
        if trainer.current_epoch == 0:
            raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(ResumePoint, "on_train_epoch_end", save_and_raise)
        with pytest.raises(OSError, match="killed"):
            trained(tmp_path / "killed")
    again = trained(tmp_path / "killed")
    assert {**again, "seconds": 0} == {**whole, "seconds": 0}
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")


def test_training_stops_early_when_the_loss_has_not_fallen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([0.5, 0.25, 0.75, 0.3, 0.2, 0.1])

    def told(self: reconstruction.Reconstruction, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> None:
        self.log("validation_loss", next(losses), batch_size=len(batch[1]))

    monkeypatch.setattr(reconstruction.Reconstruction, "validation_step", told)
    metrics = trained(tmp_path, SETTINGS.model_copy(update={"epochs": 6, "early_stop_epochs": 2}))
    assert (metrics["epochs"], metrics["best_epoch"], metrics["validation_mean_squared_error"]) == (4, 1, 0.25)
