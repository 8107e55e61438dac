"""Gradients of the sign: each slope is the derivative of the published function; the sign itself never changes."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from quick_export import quick_exports
from torch import Tensor, nn

from bitwright.export.qonnx_file import load
from bitwright.export.torch_export import write_qonnx
from bitwright.models.network import build
from bitwright.models.settings import ModelSettings
from bitwright.quant.brevitas_activations import activation
from bitwright.quant.brevitas_layers import conv2d, dense
from bitwright.quant.recipe import Recipe, SignGradientName
from bitwright.quant.sign_gradient import Annealed, set_progress, sign_gradient

Doubles = NDArray[np.float64]

NAMES = get_args(SignGradientName)
BINARY = Recipe(weight_bit_width=1, activation_bit_width=1)
PROGRESS = (0.0, 0.3, 0.5, 0.9, 1.0)
POINTS = torch.linspace(-2.0, 2.0, 401) + 0.0013  # beside the kinks


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(1)
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    with quick_exports():
        yield


def logistic(u: Doubles) -> Doubles:
    return np.asarray(1 / (1 + np.exp(-u)))


def with_gradient(name: SignGradientName, **more: Any) -> Recipe:  # noqa: ANN401 - fields of the recipe
    return BINARY.model_copy(update={"sign_gradient": name, **more})


FUNCTIONS: dict[SignGradientName, Callable[[Doubles, float], Doubles]] = {
    "straight_through": lambda x, _: x,
    "clipped": lambda x, _: np.clip(x, -1, 1),
    "approx_sign": lambda x, _: np.where(np.abs(x) < 1, 2 * x - np.sign(x) * x**2, np.sign(x)),
    "swish_sign": lambda x, _: 2 * logistic(5 * x) * (1 + 5 * x * (1 - logistic(5 * x))) - 1,
    "tanh": lambda x, done: max(10 ** (1 - 2 * done), 1) * np.tanh(10 ** (2 * done - 1) * x),
    "reste": lambda x, done: np.sign(x) * np.minimum(np.abs(x), 1.5) ** (1 / (1 + 2 * done)),
}
"""What each takes in the place of the sign, of the progress."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("progress", PROGRESS)
def test_slope_is_the_derivative_of_the_published_function(name: SignGradientName, progress: float) -> None:
    gradient = sign_gradient(name)
    set_progress(gradient, progress)
    points = POINTS.double()
    if name == "reste":  # below, it is the secant's
        points = points[points.abs() > 0.11]
    x, step = points.numpy(), 1e-6
    wanted = (FUNCTIONS[name](x + step, progress) - FUNCTIONS[name](x - step, progress)) / (2 * step)
    np.testing.assert_allclose(gradient.slope(points).numpy(), wanted, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("progress", PROGRESS)
def test_slope_of_reste_near_zero_is_that_of_the_secant(progress: float) -> None:
    gradient = sign_gradient("reste")
    set_progress(gradient, progress)
    end = float(FUNCTIONS["reste"](np.array(0.1), progress))
    slopes = gradient.slope(torch.tensor([-0.1, -0.03, 0.0, 0.1], dtype=torch.float64))
    np.testing.assert_allclose(slopes.numpy(), end / 0.1, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_slope_is_finite_far_away(name: SignGradientName) -> None:
    gradient = sign_gradient(name)
    set_progress(gradient, 1.0)
    assert gradient.slope(torch.tensor([-1e30, -1e4, 1e4, 1e30])).isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_activation_is_the_sign_in_training_and_after(name: SignGradientName) -> None:
    values = torch.tensor([-2.0, -1e-30, -0.0, 0.0, 1e-30, 2.0], requires_grad=True)
    wanted = [-1.0, -1.0, 1.0, 1.0, 1.0, 1.0]
    layer = activation(1, sign_gradient=name)
    assert layer.train()(values).value.tolist() == wanted
    assert layer.eval()(values).value.tolist() == wanted
    assert (float(layer(values).scale), float(layer(values).bit_width)) == (1.0, 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_of_an_activation_is_the_slope_times_what_comes_back(name: SignGradientName) -> None:
    layer = activation(1, sign_gradient=name)
    set_progress(layer, 0.5)
    values, back = POINTS.clone().requires_grad_(), torch.randn(POINTS.shape)
    layer(values).value.backward(back)
    wanted = sign_gradient(name)
    set_progress(wanted, 0.5)
    assert values.grad is not None
    assert torch.equal(values.grad, back * wanted.slope(POINTS))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("make", [lambda r: dense(r, 6, 2, bias=False), lambda r: conv2d(r, 3, 2, 2, bias=False)])
def test_gradient_of_a_binary_weight_is_the_slope_but_that_of_activations_alone(
    name: SignGradientName, make: Callable[[Recipe], nn.Module]
) -> None:
    layer: Any = make(with_gradient(name))
    set_progress(layer, 0.7)
    layer.quant_weight().value.sum().backward()
    wanted = sign_gradient("straight_through" if name in ("clipped", "approx_sign") else name)
    set_progress(wanted, 0.7)
    assert torch.equal(layer.weight.grad, wanted.slope(layer.weight.detach()))


def test_progress_reaches_every_gradient_that_follows_the_training() -> None:
    network = build(ModelSettings(kind="lenet5"), with_gradient("reste"), (1, 28, 28), 10)
    set_progress(network, 0.25)
    found = [module.progress for module in network.modules() if isinstance(module, Annealed)]
    assert found == [0.25] * (5 + 4)  # weights of five layers, four activations


@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan")])
def test_progress_that_is_no_share_is_refused(progress: float) -> None:
    says = rf"^progress: share must be 0 to 1, not {re.escape(str(progress))}; divide the epochs done by all$"
    with pytest.raises(ValueError, match=says):
        set_progress(sign_gradient("tanh"), progress)


@pytest.mark.parametrize("scale", ["none", "per_channel"])
@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_trained_network_is_the_same_with_every_gradient(kind: str, scale: str) -> None:
    settings = ModelSettings.model_validate({"kind": kind, "hidden": (8, 8)})
    first = build(settings, with_gradient("clipped", binary_weight_scale=scale), (1, 8, 8), 10).train()
    first(torch.rand(32, 1, 8, 8))
    state, images = first.state_dict(), torch.rand(32, 1, 8, 8)
    wanted = first.eval()(images)
    for name in NAMES:
        network = build(settings, with_gradient(name, binary_weight_scale=scale), (1, 8, 8), 10)
        network.load_state_dict(state)  # strict: the same keys
        set_progress(network, 0.4)
        assert torch.equal(network.eval()(images), wanted)


def test_exported_graph_is_the_same_with_every_gradient(tmp_path: Path) -> None:
    state: dict[str, Tensor] = {}
    graphs = []
    for name in ("clipped", "tanh"):
        network = build(ModelSettings(hidden=(4,)), with_gradient(name), (6,), 3)
        state = state or network.state_dict()
        network.load_state_dict(state)
        write_qonnx(network, (6,), tmp_path / "model.onnx")
        graph = load(tmp_path / "model.onnx").model.graph
        constants = [(each.name, numpy_helper.to_array(each).tolist()) for each in graph.initializer]
        graphs.append(([(node.op_type, node.input, node.output) for node in graph.node], constants))
    assert graphs[0] == graphs[1]
    assert [kind for kind, *_ in graphs[0][0]].count("BipolarQuant") == 3
