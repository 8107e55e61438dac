"""Hidden layers that learn whether they are there: a gate between a layer and its own input. Imports torch."""

from typing import Any

import torch
from torch import Tensor, nn

KEPT = 0.5
"""Least gate of a layer that stays when the gates are decided."""


class Gate:
    """How much there is of a hidden layer with as many outputs as inputs, and of all that stands behind it.

    A moving gate is a number from 0 to 1: what leaves the activation is ``gate * activation + (1 - gate) * input``, so
    that a gradient leads from the layer, at 1, to the network without it, at 0. Its bits are mixed alike, for the cost.
    A gate that was decided is 1 or 0: what leaves is the activation or the input itself, on its own grid.

    Args:
        layer: Gets the parameter ``gate``, ``()``.
        activation: The quantised ReLU behind it.
    """

    def __init__(self, layer: nn.Module, activation: nn.Module) -> None:
        self.parameter = nn.Parameter(torch.ones(()))
        self.moving = False
        """Whether it is learned just now."""
        self._entered: Any = None
        layer.register_parameter("gate", self.parameter)
        layer.register_forward_pre_hook(self._enter)
        activation.register_forward_hook(self._leave)

    @property
    def closed(self) -> bool:
        """Whether the layer has left the network."""
        return not self.moving and float(self.parameter.detach()) == 0.0

    def clip(self) -> None:
        """Put the gate back between 0 and 1, in place."""
        with torch.no_grad():
            self.parameter.clamp_(0.0, 1.0)

    def decide(self) -> None:
        """Open the gate for good, or close it: what is nearer; it moves no more."""
        with torch.no_grad():
            self.parameter.fill_(float(self.parameter >= KEPT))
        self.moving = False

    def _enter(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._entered = inputs[0]

    def _leave(self, _: nn.Module, __: object, found: Any) -> Any:  # noqa: ANN401 - Brevitas' own
        entered, self._entered = self._entered, None
        if not self.moving:
            return entered if self.closed else None  # None leaves a result as it is
        mixed = {
            name: self.parameter * getattr(found, name) + (1.0 - self.parameter) * getattr(entered, name)
            for name in ("value", "bit_width")
        }
        return found._replace(**mixed)


def share_of(layer: nn.Module) -> Tensor | float:
    """Return how much there is of a layer, with a gradient where that is learned."""
    gate = getattr(layer, "gate", None)
    return gate if isinstance(gate, Tensor) else 1.0
