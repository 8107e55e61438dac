"""Dense layers as tensor trains: the matrix that they stand for, their integers at every level, what is refused."""

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from image_networks import images, trained
from levels import Case, Verdict, examine
from numpy.typing import NDArray
from quick_export import quick_exports
from torch import Tensor, nn

from bitwright.calibration.moves import uniform
from bitwright.calibration.post_training import prepare, quantize
from bitwright.calibration.settings import CalibrationSettings, Rounding
from bitwright.export.qonnx_file import load
from bitwright.export.torch_export import write_qonnx
from bitwright.export.torch_level import run_torch
from bitwright.hls.target import Target
from bitwright.models.channel_pruning import prune_channels
from bitwright.models.checkpoint import NetworkDescription
from bitwright.models.network import build, layer_names, removable_layers
from bitwright.models.pruning_settings import PruningSettings
from bitwright.models.settings import ModelSettings
from bitwright.models.tensor_train import TensorTrain, TensorTrainDense, factors, tensor_train
from bitwright.quant.quantizer_scale import set_scale
from bitwright.quant.recipe import LayerRecipe, Recipe

FLOAT = Recipe.floating()
SHAPE = (1, 4, 6)
SMALL: dict[str, Any] = {"hidden": (16, 24), "tensor_train_rank": 3, "tensor_train_least": 8}
RECIPES = {
    "fixed": Recipe(weight_bit_width=4, activation_bit_width=4),
    "ternary": Recipe(weight_bit_width=2, activation_bit_width=2),
    "binary": Recipe(weight_bit_width=1, activation_bit_width=1),
}


def small(**settings: object) -> ModelSettings:
    return ModelSettings.model_validate(SMALL | settings)


def summed(first: NDArray[Any], second: NDArray[Any], train: TensorTrain) -> NDArray[Any]:
    """Multiply out two cores, of the first factors and of the last, element by element of the definition."""
    (n1, n2), (m1, m2), (rank,) = train.inputs, train.outputs, train.ranks
    g1, g2 = first.reshape(m1, n1, rank), second.reshape(rank, m2, n2)
    result = np.zeros((m1 * m2, n1 * n2), first.dtype)
    for j1, j2, i1, i2 in np.ndindex(m1, m2, n1, n2):
        result[j1 * m2 + j2, i1 * n2 + i2] = g1[j1, i1] @ g2[:, j2, i2]
    return result


def codes(layer: Any) -> NDArray[np.int64]:  # noqa: ANN401 - Brevitas' own
    weight = layer.quant_weight()
    return np.asarray(torch.round(weight.value / weight.scale).detach().numpy(), np.int64)


@pytest.mark.parametrize("cores", [2, 3, 4])
def test_layer_is_the_product_with_its_matrix(cores: int) -> None:
    torch.manual_seed(1)
    layer = TensorTrainDense(tensor_train("fc", 48, 120, 5, cores), [FLOAT] * cores).double()
    x = torch.randn(7, 48, dtype=torch.float64)
    assert torch.allclose(layer(x), x @ layer.matrix().T, rtol=0, atol=1e-14)


def test_matrix_is_the_sum_over_the_bond() -> None:
    layer: Any = TensorTrainDense(TensorTrain((2, 3), (5, 4), (2,)), [FLOAT] * 2).double()
    first, second = (core.weight.detach().numpy() for core in (layer.core1, layer.core0))
    assert np.allclose(layer.matrix().numpy(), summed(first, second, layer.train_shape), rtol=0, atol=1e-15)


