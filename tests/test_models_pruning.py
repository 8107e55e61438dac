"""Pruning by weight: which become zero, in which groups, that they stay it, and that the network stays exact."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from image_networks import images
from levels import Case, examine
from pruned_networks import BINARY, CNN, FOUR, MLP, SHAPE, described, fresh, prune, pruned, used
from quick_export import quick_exports
from safetensors.torch import save_file
from torch import nn

from bitwright.cli.experiment import Experiment
from bitwright.cli.search_lowering import lowered
from bitwright.export.operations import Linear
from bitwright.export.qonnx_file import load as load_graph
from bitwright.export.torch_export import write_qonnx
from bitwright.export.torch_level import run_torch
from bitwright.models.checkpoint import NetworkDescription, load, save
from bitwright.models.dataset import load as load_data
from bitwright.models.pruning import has_zeros, keep_zero, layers, prune_weights, weights_of, zeros_of
from bitwright.models.pruning_settings import PruningSettings
from bitwright.models.settings import TrainSettings
from bitwright.models.training import train
from bitwright.quant.recipe import LayerRecipe


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
        old, new = (channels_last(name, each.weight.detach()) for each in (layers(before)[name], layer))
        for start in range(0, old.shape[1], size):
            part, left = old[:, start : start + size].abs(), new[:, start : start + size].abs()
            largest = part.sort(dim=1, descending=True).values[:, :kept]
            assert torch.equal(left.sort(dim=1, descending=True).values[:, :kept], largest)
            assert not left.sort(dim=1, descending=True).values[:, kept:].any()


def channels_last(name: str, weight: torch.Tensor) -> torch.Tensor:
    """Weights of a layer of LeNet-5 in the order of the chip's inputs; fc1 sees 16 channels of 5x5 positions."""
    return (weight.reshape(-1, 16, 25) if name == "fc1" else weight).movedim(1, -1).reshape(len(weight), -1)


@pytest.mark.parametrize(("kept", "size"), [(2, 4), (3, 5)])
@pytest.mark.parametrize("description", [CNN, replace(MLP, input_shape=(3, 8, 8))], ids=["cnn", "mlp of colours"])
def test_no_group_of_the_exported_programs_weights_holds_more(
    description: NetworkDescription, kept: int, size: int
) -> None:
    network, _ = pruned(description, PruningSettings(f"{kept}:{size}"))
    with quick_exports():
        program = lowered(network, description.input_shape).program
    found = [each.weight for each in program.operations if isinstance(each, Linear)]
    assert len(found) == len(layers(network))
    for weight in found:
        rows = weight.reshape(-1, weight.shape[-1]).T != 0  # (O, inputs), rows, columns, channels last
        counts = [int(rows[i, j : j + size].sum()) for i in range(len(rows)) for j in range(0, rows.shape[1], size)]
        assert max(counts) == kept


def test_neighbours_behind_a_flatten_are_channels_of_the_same_position() -> None:
    dense = nn.Linear(4, 1)
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), dense, nn.Linear(1, 1))
    dense.weight.data.copy_(torch.tensor([[1.0, 4.0, 2.0, 3.0]]))  # both positions of one channel, then of the other
    prune_weights(network, PruningSettings("1:2"))
    assert dense.weight.tolist() == [[0.0, 4.0, 2.0, 0.0]]


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


def test_checkpoint_without_zeros_has_none_to_keep(tmp_path: Path) -> None:
    path = tmp_path / "start.safetensors"
    network = fresh(MLP)
    save(path, network, MLP)
    says = (
        f"{path}: checkpoint must have weights that are zero to be kept so, not none in a layer of this network; set "
        "train.keep_zeros to false"
    )
    assert not has_zeros(network)
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        short(tmp_path / "run", start_from=str(path), keep_zeros=True)
    prune_weights(network, PruningSettings(share=0.5))
    save(path, network, MLP)
    assert has_zeros(network)
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):  # no layer of these shapes
        zeros_of(path, described("mlp", hidden=(9, 9)).build())


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


def test_zeros_are_kept_only_of_a_checkpoint() -> None:
    with pytest.raises(
        ValueError,
        match=r"keep_zeros: value must be false where start_from is empty, not true; name the pruned checkpoint there",
    ):
        Experiment(name="x", train=TrainSettings(keep_zeros=True))
