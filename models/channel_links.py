"""Layers whose outputs only one other layer takes: what belongs to each of these outputs. Imports torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from bitwright.models.batch_norm import BatchNorm
from bitwright.models.network import inner_layers
from bitwright.models.pruning import Layer, layers
from bitwright.quant.brevitas_activations import is_sign


@dataclass(frozen=True, eq=False)
class Link:
    """One layer, and what belongs to its outputs.

    Args:
        name: Of the layer.
        layer: With weights ``(O, I)`` or ``(O, I, H, W)``.
        norm: The batch norm of its outputs, if there is one.
        signs: Whether only the signs of its outputs go on.
        parts: Names of the network's parts behind it that may have one value an output: batch norm, activation, a
            depthwise convolution with its own.
        taken_by: Name of the layer that takes the outputs; a dense one behind a flatten takes several values of each.
            None of a chain's last layer, which keeps its outputs.
    """

    name: str
    layer: Layer
    norm: BatchNorm | None
    signs: bool
    parts: tuple[str, ...]
    taken_by: str | None

    def filters(self) -> Tensor:
        """Return the weights with the batch norm folded in, as far as the next layer sees it."""
        weight = self.layer.weight.detach()
        if self.norm is None or self.signs:
            return weight
        scale = self.norm.affine_parameters()[0].detach()
        return weight * scale.reshape(-1, *[1] * (weight.dim() - 1))


def links(network: nn.Module) -> list[Link]:
    """Return every layer of a chain, or of a network with branches those that may be narrower, in their order."""
    found = layers(network)
    inner = inner_layers(network)
    paths = list(_chained(network, list(found))) if inner is None else [(name, *path) for name, path in inner.items()]
    result = []
    for name, *parts in paths:
        taken_by = parts.pop() if inner is not None or name != paths[-1][0] else None
        behind = [network.get_submodule(part) for part in parts]
        norm = next((each for each in behind if isinstance(each, BatchNorm)), None)
        activation = next((each for each in behind if isinstance(each, nn.ReLU) or hasattr(each, "act_quant")), None)
        signs = activation is not None and is_sign(activation)
        result.append(Link(name, found[name], norm, signs, tuple(parts), taken_by))
    return result


def _chained(network: nn.Module, names: list[str]) -> Iterator[tuple[str, ...]]:
    """Yield for each layer of a chain its name, the parts up to the next layer, and that one's name, if any."""
    children = [name for name, _ in network.named_children()]
    places = [children.index(name) for name in names]
    for start, end in pairwise([*places, len(children)]):
        yield tuple(children[start : end + 1])
