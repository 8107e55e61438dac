"""Pruning by magnitude: the smallest weights of a network become zero, and stay it while it is trained further.

Imports torch. Source: Han et al., Learning both weights and connections for efficient neural networks,
arXiv:1506.02626; for N:M, Mishra et al., arXiv:2104.08378.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from bitwright.models.checkpoint import read_tensors
from bitwright.models.network import inner_layers
from bitwright.models.pruning_settings import PruningSettings
from bitwright.quant.latent_weights import is_binary
from bitwright.quant.recipe import FLOAT

Layer = nn.Linear | nn.Conv2d


@dataclass(frozen=True)
class LayerWeights:
    """How many weights a layer has.

    Args:
        name: Of the layer.
        weights: All of them.
        nonzero: Those that are not zero once they are quantised.
        bits: Of all weights together.
    """

    name: str
    weights: int
    nonzero: int
    bits: int


def layers(network: nn.Module) -> dict[str, Layer]:
    """Return the layers with weights by their names, in their order."""
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}


def prune_weights(network: nn.Module, settings: PruningSettings) -> None:
    """Set the smallest weights of every layer to zero, in place.

    Args:
        network: Float or of fixed point; the float weights behind the quantised ones are compared.
        settings: How many, and chosen from where; "weights" or N:M.

    Raises:
        ValueError: If a layer's weights have 1 bit, are all zero, or would be.

    >>> layer = nn.Sequential(nn.Linear(4, 1, bias=False))
    >>> _ = layer[0].weight.data.copy_(torch.tensor([[0.1, -0.4, 0.2, 0.3]]))
    >>> prune_weights(layer, PruningSettings(share=0.5))
    >>> [round(weight, 1) for weight in layer[0].weight.flatten().tolist()]
    [0.0, -0.4, 0.0, 0.3]
    """
    found = layers(network)
    for name, layer in found.items():
        if is_binary(layer):
            raise ValueError(
                f"{name}: weights must have 2 bits or more to be zero, not 1; "
                + ("" if inner_layers(network) == {} else "take --structure channels, or ")
                + f"train it with --set recipe.layers.{name}.weight_bit_width=2"
            )
        refuse_zeros(name, layer)
    masks = _masks(found, settings)
    for name, layer in found.items():
        left = layer.weight.detach() * masks[name]
        if not left.any():
            raise ValueError(
                f"{name}: layer must keep a weight, not lose all {left.numel()}; lower --share"
                + (", or take --scope layer" if settings.scope == "global" else "")
            )
        with torch.no_grad():
            layer.weight.copy_(left)


def refuse_zeros(name: str, layer: Layer) -> None:
    """Refuse a layer that has nothing to prune.

    Raises:
        ValueError: If all its weights are zero.
    """
    if not layer.weight.detach().any():
        raise ValueError(
            f"{name}: weights must not all be zero to be pruned, not {layer.weight.numel()} zeros; train it"
        )


def has_zeros(network: nn.Module) -> bool:
    """Return whether a weight of any layer is zero.

    >>> layer = nn.Linear(2, 2)
    >>> _ = nn.init.eye_(layer.weight)
    >>> has_zeros(nn.Sequential(layer)), has_zeros(nn.Sequential(nn.ReLU()))
    (True, False)
    """
    return any(not bool(layer.weight.all()) for layer in layers(network).values())


def zeros_of(path: Path, network: nn.Module) -> dict[str, Tensor]:
    """Return where the weights of a pruned checkpoint are zero, for every layer of a network that it fits.

    Args:
        path: A checkpoint; that which the network's training starts from.
        network: Is to keep the zeros.

    Returns:
        Masks of the weights' shapes, True where one is zero, by the layer's name; none of layers without a zero.

    Raises:
        ValueError: If it is no checkpoint, has no zero, or weights of 1 bit would have to be zero.
        FileNotFoundError: If there is no such file.
    """
    tensors = read_tensors(path)
    masks = {}
    for name, layer in layers(network).items():
        weight = tensors.get(f"{name}.weight")
        if weight is None or weight.shape != layer.weight.shape or weight.all():
            continue
        if is_binary(layer):
            raise ValueError(
                f"train.keep_zeros: weights of {name} must have 2 bits or more to stay zero, not 1; set it to false, "
                f"or recipe.layers.{name}.weight_bit_width to 2"
            )
        masks[name] = weight == 0
    if not masks:
        raise ValueError(
            f"{path}: checkpoint must have weights that are zero to be kept so, not none in a layer of this network; "
            "set train.keep_zeros to false"
        )
    return masks


def keep_zero(network: nn.Module, zeros: Mapping[str, Tensor]) -> None:
    """Set weights to zero again, in place, after a step of training.

    Args:
        network: That is trained.
        zeros: As `zeros_of` returns them.
    """
    with torch.no_grad():
        for name, mask in zeros.items():
            weight: Any = network.get_submodule(name).weight
            weight.masked_fill_(mask.to(weight.device), 0.0)


def weights_of(network: nn.Module) -> tuple[LayerWeights, ...]:
    """Count the weights of every layer, as they are once they are quantised.

    >>> layer = nn.Sequential(nn.Linear(2, 2))
    >>> _ = layer[0].weight.data.copy_(torch.tensor([[0.0, 1.0], [2.0, 3.0]]))
    >>> weights_of(layer)
    (LayerWeights(name='0', weights=4, nonzero=3, bits=128),)
    """
    counted = []
    for name, layer in layers(network).items():
        quantised: Any = layer
        with torch.no_grad():
            has_codes = hasattr(quantised, "quant_weight")
            values = quantised.quant_weight().value if has_codes else layer.weight
            width = int(quantised.weight_quant.bit_width()) if has_codes else FLOAT
        counted.append(LayerWeights(name, values.numel(), int(values.count_nonzero()), values.numel() * width))
    return tuple(counted)


def _masks(found: Mapping[str, Layer], settings: PruningSettings) -> dict[str, Tensor]:
    """Return for each layer a mask of its weights' shape: 1 for those that stay."""
    weights = {name: layer.weight.detach() for name, layer in found.items()}
    if settings.group:
        kept, size = settings.group
        maps = _by_channel(found)
        return {name: _group_mask(maps[name], kept, size).reshape(weight.shape) for name, weight in weights.items()}
    if settings.scope == "layer":
        return {name: smallest_mask(weight, settings.taken(weight.numel())) for name, weight in weights.items()}
    together = torch.cat([weight.flatten() for weight in weights.values()])
    mask = smallest_mask(together, settings.taken(together.numel()))
    parts = torch.split(mask, [weight.numel() for weight in weights.values()])
    return {name: part.reshape(weight.shape) for (name, weight), part in zip(weights.items(), parts, strict=True)}


