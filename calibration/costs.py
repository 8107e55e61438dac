"""What a fixed-point network costs, without lowering it: bits of its weights and bit operations. Imports torch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitwright.calibration.fold import Weighted
from bitwright.calibration.look import look_into


@dataclass(frozen=True)
class Costs:
    """Of one network.

    Args:
        weight_bits: Of all weights, at the width of their layer.
        bit_operations: Of one inference: for each multiplication, bits of the weight from its highest to its lowest
            one, times bits of the other factor (effective bit operations; Sun et al., HGQ, arXiv:2405.00645).
    """

    weight_bits: int
    bit_operations: int


def costs(network: nn.Module, example: Tensor) -> Costs:
    """Return the costs of a fixed-point network in eval mode.

    Args:
        network: Of Brevitas' layers.
        example: One input ``(1, ...)``; only its shape matters.
    """
    bits = operations = 0

    def look(module: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401 - Brevitas' own
        nonlocal bits, operations
        quantised = module.quant_weight()
        codes = torch.round(quantised.value / quantised.scale).to(torch.int64).numpy()
        positions = int(output.value.numel() if hasattr(output, "value") else output.numel()) // len(codes)
        bits += codes.size * int(quantised.bit_width)
        operations += positions * int(effective_bits(codes).sum()) * int(inputs[0].bit_width)

    look_into(network, [(module, look) for module in network.modules() if isinstance(module, Weighted)], example)
    return Costs(bits, operations)


def effective_bits(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each integer the bits from its highest one to its lowest: what a multiplication by it adds up.

    >>> effective_bits(np.array([0, 1, -4, 5, 96])).tolist()
    [0, 1, 1, 3, 2]
    """
    magnitude = np.abs(codes)
    odd = magnitude // np.maximum(magnitude & -magnitude, 1)
    return np.asarray(np.ceil(np.log2(odd + 1)), np.int64)
