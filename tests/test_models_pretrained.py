"""Networks that come with the package: packed weights are the same integers, and damaged files are refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from bitwright.models.checkpoint import NetworkDescription, load, save
from bitwright.models.pretrained_file import FOLDER, FORMAT, PackedTensor, names, read
from bitwright.models.pretrained_pack import pack
from bitwright.models.settings import ModelSettings
from bitwright.quant.recipe import LayerRecipe, Recipe

ACCURACY = {"validation": 0.5, "test": 0.25}


def trained(path: Path, recipe: Recipe, kind: str = "cnn") -> torch.nn.Module:
    """A network with random weights and statistics, saved."""
    torch.manual_seed(1)
    settings = ModelSettings.model_validate({"kind": kind, "hidden": (7,)})
    description = NetworkDescription(settings, recipe, (1, 8, 8), 10)
    network = description.build().train()
    for _ in range(20):
        network(torch.rand(16, 1, 8, 8))
    save(path, network, description)
    return load(path)[0]


@given(st.integers(1, 16), st.lists(st.integers(1, 5), max_size=3), st.integers(0, 2**32 - 1))
def test_integers_survive_packing(bit_width: int, shape: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    if bit_width == 1:
        codes = random.choice([-1, 1], shape)
    else:
        codes = random.integers(-(2 ** (bit_width - 1)), 2 ** (bit_width - 1), shape)
    packing = PackedTensor(bit_width, tuple(shape))
    data = packing.pack(np.asarray(codes))
    assert data.nbytes == -(-bit_width * codes.size // 8)
    np.testing.assert_array_equal(packing.unpack(data), codes)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(weight_bit_width=1, activation_bit_width=1),
        Recipe(weight_bit_width=5, weight_scale="per_channel"),
        Recipe(weight_scale_from="parameter", layers={"out": LayerRecipe(weight_bit_width=3)}),
    ],
    ids=["binary", "fixed", "mixed"],
)
@pytest.mark.parametrize("kind", ["cnn", "mlp"])
def test_packed_network_gives_the_same_scores(recipe: Recipe, kind: str, tmp_path: Path) -> None:
    network = trained(tmp_path / "before", recipe, kind)
    size = pack(tmp_path / "before", {"seed": 7}, ACCURACY, tmp_path / "small.safetensors")
    found = read("small", tmp_path)
    found.save_checkpoint(tmp_path / "after")
    again, _ = load(tmp_path / "after")
    inputs = torch.rand(32, 1, 8, 8)
    assert torch.equal(network(inputs), again(inputs))
    assert (found.experiment, found.accuracy) == ({"seed": 7}, ACCURACY)
    assert size == (tmp_path / "small.safetensors").stat().st_size < (tmp_path / "before").stat().st_size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["after", "before", "small.safetensors"]


def test_weights_take_the_bytes_of_their_widths(tmp_path: Path) -> None:
    trained(tmp_path / "network", Recipe(weight_bit_width=1, activation_bit_width=1), "mlp")
    pack(tmp_path / "network", {}, ACCURACY, tmp_path / "small.safetensors")
    with safe_open(tmp_path / "small.safetensors", framework="numpy") as file:
        assert file.get_tensor("fc0.weight").nbytes == 64 * 7 // 8


def test_float_network_is_refused(tmp_path: Path) -> None:
    trained(tmp_path / "network", Recipe.floating())
    message = "pretrained: weights of conv must be quantised, not float; pack another network"
    with pytest.raises(ValueError, match=f"^{message}$"):
        pack(tmp_path / "network", {}, ACCURACY, tmp_path / "small.safetensors")
    assert not (tmp_path / "small.safetensors").exists()


def test_unknown_name_is_refused() -> None:
    known = ", ".join(names())
    message = f"pretrained:lenet6: network must be one of {known}, not 'lenet6'; choose one"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read("lenet6")


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    path.write_bytes(b"nothing")
    message = f"{path}: file must be a network of Bitwright's, not a damaged one; install again"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read("small", tmp_path)


def test_file_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    save_file({"x": np.zeros(1)}, path, metadata={"format": "bitwright.pretrained.2"})
    message = f"{path}: format must be {FORMAT!r}, not 'bitwright.pretrained.2'; install the version that it came with"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read("small", tmp_path)


@pytest.mark.parametrize("name", names())
def test_networks_of_the_package_are_small_and_load(name: str, tmp_path: Path) -> None:
    found = read(name)
    found.save_checkpoint(tmp_path / "checkpoint")
    _, description = load(tmp_path / "checkpoint")
    assert description.recipe.model_dump(exclude_defaults=True) == json.loads(
        json.dumps(found.experiment.get("recipe", {}))
    )
    assert (FOLDER / f"{name}.safetensors").stat().st_size < 300_000
