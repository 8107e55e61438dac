"""What learned bit widths cost, with a gradient. Imports torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bitwright.calibration.learned_gate import share_of
from bitwright.calibration.learned_network import weighted
from bitwright.quant.learned_widths import learned_bit_width

LearnedCost = Literal["weight_bits", "bit_operations"]


class CostMeter:
    """The cost of a network at its present widths, counted while it runs.

    ``weight_bits`` is the sum of all weights' bits; ``bit_operations`` that of the multiplications of one inference,
    each the bits of the weight's magnitude times those of the other factor, as `costs` counts them from the integers
    (effective bit operations; Sun et al., HGQ, arXiv:2405.00645), but for zeros at the end of single weights. A layer
    with a gate counts as much as the gate is open.
    """

    def __init__(self, kind: LearnedCost) -> None:
        self._kind = kind
        self._terms: list[Tensor] = []

    @property
    def value(self) -> Tensor:
        """Of the last forward pass, ``()``; its gradient reaches the widths."""
        return torch.stack(self._terms).sum()

    @contextmanager
    def watching(self, network: nn.Module) -> Iterator[None]:
        """Count in every forward pass within the context."""
        first = network.register_forward_pre_hook(lambda *_: self._terms.clear())
        hooks = [first, *(module.register_forward_hook(self._look) for _, module in weighted(network))]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _look(self, module: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401 - Brevitas' own
        widths = learned_bit_width(module.weight_quant)
        numbers = share_of(module) * module.weight.numel() / widths.numel()  # of the weights of each width
        if self._kind == "weight_bits":
            self._terms.append(numbers * widths.sum())
            return
        values = getattr(output, "value", output)
        positions = values.numel() / (values.shape[0] * len(module.weight))
        self._terms.append(positions * numbers * (widths - 1.0).sum() * inputs[0].bit_width)
