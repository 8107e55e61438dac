"""Checkpoints: what is written is read back, and nothing else is."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from full_disk import room_for
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bitwright.models.checkpoint import SCALE, NetworkDescription, load, save, start_from
from bitwright.models.settings import ModelSettings
from bitwright.quant.brevitas_activations import STATISTICS_BATCHES
from bitwright.quant.recipe import Recipe

SMALL = NetworkDescription(ModelSettings(hidden=(8, 6)), Recipe(), (1, 8, 8), 10)
NOT_OURS = "checkpoint must be one that `bitwright train` wrote, not a safetensors file without its settings"


def trained(description: NetworkDescription) -> nn.Module:
    """A network whose ranges and statistics have been collected."""
    torch.manual_seed(1)
    network = description.build()
    with torch.no_grad():
        for _ in range(STATISTICS_BATCHES + 1):
            network(torch.rand(8, *description.input_shape))
    return network.eval()


def rewrite(path: Path, tensors: dict[str, Tensor], description: NetworkDescription = SMALL) -> None:
    """Write other tensors under the settings of a checkpoint."""
    save(path, description.build(), description)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file(tensors, path, metadata=metadata)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.safetensors"


@pytest.fixture
def tensors(path: Path) -> dict[str, Tensor]:
    save(path, trained(SMALL), SMALL)
    read: dict[str, Tensor] = load_file(path)
    return read


def refused(path: Path, says: str, expected: NetworkDescription | None = None) -> None:
    """Check that loading a file ends in one message."""
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {says}')}$"):
        load(path, expected)


@pytest.mark.parametrize(
    "description",
    [
        SMALL,
        replace(SMALL, recipe=Recipe.floating()),
        replace(SMALL, recipe=Recipe(weight_bit_width=1, activation_bit_width=1)),
        replace(SMALL, recipe=Recipe(weight_scale="per_channel"), model=ModelSettings(hidden=(8,), batch_norm=False)),
        NetworkDescription(ModelSettings(kind="lenet5"), Recipe(), (1, 28, 28), 10),
    ],
    ids=["fixed", "float", "binary", "biased", "lenet5"],
)
def test_network_read_back_gives_the_same_scores(path: Path, description: NetworkDescription) -> None:
    network = trained(description)
    save(path, network, description)
    again, found = load(path, description)
    inputs = torch.rand(5, *description.input_shape)
    assert found == description
    assert not again.training
    assert torch.equal(again(inputs), network(inputs))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_saving_over_a_checkpoint_replaces_it(path: Path) -> None:
    save(path, trained(SMALL), SMALL)
    other = replace(SMALL, classes=4)
    save(path, trained(other), other)
    assert load(path)[1] == other


def test_saving_to_a_full_disk_leaves_the_old_checkpoint(path: Path) -> None:
    save(path, trained(SMALL), SMALL)
    before = path.read_bytes()
    with room_for(1000), pytest.raises(OSError, match="File too large") as refusal:
        save(path, trained(SMALL), SMALL)
    assert refusal.value.filename == str(path)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_weights_of_another_recipe_are_started_from(path: Path) -> None:
    save(path, trained(SMALL), SMALL)
    network = replace(SMALL, recipe=Recipe(weight_bit_width=3)).build()
    assert start_from(path, network) == ()
    wanted = load_file(path)
    assert all(torch.equal(value, wanted[name]) for name, value in network.state_dict().items() if name in wanted)
    with pytest.raises(ValueError) as refusal:
        start_from(path, NetworkDescription(ModelSettings(kind="lenet5"), Recipe(), (1, 28, 28), 10).build())
    assert str(refusal.value) == (
        f"{path}: checkpoint must have a layer of the network that it starts, not none; name another in "
        "train.start_from"
    )


def test_weights_that_the_start_does_not_have_are_named(path: Path) -> None:
    save(path, trained(SMALL), SMALL)
    network = replace(SMALL, classes=SMALL.classes + 1).build()
    before = network.state_dict()["out.weight"].clone()
    assert start_from(path, network) == ("out.weight",)
    assert torch.equal(network.state_dict()["out.weight"], before)


def test_scales_are_started_from_too(path: Path) -> None:
    before = trained(SMALL)
    save(path, before, SMALL)
    network = SMALL.build().eval()
    start_from(path, network)
    scales = {name: value for name, value in load_file(path).items() if name.endswith(SCALE)}
    assert len(scales) == 2
    assert all(torch.equal(network.state_dict()[name], value) for name, value in scales.items())
    inputs = torch.rand(5, 1, 8, 8)
    assert torch.equal(network(inputs), before(inputs))


def test_missing_file_is_refused(path: Path) -> None:
    says = f"{path}: checkpoint must be an existing file, not missing; run `bitwright train` first"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(says)}$"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(300), b"PK\x03\x04" + bytes(90)])
def test_file_of_another_kind_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    remedy = "delete it and run `bitwright train` again"
    refused(path, f"checkpoint must be a safetensors file, not {len(content)} bytes of something else; {remedy}")


def test_file_that_the_user_names_to_start_from_is_not_called_damaged(path: Path) -> None:
    path.write_text("mine")
    with pytest.raises(ValueError) as refusal:
        start_from(path, SMALL.build())
    assert str(refusal.value) == (
        f"{path}: checkpoint must be a safetensors file, not 4 bytes of something else; name another in "
        "train.start_from"
    )


def test_file_cut_off_is_refused(path: Path, tensors: dict[str, Tensor]) -> None:
    path.write_bytes(path.read_bytes()[:-1])
    size, remedy = path.stat().st_size, "delete it and run `bitwright train` again"
    refused(path, f"checkpoint must be a safetensors file, not {size} bytes of something else; {remedy}")


def test_tensors_without_settings_are_refused(path: Path, tensors: dict[str, Tensor]) -> None:
    save_file(tensors, path)
    refused(path, NOT_OURS)


MODEL_KEYS = (
    "kind hidden channel_multiplier batch_norm order shortcut shortcut_bit_width depthwise_bit_width "
    "depthwise_input_bit_width bottleneck_bit_width widths tensor_train_rank tensor_train_least tensor_train_cores "
    "tensor_train_bit_width"
)
RECIPE_KEYS = (
    "weight_bit_width activation_bit_width input_bit_width first_weight_bit_width first_activation_bit_width "
    "last_weight_bit_width bias_bit_width weight_scale weight_scale_from accumulator_bit_width sign_gradient "
    "binary_weight_scale layers"
)


@pytest.mark.parametrize(("settings", "written"), [(ModelSettings, MODEL_KEYS), (Recipe, RECIPE_KEYS)])
def test_every_key_that_a_checkpoint_may_hold_is_still_one(
    settings: type[ModelSettings | Recipe], written: str
) -> None:
    """A checkpoint holds all keys, also those left out: without one of them, no network of before could be read."""
    assert set(written.split()) <= set(settings.model_fields)


def test_checkpoint_with_a_learned_scale_for_the_average_of_signs_is_refused(path: Path) -> None:
    """As binary MobileNetV2 was trained before the scale was constant."""
    binary = Recipe(weight_bit_width=1, activation_bit_width=1)
    description = replace(SMALL, model=ModelSettings(kind="mobilenet_v2", channel_multiplier=0.125), recipe=binary)
    name = f"average.act_quant.fused_activation_quant_proxy.tensor_quant{SCALE}"
    rewrite(path, {**trained(description).state_dict(), name: torch.tensor(0.0)}, description)
    refused(path, f"checkpoint must be of the same network, not one with {name}; train it again")


def test_settings_that_cannot_be_are_refused(path: Path, tensors: dict[str, Tensor]) -> None:
    save_file(tensors, path, metadata={"model": "{}", "recipe": "{}", "input_shape": "7", "classes": "10"})
    refused(path, NOT_OURS)


@pytest.mark.parametrize(
    ("expected", "difference"),
    [
        (replace(SMALL, model=ModelSettings(hidden=(9, 6))), "model.hidden = (9, 6), not (8, 6)"),
        (replace(SMALL, recipe=Recipe(weight_bit_width=4)), "recipe.weight_bit_width = 4, not 6"),
        (replace(SMALL, input_shape=(16,)), "inputs (16,), not (1, 8, 8)"),
        (replace(SMALL, classes=5), "5 classes, not 10"),
    ],
)
def test_checkpoint_of_another_network_is_refused(path: Path, expected: NetworkDescription, difference: str) -> None:
    save(path, trained(SMALL), SMALL)
    refused(path, f"checkpoint must be of {difference}; train this experiment again", expected)


@pytest.mark.parametrize(
    "name", ["norm1.running_var", "act0.act_quant.fused_activation_quant_proxy.tensor_quant.scaling_impl.value"]
)
def test_missing_tensor_is_refused(path: Path, tensors: dict[str, Tensor], name: str) -> None:
    del tensors[name]
    rewrite(path, tensors)
    refused(path, f"checkpoint must be of the same network, not one without {name}; train it again")


def test_tensor_of_another_shape_is_refused(path: Path, tensors: dict[str, Tensor]) -> None:
    tensors["fc1.weight"] = tensors["fc1.weight"][:, :-1].contiguous()
    rewrite(path, tensors)
    refused(path, "fc1.weight must be of shape (6, 8), not (6, 7); train it again")


def test_tensor_too_many_is_refused(path: Path, tensors: dict[str, Tensor]) -> None:
    rewrite(path, tensors | {"fc9.weight": torch.zeros(2)})
    refused(path, "checkpoint must be of the same network, not one with fc9.weight; train it again")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weight_that_is_not_finite_is_refused(path: Path, tensors: dict[str, Tensor], value: float) -> None:
    tensors["fc0.weight"][3, 5] = value
    rewrite(path, tensors)
    refused(path, "fc0.weight must be finite, not NaN or infinite; train again with a lower learning_rate")


def test_finite_weights_with_an_infinite_sum_are_kept(path: Path, tensors: dict[str, Tensor]) -> None:
    tensors["fc0.weight"][:] = 3e38
    rewrite(path, tensors)
    again, _ = load(path)
    assert torch.equal(again.state_dict()["fc0.weight"], tensors["fc0.weight"])