@pytest.mark.parametrize("weight_bits", [1, 4])
@pytest.mark.parametrize("shift", [0, 3])
def test_integers_are_those_of_one_core_rounded_then_of_the_next(weight_bits: int, shift: int) -> None:
    torch.manual_seed(2)
    train = TensorTrain((4, 6), (3, 5), (2,))
    core = Recipe(weight_bit_width=weight_bits, activation_bit_width=6 if shift else 16)
    layer: Any = TensorTrainDense(train, [core, core]).eval()
    x = torch.randint(-8, 8, (50, 24)).float()
    scales = [float(core.quant_weight().scale.detach()) for core in (layer.core0, layer.core1)]
    step = scales[0] * 2**shift
    set_scale(layer.carried0.act_quant, torch.tensor(step))
    second, first = codes(layer.core0), codes(layer.core1)
    sums = np.einsum("nik,ok->nio", x.numpy().reshape(-1, 4, 6).astype(np.int64), second)  # (N, n1, r * m2)
    carried = np.clip(np.round(sums / 2**shift), -32 if shift else -(2**15), 31 if shift else 2**15 - 1)
    assert not shift or (carried != sums / 2**shift).any()
    wanted = np.einsum("niaj,mia->nmj", carried.reshape(-1, 4, 2, 5), first.reshape(3, 4, 2)).reshape(-1, 15)
    found = layer(x).detach().numpy() / (step * scales[1])
    assert np.array_equal(found, wanted)
    if not shift:  # where nothing is rounded between, it is the product with the whole matrix
        assert np.array_equal(found, x.numpy() @ summed(first, second, train).T)


def test_product_begins_with_the_variance_of_an_ordinary_layer() -> None:
    torch.manual_seed(3)
    for cores, rank in ((2, 8), (3, 20)):
        layer = TensorTrainDense(tensor_train("fc", 784, 1024, rank, cores), [FLOAT] * cores)
        assert 0.9 < float(layer.matrix().var()) / float(nn.Linear(784, 1024).weight.detach().var()) < 1.1


