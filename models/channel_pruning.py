"""Pruning by channel: whole outputs of layers leave the network, and the next layers' inputs with them.

Imports torch. Source: Li et al., Pruning filters for efficient ConvNets, arXiv:1608.08710, for the norm of a filter
as its rank.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from bitwright.models.channel_links import Link, links
from bitwright.models.checkpoint import NetworkDescription
from bitwright.models.network import inner_layers, layer_names
from bitwright.models.pruning import Layer, layers, refuse_zeros, smallest_mask
from bitwright.models.pruning_settings import PruningSettings
from bitwright.models.settings import NARROWABLE
from bitwright.quant.latent_weights import is_binary

LEAST_MAGNITUDE = 2.0**-40
"""That a float weight behind 1 bit gets where a mean is taken and there may be zeros only."""


def prune_channels(
    network: nn.Module, description: NetworkDescription, settings: PruningSettings
) -> tuple[nn.Module, NetworkDescription]:
    """Return a smaller network without the channels whose filters have the least norm.

    A chain's last layer keeps its outputs. Of a network with branches those layers lose some whose outputs meet no
    others in a sum: of a residual block of fixed point the first convolution; of a MobileNetV2 the first and the last
    one, and each block's expansion, and with it channels of the depthwise convolution behind. What stays has the
    weights, biases, batch norms and scales that it had; a scale that is worked out from the largest weight may become
    finer. Where the scale of 1-bit weights, which is worked out from their mean magnitude, would move, the float
    weights behind them are multiplied so that it stays.

    Args:
        network: In eval mode; it stays as it is. Any widths.
        description: Of it.
        settings: Structure "channels". The share of each layer, or of all: then by norms in units of the layer's mean,
            and each layer keeps one at least.

    Returns:
        The smaller network, in eval mode, and its description, with `ModelSettings.widths`.

    Raises:
        ValueError: If the network has no such layer, or tensor trains, or a layer's weights are all zero.
    """
    if description.model.tensor_train_rank:
        raise ValueError(
            f"model.tensor_train_rank: value must be 0 to lose channels, not {description.model.tensor_train_rank}; "
            "take --structure weights"
        )
    prunable = [link for link in _links(network, description) if link.taken_by is not None]
    for link in prunable:
        refuse_zeros(link.name, link.layer)
    kept = _kept_globally(prunable, settings) if settings.scope == "global" else _kept_of_each(prunable, settings)
    return without_channels(network, description, kept)


def _links(network: nn.Module, description: NetworkDescription) -> list[Link]:
    """Return the layers; refuse a network without one whose channels can go."""
    kind, one_bit = description.model.kind, any(map(is_binary, layers(network).values()))
    remedy = "train it with a smaller model.channel_multiplier" + ("" if one_bit else ", or take --structure weights")
    if kind not in NARROWABLE:
        raise ValueError(
            f"model.kind: value must be one of {', '.join(NARROWABLE)} to lose channels, not {kind!r}; {remedy}"
        )
    found = links(network)
    if not found:
        raise ValueError(
            f"recipe.activation_bit_width: width must be 2 or more for a {kind} to lose channels, not 1, where every "
            f"convolution's outputs meet others in a sum; {remedy}"
        )
    return found


def without_channels(
    network: nn.Module, description: NetworkDescription, kept: Mapping[str, Tensor]
) -> tuple[nn.Module, NetworkDescription]:
    """Return a network with some outputs of its layers only.

    Args:
        network: Of a kind that may be narrower.
        description: Of it.
        kept: For each layer that loses some the outputs that stay, rising.

    >>> from bitwright.models.settings import ModelSettings
    >>> from bitwright.quant.recipe import Recipe
    >>> old = NetworkDescription(ModelSettings(hidden=(3,)), Recipe.floating(), (4,), 2)
    >>> new, smaller = without_channels(old.build(), old, {"fc0": torch.tensor([0, 2])})
    >>> smaller.model.widths, new.out.weight.shape
    ({'fc0': 2}, torch.Size([2, 2]))
    """
    model = description.model.model_copy(update={"widths": _widths(network, description, kept)})
    smaller = replace(description, model=model)
    found, tensors = layers(network), network.state_dict()
    stays: dict[str, Tensor] = {}  # of all parts whose outputs are fewer
    for link in links(network):
        if link.name not in kept:
            continue
        outputs, rows = len(link.layer.weight), kept[link.name]
        for part in (link.name, *link.parts):
            stays[part] = rows
            for name in [name for name in tensors if name.startswith(f"{part}.")]:
                if tensors[name].dim() > 0 and len(tensors[name]) == outputs:  # else one value of all of them
                    tensors[name] = tensors[name][rows]
        if link.taken_by is not None:
            each = found[link.taken_by].weight.shape[1] // outputs  # behind a flatten, many inputs a channel
            columns = (rows[:, None] * each + torch.arange(each)).flatten()
            tensors[f"{link.taken_by}.weight"] = tensors[f"{link.taken_by}.weight"][:, columns]
    result = smaller.build()
    differing = result.load_state_dict(tensors, strict=False)  # knows the scales that a new network has not yet
    assert not differing.missing_keys, differing
    assert not differing.unexpected_keys, differing
    _keep_binary_scales(found, layers(result), stays)
    return result.eval(), smaller


def _keep_binary_scales(before: Mapping[str, Layer], after: Mapping[str, Layer], stays: Mapping[str, Tensor]) -> None:
    """Give 1-bit weights the scales that they had, in place, whatever the magnitudes that left.

    The scale is the power of two next to the mean magnitude: where it is another now, the float weights are multiplied
    until their mean is the old scale. The signs stay.
    """
    for name, layer in after.items():
        if not is_binary(layer):
            continue
        old, new = _scales(before[name]), _scales(layer)
        old = old[stays[name]] if name in stays and len(old) > 1 else old  # one of each output
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


def _widths(network: nn.Module, description: NetworkDescription, kept: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the outputs of every layer that may be narrower; one that is left out has those of the layer before."""
    found, inner = layers(network), inner_layers(network)
    names = layer_names(description.model, description.input_shape, description.classes)[:-1]
    widths, outputs = {}, prod(description.input_shape)
    for name in names if inner is None else inner:
        outputs = len(kept[name]) if name in kept else len(found[name].weight) if name in found else outputs
        widths[name] = outputs
    return widths
