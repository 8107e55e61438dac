"""How images lie in memory while a network is trained."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

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
