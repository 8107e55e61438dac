"""Networks of PyTorch, lowered: the program's integers are PyTorch's and qonnx's."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from networks import program_integers, score_integers
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper
from torch import nn

from bitwright.export.lower import lower
from bitwright.export.operations import Conv2d, Dense, Flatten, MaxPool2d, MultiplyAdd, Requantize, Threshold
from bitwright.export.qonnx_file import load
from bitwright.export.qonnx_level import run_qonnx
from bitwright.export.torch_export import write_qonnx
from bitwright.export.torch_level import run_torch
from bitwright.models.batch_norm import BatchNorm
from bitwright.models.mlp import MLP
from bitwright.quant.brevitas_activations import activation, sign
from bitwright.quant.brevitas_layers import conv2d, dense, input_quantizer
from bitwright.quant.recipe import Recipe


def of_width(recipe: Recipe, weight_bit_width: int) -> Recipe:
    """Return the recipe of a layer with weights of a width."""
    return recipe.model_copy(update={"weight_bit_width": weight_bit_width})


def mlp(recipe: dict[str, Any], *, batch_norm: bool = True, features: int = 12) -> nn.Module:
    settings = Recipe.model_validate(recipe)
    return MLP(features, (9, 7), 5, settings, batch_norm=batch_norm, input_range=(-2.0, 2.0))


def chain(**layers: nn.Module) -> nn.Module:
    return nn.Sequential(OrderedDict(layers))


def small_lenet(recipe: dict[str, Any], *, padding: int = 0, batch_norm: bool = True) -> nn.Module:
    """Convolution, pool, norm, activation, twice; flatten; dense. Of images ``(2, 10, 9)``."""
    r = Recipe.model_validate(recipe)
    first, bits, last = (r.weight_width(position) for position in ("first", "middle", "last"))
    biased = {"bias": not batch_norm}
    return chain(
        input=input_quantizer(r, 0.0, 1.0),
        conv1=conv2d(of_width(r, first), 2, 4, 3, padding=padding, **biased),
        pool1=nn.MaxPool2d(2),
        norm1=BatchNorm(4) if batch_norm else nn.Identity(),
        act1=activation(r.activation_width("first")),
        conv2=conv2d(of_width(r, bits), 4, 3, 2, **biased),
        norm2=BatchNorm(3) if batch_norm else nn.Identity(),
        act2=activation(r.activation_width("middle")),
        flatten=nn.Flatten(),
        drop=nn.Dropout(0.5),
        fc1=dense(of_width(r, bits), 3 * (3 + padding) * (2 + padding), 6, **biased),
        norm3=BatchNorm(6) if batch_norm else nn.Identity(),
        act3=activation(r.activation_width("middle")),
        out=dense(of_width(r, last), 6, 5, bias=last > 1),
        out_norm=BatchNorm(5) if last == 1 else nn.Identity(),
    )


def pool_after_activation() -> nn.Module:
    r = Recipe(weight_bit_width=3, activation_bit_width=2)
    return chain(
        input=input_quantizer(r, 0.0, 1.0),
        conv1=conv2d(of_width(r, 3), 2, 4, 3, bias=False),
        norm1=BatchNorm(4),
        act1=activation(2),
        pool1=nn.MaxPool2d((2, 3), stride=(2, 1)),
        flatten=nn.Flatten(),
        out=dense(of_width(r, 4), 4 * 4 * 5, 5, bias=False),
    )


def scale_a_channel() -> nn.Module:
    r = Recipe(weight_bit_width=3)
    return chain(
        input=input_quantizer(r, 0.0, 1.0),
        conv1=conv2d(of_width(r, 3), 2, 4, 3, bias=False),
        norm1=BatchNorm(4),
        act1=activation(3, channels=4, axes=4),
        conv2=conv2d(of_width(r, 1), 4, 3, 2, bias=False),
        norm2=BatchNorm(3),
        act2=activation(4, channels=3, axes=4),
        flatten=nn.Flatten(),
        fc=dense(of_width(r, 4), 3 * 7 * 6, 6, bias=False),
        norm3=BatchNorm(6),
        act3=activation(2, channels=6),
        out=dense(of_width(r, 4), 6, 5, bias=False),
    )


def padded_bits() -> nn.Module:
    r = Recipe(weight_bit_width=1)
    return chain(
        input=sign(),
        conv1=conv2d(of_width(r, 1), 2, 4, 3, padding=1, bias=False),
        norm1=BatchNorm(4),
        act1=sign(),
        conv2=conv2d(of_width(r, 3), 4, 3, 3, padding=1, bias=False),
        norm2=BatchNorm(3),
        act2=sign(),
        flatten=nn.Flatten(),
        out=dense(of_width(r, 4), 3 * 10 * 9, 5, bias=False),
    )


def ends_in_activation() -> nn.Module:
    r = Recipe(weight_bit_width=4)
    return chain(
        input=input_quantizer(r, -2.0, 2.0),
        fc=dense(of_width(r, 4), 12, 5, bias=True),
        norm=BatchNorm(5),
        act=activation(5),
    )


def ends_in_softmax() -> nn.Module:
    r = Recipe(weight_bit_width=4)
    fc = dense(of_width(r, 4), 12, 5, bias=True)
    return chain(input=input_quantizer(r, -2.0, 2.0), fc=fc, softmax=nn.Softmax(dim=1))


def one_bit_input() -> nn.Module:
    r = Recipe(weight_bit_width=1)
    fc = dense(of_width(r, 1), 18 * 10, 9, bias=False)
    out = dense(of_width(r, 3), 9, 5, bias=False)
    return chain(input=sign(), flatten=nn.Flatten(), fc=fc, norm=BatchNorm(9), act=sign(), out=out)


FEATURES, IMAGE = (12,), (2, 10, 9)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "fixed": (lambda: mlp({}), FEATURES),
    "bias": (lambda: mlp({"weight_bit_width": 3, "activation_bit_width": 3}, batch_norm=False), FEATURES),
    "per_channel": (
        lambda: mlp({"weight_bit_width": 4, "weight_scale": "per_channel"}, batch_norm=False),
        FEATURES,
    ),
    "per_channel_norm": (lambda: mlp({"weight_bit_width": 2, "weight_scale": "per_channel"}), FEATURES),
    "binary": (lambda: mlp({"weight_bit_width": 1, "activation_bit_width": 1, "input_bit_width": 1}), FEATURES),
    "binary_data": (
        lambda: mlp({"weight_bit_width": 4, "activation_bit_width": 1, "first_weight_bit_width": 8}),
        FEATURES,
    ),
    "binary_weights": (
        lambda: mlp({"weight_bit_width": 1, "activation_bit_width": 3, "last_weight_bit_width": 8}),
        FEATURES,
    ),
    "wide": (
        lambda: mlp({"weight_bit_width": 2, "activation_bit_width": 8, "first_activation_bit_width": 16}),
        FEATURES,
    ),
    "lenet": (lambda: small_lenet({"weight_bit_width": 3, "activation_bit_width": 3}, padding=1), IMAGE),
    "lenet_bias": (
        lambda: small_lenet({"weight_bit_width": 4, "weight_scale": "per_channel"}, batch_norm=False),
        IMAGE,
    ),
    "lenet_binary": (lambda: small_lenet({"weight_bit_width": 1, "activation_bit_width": 1}), IMAGE),
    "pool_after_activation": (pool_after_activation, IMAGE),
    "one_bit_input": (one_bit_input, IMAGE),
    "padded_bits": (padded_bits, IMAGE),
    "scale_a_channel": (scale_a_channel, IMAGE),
    "activation_last": (ends_in_activation, FEATURES),
    "softmax": (ends_in_softmax, FEATURES),
}


def inputs(shape: tuple[int, ...], count: int = 300) -> NDArray[np.float32]:
    """Values all over the input's range and beyond, some on the grid's halves."""
    values = np.random.default_rng(2).uniform(-2.5, 2.5, (count, *shape))
    values[::3] = np.round(values[::3] * 2**9) / 2**9
    return values.astype(np.float32)


def randomise(network: nn.Module, shape: tuple[int, ...]) -> None:
    """Give batch norms and quantisers the state of a training, with gammas of both signs and zero."""
    generator = np.random.default_rng(3)
    network.train()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, BatchNorm):
                gamma = generator.normal(0, 1, module.num_features).astype(np.float32)
                module.weight.copy_(torch.from_numpy(gamma))
                module.bias.copy_(torch.from_numpy(generator.normal(0, 1, module.num_features).astype(np.float32)))
        for name, module in network.named_modules():
            if isinstance(module, BatchNorm) and not name.startswith("out"):
                module.weight[0] = 0.0
                module.weight[1] = -1.0
        for seed in range(3):
            torch.manual_seed(seed)
            network(torch.from_numpy(inputs(shape, 64)) * (1 + torch.rand(64, *[1] * len(shape))))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[nn.Module, ModelWrapper]]:
    """Make and export a network of `NETWORKS` once."""
    made: dict[str, tuple[nn.Module, ModelWrapper]] = {}
    folder = tmp_path_factory.mktemp("exported")
    torch.set_num_threads(1)

    def export(name: str) -> tuple[nn.Module, ModelWrapper]:
        if name not in made:
            build, shape = NETWORKS[name]
            torch.manual_seed(1)
            network = build()
            randomise(network, shape)
            path = folder / f"{name}.onnx"
            write_qonnx(network, shape, path)
            made[name] = network.eval(), load(path)
        return made[name]

    return export


Exported = Callable[[str], tuple[nn.Module, ModelWrapper]]


def without_softmax(network: nn.Module) -> nn.Module:
    return network[:-1] if isinstance(network, nn.Sequential) and isinstance(network[-1], nn.Softmax) else network


@pytest.mark.parametrize("name", NETWORKS)
def test_program_is_pytorch_and_qonnx(name: str, exported: Exported) -> None:
    network, model = exported(name)
    values = inputs(NETWORKS[name][1])
    lowered = lower(model)
    found = program_integers(lowered, values)
    assert len(np.unique(found)) > 2
    assert (found == score_integers(lowered, run_torch(without_softmax(network), values))).all()
    if lowered.softmax is None:
        assert (found == score_integers(lowered, run_qonnx(model, values))).all()


def test_every_kind_of_activation_is_among_the_networks(exported: Exported) -> None:
    kinds = {
        name: {type(operation) for operation in lower(exported(name)[1]).program.operations}
        for name in ("fixed", "bias", "binary", "lenet")
    }
    assert MultiplyAdd in kinds["fixed"]
    assert Requantize in kinds["bias"]
    assert Threshold in kinds["binary"]
    assert {Conv2d, MaxPool2d, Flatten, Dense} < kinds["lenet"]


def test_operations_are_called_as_the_modules_of_the_network(exported: Exported) -> None:
    names = [operation.name for operation in lower(exported("lenet")[1]).program.operations]
    assert names == ["input_layer", "conv1", "pool1", "act1", "conv2", "act2", "flatten", "fc1", "act3", "out"]
