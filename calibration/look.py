"""Looking at what passes through some layers of a network while it runs. Imports torch."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

BATCH = 128


Look = Callable[[Any, Any, Any], None]
"""Gets a layer, what went into it, and what came out."""


def look_into(network: nn.Module, looks: Iterable[tuple[nn.Module, Look]], inputs: Tensor) -> None:
    """Run a network on inputs, batch by batch and without gradients, and show what passes through some of its layers.

    Args:
        network: As it is: in training or in eval mode.
        looks: Layers, each with the function that looks.
        inputs: ``(N, ...)``.
    """
    hooks = [module.register_forward_hook(look) for module, look in looks]
    try:
        with torch.no_grad():
            for batch in torch.split(inputs, BATCH):
                network(batch)
    finally:
        for hook in hooks:
            hook.remove()
