"""Pruning by channel: whole outputs of layers leave the network, and the next layers' inputs with them.

Imports torch. Source: Li et al., Pruning filters for efficient ConvNets, arXiv:1608.08710, for the norm of a filter
as its rank.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from bitwright.models.batch_norm import BatchNorm
from bitwright.models.checkpoint import NetworkDescription
from bitwright.models.network import layer_names
from bitwright.models.pruning import Layer, layers, refuse_zeros, smallest_mask
from bitwright.models.pruning_settings import PruningSettings
from bitwright.models.settings import CHAINS
from bitwright.quant.latent_weights import is_binary

LEAST_MAGNITUDE = 2.0**-40
"""That a float weight behind 1 bit gets where a mean is taken and there may be zeros only."""


@dataclass(frozen=True, eq=False)
class Link:
    """One layer of a chain, and what belongs to its outputs.

    Args:
        name: Of the layer.
        layer: With weights ``(O, I)`` or ``(O, I, H, W)``.
        norm: The batch norm of its outputs, if there is one.
        signs: Whether only the signs of its outputs go on.
    """

    name: str
    layer: Layer
    norm: BatchNorm | None
    signs: bool

    def filters(self) -> Tensor:
        """Return the weights with the batch norm folded in, as far as the next layer sees it."""
        weight = self.layer.weight.detach()
        if self.norm is None or self.signs:
            return weight
        scale = self.norm.affine_parameters()[0].detach()
        return weight * scale.reshape(-1, *[1] * (weight.dim() - 1))


def prune_channels(
    network: nn.Module, description: NetworkDescription, settings: PruningSettings
) -> tuple[nn.Module, NetworkDescription]:
    """Return a smaller network without the channels whose filters have the least norm.

    The last layer keeps its outputs. What stays has the weights, biases, batch norms and scales that it had; a scale
    that is worked out from the largest weight may become finer. Where the scale of 1-bit weights, which is worked out
    from their mean magnitude, would move, the float weights behind them are multiplied so that it stays.

    Args:
        network: In eval mode; it stays as it is. Any widths.
        description: Of it.
        settings: Structure "channels". The share of each layer, or of all: then by norms in units of the layer's mean,
            and each layer keeps one at least.

    Returns:
        The smaller network, in eval mode, and its description, with `ModelSettings.widths`.

    Raises:
        ValueError: If the network is no chain, has tensor trains, or a layer's weights are all zero.
    """
    if description.model.kind not in CHAINS:
        raise ValueError(
            f"model.kind: value must be one of {', '.join(CHAINS)} to lose channels, not {description.model.kind!r}; "
            "train it with a smaller model.channel_multiplier"
            + ("" if any(map(is_binary, layers(network).values())) else ", or take --structure weights")
        )
    if description.model.tensor_train_rank:
        raise ValueError(
            f"model.tensor_train_rank: value must be 0 to lose channels, not {description.model.tensor_train_rank}; "
            "take --structure weights"
        )
    chain = links(network, description)
    for link in chain:
        refuse_zeros(link.name, link.layer)
    kept = _kept_globally(chain[:-1], settings) if settings.scope == "global" else _kept_of_each(chain[:-1], settings)
    kept[chain[-1].name] = torch.arange(len(chain[-1].layer.weight))
    return without_channels(network, description, kept)


def links(network: nn.Module, description: NetworkDescription) -> list[Link]:
    """Return the layers of a network that is a chain, in their order."""
    names = list(layers(network))
    norms: dict[str, BatchNorm] = {}
    for owner, (_, child) in _owned(network, names):
        if owner is not None and isinstance(child, BatchNorm):
            norms[owner] = child
    found = []
    for name, layer in layers(network).items():
        recipe = description.recipe.layer(name, "first" if name == names[0] else "middle")
        found.append(Link(name, layer, norms.get(name), signs=recipe.activation_bit_width == 1))
    return found


def without_channels(
    network: nn.Module, description: NetworkDescription, kept: Mapping[str, Tensor]
) -> tuple[nn.Module, NetworkDescription]:
    """Return a network with some outputs of its layers only.

    Args:
        network: A chain.
        description: Of it.
        kept: For each layer the outputs that stay, rising.

    >>> from bitwright.models.settings import ModelSettings
    >>> from bitwright.quant.recipe import Recipe
    >>> old = NetworkDescription(ModelSettings(hidden=(3,)), Recipe.floating(), (4,), 2)
    >>> new, smaller = without_channels(old.build(), old, {"fc0": torch.tensor([0, 2]), "out": torch.arange(2)})
    >>> smaller.model.widths, new.out.weight.shape
    ({'fc0': 2}, torch.Size([2, 2]))
    """
    model = description.model.model_copy(update={"widths": _widths(description, kept)})
    smaller = replace(description, model=model)
    found = layers(network)
    own_outputs: dict[str, tuple[int, Tensor]] = {}
    for owner, (name, _) in _owned(network, list(found)):
        if owner is not None:
            own_outputs[name] = len(found[owner].weight), kept[owner]
    tensors = {}
    for name, value in network.state_dict().items():
        outputs, stays = own_outputs.get(name.partition(".")[0], (0, torch.empty(0)))
        per_output = outputs > 0 and value.dim() > 0 and len(value) == outputs
        tensors[name] = value[stays] if per_output else value
    for before, name in pairwise(found):
        each = found[name].weight.shape[1] // len(found[before].weight)  # behind a flatten, many inputs a channel
        columns = (kept[before][:, None] * each + torch.arange(each)).flatten()
        tensors[f"{name}.weight"] = tensors[f"{name}.weight"][:, columns]
    result = smaller.build()
    differing = result.load_state_dict(tensors, strict=False)  # knows the scales that a new network has not yet
    assert not differing.missing_keys, differing
    assert not differing.unexpected_keys, differing
    _keep_binary_scales(found, layers(result), kept)
    return result.eval(), smaller


def _keep_binary_scales(before: Mapping[str, Layer], after: Mapping[str, Layer], kept: Mapping[str, Tensor]) -> None:
    """Give 1-bit weights the scales that they had, in place, whatever the magnitudes that left.

    The scale is the power of two next to the mean magnitude: where it is another now, the float weights are multiplied
    until their mean is the old scale. The signs stay.
    """
    for name, layer in after.items():
        if not is_binary(layer):
            continue
        old, new = _scales(before[name]), _scales(layer)
        old = old[kept[name]] if len(old) > 1 else old  # one of each output
        weight = layer.weight.detach()
        magnitudes = weight.abs().clamp_min(LEAST_MAGNITUDE)  # zeros, which count as +1, have a mean too
        means = magnitudes.flatten(1).mean(1) if len(old) > 1 else magnitudes.mean().reshape(1)
        factors = (old / means).reshape(-1, *[1] * (weight.dim() - 1))
        moved = (old != new).reshape(factors.shape)
        signs = torch.where(weight >= 0, 1.0, -1.0)
        with torch.no_grad():
            layer.weight.copy_(torch.where(moved, signs * magnitudes * factors, weight))
        assert torch.equal(_scales(layer), old), name


def _scales(layer: Any) -> Tensor:  # noqa: ANN401 - Brevitas' own
    """Return the scale of a layer's weights, one of all or of each output, flat."""
    scale: Tensor = layer.quant_weight().scale
    return scale.detach().flatten()


