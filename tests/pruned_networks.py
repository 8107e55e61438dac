"""Networks that tests of pruning take channels or weights from."""

import numpy as np
import torch
from image_networks import images
from torch import nn

from bitwright.models.batch_norm import BatchNorm
from bitwright.models.channel_pruning import prune_channels
from bitwright.models.checkpoint import NetworkDescription
from bitwright.models.pruning import prune_weights
from bitwright.models.pruning_settings import PruningSettings
from bitwright.models.settings import ModelSettings
from bitwright.quant.recipe import Recipe

FOUR = Recipe(weight_bit_width=4, activation_bit_width=4)
BINARY = Recipe(weight_bit_width=1, activation_bit_width=1)
SHAPE = (1, 8, 8)
MLP = NetworkDescription(ModelSettings(hidden=(12, 8)), FOUR, SHAPE, 10)
CNN = NetworkDescription(ModelSettings(kind="cnn"), FOUR, SHAPE, 10)


def described(kind: str, recipe: Recipe = FOUR, **model: object) -> NetworkDescription:
    shapes = {"mlp": SHAPE, "cnn": SHAPE, "lenet5": (1, 28, 28), "cnv": (3, 32, 32), "vgg_small": (3, 8, 8)}
    return NetworkDescription(ModelSettings.model_validate({"kind": kind, **model}), recipe, shapes[kind], 10)


def fresh(description: NetworkDescription) -> nn.Module:
    """A network with random weights in eval mode."""
    torch.manual_seed(1)
    return description.build().eval()


def used(description: NetworkDescription, seed: int = 1) -> nn.Module:
    """A network in eval mode whose batch norms and scales have seen data."""
    torch.manual_seed(seed)
    network = description.build().train()
    channels, height, width = description.input_shape
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, BatchNorm):
                module.weight.copy_(
                    (0.5 + torch.rand_like(module.weight)) * torch.sign(torch.randn_like(module.weight))
                )
                module.bias.normal_(0, 0.3)
                module.momentum = 1.0  # one batch is all that it sees
        network(torch.from_numpy(images(8, (channels, height, width), seed)))
    return network.eval()


def pruned(description: NetworkDescription, settings: PruningSettings) -> tuple[nn.Module, NetworkDescription]:
    return prune(used(description), description, settings)


def prune(
    network: nn.Module, description: NetworkDescription, settings: PruningSettings
) -> tuple[nn.Module, NetworkDescription]:
    if settings.structure == "channels":
        return prune_channels(network, description, settings)
    prune_weights(network, settings)
    return network, description


def scores(network: nn.Module, values: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        found = network(torch.from_numpy(values))
    result: torch.Tensor = getattr(found, "value", found)
    return result