def test_svd_of_two_cores_leaves_no_more_than_the_smaller_singular_values() -> None:
    torch.manual_seed(4)
    weight = torch.randn(20, 24)
    values = np.linalg.svd(
        weight.numpy().astype(np.float64).reshape(4, 5, 4, 6).transpose(0, 2, 1, 3).reshape(16, 30), compute_uv=False
    )
    for rank in (1, 4, 9, 16):
        layer = TensorTrainDense.from_dense(weight, rank, [FLOAT] * 2)
        error = float((layer.matrix() - weight).double().square().sum())
        assert error == pytest.approx(float((values[rank:] ** 2).sum()), rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("ranks", [(36, 20, 8, 1), (20, 9, 4, 1)])
def test_svd_of_full_rank_gives_the_weight_back_and_of_less_a_farther_one(ranks: tuple[int, ...]) -> None:
    torch.manual_seed(5)
    weight, cores = torch.randn(60, 48), 2 if ranks[0] == 36 else 3
    trains = [TensorTrainDense.from_dense(weight, rank, [FLOAT] * cores) for rank in ranks]
    errors = [float((train.matrix() - weight).square().mean()) for train in trains]
    assert errors[0] < 1e-10
    assert errors[1] > 0.01
    assert errors == sorted(errors)


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_svd_of_a_matrix_without_that_rank_is_exact_and_finite(scale: float) -> None:
    weight = scale * torch.outer(torch.arange(1.0, 28), torch.ones(8))
    layer = TensorTrainDense.from_dense(weight, 4, [FLOAT] * 3)
    assert torch.allclose(layer.matrix(), weight, rtol=1e-5, atol=0)


def test_factors_are_as_near_as_can_be() -> None:
    found = {factors(size, 2) for size in (784, 1024, 30, 26)}
    assert found == {(28, 28), (32, 32), (5, 6), (2, 13)}
    assert [factors(1024, 3), factors(784, 3), factors(26, 3)] == [(8, 8, 16), (7, 8, 14), ()]


def test_large_hidden_layers_are_trains_and_others_are_not() -> None:
    settings = ModelSettings(hidden=(1024, 256, 64), tensor_train_rank=16)
    names = ("fc0_core0", "fc0_core1", "fc1_core0", "fc1_core1", "fc2", "out")
    assert layer_names(settings, (1, 28, 28), 10) == names
    network: Any = build(settings, RECIPES["binary"], (1, 28, 28), 10)
    assert network.fc0_core0.weight.shape == (16 * 32, 28)
    assert network.fc0_core1.weight.shape == (32, 28 * 16)
    assert network.eval()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert layer_names(ModelSettings(hidden=(1024, 256)), (1, 28, 28), 10) == ("fc0", "fc1", "out")


def test_every_core_and_what_is_between_two_has_widths_of_its_own() -> None:
    layers = {
        "fc0_core0": LayerRecipe(weight_bit_width=3, activation_bit_width=5),
        "fc1_core1": LayerRecipe(weight_bit_width=2, activation_bit_width=6),
    }
    recipe = Recipe(weight_bit_width=4, activation_bit_width=4, first_weight_bit_width=7, layers=layers)
    network: Any = build(small(tensor_train_bit_width=9), recipe, SHAPE, 10)
    weights = [int(network.get_submodule(f"fc{i}_core{j}").weight_quant.bit_width()) for i in (0, 1) for j in (0, 1)]
    between = [int(network.get_submodule(f"fc{i}_carried0").act_quant.bit_width()) for i in (0, 1)]
    behind = [int(network.get_submodule(f"act{i}").act_quant.bit_width()) for i in (0, 1)]
    assert (weights, between, behind) == ([3, 7, 4, 2], [5, 9], [4, 6])


def test_core_with_as_many_outputs_as_inputs_cannot_be_left_out() -> None:
    settings = small(hidden=(16, 16), tensor_train_rank=1, tensor_train_least=16)
    assert layer_names(settings, (16,), 5)[0] == "fc0_core0"
    assert removable_layers(settings, (16,), 5) == ()
    says = (
        "recipe.layers.fc1_core0.weight_bit_width: width must be 1 to 16 for a core of a tensor train, not 0; the "
        "other cores need it"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        build(settings, Recipe(layers={"fc1_core0": LayerRecipe(weight_bit_width=0)}), (16,), 5)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kind": "cnn"}, "tensor_train_rank: value must be 0 for kind = 'cnn', not 3; it is for mlp"),
        (
            {"batch_norm": False},
            "tensor_train_rank: value must be 0 where batch_norm is false, not 3; tensor trains have no bias",
        ),
        (
            {"widths": {"fc0": 8}},
            "widths: value must be left out where tensor_train_rank is set, not {'fc0': 8}; set hidden",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"Value error, {says} [")):
        small(**settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"hidden": (16, 23)},
            "fc1: values must be a product of 2 numbers above 1 for a tensor train, not 23; choose another width in "
            "model.hidden, or raise model.tensor_train_least above it",
        ),
        (
            {"tensor_train_rank": 17},
            "fc0: rank must be at most 16 for a tensor train from 24 to 16 values, not 17; lower "
            "model.tensor_train_rank",
        ),
        (
            {"tensor_train_least": 256},
            "model.tensor_train_rank: value must be 0 where no hidden layer has 256 values on both sides, not 3; lower "
            "model.tensor_train_least",
        ),
    ],
)
def test_layers_that_cannot_be_trains_are_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        build(small(**settings), FLOAT, SHAPE, 10)


def described(network: nn.Module, settings: ModelSettings) -> tuple[nn.Module, NetworkDescription]:
    return network, NetworkDescription(settings, FLOAT, SHAPE, 10)


def test_channels_of_a_train_cannot_be_pruned() -> None:
    says = "model.tensor_train_rank: value must be 0 to lose channels, not 3; take --structure weights"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        prune_channels(*described(build(small(), FLOAT, SHAPE, 10), small()), PruningSettings(structure="channels"))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            CalibrationSettings(),
            "--fold: option must be --no-fold for a network with tensor trains, not --fold; a batch norm behind one "
            "has a factor an output, and no core has",
        ),
        (
            CalibrationSettings(fold=False, equalize=True),
            "--equalize: option must be --no-equalize for a network with tensor trains, not --equalize; no core has "
            "the channels of the layer before it in order",
        ),
    ],
)
def test_calibration_that_needs_the_whole_weight_is_refused(settings: CalibrationSettings, says: str) -> None:
    network = trained(small(), FLOAT, SHAPE)
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        prepare(*described(network, small()), torch.from_numpy(images(8, SHAPE, 5)), settings)


