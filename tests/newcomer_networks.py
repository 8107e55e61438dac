"""Eight small networks as a newcomer writes them in Brevitas: default quantisers, float scales. Imports torch.

Each is trained for a second or two, the same way at every call.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

with warnings.catch_warnings():  # an optional kernel that this project has no use for
    warnings.filterwarnings("ignore", message="fast_hadamard_transform package not found")
    import brevitas.nn
    from brevitas.quant import (
        SignedBinaryActPerTensorConst,
        SignedBinaryWeightPerTensorConst,
        SignedTernaryWeightPerTensorConst,
    )

from bitwright.models import data_digits

qnn: Any = brevitas.nn  # ships no types

BATCH = 64


@dataclass(frozen=True, eq=False)
class Newcomer:
    """A trained network and its data.

    Args:
        module: In eval mode.
        inputs: Test inputs, float32 ``(N, ...)``.
        targets: What should come out: int64 ``(N,)`` classes, or float32 of the outputs' shape.
    """

    module: nn.Module
    inputs: NDArray[np.float32]
    targets: NDArray[Any]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch axis."""
        return self.inputs.shape[1:]


class Mlp(nn.Module):
    """Three dense layers of four bits, the input of eight."""

    def __init__(self) -> None:
        super().__init__()
        self.quant_inp = qnn.QuantIdentity(bit_width=8)
        self.fc1 = qnn.QuantLinear(64, 32, bias=True, weight_bit_width=4)
        self.relu1 = qnn.QuantReLU(bit_width=4)
        self.fc2 = qnn.QuantLinear(32, 32, bias=True, weight_bit_width=4)
        self.relu2 = qnn.QuantReLU(bit_width=4)
        self.fc3 = qnn.QuantLinear(32, 10, bias=True, weight_bit_width=4)

    def forward(self, x: Tensor) -> Any:  # noqa: ANN401
        """``(N, 1, 8, 8) -> (N, 10)``."""
        x = torch.flatten(x, 1)
        x = self.relu1(self.fc1(self.quant_inp(x)))
        return self.fc3(self.relu2(self.fc2(x)))


class BinaryMlp(nn.Module):
    """Binary weights and activations, with batch normalisation between."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten(), qnn.QuantIdentity(act_quant=SignedBinaryActPerTensorConst)]
        for _ in range(2):
            layers += [
                qnn.QuantLinear(64, 64, bias=False, weight_quant=SignedBinaryWeightPerTensorConst),
                nn.BatchNorm1d(64),
                qnn.QuantIdentity(act_quant=SignedBinaryActPerTensorConst),
            ]
        layers += [
            qnn.QuantLinear(64, 10, bias=False, weight_quant=SignedBinaryWeightPerTensorConst),
            nn.BatchNorm1d(10),
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Any:  # noqa: ANN401
        """``(N, 1, 8, 8) -> (N, 10)``."""
        return self.layers(2.0 * x - 1.0)


class Cnn(nn.Module):
    """Two padded convolutions, each with a maximum pooling, then a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.quant_inp = qnn.QuantIdentity(return_quant_tensor=True)
        self.conv1 = qnn.QuantConv2d(1, 8, 3, padding=1, weight_bit_width=4)
        self.relu1 = qnn.QuantReLU(bit_width=4, return_quant_tensor=True)
        self.conv2 = qnn.QuantConv2d(8, 16, 3, padding=1, weight_bit_width=4)
        self.relu2 = qnn.QuantReLU(bit_width=4, return_quant_tensor=True)
        self.pool = nn.MaxPool2d(2)
        self.fc = qnn.QuantLinear(64, 10, bias=True)

    def forward(self, x: Tensor) -> Any:  # noqa: ANN401
        """``(N, 1, 8, 8) -> (N, 10)``."""
        x = self.pool(self.relu1(self.conv1(self.quant_inp(x))))
        x = self.pool(self.relu2(self.conv2(x)))
        return self.fc(x.flatten(1))