def smallest_mask(values: Tensor, taken: int) -> Tensor:
    """Return 0 for so many of the values of least magnitude, 1 for the others; of any shape.

    >>> smallest_mask(torch.tensor([3.0, -1.0, 2.0]), 1)
    tensor([1., 0., 1.])
    """
    values = values.contiguous()
    mask: Tensor = prune.L1Unstructured(taken).compute_mask(values, torch.ones_like(values))  # type: ignore[no-untyped-call]
    return mask


def _by_channel(found: Mapping[str, Layer]) -> dict[str, Tensor]:
    """Return each layer's weights with the channels of its input as second axis ``(O, I, ...)``.

    A dense layer behind a convolution has its inputs from a flatten, all positions of a channel one after the other:
    ``(O, I, H W)``. Other dense layers are ``(O, I)``, and those of images too: the chip gets these flat, as they are.
    """
    maps, channels = {}, 0
    for name, layer in found.items():
        weight = layer.weight.detach()
        behind_maps = isinstance(layer, nn.Linear) and channels > 0
        maps[name] = weight.reshape(len(weight), channels, -1) if behind_maps else weight
        channels = layer.out_channels if isinstance(layer, nn.Conv2d) else 0
    return maps


def _group_mask(weight: Tensor, kept: int, size: int) -> Tensor:
    """Return 1 for the largest ``kept`` of each ``size`` neighbouring inputs of an output.

    Neighbours are those of the weights channels last, ``(O, H, W, I)``, as the sums of the chip run through them: other
    input channels at the same position and, past the last channel, the next position. The last group may be smaller.

    Args:
        weight: As `_by_channel` returns it.
        kept: Of each group.
        size: Of a group.
    """
    last = weight.movedim(1, -1)  # (O, I), (O, H W, I) or (O, H, W, I)
    rows = last.reshape(len(weight), -1)
    missing = -rows.shape[1] % size
    groups = nn.functional.pad(rows.abs(), (0, missing), value=-1.0).reshape(len(weight), -1, size)
    largest = groups.topk(kept, dim=-1).indices
    mask = torch.zeros_like(groups).scatter_(-1, largest, 1.0).reshape(len(weight), -1)
    return mask[:, : rows.shape[1]].reshape(last.shape).movedim(-1, 1)
