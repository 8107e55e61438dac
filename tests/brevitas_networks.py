"""Random Brevitas networks as a user might write them, for Hypothesis. Imports torch."""

import functools
import math
import tempfile
import warnings
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper
from torch import Tensor, nn
from torch.onnx._internal.exporter._registration import ONNXRegistry

with warnings.catch_warnings():  # an optional kernel that this project has no use for
    warnings.filterwarnings("ignore", message="fast_hadamard_transform package not found")
    import brevitas.nn
    from brevitas import quant
    from brevitas.quant.fixed_point import Int8WeightPerChannelFixedPoint
    from brevitas.quant.scaled_int import Int8WeightPerChannelFloat
    from brevitas.quant.shifted_scaled_int import ShiftedUint8ActPerTensorFixedPoint, ShiftedUint8ActPerTensorFloat

from bitwright.export.qonnx_file import load
from bitwright.export.torch_export import write_qonnx

qnn: Any = brevitas.nn  # ships no types

LAYER_KINDS = frozenset({"linear", "conv1d", "conv2d", "grouped", "strided", "dilated", "padded"})
WEIGHT_KINDS = frozenset({"binary_weights", "ternary_weights", "per_channel_weights", "wide_range_weights"})
BIAS_KINDS = frozenset({"float_bias", "quantised_bias"})
ACTIVATION_KINDS = frozenset(
    {"binary", "ternary", "per_channel", "shifted", "hard_tanh", "sigmoid", "wide", "narrow", "fixed_scale", "twice"}
)
FLOAT_KINDS = frozenset({"batch_norm", "bent"})
SHAPE_KINDS = frozenset({"max_pool", "average", "trunc", "upsample", "reshape", "permute", "image_end"})
JOIN_KINDS = frozenset({"add", "add_shared", "eltwise_add", "concat", "concat_shared"})
END_KINDS = frozenset({"normalised", "affine", "softmax", "quantised_end"})

KINDS = (
    LAYER_KINDS
    | WEIGHT_KINDS
    | BIAS_KINDS
    | ACTIVATION_KINDS
    | FLOAT_KINDS
    | SHAPE_KINDS
    | JOIN_KINDS
    | END_KINDS
    | {"dead_channel"}
)
"""Every feature; of "linear", "conv1d" and "conv2d" at least one is needed."""

EXACT_KINDS = KINDS - FLOAT_KINDS - {"float_bias", "sigmoid", "affine", "softmax", "dead_channel"}
"""With powers of two as scales, float32 rounds nowhere on the way, or torch and onnxruntime round alike."""

ACCUMULATOR_BITS = 23
SMALLEST_SCALE = 2.0**-12
BATCHES = 6
"""Of the statistics that the quantisers collect."""

BENT: dict[str, Callable[[int], nn.Module]] = {
    "relu": lambda _: nn.ReLU(),
    "leaky": lambda _: nn.LeakyReLU(0.1),
    "prelu": lambda _: nn.PReLU(),
    "prelu_pc": nn.PReLU,
    "hardtanh": lambda _: nn.Hardtanh(-0.5, 2.0),
    "relu6": lambda _: nn.ReLU6(),
    "hardsigmoid": lambda _: nn.Hardsigmoid(),
    "sigmoid": lambda _: nn.Sigmoid(),
    "tanh": lambda _: nn.Tanh(),
}


_read_registry = ONNXRegistry.from_torchlib


@functools.cache
def _registry(opset_version: int) -> ONNXRegistry:
    """Return torch's table of operators, read once: reading it takes half of an export's time."""
    return _read_registry(opset_version=opset_version)


def plain(values: Any) -> Tensor:  # noqa: ANN401 - a QuantTensor, or a Tensor (always, while Brevitas exports)
    """Return the tensor of a quantised tensor."""
    tensor = getattr(values, "value", values)
    assert isinstance(tensor, Tensor)
    return tensor


class Apply(nn.Module):
    """A function of tensors, as it stands in a user's ``forward``."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, values: Tensor) -> Tensor:
        """Return the function's value."""
        return self._function(plain(values))


