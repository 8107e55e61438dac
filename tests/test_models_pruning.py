"""Pruning: what goes, what stays, and that the smaller network computes what the larger one did without it."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from image_networks import images
from levels import Case, examine
from quick_export import quick_exports
from safetensors.torch import save_file
from torch import nn

from bitwright.cli.experiment import Experiment
from bitwright.export.qonnx_file import load as load_graph
from bitwright.export.torch_export import write_qonnx
from bitwright.export.torch_level import run_torch
from bitwright.models.batch_norm import BatchNorm
from bitwright.models.channel_pruning import links, prune_channels, without_channels
from bitwright.models.checkpoint import NetworkDescription, load, save
from bitwright.models.dataset import load as load_data
from bitwright.models.network import build
from bitwright.models.pruning import keep_zero, layers, prune_weights, weights_of, zeros_of
from bitwright.models.pruning_settings import PruningSettings, Scope
from bitwright.models.settings import ModelSettings, TrainSettings
from bitwright.models.training import train
from bitwright.quant.recipe import LayerRecipe, Recipe

FOUR = Recipe(weight_bit_width=4, activation_bit_width=4)
BINARY = Recipe(weight_bit_width=1, activation_bit_width=1)
SHAPE = (1, 8, 8)
MLP = NetworkDescription(ModelSettings(hidden=(12, 8)), FOUR, SHAPE, 10)
CNN = NetworkDescription(ModelSettings(kind="cnn"), FOUR, SHAPE, 10)


def described(kind: str, recipe: Recipe = FOUR, **model: object) -> NetworkDescription:
    shapes = {"mlp": SHAPE, "cnn": SHAPE, "lenet5": (1, 28, 28), "cnv": (3, 32, 32), "vgg_small": (3, 8, 8)}
    return NetworkDescription(ModelSettings.model_validate({"kind": kind, **model}), recipe, shapes[kind], 10)


def fresh(description: NetworkDescription) -> nn.Module:
    """A network with random weights in eval mode."""
    torch.manual_seed(1)
    return description.build().eval()


def used(description: NetworkDescription, seed: int = 1) -> nn.Module:
    """A network in eval mode whose batch norms and scales have seen data."""
    torch.manual_seed(seed)
    network = description.build().train()
    channels, height, width = description.input_shape
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, BatchNorm):
                module.weight.copy_(
                    (0.5 + torch.rand_like(module.weight)) * torch.sign(torch.randn_like(module.weight))
                )
                module.bias.normal_(0, 0.3)
                module.momentum = 1.0  # one batch is all that it sees
        network(torch.from_numpy(images(8, (channels, height, width), seed)))
    return network.eval()


def pruned(description: NetworkDescription, settings: PruningSettings) -> tuple[nn.Module, NetworkDescription]:
    return prune(used(description), description, settings)


def prune(
    network: nn.Module, description: NetworkDescription, settings: PruningSettings
) -> tuple[nn.Module, NetworkDescription]:
    if settings.structure == "channels":
        return prune_channels(network, description, settings)
    prune_weights(network, settings)
    return network, description


def scores(network: nn.Module, values: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        found = network(torch.from_numpy(values))
    result: torch.Tensor = getattr(found, "value", found)
    return result


def test_smallest_weights_of_each_layer_become_zero() -> None:
    before, network = fresh(MLP), fresh(MLP)
    prune_weights(network, PruningSettings(share=0.3))
    for name, layer in layers(network).items():
        old = layers(before)[name].weight
        gone = layer.weight == 0
        assert int(gone.sum()) == int(0.3 * gone.numel())
        assert torch.equal(layer.weight[~gone], old[~gone])
        assert old[gone].abs().max() <= old[~gone].abs().min()


def test_smallest_weights_of_all_layers_together_become_zero() -> None:
    before, network = fresh(MLP), fresh(MLP)
    prune_weights(network, PruningSettings(share=0.3, scope="global"))
    old = torch.cat([layer.weight.flatten() for layer in layers(before).values()])
    gone = torch.cat([layer.weight.flatten() for layer in layers(network).values()]) == 0
    assert int(gone.sum()) == int(0.3 * gone.numel())
    assert old[gone].abs().max() <= old[~gone].abs().min()
    shares = [float((layer.weight == 0).float().mean()) for layer in layers(network).values()]
    assert max(shares) > 1.5 * min(shares)  # the layers have other deviations


@pytest.mark.parametrize(("kept", "size"), [(2, 4), (1, 4), (3, 5), (1, 2)])
def test_of_each_group_of_neighbours_the_largest_stay(kept: int, size: int) -> None:
    description = described("lenet5")
    before, network = fresh(description), fresh(description)
    prune_weights(network, PruningSettings(f"{kept}:{size}"))
    for name, layer in layers(network).items():
        old, new = (
            each.weight.detach().movedim(1, -1).reshape(len(each.weight), -1) for each in (layers(before)[name], layer)
        )
        for start in range(0, old.shape[1], size):
            part, left = old[:, start : start + size].abs(), new[:, start : start + size].abs()
            largest = part.sort(dim=1, descending=True).values[:, :kept]
            assert torch.equal(left.sort(dim=1, descending=True).values[:, :kept], largest)
            assert not left.sort(dim=1, descending=True).values[:, kept:].any()


def test_neighbours_are_channels_of_the_same_position() -> None:
    layer = nn.Conv2d(2, 1, 2, bias=False)
    weight = torch.tensor([[[[1.0, 3.0], [5.0, 7.0]], [[2.0, 4.0], [6.0, 8.0]]]])
    layer.weight.data.copy_(weight)
    prune_weights(nn.Sequential(layer), PruningSettings("1:2"))
    assert layer.weight.tolist() == [[[[0.0] * 2] * 2, [[2.0, 4.0], [6.0, 8.0]]]]


def test_share_of_zero_takes_nothing() -> None:
    before, (network, _) = used(MLP), pruned(MLP, PruningSettings(share=0))
    assert all(torch.equal(value, before.state_dict()[name]) for name, value in network.state_dict().items())


def test_weights_are_counted_as_they_are_quantised() -> None:
    network, _ = pruned(MLP, PruningSettings(share=0.01))
    first = weights_of(network)[0]
    codes = network.get_submodule("fc0").quant_weight().value  # type: ignore[operator]
    assert (first.name, first.weights, first.bits) == ("fc0", 768, 3072)
    assert first.nonzero == int((codes != 0).sum()) < 768 - 7  # of those left some round to zero


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
    chain, kept = links(network, description), {}
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


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("kind", ["mlp", "cnn", "lenet5"])
def test_channels_of_the_least_norm_leave(kind: str, scope: Scope) -> None:
    description = described(kind)
    network = used(description)
    smaller, found = prune_channels(network, description, PruningSettings("channels", 0.5, scope))
    chain, new = links(network, description), layers(smaller)
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
        (link, _) = links(network, description)
        assert link.norm is not None
        with torch.no_grad():
            link.layer.weight[5] *= 0.01
            link.norm.weight[5] = 1e4
            link.norm.weight[3] = 1e-6
        smaller, _ = prune_channels(network, description, PruningSettings("channels", 0.125))
        stays = [row for row in range(8) if row != leaves]
        assert torch.equal(links(smaller, description)[0].layer.weight, link.layer.weight[stays])


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


EXACT = {
    "mlp weights": (MLP, PruningSettings(share=0.5)),
    "mlp 2:4": (MLP, PruningSettings("2:4")),
    "mlp channels": (MLP, PruningSettings("channels", 0.5)),
    "cnn weights": (CNN, PruningSettings(share=0.7, scope="global")),
    "cnn 2:4": (CNN, PruningSettings("2:4")),
    "cnn channels": (CNN, PruningSettings("channels", 0.5)),
    "binary cnn channels": (replace(CNN, recipe=BINARY), PruningSettings("channels", 0.25)),
}


@pytest.mark.parametrize(("description", "settings"), EXACT.values(), ids=EXACT)
def test_pruned_network_is_exact(description: NetworkDescription, settings: PruningSettings, tmp_path: Path) -> None:
    network, _ = pruned(description, settings)
    values = images(16, SHAPE, 99)
    with quick_exports():
        write_qonnx(network, SHAPE, tmp_path / "model.onnx")
    case = Case("pruned", load_graph(tmp_path / "model.onnx"), values, run_torch(network, values), exact=True)
    verdict = examine(case, None, tmp_path)
    assert (verdict.result, verdict.detail) == ("equal", "")


def short(folder: Path, **settings: object) -> None:
    data = load_data("digits")
    data = replace(data, train=data.train.take(np.arange(144)), validation=data.validation.take(np.arange(60)))
    folder.mkdir(exist_ok=True)
    wanted = TrainSettings.model_validate({"epochs": 1, "batch_size": 32, **settings})
    train(MLP, wanted, data, 1, folder, report=lambda _: None)


def test_zeros_stay_while_a_network_is_trained_further(tmp_path: Path) -> None:
    network, _ = pruned(MLP, PruningSettings(share=0.6))
    start = tmp_path / "start.safetensors"
    save(start, network, MLP)
    zeros = zeros_of(start, MLP.build())
    assert zeros.keys() == {"fc0", "fc1", "out"}
    for keeps in (True, False):
        short(tmp_path / str(keeps), start_from=str(start), keep_zeros=keeps, weight_decay=0.01)
        found, _ = load(tmp_path / str(keeps) / "checkpoint.safetensors")
        for name, layer in layers(found).items():
            assert bool((layer.weight[zeros[name]] == 0).all()) == keeps
            assert not torch.equal(layer.weight, layers(network)[name].weight)


def test_zeros_are_those_of_the_checkpoint_and_not_of_the_network(tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    save_file({"fc0.weight": torch.eye(12, 64), "fc1.weight": torch.zeros(2, 2)}, start)
    network = MLP.build()
    masks = zeros_of(start, network)
    assert masks.keys() == {"fc0"}  # fc1 is of another shape
    assert torch.equal(masks["fc0"], torch.eye(12, 64) == 0)
    keep_zero(network, masks)
    assert torch.equal(network.get_submodule("fc0").weight != 0, torch.eye(12, 64) != 0)  # type: ignore[arg-type]


def test_weights_of_one_bit_cannot_be_zero(tmp_path: Path) -> None:
    own = {"fc1": LayerRecipe(weight_bit_width=1)}
    description = replace(MLP, recipe=FOUR.model_copy(update={"layers": own}))
    for structure in ("weights", "2:4"):
        with pytest.raises(
            ValueError,
            match=r"^fc1: weights must have 2 bits or more to be zero, not 1; take --structure channels, or train it "
            r"with --set recipe\.layers\.fc1\.weight_bit_width=2$",
        ):
            prune_weights(description.build(), PruningSettings(structure))
    network, _ = pruned(MLP, PruningSettings())
    save(tmp_path / "start.safetensors", network, MLP)
    with pytest.raises(
        ValueError,
        match=r"^train\.keep_zeros: weights of fc1 must have 2 bits or more to stay zero, not 1; set it to false, or "
        r"recipe\.layers\.fc1\.weight_bit_width to 2$",
    ):
        zeros_of(tmp_path / "start.safetensors", description.build())


def test_layer_that_would_be_empty_is_refused() -> None:
    network = fresh(MLP)
    with torch.no_grad():
        network.get_submodule("fc1").weight.mul_(1e-6)  # type: ignore[operator]
    with pytest.raises(
        ValueError,
        match=r"^fc1: layer must keep a weight, not lose all 96; lower --share, or take --scope layer$",
    ):
        prune_weights(network, PruningSettings(share=0.5, scope="global"))
    one = nn.Linear(2, 1)
    one.weight.data.copy_(torch.tensor([[0.0, 1.0]]))
    prune_weights(nn.Sequential(one), PruningSettings(share=0.99))
    assert one.weight.tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("structure", ["weights", "channels", "2:4"])
def test_layer_of_zeros_is_refused(structure: str) -> None:
    network = fresh(MLP)
    with torch.no_grad():
        network.get_submodule("fc0").weight.zero_()  # type: ignore[operator]
    with pytest.raises(ValueError, match=r"^fc0: weights must not all be zero to be pruned, not 768 zeros; train it$"):
        prune(network, MLP, PruningSettings(structure))


def test_tensor_trains_keep_their_channels() -> None:
    model = ModelSettings(hidden=(16, 16), tensor_train_rank=2, tensor_train_least=16)
    description = replace(MLP, model=model)
    with pytest.raises(
        ValueError,
        match=r"^model\.tensor_train_rank: value must be 0 to lose channels, not 2; take --structure weights$",
    ):
        prune_channels(description.build(), description, PruningSettings("channels"))


def test_network_with_branches_keeps_its_channels() -> None:
    description = NetworkDescription(ModelSettings(kind="resnet8", channel_multiplier=0.25), FOUR, SHAPE, 10)
    network = description.build()
    with pytest.raises(
        ValueError,
        match=r"^model\.kind: value must be one of mlp, autoencoder, cnn, lenet5, cnv, vgg_small to lose channels, not "
        r"'resnet8'; take --structure weights$",
    ):
        prune_channels(network, description, PruningSettings("channels"))
    prune_weights(network, PruningSettings())
    assert sum(layer.nonzero for layer in weights_of(network)) < 0.6 * sum(
        layer.weights for layer in weights_of(network)
    )


@pytest.mark.parametrize(
    ("structure", "share", "scope", "message"),
    [
        (
            "rows",
            None,
            "layer",
            "--structure: value must be weights, channels, or N:M with N below M, not 'rows'; 2:4 is",
        ),
        (
            "4:4",
            None,
            "layer",
            "--structure: value must be weights, channels, or N:M with N below M, not '4:4'; 2:4 is",
        ),
        (
            "0:4",
            None,
            "layer",
            "--structure: value must be weights, channels, or N:M with N below M, not '0:4'; 2:4 is",
        ),
    ],
)
def test_structure_that_cannot_be_is_refused(structure: str, share: float, scope: Scope, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)} usual$"):
        PruningSettings(structure, share, scope)


@pytest.mark.parametrize("share", [1.0, -0.1, float("nan")])
def test_share_that_cannot_be_is_refused(share: float) -> None:
    with pytest.raises(
        ValueError, match=re.escape(f"--share: value must be from 0 to below 1, not {share:g}; 0.5 is a start")
    ):
        PruningSettings("weights", share)


def test_groups_say_their_share_themselves() -> None:
    with pytest.raises(
        ValueError,
        match=r"^--share: value must be left out for --structure 2:4, not 0\.5; 2 of 4 weights stay$",
    ):
        PruningSettings("2:4", 0.5)
    with pytest.raises(
        ValueError,
        match=r"^--scope: value must be layer for --structure 2:4, not global; every 4 weights lose as many$",
    ):
        PruningSettings("2:4", scope="global")


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
        match=r"widths: value must be left out for kind = 'resnet8', not {'conv': 3}; it is for mlp, autoencoder, cnn, "
        r"lenet5, cnv, vgg_small",
    ):
        ModelSettings(kind="resnet8", widths={"conv": 3})


def test_zeros_are_kept_only_of_a_checkpoint() -> None:
    with pytest.raises(
        ValueError,
        match=r"keep_zeros: value must be false where start_from is empty, not true; name the pruned checkpoint there",
    ):
        Experiment(name="x", train=TrainSettings(keep_zeros=True))
