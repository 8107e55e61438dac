"""The level `torch`: the Brevitas network itself, float32, in eval mode. Imports torch."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

BATCH = 256


def run_torch(
    network: nn.Module, values: NDArray[np.float32], progress: Callable[[int], None] = lambda _: None
) -> NDArray[np.float32]:
    """Return the network's output ``(N, classes)`` for its float input ``(N, ...)``, on the CPU."""
    network = network.cpu().eval()
    outputs = []
    with torch.no_grad():
        for batch in torch.split(torch.from_numpy(values), BATCH):
            result = network(batch)
            outputs.append(getattr(result, "value", result).numpy())
            progress(len(batch))
    return np.concatenate(outputs)
