"""Random pooling, scaling, flattening and reshaping. Imports torch."""

import math
from collections.abc import Callable
from typing import Any

import torch
from brevitas_networks_activations import Activations
from brevitas_networks_modules import Apply, qnn, quant
from hypothesis import strategies as st
from torch import nn


class Shapes(Activations):
    """Draws what changes a tensor's shape, and the quantiser that it may need after it."""

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
