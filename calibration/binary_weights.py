"""Weights of one bit without training: the batch norms behind them make up for what the signs lose. Imports torch."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from bitwright.calibration.fold import Weighted
from bitwright.calibration.look import BATCH
from bitwright.models.batch_norm_statistics import take_statistics


def is_binary(module: Any) -> bool:  # noqa: ANN401 - Brevitas' own
    """Return whether a quantised layer has weights of one bit."""
    return int(module.weight_quant.bit_width()) == 1


@contextlib.contextmanager
def binarised(network: nn.Module, inputs: Tensor) -> Iterator[None]:
    """Let layers with 1-bit weights stand as they are while the weights of others are rounded.

    Their weights become what they are worth, sign times scale, for good: the same sign, and the mean of magnitudes that
    are all alike is that magnitude.

    Args:
        network: Quantised, in eval mode.
        inputs: ``(N, ...)``, that the batch norms' statistics are taken of.
    """
    found: list[Any] = [module for module in network.modules() if isinstance(module, Weighted) and is_binary(module)]
    for module in found:
        module.weight.data = module.quant_weight().value.detach().clone()
    renormalise(network, inputs)
    for module in found:
        module.weight_quant.disable_quant = True
    yield
    for module in found:
        module.weight_quant.disable_quant = False


def renormalise(network: nn.Module, inputs: Tensor) -> None:
    """Take the statistics of all batch norms anew, in place, where a layer has weights of one bit."""
    if any(isinstance(module, Weighted) and is_binary(module) for module in network.modules()):
        take_statistics(network, inputs.tensor_split(math.ceil(len(inputs) / BATCH)))  # all of one size, or nearly
