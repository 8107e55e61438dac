"""Random quantisers, and what stands before and after them. Imports torch."""

import math
from collections.abc import Callable
from typing import Any

import torch
from brevitas_networks_drawing import SMALLEST_SCALE, Drawing
from brevitas_networks_modules import (
    ShiftedUint8ActPerTensorFixedPoint,
    ShiftedUint8ActPerTensorFloat,
    qnn,
    quant,
)
from hypothesis import strategies as st
from torch import nn

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


class Activations(Drawing):
    """Draws activations."""

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
