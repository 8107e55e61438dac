"""Pruning by channel: what leaves, and that the smaller network computes what the larger one did without it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from image_networks import images
from numpy.typing import NDArray
from pruned_networks import BINARY, CNN, FOUR, MLP, SHAPE, described, fresh, pruned, scores, used
from torch import nn

from bitwright.models.channel_links import links
from bitwright.models.channel_pruning import prune_channels, without_channels
from bitwright.models.checkpoint import NetworkDescription, load, save
from bitwright.models.network import build
from bitwright.models.pruning import layers
from bitwright.models.pruning_settings import PruningSettings, Scope
from bitwright.models.settings import ModelSettings
from bitwright.quant.recipe import BinaryScale, LayerRecipe, Recipe
from bitwright.quant.values import values as values_of

CHAINS = {
    "mlp": described("mlp", hidden=(12, 8)),
    "mlp per channel": described(
        "mlp", Recipe(weight_bit_width=4, activation_bit_width=4, weight_scale="per_channel"), hidden=(12, 8)
    ),
    "mlp with biases": described("mlp", hidden=(12, 8), batch_norm=False),
    "cnn": described("cnn"),
    "lenet5": described("lenet5"),
    "cnv": described("cnv", channel_multiplier=0.0625),
    "vgg_small": described("vgg_small", channel_multiplier=0.0625),
    "learned scales": described(
        "cnn", Recipe(weight_bit_width=4, activation_bit_width=4, weight_scale_from="parameter")
    ),
}


@pytest.mark.parametrize("description", CHAINS.values(), ids=CHAINS)
def test_without_channels_that_give_zero_the_scores_are_the_same(description: NetworkDescription) -> None:
    network, values = used(description), images(8, description.input_shape, 99)  # type: ignore[arg-type]
    chain, kept = links(network), {}
    with torch.no_grad():
        for i, link in enumerate(chain):
            weight = link.layer.weight
            last = link is chain[-1]
            gone = torch.tensor([] if last else [1, len(weight) - 1], dtype=torch.long)
            kept[link.name] = torch.tensor([j for j in range(len(weight)) if j not in gone])
            _keep_the_largest(weight, kept[link.name], kept[chain[i - 1].name] if i else None)
            if link.norm is not None:
                link.norm.weight[gone] = 0
                link.norm.bias[gone] = 0
            elif not last:
                weight[gone] = 0
                link.layer.bias[gone] = 0  # type: ignore[index]
    assert all(len(link.layer.weight) > 2 for link in chain)
    smaller, found = without_channels(network, description, kept)
    assert [len(layer.weight) for layer in layers(smaller).values()] == [
        len(link.layer.weight) - 2 * (link is not chain[-1]) for link in chain
    ]
    assert torch.equal(scores(smaller, values), scores(network, values))
    assert len(np.unique(scores(smaller, values).numpy(), axis=0)) > len(values) // 2
    assert type(smaller) is type(found.build())


def _keep_the_largest(weight: torch.Tensor, rows: torch.Tensor, channels: torch.Tensor | None) -> None:
    """Let the scale of the weights not depend on channels that go: those of the largest weight stay in every row."""
    each = 1 if channels is None else weight.shape[1] // (len(channels) + 2)
    for row in weight if channels is not None else []:
        row[int(channels[0]) * each] = weight.abs().max()  # type: ignore[index]
    if channels is None:
        weight[rows[0]].view(-1)[0] = weight.abs().max()


@pytest.mark.parametrize("scale", ["per_tensor", "per_channel"])
@pytest.mark.parametrize("kind", ["mlp", "cnn", "lenet5"])
def test_channels_of_scaled_bits_compute_what_they_did_beside_silent_ones(kind: str, scale: BinaryScale) -> None:
    description = described(kind, BINARY.model_copy(update={"binary_weight_scale": scale}))
    network = used(description)
    found = layers(network)
    with torch.no_grad():
        for layer in found.values():  # the magnitudes are of the channels that go
            layer.weight[1::3] *= 64
            layer.weight[:, 1::3] *= 64
    kept = {name: torch.arange(0, len(layer.weight), 1 if name == "out" else 3) for name, layer in found.items()}
    values = images(8, description.input_shape, 99)  # type: ignore[arg-type]
    smaller, _ = without_channels(network, description, kept)
    silence_others(network, kept)
    before, after = (sums_of(each, values) for each in (network, smaller))
    assert all(torch.equal(after[name], before[name][:, kept[name]]) for name in found)
    assert torch.equal(scores(smaller, values), scores(network, values))


def silence_others(network: nn.Module, kept: dict[str, torch.Tensor]) -> None:
    """Let the bits of all channels but those be zero."""
    layer = ""
    for name, part in network.named_children():
        layer = name if name in kept else layer
        if name.startswith("act"):
            mask = torch.zeros(len(layers(network)[layer].weight))
            mask[kept[layer]] = 1
            part.register_forward_hook(
                lambda _, __, bits, mask=mask: bits.value * mask.reshape(-1, *[1] * (bits.value.dim() - 2))
            )


def sums_of(network: nn.Module, values: NDArray[np.float32]) -> dict[str, torch.Tensor]:
    """The outputs of every layer."""
    sums: dict[str, torch.Tensor] = {}
    for name, layer in layers(network).items():
        layer.register_forward_hook(lambda _, __, found, name=name: sums.update({name: values_of(found)}))
    scores(network, values)
    return sums


@pytest.mark.parametrize("scale", ["per_tensor", "per_channel"])
def test_scale_stays_where_only_weights_of_zero_are_left(scale: BinaryScale) -> None:
    description = described("mlp", BINARY.model_copy(update={"binary_weight_scale": scale}), hidden=(4,))
    network = fresh(description)
    out = layers(network)["out"]
    with torch.no_grad():
        out.weight[:, :2] = 0
    wanted = out.quant_weight().value[:, :2]  # type: ignore[operator]
    smaller, _ = without_channels(network, description, {"fc0": torch.arange(2), "out": torch.arange(10)})
    assert torch.equal(layers(smaller)["out"].quant_weight().value, wanted)  # type: ignore[operator]


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("kind", ["mlp", "cnn", "lenet5"])
def test_channels_of_the_least_norm_leave(kind: str, scope: Scope) -> None:
    description = described(kind)
    network = used(description)
    smaller, found = prune_channels(network, description, PruningSettings("channels", 0.5, scope))
    chain, new = links(network), layers(smaller)
    assert len(new["out"].weight) == 10
    total = sum(len(link.layer.weight) for link in chain[:-1])
    assert sum(found.model.widths.values()) == total - total // 2
    for link in chain[:-1]:
        norms = link.filters().flatten(1).norm(dim=1)
        count = len(new[link.name].weight)
        assert found.model.widths[link.name] == count
        if scope == "layer":
            assert count == len(norms) - len(norms) // 2
        rows = norms.argsort(descending=True)[:count].sort().values
        assert link.norm is not None
        norm = smaller.get_submodule(next(n for n, each in network.named_modules() if each is link.norm))
        assert torch.equal(norm.running_mean, link.norm.running_mean[rows])  # type: ignore[arg-type, index]


def test_batch_norm_counts_where_more_than_the_sign_goes_on() -> None:
    for recipe, leaves in ((FOUR, 3), (BINARY, 5)):
        description = replace(CNN, recipe=recipe)
        network = used(description)
        (link, _) = links(network)
        assert link.norm is not None
        with torch.no_grad():
            link.layer.weight[5] *= 0.01
            link.norm.weight[5] = 1e4
            link.norm.weight[3] = 1e-6
        smaller, _ = prune_channels(network, description, PruningSettings("channels", 0.125))
        stays = [row for row in range(8) if row != leaves]
        assert torch.equal(links(smaller)[0].layer.weight, link.layer.weight[stays])


def test_each_layer_keeps_a_channel_wherever_they_are_sought() -> None:
    scopes: tuple[Scope, ...] = ("layer", "global")
    for scope in scopes:
        _, found = pruned(MLP, PruningSettings("channels", 0.99, scope))
        assert min(found.model.widths.values()) >= 1
    assert found.model.widths == {"fc0": 1, "fc1": 1}


def test_layer_that_is_left_out_has_the_width_before_it() -> None:
    recipe = FOUR.model_copy(update={"layers": {"fc1": LayerRecipe(weight_bit_width=0)}})
    smaller, found = pruned(described("mlp", recipe, hidden=(12, 12, 8)), PruningSettings("channels", 0.25))
    assert found.model.widths == {"fc0": 9, "fc1": 9, "fc2": 6}
    assert scores(smaller, images(3, SHAPE, 5)).shape == (3, 10)


def test_smaller_network_is_built_again_from_its_file(tmp_path: Path) -> None:
    smaller, found = pruned(CNN, PruningSettings("channels", 0.5))
    save(tmp_path / "c.safetensors", smaller, found)
    again, description = load(tmp_path / "c.safetensors", found)
    assert description.model.widths == {"conv": 4}
    values = images(4, SHAPE, 3)
    assert torch.equal(scores(again, values), scores(smaller, values))


def test_tensor_trains_keep_their_channels() -> None:
    model = ModelSettings(hidden=(16, 16), tensor_train_rank=2, tensor_train_least=16)
    description = replace(MLP, model=model)
    with pytest.raises(
        ValueError,
        match=r"^model\.tensor_train_rank: value must be 0 to lose channels, not 2; take --structure weights$",
    ):
        prune_channels(description.build(), description, PruningSettings("channels"))


def test_widths_are_of_layers_that_can_have_them() -> None:
    for name in ("out", "fc7"):
        with pytest.raises(
            ValueError,
            match=rf"^model\.widths: layer must be one of fc0, fc1, not '{name}'; rename it \(the last layer has one "
            r"output a class\)$",
        ):
            build(ModelSettings(hidden=(4, 4), widths={name: 3}), FOUR, SHAPE, 10)
    with pytest.raises(
        ValueError,
        match=r"widths: value must be left out for kind = 'fracbnn', not {'conv': 3}; it is for mlp, autoencoder, cnn, "
        r"lenet5, cnv, vgg_small, resnet8, resnet20, mobilenet_v2",
    ):
        ModelSettings(kind="fracbnn", widths={"conv": 3})
