"""The order of pooling, batch norm and activation: which module sees what, and what the lowering carries of it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from networks import program_integers, score_integers
from pydantic import ValidationError
from quick_export import quick_exports
from torch import nn

from bitwright.calibration.fold import layers_of_norms
from bitwright.export.lower import lower
from bitwright.export.problems import UnsupportedOperatorError
from bitwright.export.qonnx_file import load
from bitwright.export.qonnx_level import run_qonnx
from bitwright.export.torch_export import write_qonnx
from bitwright.export.torch_level import run_torch
from bitwright.models.network import build
from bitwright.models.settings import OWN_ORDERS, ModelSettings, Order
from bitwright.quant.recipe import Recipe

BINARY = Recipe(weight_bit_width=1, activation_bit_width=1)
RECIPES = {"float": Recipe.floating(), "fixed": Recipe(), "binary": BINARY}
ORDERS = get_args(Order)
NORM_LAST = [order for order in ORDERS if order.endswith("_norm")]
SHAPES = {"cnn": (1, 8, 8), "lenet5": (1, 28, 28), "cnv": (3, 32, 32)}
FIRST_BLOCK = {
    "cnn": {"pool": "pool", "norm": "norm", "activation": "act"},
    "lenet5": {"pool": "pool1", "norm": "norm1", "activation": "act1"},
    "cnv": {"pool": "pool1", "norm": "norm1", "activation": "act1"},
}
DENSE_BLOCK = {
    "lenet5": {"norm": "norm3", "activation": "act3"},
    "cnv": {"norm": "fc1_norm", "activation": "fc1_act"},
}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(1)
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    with quick_exports():
        yield


def network_of(kind: str, recipe: Recipe = BINARY, **model: Any) -> nn.Module:  # noqa: ANN401 - settings
    settings = ModelSettings.model_validate({"kind": kind, "channel_multiplier": 0.25, **model})
    return build(settings, recipe, SHAPES[kind], 10)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("order", ORDERS)
def test_modules_are_called_in_the_order(kind: str, order: Order) -> None:
    network, called = network_of(kind, order=order).eval(), list[str]()
    for name, module in network.named_children():
        module.register_forward_hook(lambda *_, name=name: called.append(name))
    network(torch.zeros(1, *SHAPES[kind]))
    wanted = [FIRST_BLOCK[kind][part] for part in order.split("_")]
    assert [name for name in called if name in wanted] == wanted
    wanted = [DENSE_BLOCK[kind][part] for part in order.split("_") if part != "pool"] if kind in DENSE_BLOCK else []
    assert [name for name in called if name in wanted] == wanted


@pytest.mark.parametrize("kind", SHAPES)
def test_order_that_is_left_out_is_the_networks_own(kind: str) -> None:
    own, given = network_of(kind), network_of(kind, order=OWN_ORDERS[kind])  # type: ignore[index]
    given.load_state_dict(own.state_dict())
    images = torch.rand(8, *SHAPES[kind])
    assert torch.equal(own.train()(images), given.train()(images))


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("kind", ["cnn", "lenet5"])
@pytest.mark.parametrize("order", ORDERS)
def test_every_order_can_be_trained(order: Order, kind: str, recipe: Recipe) -> None:
    network = network_of(kind, recipe, order=order).train()
    for _ in range(2):
        scores = network(torch.rand(8, *SHAPES[kind]))
    nn.functional.cross_entropy(scores, torch.arange(8)).backward()  # type: ignore[no-untyped-call]
    assert all(value.grad is None or value.grad.isfinite().all() for value in network.parameters())
    assert network.get_parameter("norm.weight" if kind == "cnn" else "norm1.weight").grad is not None


@pytest.mark.parametrize("order", NORM_LAST)
def test_last_layer_behind_a_norm_has_a_norm_in_the_place_of_its_bias(order: Order) -> None:
    network = network_of("lenet5", Recipe(), order=order)
    names = [name for name, _ in network.named_parameters()]
    assert "out.bias" not in names
    assert "out_norm.bias" in names
    without = network_of("lenet5", Recipe(), order=order, batch_norm=False)
    assert "out.bias" in [name for name, _ in without.named_parameters()]


def exported(network: nn.Module, shape: tuple[int, ...], path: Path) -> nn.Module:
    """Write a network whose batch norms have factors of both signs and have seen data."""
    with torch.no_grad():
        for name, value in network.train().named_parameters():
            if "norm" in name:
                value.normal_()
        for _ in range(3):
            network(torch.rand(32, *shape))
    write_qonnx(network.eval(), shape, path)
    return network


@pytest.mark.parametrize("recipe", [Recipe(), BINARY], ids=["fixed", "binary"])
@pytest.mark.parametrize(("kind", "order"), [("lenet5", "norm_activation_pool"), ("cnv", "pool_norm_activation")])
def test_other_place_of_the_pool_is_exact(kind: str, order: Order, recipe: Recipe, tmp_path: Path) -> None:
    path, shape = tmp_path / "model.onnx", SHAPES[kind]
    network = exported(network_of(kind, recipe, order=order, channel_multiplier=0.125), shape, path)
    model = load(path)
    lowered = lower(model)
    values = np.random.default_rng(1).random((64, *shape)).astype(np.float32)
    found = program_integers(lowered, values)
    assert (found == score_integers(lowered, run_torch(network, values))).all()
    assert (found == score_integers(lowered, run_qonnx(model, values))).all()


@pytest.mark.parametrize("order", NORM_LAST)
def test_norm_before_the_next_layer_is_refused_by_name(order: Order, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    exported(network_of("cnn", order=order), SHAPES["cnn"], path)
    says = (
        "model: node_linear (Gemm): input must be an accumulator or quantised, not the result of Add; put a quantiser "
        "between, or this node before the elementwise operations"
    )
    with pytest.raises(UnsupportedOperatorError, match=f"^{re.escape(says)}$"):
        lower(load(path), "model")


@pytest.mark.parametrize("order", NORM_LAST)
def test_norm_before_the_next_layer_is_not_folded(order: Order) -> None:
    says = (
        r"^norm: batch norm must stand behind a dense layer or a convolution to be folded, not behind something else; "
        r"calibrate with --no-fold$"
    )
    with pytest.raises(ValueError, match=says):
        layers_of_norms(network_of("cnn", Recipe.floating(), order=order))


@pytest.mark.parametrize("kind", ["mlp", "resnet8"])
def test_order_of_a_network_that_has_one_only_is_refused(kind: str) -> None:
    says = f"order: value must be left out for kind = '{kind}', not 'norm_activation_pool'; it is for cnn, lenet5, cnv"
    with pytest.raises(ValidationError, match=re.escape(says)):
        ModelSettings.model_validate({"kind": kind, "order": "norm_activation_pool"})
