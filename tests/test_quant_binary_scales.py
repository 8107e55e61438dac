"""Scales of 1-bit weights: the power of two next to the mean magnitude, exact at every level, and XNOR on the chip."""

import re
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks import program_integers, score_integers
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper
from quick_export import quick_exports
from torch import nn

from bitwright.export.interface import input_codes
from bitwright.export.lower import lower
from bitwright.export.operations import Linear
from bitwright.export.precision import minimal
from bitwright.export.qonnx_file import load
from bitwright.export.qonnx_level import run_qonnx
from bitwright.export.torch_export import write_qonnx
from bitwright.export.torch_level import run_torch
from bitwright.hls.csim import Simulation
from bitwright.hls.csim_build import build_library
from bitwright.hls.project import write_project
from bitwright.hls.target import Target
from bitwright.models.batch_norm import BatchNorm
from bitwright.models.mlp import MLP
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.brevitas_layers import activation_of, conv2d, dense, input_quantizer
from bitwright.quant.quantizer_scale import SMALLEST_SCALE
from bitwright.quant.recipe import Recipe

SCALES = ("per_tensor", "per_channel")
FEATURES, IMAGE = (12,), (2, 8, 6)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(1)
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    with quick_exports():
        yield


def binary(scale: str) -> Recipe:
    return Recipe.model_validate({"weight_bit_width": 1, "activation_bit_width": 1, "binary_weight_scale": scale})


def layer_of(kind: str, scale: str) -> Any:  # noqa: ANN401 - Brevitas' own
    """A layer of three outputs whose weights differ in size from output to output."""
    recipe = binary(scale)
    layer: Any = dense(recipe, 20, 3, bias=False) if kind == "dense" else conv2d(recipe, 2, 3, 5, bias=False)
    with torch.no_grad():
        layer.weight.mul_(torch.tensor([0.25, 1.0, 3.0]).reshape(-1, *[1] * (layer.weight.dim() - 1)))
    return layer


@pytest.mark.parametrize("kind", ["dense", "conv2d"])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("training", [True, False])
def test_scale_is_the_power_of_two_next_to_the_mean_magnitude(kind: str, scale: str, training: bool) -> None:
    layer = layer_of(kind, scale).train(training)
    weight = layer.weight.detach().double().numpy()
    before = layer.weight.detach().clone()
    axes = tuple(range(1, weight.ndim)) if scale == "per_channel" else None
    means = np.abs(weight).mean(axis=axes, keepdims=scale == "per_channel")
    wanted = np.exp2(np.rint(np.log2(means)))
    quantised = layer.quant_weight()
    np.testing.assert_array_equal(quantised.scale.detach().numpy(), wanted)
    np.testing.assert_array_equal(quantised.value.detach().numpy(), np.where(weight >= 0, 1.0, -1.0) * wanted)
    assert torch.equal(layer.weight, before)
    assert len(np.unique(wanted)) == (3 if scale == "per_channel" else 1)


def test_weights_of_zero_have_the_smallest_scale() -> None:
    layer = layer_of("dense", "per_channel")
    nn.init.zeros_(layer.weight)
    assert layer.quant_weight().scale.flatten().tolist() == [SMALLEST_SCALE] * 3


@pytest.mark.parametrize("scale", SCALES)
def test_gradient_of_the_latent_weights_passes_scaled_and_through_the_scale(scale: str) -> None:
    layer = layer_of("dense", scale)
    back = torch.randn(3, 20)
    quantised = layer.quant_weight()
    quantised.value.backward(back)
    weight, signs = layer.weight.detach(), torch.where(layer.weight >= 0, 1.0, -1.0)
    axis = 1 if scale == "per_channel" else None
    # scale = 2^log2(mean), rounding passes: its derivative is scale / mean, and the mean's is sign / count
    mean = weight.abs().mean(dim=axis, keepdim=axis is not None)
    through = (back * signs).sum(dim=axis, keepdim=axis is not None) * quantised.scale.detach() / mean
    wanted = back * quantised.scale.detach() + through * signs / (20 if axis else 60)
    torch.testing.assert_close(layer.weight.grad, wanted)


