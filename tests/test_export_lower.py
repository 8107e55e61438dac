"""Lowering: the program's integers are PyTorch's and qonnx's; what cannot be lowered is refused by name."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from networks import executed, graph, program_integers, score_integers
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper
from torch import nn

from bitwright.export.lower import LoweredNetwork, lower
from bitwright.export.operations import Conv2d, Dense, Flatten, Linear, MaxPool2d, MultiplyAdd, Requantize, Threshold
from bitwright.export.qonnx_file import load
from bitwright.export.qonnx_level import run_qonnx
from bitwright.export.torch_export import write_qonnx
from bitwright.export.torch_level import run_torch
from bitwright.models.batch_norm import BatchNorm
from bitwright.models.mlp import MLP
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.brevitas_activations import activation, sign
from bitwright.quant.brevitas_layers import conv2d, dense, input_quantizer
from bitwright.quant.fixed_point import FixedPoint, format_of
from bitwright.quant.recipe import Recipe

# ---- (a) networks of PyTorch -----------------------------------------------------------------------------------------


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


# ---- (b) orders, names, grids: one graph each ------------------------------------------------------------------------

DENSE = "[in] q = Quant (x, half, zero, four) [wq] v = Quant (w, half, zero, three)"
CONV = "[in] q = Quant (x, half, zero, four) [wq] v = Quant (k, half, zero, three)"
W = np.array([[1.0, -0.5, 0.5], [-1.5, 0.5, 1.0]])
K = np.arange(16).reshape(2, 2, 2, 2) % 7 / 2 - 1.5


def agrees(model: ModelWrapper) -> LoweredNetwork:
    """Compare program and qonnx on random inputs of the graph's shape."""
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    values = np.random.default_rng(1).normal(0, 3, shape).astype(np.float32)
    lowered = lower(model)
    found = program_integers(lowered, values)
    assert (found == score_integers(lowered, executed(model, values).reshape(len(values), -1))).all()
    return lowered


def test_rows_after_a_flattened_image_are_put_channels_last() -> None:
    weight = np.random.default_rng(2).integers(-3, 4, (18, 4)) / 2
    body = f"{CONV} c = Conv (q, v) a = Quant (c, one, zero, four) f = Flatten (a) [wf] u = Quant (w, half, zero, four)"
    lowered = agrees(graph(f"{body} y = MatMul (f, u)", (9, 2, 4, 4), (9, 4), k=K, w=weight))
    dense_layer = lowered.program.operations[-1]
    assert isinstance(dense_layer, Dense)
    rows = [c * 9 + i * 3 + j for i in range(3) for j in range(3) for c in range(2)]
    assert (dense_layer.weight == weight[rows] * 2).all()


@pytest.mark.parametrize("quantise", ["s = Quant (m, scales, zero, four)", "s = Quant (m, one, zero, four)"])
def test_constants_after_a_flattened_image_are_put_channels_last(quantise: str) -> None:
    rng = np.random.default_rng(2)
    tail = "t = Mul (s, ones) e = Quant (t, one, zero, eight) [wf] u = Quant (w, half, zero, four) y = MatMul (e, u)"
    body = f"{CONV} c = Conv (q, v) a = Quant (c, one, zero, eight) f = Flatten (a) m = Mul (f, many) {quantise} {tail}"
    many, scales, weight = rng.normal(0, 1, 18), np.exp2(rng.integers(-2, 2, (1, 18))), rng.integers(-3, 4, (18, 4)) / 2
    agrees(graph(body, (9, 2, 4, 4), (9, 4), k=K, w=weight, many=many, scales=scales, ones=np.ones(1)))


