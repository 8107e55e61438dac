"""Progressive quantisation: float weights in the first epochs, quantised ones after them and in every validation."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bitwright.models import training
from bitwright.models.checkpoint import NetworkDescription
from bitwright.models.classifier import Classifier
from bitwright.models.dataset import load
from bitwright.models.settings import ModelSettings, TrainSettings
from bitwright.quant.recipe import Recipe

BINARY = NetworkDescription(
    ModelSettings(hidden=(8,)), Recipe(weight_bit_width=1, activation_bit_width=1), (1, 8, 8), 10
)


def test_weights_follow_the_activations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, bool]] = []

    class Watched(Classifier):
        def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
            self.note()
            return super().training_step(batch, batch_idx)

        def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
            self.note()
            super().validation_step(batch, batch_idx)

        def note(self) -> None:
            layer: Any = self.network.get_submodule("fc0")
            weight = layer.quant_weight()
            values = getattr(weight, "value", weight)
            seen.append((layer.training, bool((values.abs() == 1).all())))

    monkeypatch.setattr(training, "Classifier", Watched)
    data = load("digits")
    data = replace(data, train=data.train.take(np.arange(96)), validation=data.validation.take(np.arange(60)))
    settings = TrainSettings(epochs=4, batch_size=48, float_weights_share=0.5)
    training.train(BINARY, settings, data, 1, tmp_path, report=lambda _: None)
    floating = [(True, False), (True, False), (False, True)]  # two steps and a validation
    quantised = [(True, True), (True, True), (False, True)]
    assert seen == floating * 2 + quantised * 2


def test_layers_with_a_bias_take_their_time_too(tmp_path: Path) -> None:
    data = load("digits")
    data = replace(data, train=data.train.take(np.arange(96)), validation=data.validation.take(np.arange(60)))
    settings = TrainSettings(epochs=2, batch_size=48, float_weights_share=0.5)
    description = replace(BINARY, model=ModelSettings(hidden=(8,), batch_norm=False), recipe=Recipe())
    metrics = training.train(description, settings, data, 1, tmp_path, report=lambda _: None)
    assert metrics["epochs"] == 2


def test_smoothed_labels_are_spread_over_all_classes() -> None:
    torch.manual_seed(1)
    settings = TrainSettings(label_smoothing=0.2)
    classifier = Classifier(nn.Identity(), settings, load("digits"), 1)
    scores, labels = torch.randn(6, 10), torch.arange(6)
    wanted = 0.8 * nn.functional.one_hot(labels, 10) + 0.02
    expected = -(wanted * scores.log_softmax(dim=1)).sum(dim=1).mean()
    found = classifier.loss(scores, labels, settings.label_smoothing)
    assert float(found) == pytest.approx(float(expected), rel=1e-6)
