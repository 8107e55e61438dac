"""Random Brevitas networks as a user might write them, for Hypothesis. Imports torch."""

import tempfile
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from brevitas_networks_drawing import SMALLEST_SCALE
from brevitas_networks_kinds import EXACT_KINDS, KINDS
from brevitas_networks_layers import Layers
from brevitas_networks_modules import Affine, Join, Normalise, qnn, quant
from brevitas_networks_shapes import Shapes
from hypothesis import strategies as st
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper
from quick_export import quick_exports
from torch import Tensor, nn

from bitwright.export.qonnx_file import load
from bitwright.export.torch_export import write_qonnx

BATCHES = 6
"""Of the statistics that the quantisers collect."""


class BrevitasNetwork(Layers, Shapes):
    """A drawn network in eval mode, its statistics collected from a few batches.

    Attributes:
        module: The network.
        input_shape: Of one input, without the batch axis.
        is_exact: Whether torch and onnxruntime give the same integers, as `EXACT_KINDS` promises.
        description: Its layers in short: ``w4`` are weights of four bits, ``pc`` is per channel, ``u4`` and ``s4`` are
            activations, ``p2`` is a scale that is a power of two, ``b16`` a bias of sixteen bits.
    """

    def __init__(self, draw: st.DrawFn, *, power_of_two: bool, kinds: Collection[str], most_layers: int) -> None:
        super().__init__(draw, power_of_two=power_of_two, kinds=kinds)
        shapes: dict[str, list[tuple[int, ...]]] = {
            "linear": [(5,)],
            "conv2d": [(2, 6, 6), (4, 5, 4), (1, 8, 7)],
            "conv1d": [(2, 9), (4, 12)],
        }
        self._shape = draw(
            st.sampled_from([shape for kind, those in shapes.items() if kind in kinds for shape in those])
        )
        self.input_shape = self._shape
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(self._seed)
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
            with quick_exports():
                write_qonnx(self.module, self.input_shape, path)
            return load(path)

    def output_scale(self) -> NDArray[np.float64] | None:
        """Return the scale of the final quantiser, or None if none ends the network."""
        last: Any = self._steps[-1]
        if not hasattr(last, "act_quant"):
            return None
        return np.asarray(last.act_quant.scale().detach(), np.float64)

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