def test_scales_a_channel_are_repeated_for_every_value_of_a_flattened_image() -> None:
    weight, scales = np.random.default_rng(2).integers(-3, 4, (18, 4)) / 2, np.array([0.125, 0.5]).reshape(2, 1, 1, 1)
    body = "[in] q = Quant (x, half, zero, four) [wq] v = Quant (k, s, zero, four) c = Conv (q, v) f = Flatten (c)"
    tail = "e = Quant (f, one, zero, four) [wf] u = Quant (w, half, zero, four) y = MatMul (e, u)"
    agrees(graph(f"{body} {tail}", (9, 2, 4, 4), (9, 4), k=K, w=weight, s=scales))


def test_port_neither_rounds_nor_saturates() -> None:
    program = lower(graph(f"{DENSE} y = MatMul (q, v)", (1, 2), (1, 3), w=W)).program
    assert program.input.format == FixedPoint(4, 3)


def test_image_that_is_flattened_at_once_is_taken_flat_in_the_order_of_the_network() -> None:
    body = (
        "[in] q = Quant (x, half, zero, four) f = Flatten (q) [wq] v = Quant (w, half, zero, three) y = MatMul (f, v)"
    )
    weight = np.random.default_rng(2).integers(-3, 4, (12, 3)) / 2
    lowered = agrees(graph(body, (9, 2, 3, 2), (9, 3), w=weight))
    assert [type(operation).__name__ for operation in lowered.program.operations] == ["Input", "Dense"]
    assert lowered.program.input.shape == (12,)


@pytest.mark.parametrize("scale", [1.0, 2.0, 0.125, 0.3, np.array([[0.5, 4.0, 1.0]])])
def test_one_bit_weights_are_bipolar_whatever_their_scale(scale: Any) -> None:  # noqa: ANN401 - one or many
    body = "[in] q = BipolarQuant (x, one) [wq] v = BipolarQuant (w, s) y = MatMul (q, v)"
    lowered = agrees(graph(body, (9, 2), (9, 3), w=W, s=scale))
    operation = lowered.program.operations[-1]
    assert isinstance(operation, Linear)
    assert operation.weight_format == Bipolar()
    assert np.array_equal(
        np.broadcast_to(lowered.output_line.slope, (3,)), np.broadcast_to(np.float32(scale), (1, 3))[0]
    )


def test_one_bit_layer_with_a_bias_takes_wider_data_as_a_count_of_matches_has_no_place_for_it() -> None:
    body = "[in] q = BipolarQuant (x, one) [wq] v = BipolarQuant (w, one) y = Gemm (q, v, b)"
    lowered = agrees(graph(body, (9, 2), (9, 3), w=W, b=np.array([3.0, -5.0, 0.0])))
    operation = next(each for each in lowered.program.operations if isinstance(each, Linear))
    assert operation.bias is not None
    assert np.array_equal(operation.bias, [3, -5, 0])
    assert operation.weight_format == Bipolar()
    assert lowered.program.tensors[operation.source].format == format_of(1.0, 2, signed=True, narrow=True)
    none = agrees(graph(body, (9, 2), (9, 3), w=W, b=np.zeros(3)))
    assert [type(each).__name__ for each in none.program.operations] == ["Input", "Dense"]  # still XNOR


@pytest.mark.parametrize("bias_scale", [4.0, 0.25, 2.0**-9])
def test_bias_on_a_coarser_or_finer_grid_joins_the_accumulator(bias_scale: float) -> None:
    body = f"{DENSE} [bq] b = Quant (c, s, zero, eight) y = Gemm (q, v, b)"
    lowered = agrees(graph(body, (9, 2), (9, 3), w=W, c=np.array([3.0, -7.0, 0.26]) * bias_scale * 5, s=bias_scale))
    step = min(0.25, bias_scale)
    assert lowered.program.output.format.step == step


@pytest.mark.parametrize("shape", [(), (1,), (1, 3)])
def test_bias_broadcasts_as_in_gemm(shape: tuple[int, ...]) -> None:
    body = f"{DENSE} [bq] b = Quant (c, half, zero, eight) y = Gemm (q, v, b)"
    agrees(graph(body, (9, 2), (9, 3), w=W, c=np.full(shape, 1.5)))


