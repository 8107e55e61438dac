"""What happens around each step: the moving average that is kept, killed or not, and the weights that are clipped."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bitwright.models import training
from bitwright.models.batches import training_batches
from bitwright.models.checkpoint import NetworkDescription, load
from bitwright.models.classifier import AVERAGE_STATISTICS_BATCHES, Classifier
from bitwright.models.dataset import DataSet
from bitwright.models.dataset import load as load_data
from bitwright.models.settings import ModelSettings, TrainSettings
from bitwright.models.training_state import ResumePoint
from bitwright.quant.recipe import Recipe

MLP = NetworkDescription(ModelSettings(hidden=(8, 8)), Recipe(), (1, 8, 8), 10)
SETTINGS = TrainSettings(epochs=3, batch_size=32, average_weights=0.75, keep="last", threads=1)
SEED = 3


def digits() -> DataSet:
    """A tenth of the digits."""
    data = load_data("digits")
    return replace(data, train=data.train.take(np.arange(144)), validation=data.validation.take(np.arange(60)))


def trained(folder: Path, settings: TrainSettings = SETTINGS) -> dict[str, Any]:
    training.train(MLP, settings, digits(), SEED, folder, report=lambda _: None)
    found: dict[str, Any] = load_file(folder / "checkpoint.safetensors")
    return found


def test_what_is_kept_is_the_moving_average_of_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[dict[str, torch.Tensor]] = []

    class Watched(Classifier):
        def on_train_batch_end(self, *of: object) -> None:
            super().on_train_batch_end(*of)
            steps.append({name: value.detach().clone() for name, value in self.network.named_parameters()})

    monkeypatch.setattr(training, "Classifier", Watched)
    kept = trained(tmp_path)
    assert len(steps) == SETTINGS.epochs * 4
    for name in steps[0]:
        average = steps[0][name].double()
        for step in steps[1:]:
            average = 0.75 * average + 0.25 * step[name].double()
        torch.testing.assert_close(kept[name].double(), average, rtol=1e-5, atol=1e-6)
        assert not torch.equal(kept[name], steps[-1][name])


def test_statistics_are_those_of_the_average(tmp_path: Path) -> None:
    trained(tmp_path)
    network, _ = load(tmp_path / "checkpoint.safetensors", MLP)
    data = digits()
    inputs = [x for x, _ in training_batches(data.train, data.input_scale, SETTINGS.batch_size, SEED)]
    assert len(inputs) < AVERAGE_STATISTICS_BATCHES
    seen: list[torch.Tensor] = []
    norm: Any = network.get_submodule("norm0")
    norm.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    with torch.no_grad():
        for batch in inputs:
            network(batch)
    torch.testing.assert_close(norm.running_mean, torch.stack([batch.mean(dim=0) for batch in seen]).mean(dim=0))


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_killed_training_goes_on_with_the_average(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert same(trained(tmp_path / "killed"), whole)
    plain = trained(tmp_path / "plain", SETTINGS.model_copy(update={"average_weights": 0.0}))
    assert not same(plain, whole)


def test_latent_weights_of_binary_layers_are_clipped_after_every_step() -> None:
    binary = NetworkDescription(MLP.model, Recipe(weight_bit_width=1, activation_bit_width=1), (1, 8, 8), 10)
    layers = []
    for description in (binary, MLP):
        network: Any = description.build()
        classifier = Classifier(network, TrainSettings(), digits(), SEED)
        with torch.no_grad():
            network.fc1.weight.fill_(3.0)
        classifier.on_train_batch_end()
        layers.append(network.fc1.weight)
    assert [layer.unique().tolist() for layer in layers] == [[1.0], [3.0]]
