"""The float weights behind quantised ones, after a step of training. Imports torch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from bitwright.quant.accumulator_aware import keep_within, limit_of
from bitwright.quant.quantizer_scale import most_code

WEIGHTED = (nn.Linear, nn.Conv2d)
"""Layers with weights."""


def weighted_layers(network: nn.Module) -> tuple[nn.Module, ...]:
    """Return the layers of a network that have weights, in its order.

    Brevitas' networks have hundreds of modules: who needs these layers at each step asks once.

    >>> [type(layer).__name__ for layer in weighted_layers(nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.ReLU()))]
    ['Linear']
    """
    return tuple(module for module in network.modules() if isinstance(module, WEIGHTED))


def clip_latent_weights(layers: Sequence[nn.Module]) -> None:
    """Put the float weights behind quantised ones where they belong, in place, after a step of training.

    Those of binary layers are clipped to [-1, 1]: their gradient passes everywhere; unclipped, they would grow without
    any effect on the sign and hardly ever change it again (arXiv:1602.02830, section 1.4). Those of layers with a
    limited accumulator are put where every sum fits (see `limit_accumulators`).

    Args:
        layers: Those of a network that have weights (see `weighted_layers`).
    """
    with torch.no_grad():
        for layer in layers:
            if is_binary(layer):
                weight: Any = layer.weight
                weight.clamp_(-1.0, 1.0)
    limit_accumulators(layers)


def limit_accumulators(layers: Sequence[nn.Module]) -> None:
    """Move the weights of every layer with a limited accumulator, in place, to where all its sums fit.

    Layers that have seen no input yet stay as they are.

    Args:
        layers: Those of a network that have weights (see `weighted_layers`).

    Source: projected gradient descent; thresholding as projection is that of A2Q+, arXiv:2401.10432.
    """
    with torch.no_grad():
        for layer in layers:
            limit = limit_of(layer)
            if limit is not None and limit.ends != (0, 0):
                weight: Any = layer.weight
                quantizer: Any = layer.weight_quant
                keep_within(weight, quantizer.scale(), most_code(quantizer), limit)


def is_binary(module: nn.Module) -> bool:
    """Return whether a layer's weights have 1 bit."""
    quantizer = getattr(module, "weight_quant", None)
    return quantizer is not None and bool(quantizer.is_quant_enabled) and float(quantizer.bit_width()) == 1.0
