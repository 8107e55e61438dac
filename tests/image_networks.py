"""Networks of images in the state of a training, none of whose layers is dead."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bitwright.models.batch_norm import BatchNorm
from bitwright.models.network import build
from bitwright.models.settings import ModelSettings
from bitwright.quant.recipe import Recipe

BATCHES = 17
"""That a network sees: one more than those in which an activation's scale is still a statistic."""


def images(count: int, shape: tuple[int, int, int], seed: int) -> NDArray[np.float32]:
    """Return images ``(count, C, H, W)`` of blocks, each of its own contrast: they do not average to the same."""
    random = np.random.default_rng(seed)
    channels, height, width = shape
    blocks = 1.6 * random.random((count, channels, 4, 4)) * random.random((count, channels, 1, 1))
    large = blocks.repeat(-(-height // 4), 2).repeat(-(-width // 4), 3)[:, :, :height, :width]
    return np.clip(large + 0.2 * random.random((count, *shape)), 0, 1).astype(np.float32)


def trained(settings: ModelSettings, recipe: Recipe, shape: tuple[int, int, int]) -> nn.Module:
    """Return a network of ten classes in eval mode, with weights of batch norms of both signs, and their statistics."""
    torch.manual_seed(1)
    network = build(settings, recipe, shape, 10).train()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, BatchNorm):
                signs = torch.sign(torch.rand_like(module.weight) - 0.25)
                module.weight.copy_(signs * (0.5 + torch.rand_like(module.weight)))
                module.bias.normal_(0.5, 0.3)
                module.momentum = 0.5  # so few batches are enough
        for seed in range(BATCHES):
            network(torch.from_numpy(images(16, shape, seed)))
    return network.eval()