def examined(network: nn.Module, folder: Path, target: Target | None = None) -> Verdict:
    """Compare every level on eight images; fail where the network does not tell them apart."""
    values = images(8, SHAPE, 99)
    with quick_exports():
        write_qonnx(network, SHAPE, folder / "model.onnx")
    outputs = run_torch(network, values)
    assert len(np.unique(outputs, axis=0)) > 2
    return examine(Case("tensor train", load(folder / "model.onnx"), values, outputs, exact=True), target, folder)


def calibrated(settings: CalibrationSettings, **widths: Any) -> nn.Module:  # noqa: ANN401
    network = trained(small(), FLOAT, SHAPE)
    observed = prepare(*described(network, small()), torch.from_numpy(images(32, SHAPE, 5)), settings)
    start = uniform(layer_names(small(), SHAPE, 10), 6, 6, 8, ())
    return quantize(observed, start.model_copy(update=widths))[0]


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("fixed", {}),
        ("binary", {"tensor_train_cores": 3, "tensor_train_bit_width": 1}),
        pytest.param("binary", {}, marks=pytest.mark.slow),
        pytest.param("fixed", {"tensor_train_cores": 3}, marks=pytest.mark.slow),
        pytest.param("fixed", {"tensor_train_bit_width": 1}, marks=pytest.mark.slow),
        pytest.param("ternary", {"tensor_train_cores": 3, "tensor_train_bit_width": 4}, marks=pytest.mark.slow),
    ],
)
def test_network_is_exact(recipe: str, settings: dict[str, object], tmp_path: Path) -> None:
    verdict = examined(trained(small(**settings), RECIPES[recipe], SHAPE), tmp_path)
    assert (verdict.result, verdict.undecided, verdict.detail) == ("equal", False, "")


def test_calibrated_network_is_near_the_float_one_and_its_sums_are_observed() -> None:
    network: Any = calibrated(CalibrationSettings(fold=False, samples=32))
    assert int(network.fc0_carried0.act_quant.bit_width()) == 6
    x = torch.from_numpy(images(32, SHAPE, 99))
    with torch.no_grad():
        wanted: Tensor = trained(small(), FLOAT, SHAPE)(x)
        error = network(x) - wanted
    assert float(error.std()) < 0.2 * float(wanted.std())


@pytest.mark.slow
@pytest.mark.parametrize("rounding", ["nearest", "gptq", "gpfq"])
@pytest.mark.parametrize("accumulator", [None, 12])
def test_calibrated_network_is_exact(rounding: Rounding, accumulator: int | None, tmp_path: Path) -> None:
    settings = CalibrationSettings(fold=False, rounding=rounding)
    verdict = examined(calibrated(settings, accumulator_bit_width=accumulator), tmp_path)
    assert (verdict.result, verdict.detail) == ("equal", "")


@pytest.mark.slow
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("strategy", ["Latency", "Resource"])
@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("fixed", {}),
        ("binary", {}),
        ("binary", {"tensor_train_cores": 3, "tensor_train_bit_width": 1}),
        ("ternary", {"tensor_train_cores": 3}),
    ],
)
def test_c_simulation_is_exact(
    recipe: str,
    settings: dict[str, object],
    io_type: Literal["io_parallel", "io_stream"],
    strategy: Literal["Latency", "Resource"],
    tmp_path: Path,
) -> None:
    target = Target(io_type=io_type, strategy=strategy, reuse_factor=4)
    verdict = examined(trained(small(**settings), RECIPES[recipe], SHAPE), tmp_path, target)
    assert (verdict.result, verdict.simulated, verdict.detail) == ("equal", True, "")
