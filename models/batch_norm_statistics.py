"""Batch norms' statistics taken anew: of the weights as they are, not of those of the last steps."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def take_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running mean and variance of every batch norm by the means over some batches, in place.

    Weights of few bits jump between two values to the end of a training, and the running statistics, a mean over the
    last dozen of steps, are those of neither: the accuracy swings by points from epoch to epoch.

    Source: Nagel et al., Overcoming Oscillations in Quantization-Aware Training, arXiv:2203.11086, section 4.1.

    Args:
        network: Left in the mode that it was in.
        batches: Inputs ``(N, ...)``, at least one.

    >>> network = nn.Sequential(nn.BatchNorm1d(1))
    >>> take_statistics(network, [torch.tensor([[1.0], [3.0]]), torch.tensor([[5.0], [7.0]])])
    >>> network[0].running_mean
    tensor([4.])
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    modes = {module: module.training for module in network.modules()}
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for: the mean over all batches
        norm.train()
    with torch.no_grad():
        for inputs in batches:
            network(inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for module, mode in modes.items():
        module.training = mode