def _separable(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        qnn.QuantConv2d(inputs, inputs, 3, stride=stride, padding=1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        qnn.QuantReLU(),
        qnn.QuantConv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        qnn.QuantReLU(),
    )


class MobileNet(nn.Module):
    """Depthwise-separable convolutions and a global average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            qnn.QuantIdentity(),
            qnn.QuantConv2d(1, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            qnn.QuantReLU(),
            _separable(8, 16, 2),
            _separable(16, 24, 1),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.requant = qnn.QuantIdentity()
        self.fc = qnn.QuantLinear(24, 10, bias=True)

    def forward(self, x: Tensor) -> Any:  # noqa: ANN401
        """``(N, 1, 8, 8) -> (N, 10)``."""
        x = self.requant(self.pool(self.features(x)))
        return self.fc(x.view(x.shape[0], -1))


class Residual(nn.Module):
    """Two convolutions beside a shortcut, both quantised by one quantiser before they are added."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = qnn.QuantConv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = qnn.QuantReLU()
        self.conv2 = qnn.QuantConv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                qnn.QuantConv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.quant_shared = qnn.QuantIdentity(return_quant_tensor=True)
        self.relu_out = qnn.QuantReLU(return_quant_tensor=True)

    def forward(self, x: Tensor) -> Any:  # noqa: ANN401
        """``(N, C, H, W) -> (N, C', H', W')``."""
        out = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu_out(self.quant_shared(out) + self.quant_shared(self.shortcut(x)))


class ResNet(nn.Module):
    """Two residual blocks, the second with a projected shortcut, and an average pooling that truncates."""

    def __init__(self) -> None:
        super().__init__()
        self.quant_inp = qnn.QuantIdentity(return_quant_tensor=True)
        self.conv = qnn.QuantConv2d(1, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.relu = qnn.QuantReLU(return_quant_tensor=True)
        self.block1, self.block2 = Residual(8, 8, 1), Residual(8, 16, 2)
        self.pool = qnn.TruncAvgPool2d(4)
        self.fc = qnn.QuantLinear(16, 10, bias=True)

    def forward(self, x: Tensor) -> Any:  # noqa: ANN401
        """``(N, 1, 8, 8) -> (N, 10)``."""
        x = self.relu(self.bn(self.conv(self.quant_inp(x))))
        x = self.pool(self.block2(self.block1(x)))
        return self.fc(x.flatten(1))


class SeriesCnn(nn.Module):
    """Convolutions over time."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            qnn.QuantIdentity(),
            qnn.QuantConv1d(2, 8, 5, stride=2, padding=2, weight_bit_width=6),
            nn.BatchNorm1d(8),
            qnn.QuantReLU(bit_width=6),
            nn.MaxPool1d(2),
            qnn.QuantConv1d(8, 12, 3, padding=1, weight_bit_width=6),
            qnn.QuantReLU(bit_width=6),
            nn.AvgPool1d(2),
            qnn.QuantIdentity(bit_width=6),
            nn.Flatten(),
            qnn.QuantLinear(48, 3, bias=True, weight_bit_width=6),
        )

    def forward(self, x: Tensor) -> Any:  # noqa: ANN401
        """``(N, 2, 32) -> (N, 3)``."""
        return self.net(x)


class TernaryMlp(nn.Module):
    """Ternary weights; a tanh and a sigmoid as activations."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = qnn.QuantLinear(
            16, 32, bias=True, input_quant=brevitas.quant.Int8ActPerTensorFloat,
            weight_quant=SignedTernaryWeightPerTensorConst,
        )  # fmt: skip
        self.tanh = qnn.QuantTanh()
        self.fc2 = qnn.QuantLinear(32, 32, bias=True, weight_quant=SignedTernaryWeightPerTensorConst)
        self.sigmoid = qnn.QuantSigmoid(bit_width=6)
        self.fc3 = qnn.QuantLinear(32, 5, bias=True, weight_quant=SignedTernaryWeightPerTensorConst)
        self.scale = nn.Parameter(torch.tensor(4.0))

    def forward(self, x: Tensor) -> Any:  # noqa: ANN401
        """``(N, 16) -> (N, 5)``."""
        return self.fc3(self.sigmoid(self.fc2(self.tanh(self.fc1(x))))) * self.scale


class UNet(nn.Module):
    """One level down and up again, joined with what was before it."""

    def __init__(self) -> None:
        super().__init__()
        self.quant_inp = qnn.QuantIdentity()
        self.down1 = qnn.QuantConv2d(1, 6, 3, padding=1)
        self.relu1 = qnn.QuantReLU()
        self.pool = nn.MaxPool2d(2)
        self.down2 = qnn.QuantConv2d(6, 12, 3, padding=1)
        self.relu2 = qnn.QuantReLU()
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.merge = qnn.QuantConv2d(18, 6, 3, padding=1)
        self.relu3 = qnn.QuantReLU()
        self.last = qnn.QuantConv2d(6, 1, 1)
        self.quant_out = qnn.QuantSigmoid()

    def forward(self, x: Tensor) -> Any:  # noqa: ANN401
        """``(N, 1, 8, 8) -> (N, 1, 8, 8)``."""
        high = self.relu1(self.down1(self.quant_inp(x)))
        low = self.relu2(self.down2(self.pool(high)))
        joined = torch.cat([self.up(low), high], dim=1)
        return self.quant_out(self.last(self.relu3(self.merge(joined))))


def mlp() -> Newcomer:
    """Dense layers of four bits on digits."""
    return _classifier(Mlp, *_digits(), epochs=6)


def binary_mlp() -> Newcomer:
    """Binary dense layers on digits."""
    return _classifier(BinaryMlp, *_digits(), epochs=6)


def cnn() -> Newcomer:
    """Convolutions and maximum pooling on digits."""
    return _classifier(Cnn, *_digits(), epochs=4)


def mobilenet() -> Newcomer:
    """Depthwise-separable convolutions on digits."""
    return _classifier(MobileNet, *_digits(), epochs=4)


def resnet() -> Newcomer:
    """Residual blocks on digits."""
    return _classifier(ResNet, *_digits(), epochs=3)


def series_cnn() -> Newcomer:
    """Convolutions over time on waves of three shapes."""
    return _classifier(SeriesCnn, *_waves(), epochs=6)


def ternary_mlp() -> Newcomer:
    """Ternary dense layers on five overlapping clouds of sixteen features."""
    return _classifier(TernaryMlp, *_clouds(), epochs=10)


def unet() -> Newcomer:
    """Removal of noise from digits."""
    inputs, labels = _digits()
    noisy = np.clip(inputs + np.random.default_rng(5).normal(0, 0.2, inputs.shape), 0, 1).astype(np.float32)
    del labels
    return _trained(UNet, noisy, inputs, F.mse_loss, epochs=4)


NEWCOMERS: dict[str, Callable[[], Newcomer]] = {
    function.__name__: function for function in (mlp, binary_mlp, cnn, mobilenet, resnet, series_cnn, ternary_mlp, unet)
}
"""All of them by name."""


def _digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    train, test = data_digits.read(["train", "test"])
    images = np.concatenate([train.inputs, test.inputs])  # the last fifth is for the test
    return (images / 16).astype(np.float32), np.concatenate([train.labels, test.labels])


def _waves(count: int = 1500) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return sines, squares and triangles of a random phase and pace, in two noisy channels of 32 samples."""
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 3, count)
    turns = rng.uniform(0, 1, (count, 1)) + rng.uniform(1.5, 3, (count, 1)) * np.arange(32) / 32
    sine = np.sin(2 * np.pi * turns)
    shapes = np.stack([sine, np.sign(sine), 2 / np.pi * np.arcsin(sine)])
    wave = shapes[labels, np.arange(count)]
    inputs = np.stack([wave, np.gradient(wave, axis=1)], 1) + rng.normal(0, 0.05, (count, 2, 32))
    return inputs.astype(np.float32), labels.astype(np.int64)


def _clouds(count: int = 2000) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 5, count)
    inputs = rng.normal(0, 1, (5, 16))[labels] + rng.normal(0, 1, (count, 16))
    return inputs.astype(np.float32), labels.astype(np.int64)


def _classifier(
    network: Callable[[], nn.Module], inputs: NDArray[np.float32], labels: NDArray[np.int64], *, epochs: int
) -> Newcomer:
    return _trained(network, inputs, labels, F.cross_entropy, epochs=epochs)


def _trained(
    network: Callable[[], nn.Module],
    inputs: NDArray[np.float32],
    targets: NDArray[Any],
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    epochs: int,
) -> Newcomer:
    """Train on the first four fifths; the rest is for the test."""
    split = len(inputs) * 4 // 5
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        module = network()
        optimiser = torch.optim.Adam(module.parameters(), lr=5e-3)
        values, wanted = torch.from_numpy(inputs[:split]), torch.from_numpy(targets[:split])
        module.train()
        for _ in range(epochs):
            for batch in torch.split(torch.randperm(split), BATCH):
                optimiser.zero_grad()
                result = module(values[batch])
                loss(getattr(result, "value", result), wanted[batch]).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
    return Newcomer(module.eval(), inputs[split:], targets[split:])