def test_quantised_constant_may_be_an_operand() -> None:
    body = f"{DENSE} [bq] b = Quant (c, three, zero, eight) m = MatMul (q, v) y = Add (m, b)"
    assert agrees(graph(body, (9, 2), (9, 3), w=W, c=np.array([3.0, -7.0, 0.0]))).output_line.offset.tolist() == [
        3,
        -6,
        0,
    ]


def test_transposed_constant_weights_are_the_matrix_transposed() -> None:
    scales = np.array([[0.5], [0.25], [1.0]])
    body = "[in] q = Quant (x, half, zero, four) [wq] u = Quant (w, s, zero, four) v = Transpose (u) y = MatMul (q, v)"
    agrees(graph(body, (9, 2), (9, 3), w=W.T, s=scales))


def channels_last(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.moveaxis(outputs, 1, -1)


def test_network_may_end_in_an_image_channels_last() -> None:
    scales = np.array([0.25, 1.0]).reshape(2, 1, 1, 1)
    body = "[in] q = Quant (x, half, zero, four) [wq] v = Quant (k, s, zero, four) c = Conv (q, v) y = Mul (c, m)"
    model = graph(body, (9, 2, 3, 4), (9, 2, 2, 3), k=K, s=scales, m=np.array([0.3, -0.7]).reshape(2, 1, 1))
    values = np.random.default_rng(1).normal(0, 3, (9, 2, 3, 4)).astype(np.float32)
    lowered = lower(model)
    assert (program_integers(lowered, values) == score_integers(lowered, channels_last(executed(model, values)))).all()
    assert lowered.program.output.shape == (2, 3, 2)


def test_nodes_that_the_output_does_not_need_are_left_out() -> None:
    body = f"{DENSE} y = MatMul (q, v) e = Quant (y, one, zero, four) r = Relu (x)"
    assert len(agrees(graph(body, (9, 2), (9, 3), w=W)).program.operations) == 2


@pytest.mark.parametrize("tail", ["Softmax", "LogSoftmax"])
def test_final_softmax_is_left_to_the_host_even_behind_an_identity(tail: str) -> None:
    softmax = f"{tail.lower()} over axis -1"
    plain = lower(graph(f"{DENSE} y = MatMul (q, v)", (1, 2), (1, 3), w=W))
    ends = [f"y = {tail} (m)", f"s = {tail} (m) y = Identity (s)"]
    for end in ends:
        lowered = lower(graph(f"{DENSE} m = MatMul (q, v) {end}", (1, 2), (1, 3), w=W))
        assert (lowered.softmax, plain.softmax) == (softmax, None)
        assert [o.name for o in lowered.program.operations] == [o.name for o in plain.program.operations]


def test_graph_is_left_as_it_is() -> None:
    model = graph(f"{DENSE} d = Dropout (q) m = MatMul (d, v) y = Softmax (m)", (1, 2), (1, 3), w=W)
    before = model.model.SerializeToString()
    lower(model)
    assert model.model.SerializeToString() == before


def test_operations_are_called_as_the_modules_of_the_network(exported: Exported) -> None:
    names = [operation.name for operation in lower(exported("lenet")[1]).program.operations]
    assert names == ["input_layer", "conv1", "pool1", "act1", "conv2", "act2", "flatten", "fc1", "act3", "out"]


def test_layers_of_one_name_are_told_apart() -> None:
    body = "[a] q = Quant (x, half, zero, four) [a] v = Quant (w, half, zero, three) [a] y = MatMul (q, v)"
    assert [o.name for o in lower(graph(body, (1, 2), (1, 3), w=W)).program.operations] == ["a", "a_1"]


def test_constant_nodes_are_folded_into_scales() -> None:
    body = f"s = Constant <value_float=2.0> () t = Div (s, four) {DENSE.replace('half', 't')} y = MatMul (q, v)"
    assert agrees(graph(body, (9, 2), (9, 3), w=W)).program.output.format.step == 0.25