class Normalise(nn.Module):
    """Subtract the mean and divide by the deviation, of one value or one a channel."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def forward(self, values: Tensor) -> Tensor:
        """Return the normalised values."""
        return (values - self.mean) / self.deviation


class Affine(nn.Module):
    """Multiply and add learned floats."""

    def __init__(self, slope: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.slope, self.offset = nn.Parameter(slope), nn.Parameter(offset)

    def forward(self, values: Tensor) -> Tensor:
        """Return the line's value."""
        return plain(values) * self.slope + self.offset


class Join(nn.Module):
    """Two branches of one tensor, quantised each, then added or concatenated.

    Args:
        branches: From the tensor to tensors of equal shape, or for ``"cat"`` of equal height and width.
        quantizers: The quantisers of the branches, maybe one and the same; for ``"eltwise"`` none.
        how: ``"add"``, ``"cat"``, or ``"eltwise"`` for Brevitas' own layer.
        eltwise: That layer.
    """

    def __init__(
        self, branches: Sequence[nn.Module], quantizers: Sequence[nn.Module], how: str, eltwise: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.branches, self.quantizers = nn.ModuleList(branches), nn.ModuleList(quantizers)
        self.how, self.eltwise = how, eltwise

    def forward(self, values: Tensor) -> Tensor:
        """Return the joined branches."""
        results: list[Tensor] = [branch(values) for branch in self.branches]
        if self.eltwise is not None:
            joined = self.eltwise(*results)
            assert isinstance(joined, Tensor)
            return joined
        left, right = (quantizer(result) for quantizer, result in zip(list(self.quantizers), results, strict=True))
        if self.how == "cat":
            return torch.cat([left, right], 1)
        total = left + right
        assert isinstance(total, Tensor)
        return total


class BrevitasNetwork:
    """A drawn network in eval mode, its statistics collected from a few batches.

    Attributes:
        module: The network.
        input_shape: Of one input, without the batch axis.
        is_exact: Whether torch and onnxruntime give the same integers, as `EXACT_KINDS` promises.
        description: Its layers in short: ``w4`` are weights of four bits, ``pc`` is per channel, ``u4`` and ``s4`` are
            activations, ``p2`` is a scale that is a power of two, ``b16`` a bias of sixteen bits.
    """

    def __init__(self, draw: st.DrawFn, *, power_of_two: bool, kinds: Collection[str], most_layers: int) -> None:
        unknown = set(kinds) - KINDS
        if unknown:
            raise ValueError(f"kinds must be of {sorted(KINDS)}, not {sorted(unknown)}")
        self._draw, self._power_of_two, self._kinds = draw, power_of_two, frozenset(kinds)
        seed = draw(st.integers(0, 2**31 - 1))
        self._rng = np.random.default_rng(seed)
        self._steps: list[nn.Module] = []
        self._texts: list[str] = []
        shapes: dict[str, list[tuple[int, ...]]] = {
            "linear": [(5,)],
            "conv2d": [(2, 6, 6), (4, 5, 4), (1, 8, 7)],
            "conv1d": [(2, 9), (4, 12)],
        }
        self._shape: tuple[int, ...] = draw(
            st.sampled_from([shape for kind, those in shapes.items() if kind in kinds for shape in those])
        )
        self.input_shape = self._shape
        self._bits, self._on_grid, self._shifted = 8, False, False
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(seed)
            self._sample = self._batch()
            self._network(draw(st.integers(1, most_layers)))
            self.module = nn.Sequential(*self._steps)
            self._collect_statistics()
        self.description = " ".join(self._texts)
        self.is_exact = power_of_two and frozenset(kinds) <= EXACT_KINDS

    def __repr__(self) -> str:
        return f"{self.input_shape}: {self.description}"

    def inputs(self, count: int) -> NDArray[np.float32]:
        """Return inputs ``(count, ...)``: random ones, on the input quantiser's grid, and midway between.

        Some lie beyond the quantiser's range. The same for every call of the same count.
        """
        rng = np.random.default_rng(count)
        values = rng.normal(0, 1.5, (count, *self.input_shape))
        scale, zero_point = (
            np.asarray(getattr(self._input_quantizer.act_quant, name)().detach(), np.float64)
            for name in ("scale", "zero_point")
        )
        scale = scale if scale.ndim > 1 else scale.reshape(())
        codes = np.rint(values / scale + zero_point) - zero_point
        grid = np.concatenate([values[: count // 3], codes[count // 3 :: 2] * scale, (codes[1:] + 0.5) * scale])[:count]
        normalise = self._steps[0]
        if isinstance(normalise, Normalise):
            grid = grid * normalise.deviation.double().numpy() + normalise.mean.double().numpy()
        return grid.astype(np.float32)

    def qonnx(self) -> ModelWrapper:
        """Return the graph that Brevitas exports, of batch size one."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            with mock.patch.object(ONNXRegistry, "from_torchlib", staticmethod(_registry)):
                write_qonnx(self.module, self.input_shape, path)
            return load(path)

    def output_scale(self) -> NDArray[np.float64] | None:
        """Return the scale of the final quantiser, or None if none ends the network."""
        last: Any = self._steps[-1]
        if not hasattr(last, "act_quant"):
            return None
        return np.asarray(last.act_quant.scale().detach(), np.float64)

    # What is drawn

    def _coin(self, kind: str | None = None) -> bool:
        """Return whether to; never if the kind is not wanted. Shrinks to no."""
        return (kind is None or kind in self._kinds) and self._draw(st.booleans())

    def _one_of(self, options: Sequence[Any]) -> Any:  # noqa: ANN401
        return self._draw(st.sampled_from(options))

    def _wanted(self, **options: str | None) -> list[str]:
        """Return the options whose kind is wanted, or None."""
        return [name for name, kind in options.items() if kind is None or kind in self._kinds]

    def _normal(self, *shape: int) -> Tensor:
        return torch.from_numpy(self._rng.normal(0, 1, shape).astype(np.float32))

    def _scale(self, size: float = 1.0) -> tuple[float, str]:
        """Return a constant scale of about a size."""
        scale = self._one_of([1.0, 0.25] if self._power_of_two else [1.0, 0.37])
        scale *= 2.0 ** round(math.log2(size))
        return scale, f"{scale:g}"

    def _spread(self) -> float:
        """Return the deviation of the values so far, with some sense where they are all alike."""
        values = plain(self._sample)
        return float(np.clip(values.std().item(), 2.0**-8, 2.0**8))

    def _add(self, module: nn.Module, text: str) -> None:
        with torch.no_grad():
            self._sample = module.train()(self._sample)
        self._steps.append(module)
        self._texts.append(text)

    # The network

    def _network(self, layers: int) -> None:
        if self._coin("normalised"):
            self._normalise()
        self._input_quantizer = self._quantize(first=True)
        for layer in range(layers):
            last = layer == layers - 1
            if not last and self._one_of([0, 0, 1]):
                joins = self._wanted(
                    add="add",
                    add_shared="add_shared",
                    eltwise="eltwise_add",
                    cat="concat",
                    cat_shared="concat_shared",
                )
                if joins:
                    self._join(self._one_of(joins))
                    self._resize()
                    continue
            self._reshape(last=last)
            self._layer()
            if not last or self._coin("quantised_end"):
                self._activation()
                if not last:
                    self._resize()
        self._end()

    def _normalise(self) -> None:
        per_channel = len(self._shape) == 3 and self._coin()
        shape = (1, self._shape[0], 1, 1) if per_channel else ()
        mean = torch.from_numpy(np.asarray(self._rng.uniform(-0.5, 0.5, shape), np.float32))
        deviation = torch.from_numpy(np.asarray(self._rng.uniform(0.2, 1.5, shape), np.float32))
        self._sample = self._sample * deviation + mean
        self._add(Normalise(mean, deviation), "norm(pc)" if per_channel else "norm")

    def _end(self) -> None:
        if len(self._shape) > 1 and not (self._coin("image_end") and not self._wanted(x="linear")):
            self._flatten()
        if self._coin("affine"):
            channels = self._shape[0] if len(self._shape) == 1 else 1
            self._add(Affine(self._normal(channels) + 3.0, self._normal(channels)), "affine")
        if self._coin("softmax") and len(self._shape) == 1:
            self._add(nn.Softmax(dim=1), "softmax")

    # Shapes

    def _flatten(self) -> None:
        size = math.prod(self._shape)
        forms: dict[str, Callable[[], nn.Module]] = {
            "flatten": nn.Flatten,
            "view": lambda: Apply(lambda values: values.view(values.shape[0], -1)),
            "reshape": lambda: Apply(lambda values: values.reshape(-1, size)),
        }
        if len(self._shape) == 3 and self._coin("permute"):
            self._add(Apply(lambda values: values.permute(0, 2, 3, 1).flatten(1)), "permute+flatten")
            self._on_grid = False
        else:
            form = self._one_of(["flatten", "view", "reshape"] if "reshape" in self._kinds else ["flatten"])
            self._add(forms[form](), form)
            self._on_grid = self._on_grid and form == "flatten"
        self._shape = (size,)

    def _reshape(self, *, last: bool) -> None:
        """Bring the tensor into a shape that a wanted layer takes."""
        layer_of = {1: "linear", 2: "conv1d", 3: "conv2d"}
        possible = layer_of[len(self._shape)] in self._kinds
        if len(self._shape) > 1:
            if not possible or ("linear" in self._kinds and (last or self._one_of([0, 0, 1]))):
                self._flatten()
            elif len(self._shape) == 2 and self._coin("permute"):
                self._add(Apply(lambda values: values.transpose(1, 2)), "transpose")
                self._shape, self._on_grid = (self._shape[1], self._shape[0]), False
        elif "conv2d" in self._kinds and self._shape[0] % 4 == 0 and self._coin("reshape"):
            shape = (self._shape[0] // 4, 2, 2)
            self._add(Apply(lambda values: values.reshape(-1, *shape)), f"reshape{shape}")
            self._shape, self._on_grid = shape, False

    def _resize(self) -> None:
        if len(self._shape) == 1 or self._one_of([0, 1, 1]) == 0:
            return
        size = min(self._shape[1:])
        image = len(self._shape) == 3
        options = self._wanted(up="upsample") if size <= 6 else []
        options += self._wanted(max="max_pool", average="average") if size >= 2 else []
        options += self._wanted(trunc="trunc") if size >= 2 and image and self._on_grid and not self._shifted else []
        options += self._wanted(mean="average")
        match self._one_of(options or ["none"]):
            case "up":
                self._add(nn.Upsample(scale_factor=2, mode="nearest"), "upsample(2)")
                self._shape = (self._shape[0], *(2 * axis for axis in self._shape[1:]))
            case "max":
                kernel, stride = self._one_of([(2, 2), (2, 1), (min(3, size), 2)])
                padding = self._one_of([0, 1])
                self._add(
                    (nn.MaxPool2d if image else nn.MaxPool1d)(kernel, stride, padding),
                    f"maxpool({kernel}, s={stride}, p={padding})",
                )
                self._pooled(kernel, stride, padding)
            case "average":
                kernel, stride = self._one_of([(2, 2), (min(3, size), 1), (min(3, size), 2)])
                padding = self._one_of([0, 1])
                pool: Any = nn.AvgPool2d if image else nn.AvgPool1d
                include = self._one_of([True, False])
                self._add(
                    pool(kernel, stride, padding, count_include_pad=include),
                    f"avgpool({kernel}, s={stride}, p={padding}{'' if include else ', real'})",
                )
                self._pooled(kernel, stride, padding)
                self._quantize()
            case "trunc":
                self._trunc(size)
            case "mean":
                self._mean()

    def _pooled(self, kernel: int, stride: int, padding: int) -> None:
        axes = (math.floor((axis + 2 * padding - kernel) / stride) + 1 for axis in self._shape[1:])
        self._shape = (self._shape[0], *axes)

    def _trunc(self, size: int) -> None:
        bits = self._draw(st.integers(2, 8))
        quantizer = self._one_of([quant.RoundTo8bit, quant.TruncTo8bit])
        settings = {"trunc_quant": quantizer, "bit_width": bits, "return_quant_tensor": True}
        form = "round" if quantizer is quant.RoundTo8bit else "floor"
        height, width = self._shape[1:]
        if (not self._power_of_two or (height == width and height in (1, 2, 4))) and self._coin():
            self._add(qnn.TruncAdaptiveAvgPool2d(1, **settings), f"truncmean({form} {bits})")
            self._shape = (self._shape[0], 1, 1)
        else:
            kernel = self._one_of([2] if self._power_of_two or size < 3 else [2, 3])
            self._add(qnn.TruncAvgPool2d(kernel, **settings), f"truncpool({kernel}, {form} {bits})")
            self._pooled(kernel, kernel, 0)
        self._bits = bits

    def _mean(self) -> None:
        axes = tuple(range(2, len(self._shape) + 1))
        match self._one_of(["adaptive", "mean", "mean_keepdim"]):
            case "adaptive":
                pool = nn.AdaptiveAvgPool2d(1) if len(axes) == 2 else nn.AdaptiveAvgPool1d(1)
                self._add(pool, "adaptive(1)")
                self._shape = (self._shape[0], *(1 for _ in axes))
            case "mean":
                self._add(Apply(lambda values: values.mean(axes)), f"mean{axes}")
                self._shape = self._shape[:1]
            case _:
                self._add(Apply(lambda values: torch.mean(values, axes, keepdim=True)), f"mean{axes}+keepdim")
                self._shape = (self._shape[0], *(1 for _ in axes))
        self._quantize()

    # Layers

    def _layer(self) -> None:
        module, text, shape = self._weighted(self._shape, self._one_of([3, 1, 4, 2]))
        self._add(module, text)
        self._shape = shape

    def _weighted(
        self, shape: tuple[int, ...], outputs: int, *, same: bool = False
    ) -> tuple[nn.Module, str, tuple[int, ...]]:
        """Return a layer on a tensor of a shape; if the same, it leaves the height and width as they are."""
        if len(shape) == 1:
            settings, text = self._weights(outputs, shape[0])
            return (
                self._of_weights(qnn.QuantLinear(shape[0], outputs, **settings)),
                f"linear({outputs}{text})",
                (outputs,),
            )
        channels, *axes = shape
        kernels, strides, dilations, paddings = [], [], [], []
        for size in axes:
            dilation = 2 if size >= 5 and self._coin("dilated") else 1
            options = [1, 3] if same else [k for k in (3, 1, 2) if dilation * (k - 1) < size]
            kernels.append(self._one_of(options))
            dilations.append(dilation)
            strides.append(2 if not same and self._coin("strided") else 1)
            around = dilation * (kernels[-1] - 1) // 2
            paddings.append(around if same else self._one_of([0, 1, 2]) if self._coin("padded") else 0)
        groups = 1
        if self._coin("grouped"):
            groups = self._one_of([channels, *(g for g in range(2, channels) if channels % g == 0)])
            outputs = outputs if same and outputs % groups == 0 else groups * self._one_of([1, 2])
            if same:
                groups = groups if outputs == channels else 1
        settings, text = self._weights(outputs, channels // groups * math.prod(kernels))
        layer = (qnn.QuantConv1d if len(axes) == 1 else qnn.QuantConv2d)(
            channels,
            outputs,
            kernels[0] if len(axes) == 1 else tuple(kernels),
            stride=strides[0] if len(axes) == 1 else tuple(strides),
            padding=paddings[0] if len(axes) == 1 else tuple(paddings),
            dilation=dilations[0] if len(axes) == 1 else tuple(dilations),
            groups=groups,
            **settings,
        )
        sizes = [
            (size + 2 * p - d * (k - 1) - 1) // s + 1
            for size, k, s, d, p in zip(axes, kernels, strides, dilations, paddings, strict=True)
        ]
        parts = [f"conv{len(axes)}d({outputs}, {'x'.join(map(str, kernels))}"]
        plainly = {"s": (strides, 1), "d": (dilations, 1), "p": (paddings, 0)}
        parts += [f"{name}={'x'.join(map(str, v))}" for name, (v, usual) in plainly.items() if set(v) != {usual}]
        parts += [f"g={groups}"] if groups > 1 else []
        return self._of_weights(layer), ", ".join(parts) + f"{text})", (outputs, *sizes)

    def _weights(self, outputs: int, fan_in: int) -> tuple[dict[str, Any], str]:
        """Return the settings of a layer's weights and bias."""
        form = self._one_of(["int", *self._wanted(binary="binary_weights", ternary="ternary_weights")])
        per_channel = self._coin("per_channel_weights")
        power_of_two = self._power_of_two or self._coin()
        settings: dict[str, Any]
        if form == "int":
            most = ACCUMULATOR_BITS - self._bits - math.ceil(math.log2(fan_in))
            bits = self._draw(st.integers(2, max(2, min(8, most))))
            quantizers = {
                (True, False): quant.Int8WeightPerTensorFixedPoint,
                (True, True): Int8WeightPerChannelFixedPoint,
                (False, False): quant.Int8WeightPerTensorFloat,
                (False, True): Int8WeightPerChannelFloat,
            }
            settings = {"weight_quant": quantizers[power_of_two, per_channel], "weight_bit_width": bits}
            if self._power_of_two:
                settings["weight_scaling_min_val"] = SMALLEST_SCALE
            text = f", w{bits}{'p2' if power_of_two else ''}{' pc' if per_channel else ''}"
            if self._coin("wide_range_weights"):
                settings["weight_narrow_range"] = False
                text += " wide"
        else:
            scale, number = self._scale()
            const = quant.SignedBinaryWeightPerTensorConst
            settings = {
                "weight_quant": const if form == "binary" else quant.SignedTernaryWeightPerTensorConst,
                "weight_scaling_init": scale,
            }
            text = f", {form}*{number}"
            if form == "binary" and not self._power_of_two and self._coin():
                impl = self._one_of(["parameter", "stats"])
                settings |= {"weight_scaling_impl_type": impl}
                text = f", binary*{impl}"
                if impl == "stats":  # the default, the mean, clips the weights a bit more in each forward pass
                    settings |= {"weight_scaling_stats_op": "max", "weight_scaling_per_output_channel": per_channel}
                    text += " pc" if per_channel else ""
        biases = ["none", *self._wanted(float="float_bias")]
        biases += self._wanted(b8="quantised_bias", b16="quantised_bias", b32="quantised_bias") if self._on_grid else []
        bias = self._one_of(biases)
        settings["bias"] = bias != "none"
        if bias.startswith("b"):
            settings["bias_quant"] = {"b8": quant.Int8Bias, "b16": quant.Int16Bias, "b32": quant.Int32Bias}[bias]
        return settings, text + ("" if bias == "none" else ", bias" if bias == "float" else f", {bias}")

    def _of_weights(self, layer: Any) -> nn.Module:  # noqa: ANN401
        """Draw a layer's weights and bias."""
        weights = self._normal(*layer.weight.shape) * float(self._rng.choice([0.3, 0.7, 1.5]))
        if not self._power_of_two and "dead_channel" in self._kinds and self._rng.random() < 0.1:
            weights[0] = 0.0
        weights.view(-1)[self._rng.integers(weights.numel())] = 0.0
        with torch.no_grad():
            layer.weight.copy_(weights)
            if layer.bias is not None:
                layer.bias.copy_(self._normal(*layer.bias.shape) * 0.5)
        assert isinstance(layer, nn.Module)
        return layer

    # Activations

    def _activation(self) -> None:
        """Add an activation: batch norm before or after, a bent function, a quantiser or two."""
        if self._coin("batch_norm"):
            self._batch_norm()
        if self._coin("bent"):
            name = self._one_of(list(BENT))
            self._add(BENT[name](self._shape[0]), name)
        self._quantize()
        if self._coin("twice"):
            self._quantize()
        if self._coin("batch_norm"):
            self._batch_norm()
            self._quantize()

    def _batch_norm(self) -> None:
        channels = self._shape[0]
        norm = (nn.BatchNorm2d if len(self._shape) == 3 else nn.BatchNorm1d)(channels, momentum=None)
        with torch.no_grad():
            norm.weight.copy_(self._normal(channels))
            norm.bias.copy_(self._normal(channels))
            if self._rng.random() < 0.2:
                norm.weight[0] = 0.0
        self._add(norm, "bn")

    def _quantize(self, *, first: bool = False) -> Any:  # noqa: ANN401
        module, text, bits, on_grid = self._quantizer(first=first)
        self._add(module, text)
        self._bits, self._on_grid, self._shifted = bits, on_grid, text.startswith("shifted")
        return module

    def _quantizer(
        self, *, first: bool = False, shape: tuple[int, ...] | None = None
    ) -> tuple[Any, str, int, bool]:  # module, description, bits, whether it returns a QuantTensor
        form = self._one_of(
            [
                "identity",
                "relu",
                *self._wanted(binary="binary", ternary="ternary", shifted="shifted"),
                *([] if first else self._wanted(hard_tanh="hard_tanh", sigmoid="sigmoid", tanh="sigmoid")),
            ]
        )
        power_of_two = self._power_of_two or self._coin()
        mark = "p2" if power_of_two else ""
        if form in ("binary", "ternary"):
            scale, number = self._scale(self._spread() if form == "ternary" else 1.0)
            base = quant.SignedBinaryActPerTensorConst if form == "binary" else quant.SignedTernaryActPerTensorConst
            grid = form == "ternary" and self._coin()  # Brevitas' bias cannot join the grid of a binary one
            layer = qnn.QuantIdentity(act_quant=base, scaling_init=scale, return_quant_tensor=grid)
            return layer, f"{form}*{number}", 2, grid
        bits = self._draw(st.integers(9, 16) if self._coin("wide") else st.integers(2, 8))
        settings: dict[str, Any] = {"bit_width": bits, "return_quant_tensor": self._one_of([True, True, False])}
        if self._power_of_two:  # Brevitas' own, 1e-10, is none
            settings["scaling_min_val"] = SMALLEST_SCALE
        on_grid = bool(settings["return_quant_tensor"])
        if form == "hard_tanh":
            low, high = self._one_of([(-1.0, 1.0), (-0.5, 2.0)] + ([] if self._power_of_two else [(-1.3, 0.9)]))
            settings.pop("scaling_min_val", None)
            factor = 2.0 ** round(math.log2(self._spread()))
            layer = qnn.QuantHardTanh(min_val=low * factor, max_val=high * factor, **settings)
            return layer, f"hardtanh(s{bits} {low * factor:g} {high * factor:g})", bits, on_grid
        if form == "shifted":
            base = ShiftedUint8ActPerTensorFixedPoint if power_of_two else ShiftedUint8ActPerTensorFloat
            return (
                qnn.QuantIdentity(act_quant=base, **settings),
                f"shifted(u{bits}{mark})",
                bits + 1,
                on_grid,
            )
        signed = form in ("identity", "tanh")
        settings["act_quant"] = {
            (True, True): quant.Int8ActPerTensorFixedPoint,
            (True, False): quant.Int8ActPerTensorFloat,
            (False, True): quant.Uint8ActPerTensorFixedPoint,
            (False, False): quant.Uint8ActPerTensorFloat,
        }[signed, power_of_two]
        text = f"{'s' if signed else 'u'}{bits}{mark}"
        if form == "identity" and self._coin("narrow"):
            settings["narrow_range"] = True
            text += " narrow"
        source = self._one_of(
            ["running", "learned", *self._wanted(const="fixed_scale", parameter="fixed_scale", channel="per_channel")]
        )
        text += "" if source == "running" else f" {source}"
        shape = shape or self._shape
        match source:
            case "learned":  # after two of the batches
                settings["collect_stats_steps"] = 2
            case "const" | "parameter":
                settings |= {"scaling_impl_type": source, "scaling_init": self._one_of([1.0, 3.4]) * self._spread()}
            case "channel":
                settings |= {
                    "scaling_per_output_channel": True,
                    "per_channel_broadcastable_shape": (1, shape[0], *(1 for _ in shape[1:])),
                    "scaling_stats_permute_dims": (1, 0, *range(2, len(shape) + 1)),
                    "return_quant_tensor": False,
                }
                on_grid = False
        kinds = {"identity": "QuantIdentity", "relu": "QuantReLU", "sigmoid": "QuantSigmoid", "tanh": "QuantTanh"}
        return getattr(qnn, kinds[form])(**settings), f"{form}({text})", bits, on_grid

    # Branches

    def _join(self, how: str) -> None:
        """Add two branches: a layer, and another or none; joined with equal scales or with different ones."""
        before, adds = self._shape, not how.startswith("cat")
        if {1: "linear", 2: "conv1d", 3: "conv2d"}[len(before)] not in self._kinds:
            return
        projected = self._coin()
        outputs = self._one_of([before[0], before[0] + 1]) if projected or not adds else before[0]
        main, main_text, main_shape = self._weighted(before, outputs, same=True)
        branches: list[nn.Module] = [main]
        texts = [main_text]
        if projected:
            branch, text, after = self._weighted(before, main_shape[0], same=True)
            branches.append(branch)
            texts.append(text)
        else:
            branches.append(nn.Identity())
            texts.append("x")
            after = before
        if adds and after != main_shape:  # depthwise, with more channels
            return
        text = f" {'+' if adds else '&'} ".join(texts)
        if how == "eltwise":
            power_of_two = self._power_of_two or self._coin()
            base = quant.Int8ActPerTensorFixedPoint if power_of_two else quant.Int8ActPerTensorFloat
            least = {f"{end}_scaling_min_val": SMALLEST_SCALE for end in ("input", "output") if self._power_of_two}
            layer = qnn.QuantEltwiseAdd(input_quant=base, output_quant=base, return_quant_tensor=False, **least)
            self._add(Join(branches, [], "eltwise", layer), f"eltwise[{text}]")
            self._shape, self._bits, self._on_grid = main_shape, 8, False
            return
        if how.endswith("shared"):
            layer, quantizer_text, bits, _ = self._joined_quantizer(main_shape)
            quantizers, quantizer_text = [layer, layer], f"both {quantizer_text}"
        else:
            layer, first_text, bits, _ = self._joined_quantizer(main_shape)
            other, other_text, more_bits, _ = self._joined_quantizer(after)
            quantizers, quantizer_text = [layer, other], f"{first_text}, {other_text}"
            bits = max(bits, more_bits)
        joined = Join(branches, quantizers, "add" if adds else "cat")
        self._add(joined, f"{'add' if adds else 'cat'}[{text} by {quantizer_text}]")
        self._shape = main_shape if adds else (main_shape[0] + after[0], *main_shape[1:])
        self._bits, self._on_grid = bits, False
        if adds or self._coin():
            self._quantize()

    def _joined_quantizer(self, shape: tuple[int, ...]) -> tuple[Any, str, int, bool]:
        """Return a quantiser of plain tensors: QuantTensors of different scales cannot be joined."""
        bits = self._draw(st.integers(2, 8))
        form = self._one_of(["identity", "relu"])
        power_of_two = self._power_of_two or self._coin()
        base = {
            ("identity", True): quant.Int8ActPerTensorFixedPoint,
            ("identity", False): quant.Int8ActPerTensorFloat,
            ("relu", True): quant.Uint8ActPerTensorFixedPoint,
            ("relu", False): quant.Uint8ActPerTensorFloat,
        }[form, power_of_two]
        settings = {"scaling_min_val": SMALLEST_SCALE} if self._power_of_two else {}
        layer = (qnn.QuantIdentity if form == "identity" else qnn.QuantReLU)(act_quant=base, bit_width=bits, **settings)
        return layer, f"{form}({bits}{'p2' if power_of_two else ''})", bits, False

    # Statistics

    def _batch(self) -> Tensor:
        return torch.from_numpy(self._rng.normal(0, 1.5, (16, *self.input_shape)).astype(np.float32))

    def _collect_statistics(self) -> None:
        self.module.train()
        with torch.no_grad():
            for _ in range(BATCHES):
                values = self._batch()
                normalise = self._steps[0]
                if isinstance(normalise, Normalise):
                    values = values * normalise.deviation + normalise.mean
                self.module(values)
            for module in self.module.modules():
                if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.running_var is not None:
                    factors = self._rng.uniform(0.5, 2, len(module.running_var)).astype(np.float32)
                    module.running_var *= torch.from_numpy(factors)
                    if self._rng.random() < 0.2:
                        module.running_var[-1] = 1e-12
        self.module.eval()


@st.composite
def brevitas_networks(
    draw: st.DrawFn, *, power_of_two: bool = False, kinds: Collection[str] = KINDS, most_layers: int = 6
) -> BrevitasNetwork:
    """Draw a network.

    Args:
        draw: Of Hypothesis.
        power_of_two: Whether all scales, of weights, biases and activations, are powers of two.
        kinds: The features that may be drawn, of `KINDS`.
        most_layers: Layers with weights in a row; a join of two branches counts as one.
    """
    return BrevitasNetwork(draw, power_of_two=power_of_two, kinds=kinds, most_layers=most_layers)
