"""Lowering: the program's integers are PyTorch's and qonnx's; what cannot be lowered is refused by name."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
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
from bitwright.quant.brevitas_layers import activation, conv2d, dense, input_quantizer, sign
from bitwright.quant.recipe import Recipe

# ---- (a) networks of PyTorch -----------------------------------------------------------------------------------------


def mlp(recipe: dict[str, Any], *, batch_norm: bool = True, features: int = 12) -> nn.Module:
    settings = Recipe.model_validate(recipe)
    return MLP(features, (9, 7), 5, settings, batch_norm=batch_norm, input_range=(-2.0, 2.0))


def chain(**layers: nn.Module) -> nn.Module:
    return nn.Sequential(OrderedDict(layers))


def small_lenet(recipe: dict[str, Any], *, padding: int = 0, batch_norm: bool = True) -> nn.Module:
    """Convolution, pool, norm, activation, twice; flatten; dense. Of images ``(2, 10, 9)``."""
    r = Recipe.model_validate(recipe)
    first, bits, last = (r.weight_width(position) for position in ("first", "middle", "last"))  # type: ignore[arg-type]
    biased = {"bias": not batch_norm}
    return chain(
        input=input_quantizer(r, 0.0, 1.0),
        conv1=conv2d(r, 2, 4, 3, padding=padding, weight_bit_width=first, **biased),
        pool1=nn.MaxPool2d(2),
        norm1=BatchNorm(4) if batch_norm else nn.Identity(),
        act1=activation(r.activation_width("first")),
        conv2=conv2d(r, 4, 3, 2, weight_bit_width=bits, **biased),
        norm2=BatchNorm(3) if batch_norm else nn.Identity(),
        act2=activation(r.activation_width("middle")),
        flatten=nn.Flatten(),
        drop=nn.Dropout(0.5),
        fc1=dense(r, 3 * (3 + padding) * (2 + padding), 6, weight_bit_width=bits, **biased),
        norm3=BatchNorm(6) if batch_norm else nn.Identity(),
        act3=activation(r.activation_width("middle")),
        out=dense(r, 6, 5, weight_bit_width=last, bias=last > 1),
        out_norm=BatchNorm(5) if last == 1 else nn.Identity(),
    )


def pool_after_activation() -> nn.Module:
    r = Recipe(weight_bit_width=3, activation_bit_width=2)
    return chain(
        input=input_quantizer(r, 0.0, 1.0),
        conv1=conv2d(r, 2, 4, 3, weight_bit_width=3, bias=False),
        norm1=BatchNorm(4),
        act1=activation(2),
        pool1=nn.MaxPool2d((2, 3), stride=(2, 1)),
        flatten=nn.Flatten(),
        out=dense(r, 4 * 4 * 5, 5, weight_bit_width=4, bias=False),
    )


def ends_in_activation() -> nn.Module:
    r = Recipe(weight_bit_width=4)
    return chain(
        input=input_quantizer(r, -2.0, 2.0),
        fc=dense(r, 12, 5, weight_bit_width=4, bias=True),
        norm=BatchNorm(5),
        act=activation(5),
    )


def ends_in_softmax() -> nn.Module:
    r = Recipe(weight_bit_width=4)
    fc = dense(r, 12, 5, weight_bit_width=4, bias=True)
    return chain(input=input_quantizer(r, -2.0, 2.0), fc=fc, softmax=nn.Softmax(dim=1))


def one_bit_input() -> nn.Module:
    r = Recipe(weight_bit_width=1)
    fc = dense(r, 18 * 10, 9, weight_bit_width=1, bias=False)
    out = dense(r, 9, 5, weight_bit_width=3, bias=False)
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


# ---- (b) random graphs -----------------------------------------------------------------------------------------------

BATCH = 12


class RandomGraph:
    """Layers, elementwise operations and quantisers, drawn one after the other."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {}
        self.shape: tuple[int, ...] = draw(st.sampled_from([(5,), (2, 5, 6), (3, 4, 4)]))
        self.input_shape = self.shape
        self.last = "x"
        self.bipolar = False
        self.quantize(uniform=True, bits=8)
        if len(self.shape) == 3 and self.coin():
            self.flatten()
        for layer in range(draw(st.integers(1, 3))):
            self.layer(last=layer == 2)
        if len(self.shape) == 3 and self.coin():
            self.flatten_or_pool()
        if self.coin():
            self.elementwise(most=2, relu=False)

    def coin(self) -> bool:
        return self.draw(st.booleans())

    def add(self, text: str) -> None:
        name = f"t{len(self.lines)}"
        self.lines.append(f"[n{len(self.lines)}] {name} = {text}")
        self.last = name

    def constant(self, value: Any) -> str:  # noqa: ANN401
        name = f"c{len(self.constants)}" + ("shape" if np.asarray(value).dtype.kind == "i" else "")
        self.constants[name] = value
        return name

    def power_of_two(self, *shape: int) -> Any:  # noqa: ANN401
        return np.exp2(self.rng.integers(-3, 1, shape)).astype(np.float32)

    def channels_of(self, values: Any) -> Any:  # noqa: ANN401
        """A constant a channel, in one of the shapes that broadcast alike."""
        trailing = (1, 1) if len(self.shape) == 3 else ()
        return values.reshape((1, -1, *trailing) if self.coin() else (-1, *trailing))

    def quantize(self, *, uniform: bool, bits: int = 6) -> None:
        kind = self.draw(st.sampled_from(["BipolarQuant", "Quant", "NarrowQuant", "UnsignedQuant"]))
        per_channel = not uniform and self.coin()
        scale = self.constant(self.channels_of(self.power_of_two(self.shape[0])) if per_channel else self.power_of_two())
        width = self.draw(st.integers(2 if kind == "NarrowQuant" else 1, bits))
        rest = "" if kind == "BipolarQuant" else f", zero, {self.constant(float(width))}"
        self.add(f"{kind} ({self.last}, {scale}{rest})")
        self.bipolar = kind == "BipolarQuant" or (kind == "Quant" and width == 1)

    def quantized_weight(self, *shape: int, channel_axis: int) -> str:
        scale_shape = [1] * len(shape)
        scale_shape[channel_axis] = shape[channel_axis]
        scale = self.power_of_two(*scale_shape) if self.coin() else self.power_of_two()
        weight = self.constant(self.rng.normal(0, 2, shape).astype(np.float32))
        kind = self.draw(st.sampled_from(["BipolarQuant", "NarrowQuant", "Quant"]))
        rest = "" if kind == "BipolarQuant" else f", zero, {self.constant(float(self.draw(st.integers(2, 5))))}"
        data, self.last = self.last, ""
        self.add(f"{kind} ({weight}, {self.constant(scale)}{rest})")
        name, self.last = self.last, data
        return name

    def layer(self, *, last: bool) -> None:
        if len(self.shape) == 3 and self.coin():
            self.flatten()
        if len(self.shape) == 3:
            self.conv()
        else:
            self.dense()
        if len(self.shape) == 3 and self.coin():
            self.pool()
        if not last:
            self.elementwise(most=3)
            self.quantize(uniform=True)
            if self.draw(st.integers(0, 3)) == 0:
                self.elementwise(most=2)
                self.quantize(uniform=True)
            if len(self.shape) == 3 and self.coin():
                self.pool()

    def conv(self) -> None:
        channels, height, width = self.shape
        filters, kernel = self.draw(st.integers(1, 3)), self.draw(st.sampled_from([(1, 1), (2, 1), (2, 2)]))
        kernel = (min(kernel[0], height), min(kernel[1], width))
        pads = [0] * 4 if self.bipolar else self.draw(st.lists(st.integers(0, 1), min_size=4, max_size=4))
        strides = self.draw(st.sampled_from([(1, 1), (2, 1), (1, 2)]))
        weight = self.quantized_weight(filters, channels, *kernel, channel_axis=0)
        bias = f", {self.quantized_weight(filters, channel_axis=0)}" if self.coin() else ""
        self.add(f"Conv <strides=[{strides[0]}, {strides[1]}], pads={pads}> ({self.last}, {weight}{bias})")
        height, width = height + pads[0] + pads[2] - kernel[0], width + pads[1] + pads[3] - kernel[1]
        self.shape = (filters, height // strides[0] + 1, width // strides[1] + 1)

    def dense(self) -> None:
        inputs, outputs = self.shape[0], self.draw(st.integers(1, 4))
        transposed = self.coin()
        shape = (outputs, inputs) if transposed else (inputs, outputs)
        weight = self.quantized_weight(*shape, channel_axis=0 if transposed else 1)
        if transposed or self.coin():
            bias = f", {self.quantized_weight(outputs, channel_axis=0)}" if self.coin() else ""
            self.add(f"Gemm <transB={int(transposed)}> ({self.last}, {weight}{bias})")
        else:
            self.add(f"MatMul ({self.last}, {weight})")
        self.shape = (outputs,)
        if self.draw(st.integers(0, 3)) == 0:
            self.add(f"Add ({self.last}, {self.quantized_weight(outputs, channel_axis=0)})")
            self.quantize(uniform=False) if self.coin() else None

    def pool(self) -> None:
        channels, height, width = self.shape
        kernel = (min(2, height), min(2, width))
        if not self.lines[-1].split("= ")[1].startswith(("Mul", "Add", "Sub", "Div", "Relu")):
            self.add(f"MaxPool <kernel_shape=[{kernel[0]}, {kernel[1]}], strides=[2, 1]> ({self.last})")
            self.shape = (channels, (height - kernel[0]) // 2 + 1, width - kernel[1] + 1)

    def flatten(self) -> None:
        size = int(np.prod(self.shape))
        reshape = self.constant(np.array([-1, size]))
        self.add(f"Reshape ({self.last}, {reshape})" if self.coin() else f"Flatten ({self.last})")
        self.shape = (size,)

    def flatten_or_pool(self) -> None:
        if self.shape[0] == 1 or self.shape[1:] == (1, 1):
            self.flatten()
        else:
            self.pool()

    def elementwise(self, *, most: int, relu: bool = True) -> None:
        for kind in self.draw(st.lists(st.sampled_from(["Mul", "Div", "Add", "Sub", "RSub", "Relu"]), max_size=most)):
            values = self.rng.normal(0, 2, self.shape[0] if self.coin() else 1).astype(np.float32)
            if self.coin() and kind != "Div" and relu:
                values[0] = 0.0
            constant = self.constant(self.channels_of(values))
            if kind != "Relu":
                self.add(f"Sub ({constant}, {self.last})" if kind == "RSub" else f"{kind} ({self.last}, {constant})")
            elif relu:
                self.add(f"Relu ({self.last})")

    def model(self) -> ModelWrapper:
        body = "\n".join([*self.lines, f"y = Identity ({self.last})"])
        return graph(body, (BATCH, *self.input_shape), (BATCH, *self.shape), **self.constants)

    def inputs(self) -> NDArray[np.float32]:
        values = self.rng.normal(0, 6, (BATCH, *self.input_shape))
        values[::2] = np.round(values[::2] * 8) / 16  # on the grids, and half way between
        return values.astype(np.float32)


random_graphs = st.composite(lambda draw: RandomGraph(draw))()


def channels_last(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.moveaxis(outputs, 1, -1)


@settings(deadline=None, max_examples=150)
@given(case=random_graphs)
def test_program_of_a_random_graph_is_qonnx(case: RandomGraph) -> None:
    model, values = case.model(), case.inputs()
    lowered = lower(model)
    wanted = score_integers(lowered, channels_last(executed(model, values)))
    assert (program_integers(lowered, values) == wanted).all()
