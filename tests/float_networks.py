"""Small float networks with seeded weights and batch norms that have seen data."""

import torch
from torch import Tensor, nn

from bitwright.models.batch_norm import BatchNorm
from bitwright.models.checkpoint import NetworkDescription
from bitwright.models.settings import ModelSettings
from bitwright.quant.recipe import Recipe

MLP = NetworkDescription(ModelSettings(hidden=(12, 12, 6)), Recipe.floating(), (1, 8, 8), 10)
CNN = NetworkDescription(ModelSettings(kind="cnn"), Recipe.floating(), (1, 8, 8), 10)
LENET = NetworkDescription(ModelSettings(kind="lenet5"), Recipe.floating(), (1, 28, 28), 10)
BY_NAME = {"mlp": MLP, "cnn": CNN, "lenet5": LENET}


def images(description: NetworkDescription, count: int, seed: int = 5) -> Tensor:
    """Inputs in [0, 1], many of them zero."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, *description.input_shape, generator=generator).sub(0.3).clamp(0)


def float_network(description: NetworkDescription, *, negative: bool = False, seed: int = 1) -> nn.Module:
    """A network in eval mode whose batch norms have statistics and factors of their own.

    Args:
        description: Which.
        negative: Whether some factors of batch norms are negative.
        seed: Of everything.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    network = description.build().train()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, BatchNorm):
                module.weight.uniform_(0.5, 2.0)
                module.bias.normal_()
                if negative:
                    module.weight[::3] *= -1
        for step in range(4):
            network(images(description, 64, seed=step))
    return network.eval()