def _owned(network: nn.Module, names: Sequence[str]) -> list[tuple[str | None, tuple[str, nn.Module]]]:
    """Return each part of a chain with the layer whose outputs it sees; None before the first."""
    owner, found = None, []
    for name, child in network.named_children():
        owner = name if name in names else owner
        found.append((owner, (name, child)))
    return found


def _kept_of_each(chain: Sequence[Link], settings: PruningSettings) -> dict[str, Tensor]:
    kept = {}
    for link in chain:
        filters = link.filters()
        method = prune.LnStructured(settings.taken(len(filters)), n=2, dim=0)
        mask: Tensor = method.compute_mask(filters, torch.ones_like(filters))  # type: ignore[no-untyped-call]
        kept[link.name] = mask.flatten(1)[:, 0].nonzero().flatten()
    return kept


def _kept_globally(chain: Sequence[Link], settings: PruningSettings) -> dict[str, Tensor]:
    norms = [link.filters().flatten(1).norm(dim=1) for link in chain]
    ranks = torch.cat([norm / norm.mean().clamp_min(torch.finfo(norm.dtype).tiny) for norm in norms])
    masks = torch.split(smallest_mask(ranks, settings.taken(len(ranks))), [len(norm) for norm in norms])
    kept = {}
    for link, norm, mask in zip(chain, norms, masks, strict=True):
        stays = mask.bool()
        stays[norm.argmax()] = True
        kept[link.name] = stays.nonzero().flatten()
    return kept


def _widths(description: NetworkDescription, kept: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the outputs of every layer but the last; one that is left out has those of the layer before."""
    widths, outputs = {}, prod(description.input_shape)
    for name in layer_names(description.model, description.input_shape, description.classes)[:-1]:
        outputs = len(kept[name]) if name in kept else outputs
        widths[name] = outputs
    return widths
