"""Pruning by channel inside the blocks of networks with branches, whose joins take all outputs as they are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_networks import images, trained
from pruned_networks import scores
from quick_export import quick_exports

from bitwright.export.interface import describe, input_codes, output_codes
from bitwright.export.lower import lower
from bitwright.export.qonnx_file import load
from bitwright.export.torch_export import write_qonnx
from bitwright.export.torch_level import run_torch
from bitwright.models.batch_norm import BatchNorm
from bitwright.models.channel_links import links
from bitwright.models.channel_pruning import prune_channels, without_channels
from bitwright.models.checkpoint import NetworkDescription
from bitwright.models.network import build
from bitwright.models.pruning import layers, prune_weights, weights_of
from bitwright.models.pruning_settings import PruningSettings, Scope
from bitwright.models.settings import ModelSettings
from bitwright.quant.recipe import Recipe

SHAPE = (3, 8, 8)
FOUR = Recipe(weight_bit_width=4, activation_bit_width=4, weight_scale_from="parameter")
BINARY = Recipe(weight_bit_width=1, activation_bit_width=1)
PER_CHANNEL = Recipe(weight_bit_width=3, activation_bit_width=3, weight_scale="per_channel")


def described(kind: Any, recipe: Recipe = FOUR, **model: Any) -> NetworkDescription:  # noqa: ANN401
    return NetworkDescription(ModelSettings(kind=kind, channel_multiplier=0.25, **model), recipe, SHAPE, 10)


RESNET, MOBILENET = described("resnet8"), described("mobilenet_v2")
NETWORKS = {
    "resnet8": RESNET,
    "resnet20 per channel": described("resnet20", PER_CHANNEL),
    "float": described("resnet8", Recipe.floating()),
    "without norms": described("resnet8", batch_norm=False),
    "mobilenet_v2": MOBILENET,
    "mobilenet_v2 per channel": described("mobilenet_v2", PER_CHANNEL),
    "binary mobilenet_v2": described("mobilenet_v2", BINARY, bottleneck_bit_width=4),
    "scaled bits": described("mobilenet_v2", BINARY.model_copy(update={"binary_weight_scale": "per_channel"})),
}

QUICK = ("resnet8", "without norms", "mobilenet_v2")
"""Those whose pruned form is exported and compared in every run of the tests."""


def used(description: NetworkDescription) -> torch.nn.Module:
    return trained(description.model, description.recipe, SHAPE)


@pytest.mark.parametrize("description", [RESNET, MOBILENET], ids=["resnet8", "mobilenet_v2"])
def test_without_inner_channels_that_give_zero_the_scores_are_the_same(description: NetworkDescription) -> None:
    network, values, kept = used(description), images(8, SHAPE, 99), {}
    found = links(network)
    with torch.no_grad():
        for link in found:
            gone = [1, len(link.layer.weight) - 1]
            kept[link.name] = torch.tensor([i for i in range(len(link.layer.weight)) if i not in gone])
            for name in link.parts:
                if name.endswith("_norm"):  # the depthwise one's, too: of zeros it would make its bias
                    network.get_submodule(name).weight[gone] = 0  # type: ignore[operator]
                    network.get_submodule(name).bias[gone] = 0  # type: ignore[operator]
    smaller, described_smaller = without_channels(network, description, kept)
    assert described_smaller.model.widths == {link.name: len(link.layer.weight) - 2 for link in found}
    assert torch.equal(scores(smaller, values), scores(network, values))
    assert len(np.unique(scores(smaller, values).numpy(), axis=0)) > len(values) // 2


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("description", NETWORKS.values(), ids=NETWORKS)
def test_inner_channels_of_the_least_norm_leave_and_no_others(description: NetworkDescription, scope: Scope) -> None:
    network = used(description)
    smaller, found = prune_channels(network, description, PruningSettings("channels", 0.5, scope))
    before, after = layers(network), layers(smaller)
    inner = [name for name in before if name.endswith(("_conv1", "_expand"))]
    widened = {name.replace("_expand", "_depthwise"): name for name in inner}
    if description.model.kind == "mobilenet_v2":
        inner += ["conv", "last"]
        widened["block0_depthwise"] = "conv"
    assert sorted(inner) == sorted(found.model.widths)
    total = 0
    for name, layer in before.items():
        if name in inner:
            (link,) = (link for link in links(network) if link.name == name)
            norms = link.filters().flatten(1).norm(dim=1)
            count = len(after[name].weight)
            rows = norms.argsort(descending=True)[:count].sort().values
            assert count == found.model.widths[name]
            if description.recipe.weight_bit_width != 1:  # else the float weights may be multiplied
                assert torch.equal(after[name].weight, layer.weight[rows])
            total += count
        elif name not in widened:
            assert len(after[name].weight) == len(layer.weight)
        else:
            assert len(after[name].weight) == found.model.widths[widened[name]]
    wide = sum(len(before[name].weight) for name in inner)
    assert total == wide - (wide // 2 if scope == "global" else sum(len(before[name].weight) // 2 for name in inner))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name, description in NETWORKS.items()
        if not description.recipe.is_float
    ],
)
def test_pruned_network_with_branches_is_exact(name: str, tmp_path: Path) -> None:
    network = used(NETWORKS[name])
    smaller, _ = prune_channels(network, NETWORKS[name], PruningSettings("channels", 0.4, "global"))
    with quick_exports():
        write_qonnx(smaller, SHAPE, tmp_path / "pruned.onnx")
    lowered = lower(load(tmp_path / "pruned.onnx"))
    values = images(12, SHAPE, 7)
    wanted = output_codes(describe(lowered).output, run_torch(smaller, values))
    found = lowered.program(input_codes(lowered, values))
    assert (found == wanted).all()
    assert len(np.unique(found, axis=0)) > 1
    assert lowered.program.weights == sum(layer.weights for layer in weights_of(smaller))
    assert lowered.program.weights < sum(layer.weights for layer in weights_of(network))


@pytest.mark.parametrize(
    ("recipe", "depthwise_input_bit_width", "leaves"),
    [(FOUR, None, "scaled"), (FOUR, 1, "small"), (BINARY, None, "small"), (BINARY, 4, "scaled")],
)
def test_batch_norm_counts_unless_the_activation_gives_signs_alone(
    recipe: Recipe, depthwise_input_bit_width: int | None, leaves: str
) -> None:
    description = described("mobilenet_v2", recipe, depthwise_input_bit_width=depthwise_input_bit_width)
    network = used(description)
    name, channels = "block1_expand", {"scaled": 3, "small": 5}
    weight, norm = layers(network)[name].weight, network.get_submodule(f"{name}_norm")
    assert isinstance(norm, BatchNorm)
    with torch.no_grad():
        weight[5] *= 0.01
        norm.weight[5], norm.weight[3] = 1e4, 1e-6
    smaller, _ = prune_channels(network, description, PruningSettings("channels", 1.5 / len(weight)))
    stays = [i for i in range(len(weight)) if i != channels[leaves]]
    assert torch.equal(layers(smaller)[name].weight, weight[stays])


def test_single_weights_of_a_weight_of_one_bit_are_refused_without_a_circle() -> None:
    for kind, recipe in (("resnet8", BINARY), ("fracbnn", Recipe(weight_bit_width=1, activation_bit_width=2))):
        with pytest.raises(ValueError, match=r"to be zero, not 1; train it with --set recipe\.layers\."):
            prune_weights(described(kind, recipe).build(), PruningSettings())
    with pytest.raises(ValueError, match=r"to be zero, not 1; take --structure channels, or train it with --set "):
        prune_weights(described("mobilenet_v2", BINARY).build(), PruningSettings())


def test_activations_of_one_bit_leave_weights_to_prune() -> None:
    description = described("resnet8", Recipe(weight_bit_width=4, activation_bit_width=1))
    says = r"meet others in a sum; train it with a smaller model\.channel_multiplier, or take --structure weights$"
    with pytest.raises(ValueError, match=says):
        prune_channels(description.build(), description, PruningSettings("channels"))


@pytest.mark.parametrize("kind", ["resnet8", "resnet20"])
def test_binary_residual_blocks_keep_their_channels(kind: str) -> None:
    description = described(kind, BINARY)
    says = (
        rf"^recipe\.activation_bit_width: width must be 2 or more for a {kind} to lose channels, not 1, where every "
        r"convolution's outputs meet others in a sum; train it with a smaller model\.channel_multiplier$"
    )
    with pytest.raises(ValueError, match=says):
        prune_channels(description.build(), description, PruningSettings("channels"))


def test_fracbnn_keeps_its_channels() -> None:
    description = described("fracbnn", Recipe(weight_bit_width=1, activation_bit_width=2))
    says = (
        r"^model\.kind: value must be one of mlp, autoencoder, cnn, lenet5, cnv, vgg_small, resnet8, resnet20, "
        r"mobilenet_v2 to lose channels, not 'fracbnn'; train it with a smaller model\.channel_multiplier$"
    )
    with pytest.raises(ValueError, match=says):
        prune_channels(description.build(), description, PruningSettings("channels"))


def test_single_weights_go_from_all_layers_of_a_network_with_branches() -> None:
    network = RESNET.build()
    prune_weights(network, PruningSettings())
    counts = weights_of(network)
    assert sum(layer.nonzero for layer in counts) < 0.6 * sum(layer.weights for layer in counts)


def test_widths_of_branches_are_of_inner_layers() -> None:
    with pytest.raises(
        ValueError,
        match=r"^model\.widths: layer must be one of block0_conv1, block1_conv1, block2_conv1, not 'block0_conv2'; "
        r"rename it \(the last layer has one output a class, and the outputs of the others meet in sums\)$",
    ):
        build(ModelSettings(kind="resnet8", widths={"block0_conv2": 3}), FOUR, SHAPE, 10)
    with pytest.raises(
        ValueError,
        match=r"^model\.widths: value must be left out for a binary resnet8, not name 'block0_conv1'; delete "
        r"it \(every convolution's outputs meet others in a sum\)$",
    ):
        build(ModelSettings(kind="resnet8", widths={"block0_conv1": 3}), BINARY, SHAPE, 10)
