"""The inputs to calibrate on, and what a network makes of a split. Imports torch."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitwright.models.dataset import Split

BATCH = 512


def calibration_inputs(split: Split, input_scale: float, samples: int, seed: int) -> Tensor:
    """Return some inputs of a split, drawn without putting back, as the host sends them.

    Args:
        split: Of the training set.
        input_scale: Factor on its values.
        samples: How many; all, if there are fewer.
        seed: Of the draw.

    Returns:
        ``(samples, ...)`` float32.
    """
    order = np.random.default_rng(seed).permutation(len(split))[:samples]
    return torch.from_numpy(split.inputs[np.sort(order)].astype(np.float32) * np.float32(input_scale))


def scores(
    network: nn.Module, split: Split, input_scale: float, progress: Callable[[int], None] = lambda _: None
) -> NDArray[np.float32]:
    """Return the network's output ``(N, classes)`` for every input of a split."""
    found = []
    with torch.no_grad():
        for start in range(0, len(split), BATCH):
            values = split.inputs[start : start + BATCH].astype(np.float32) * np.float32(input_scale)
            result = network(torch.from_numpy(values))
            found.append(getattr(result, "value", result).numpy())
            progress(len(values))
    return np.concatenate(found)