def small_cnn(scale: str, padding: int) -> nn.Module:
    """Two convolutions, the second one of bits, and two dense layers, for images ``(2, 8, 6)``."""
    r = binary(scale)
    columns = 6 if padding else 2
    layers: dict[str, nn.Module] = {
        "input": input_quantizer(r, 0.0, 1.0),
        "conv1": conv2d(r, 2, 4, 3, padding=padding, bias=False),
        "norm1": BatchNorm(4),
        "act1": activation_of(r),
        "conv2": conv2d(r, 4, 3, 3, padding=padding, bias=False),
        "pool2": nn.MaxPool2d(2),
        "norm2": BatchNorm(3),
        "act2": activation_of(r),
        "flatten": nn.Flatten(),
        "fc": dense(r, 3 * (columns + 2) // 2 * columns // 2, 6, bias=False),
        "norm3": BatchNorm(6),
        "act3": activation_of(r),
        "out": dense(r, 6, 5, bias=False),
        "out_norm": BatchNorm(5),
    }
    return nn.Sequential(OrderedDict(layers))


def made(name: str, scale: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A network whose batch norms have factors of both signs and have seen data, and its input's shape."""
    network = (
        MLP(12, (9, 7), 5, binary(scale), batch_norm=True, input_range=(0.0, 1.0))
        if name == "mlp"
        else small_cnn(scale, padding=int(name == "padded"))
    )
    shape = FEATURES if name == "mlp" else IMAGE
    with torch.no_grad():
        for module in network.train().modules():
            if isinstance(module, BatchNorm):
                module.weight.normal_()
                module.bias.normal_()
            elif isinstance(module, nn.Linear | nn.Conv2d):
                module.weight.mul_(
                    torch.rand(len(module.weight)).mul(-4).exp2().reshape(-1, *[1] * (module.weight.dim() - 1))
                )
        for _ in range(3):
            network(torch.rand(64, *shape))
    return network.eval(), shape


def inputs(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(2).uniform(0, 1, (200, *shape)).astype(np.float32)


def exported(network: nn.Module, shape: tuple[int, ...], folder: Path) -> ModelWrapper:
    write_qonnx(network, shape, folder / "model.onnx")
    return load(folder / "model.onnx")


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", ["mlp", "plain", "padded"])
def test_scaled_network_is_exact_and_its_weights_stay_one_bit(name: str, scale: str, tmp_path: Path) -> None:
    network, shape = made(name, scale)
    model = exported(network, shape, tmp_path)
    scales = [model.get_initializer(node.input[1]) for node in model.get_nodes_by_op_type("BipolarQuant")]
    of_weights = [each for each in scales if each is not None and not (each == 1).all()]
    assert max(each.size for each in of_weights) == (1 if scale == "per_tensor" else 9 if name == "mlp" else 6)
    lowered = lower(model)
    values = inputs(shape)
    found = program_integers(lowered, values)
    assert len(np.unique(found)) > 2
    assert (found == score_integers(lowered, run_torch(network, values))).all()
    assert (found == score_integers(lowered, run_qonnx(model, values))).all()
    layers = [operation for operation in lowered.program.operations if isinstance(operation, Linear)]
    assert [layer.weight_format for layer in layers] == [Bipolar()] * len(layers)


def test_scaled_network_is_xnor_in_the_c_simulation(tmp_path: Path) -> None:
    network, shape = made("mlp", "per_channel")
    lowered = lower(exported(network, shape, tmp_path))
    project = tmp_path / "hls"
    write_project(lowered.program, minimal(lowered.program), Target(io_type="io_parallel"), project)
    simulation = Simulation(build_library(project, tmp_path / "csim"), project, lowered.program)
    codes = input_codes(lowered, inputs(shape))
    assert (simulation(codes) == lowered.program(codes)).all()
    defines = (project / "firmware" / "defines.h").read_text()
    assert re.findall(r"typedef (\S+) (\w+)_weight_t;", defines) == [
        ("ap_uint<1>", name) for name in ("fc0", "fc1", "out")
    ]


def test_reloaded_weights_have_the_same_integers_and_scales() -> None:
    first, shape = made("padded", "per_channel")
    again = small_cnn("per_channel", 1)
    again.load_state_dict(first.state_dict())
    values = inputs(shape)
    assert np.array_equal(run_torch(first, values), run_torch(again, values))
