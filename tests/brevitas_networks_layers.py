"""Random layers with weights. Imports torch."""

import math
from typing import Any

import torch
from brevitas_networks_drawing import SMALLEST_SCALE, Drawing
from brevitas_networks_modules import (
    Int8WeightPerChannelFixedPoint,
    Int8WeightPerChannelFloat,
    qnn,
    quant,
)
from hypothesis import strategies as st
from torch import nn

ACCUMULATOR_BITS = 23


class Layers(Drawing):
    """Draws layers."""

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
