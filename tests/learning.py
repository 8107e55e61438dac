"""Networks that learn their widths, on small data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from float_networks import float_network, images
from torch import Tensor, nn

from bitwright.calibration.learned_network import LearnedNetwork, learnable
from bitwright.calibration.learned_widths import LearnSettings, find_ranges, first_cost, learn
from bitwright.calibration.moves import uniform
from bitwright.models.checkpoint import NetworkDescription, save
from bitwright.models.dataset import DataSet, Split
from bitwright.models.network import layer_names, removable_layers
from bitwright.models.settings import ModelSettings
from bitwright.quant.recipe import Recipe, Scale

MLP = NetworkDescription(ModelSettings(hidden=(12, 8)), Recipe.floating(), (1, 8, 8), 4)
CNN = NetworkDescription(ModelSettings(kind="cnn"), Recipe.floating(), (1, 8, 8), 4)
WITH_BIAS = NetworkDescription(ModelSettings(hidden=(12, 8), batch_norm=False), Recipe.floating(), (1, 8, 8), 4)
SETTINGS = LearnSettings("bit_operations", epochs=4, batch_size=32, learning_rate=0.01, shift_pixels=0, seed=3)
EXAMPLE = torch.zeros(1, 1, 8, 8)


def data(network: nn.Module, constant: int = 0) -> DataSet:
    """Inputs with the classes that a float network gives them.

    Args:
        network: Which.
        constant: So many rows at the top are zero.
    """
    inputs = images(MLP, 256)
    inputs[:, :, :constant] = 0.0
    values = (inputs * 255).round().to(torch.uint8).numpy()
    with torch.no_grad():
        labels = network(torch.from_numpy(values).float() / 255).argmax(dim=1).numpy().astype(np.int64)
    split = Split(values, labels)
    return DataSet("test", split, split, split, 1 / 255, ("a", "b", "c", "d"))


def begun(
    path: Path,
    description: NetworkDescription = MLP,
    granularity: Scale = "per_tensor",
    accumulator_bits: int | None = None,
) -> tuple[LearnedNetwork, DataSet]:
    """A network of 8 bits that is about to learn its widths, and data.

    Args:
        path: Of a folder for the float network.
        description: Of it.
        granularity: Of the weights' widths.
        accumulator_bits: Of every layer, at most.
    """
    network = float_network(description)
    found = data(network)
    save(path / "float.safetensors", network, description)
    about = (description.model, description.input_shape, description.classes)
    recipe = uniform(layer_names(*about), 8, 8, 8).model_copy(update={"accumulator_bit_width": accumulator_bits})
    wanted = replace(description, recipe=recipe)
    learned = learnable(path / "float.safetensors", wanted, granularity, removable_layers(*about))
    find_ranges(learned, found, SETTINGS)
    return learned, found


def swept(
    learned: LearnedNetwork, found: DataSet, weights: list[float], first: int = 0, whole: float = 12 * 64 * 7 * 8.0
) -> list[float]:
    """Learn at each weight of the cost, and return the cost after each."""
    reached = []
    for stop, weight in enumerate(weights, first):
        learn(learned, found, SETTINGS, weight=weight, whole=whole, stop=stop)
        reached.append(first_cost(learned, EXAMPLE, "bit_operations"))
    return reached


def output(network: nn.Module, inputs: Tensor) -> Tensor:
    """The scores."""
    with torch.no_grad():
        found = network.eval()(inputs)
    return getattr(found, "value", found)  # type: ignore[no-any-return]
