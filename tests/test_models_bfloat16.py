"""Training with products of bfloat16."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bitwright.models.checkpoint import NetworkDescription
from bitwright.models.dataset import DataSet, Split
from bitwright.models.dataset import load as load_data
from bitwright.models.settings import ModelSettings, TrainSettings
from bitwright.models.training import train
from bitwright.quant.recipe import Recipe

SETTINGS = TrainSettings(epochs=1, batch_size=32, threads=1)
CNN = NetworkDescription(ModelSettings(kind="cnn"), Recipe(), (3, 8, 8), 10)


def coloured(split: Split, samples: int) -> Split:
    """The first samples of the digits, three times the one channel."""
    part = split.take(np.arange(samples))
    return replace(part, inputs=part.inputs[:, [0, 0, 0]])


def coloured_digits() -> DataSet:
    data = load_data("digits")
    return replace(data, train=coloured(data.train, 64), validation=coloured(data.validation, 16))


@pytest.mark.parametrize("shift_pixels", [0, 1])
@pytest.mark.parametrize(("precision", "channels_last"), [("bfloat16", True), ("float32", False)])
def test_channels_of_a_pixel_lie_side_by_side_in_bfloat16(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: Literal["bfloat16", "float32"],
    channels_last: bool,
    shift_pixels: int,
) -> None:
    layouts: list[bool] = []

    def noted(layer: Any, inputs: Any) -> None:  # noqa: ANN401 - torch's hook
        if layer.training:
            x = getattr(inputs[0], "value", inputs[0])
            layouts.append(x.is_contiguous(memory_format=torch.channels_last))

    build = NetworkDescription.build

    def watched(self: NetworkDescription) -> torch.nn.Module:
        network = build(self)
        network.get_submodule("act").register_forward_pre_hook(noted)  # behind the convolution
        return network

    monkeypatch.setattr(NetworkDescription, "build", watched)
    settings = SETTINGS.model_copy(update={"precision": precision, "shift_pixels": shift_pixels})
    train(CNN, settings, coloured_digits(), 1, tmp_path, report=lambda _: None)
    assert layouts[-1] is channels_last


def test_products_of_bfloat16_train_weights_that_are_validated_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[tuple[bool, torch.dtype]] = []

    def noted(layer: Any, inputs: Any, output: Any) -> None:  # noqa: ANN401 - torch's hook
        kinds.append((layer.training, getattr(output, "value", output).dtype))

    build = NetworkDescription.build

    def watched(self: NetworkDescription) -> torch.nn.Module:
        network = build(self)
        network.get_submodule("fc0").register_forward_hook(noted)
        return network

    monkeypatch.setattr(NetworkDescription, "build", watched)
    mlp = NetworkDescription(ModelSettings(hidden=(8, 8)), Recipe(), (1, 8, 8), 10)
    data = load_data("digits")
    data = replace(data, train=data.train.take(np.arange(144)), validation=data.validation.take(np.arange(60)))
    settings = SETTINGS.model_copy(update={"epochs": 12, "shift_pixels": 1})
    found = []
    for precision in ("bfloat16", "float32"):
        chosen = settings.model_copy(update={"precision": precision})
        metrics = train(mlp, chosen, data, 3, tmp_path / precision, report=lambda _: None)
        found.append((metrics, load_file(tmp_path / precision / "checkpoint.safetensors"), list(kinds)))
        kinds.clear()
    (short, short_weights, seen), (whole, whole_weights, _) = found
    assert {kind for training, kind in seen[20:] if training} == {torch.bfloat16}  # behind those that see ranges
    assert {kind for training, kind in seen if not training} == {torch.float32}
    assert any(not torch.equal(value, whole_weights[name]) for name, value in short_weights.items())
    assert abs(short["validation_accuracy"] - whole["validation_accuracy"]) <= 0.2  # of 60 images
    assert whole["validation_accuracy"] > 0.3
