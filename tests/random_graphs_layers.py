"""Random layers with weights, pools, and what changes a tensor's shape."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from random_graphs_drawing import Drawing

TRANSPOSED = {2: ((0, 2, 1),), 3: ((0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2), (0, 3, 2, 1))}


class Layers(Drawing):
    """Draws layers, each for the tensor that the graph has come to."""

    def _weighted(self, *, same: bool = False) -> None:
        """Add a layer with weights; if the same, it leaves the shape as it is."""
        if len(self._at.shape) == 1 or (self._seldom() and not same):
            self._dense(same=same)
        else:
            self._conv(same=same)

    def _bias(self, outputs: int, spread: float) -> str:
        """Return a bias with its comma, or nothing."""
        match self._one_of(["none", "quantised", "float"]):
            case "quantised":
                return f", {self._weight(outputs, channel_axis=0, size=spread)}"
            case "float" if not self._power_of_two:
                return f", {self._constant(self._normal(spread, outputs))}"
            case _:
                return ""

    def _dense(self, *, same: bool) -> None:
        *before, inputs = self._at.shape
        outputs = inputs if same else self._draw(st.integers(1, 4))
        spread = self._at.spread * np.sqrt(inputs)
        transposed = not before and self._coin()
        weight = self._weight(*((outputs, inputs) if transposed else (inputs, outputs)), channel_axis=1 - transposed)
        changed: dict[str, Any] = {"shape": (*before, outputs), "spread": spread, "grid": None}
        changed["channel_axis"] = -1 if before else 0
        if transposed or (not before and self._coin()):
            bias = self._bias(outputs, spread)
            settled = not bias.startswith(", c")
            self._add(f"Gemm <transB={int(transposed)}> ({self._at.name}, {weight}{bias})", **changed, settled=settled)
        else:
            self._add(f"MatMul ({self._at.name}, {weight})", **changed, settled=True)

    def _conv(self, *, same: bool) -> None:
        channels, *axes = self._at.shape
        filters = channels if same else self._draw(st.integers(1, 4))
        groups = self._one_of([1, 1, channels, *(g for g in range(2, channels) if channels % g == 0)])
        filters = filters if filters % groups == 0 else groups
        kernels, strides, dilations, pads, sizes = [], [], [], [], []
        for size in axes:
            kernel = self._one_of([1, 3] if same else [k for k in (2, 1, 3) if k <= size])
            dilation = 2 if not same and 2 * (kernel - 1) < size and self._seldom() else 1
            reach = dilation * (kernel - 1) + 1
            pad = (kernel // 2, kernel // 2) if same else (self._draw(st.integers(0, 1)), self._draw(st.integers(0, 1)))
            stride = 2 if not same and self._seldom() else 1
            kernels.append(kernel)
            strides.append(stride)
            dilations.append(dilation)
            pads.append(pad)
            sizes.append((size + sum(pad) - reach) // stride + 1)
        spread = self._at.spread * np.sqrt(channels // groups * np.prod(kernels))
        weight = self._weight(filters, channels // groups, *kernels, channel_axis=0)
        bias = self._bias(filters, spread)
        settings = (
            f"strides={strides}, dilations={dilations}, group={groups}, pads={[p[i] for i in (0, 1) for p in pads]}"
        )
        self._add(
            f"Conv <{settings}> ({self._at.name}, {weight}{bias})",
            shape=(filters, *sizes),
            spread=spread,
            settled=not bias.startswith(", c"),
            grid=None,
            channel_axis=0,
        )

    def _pool(self) -> None:
        """Add a pool, or make the image larger."""
        channels, *axes = self._at.shape
        ones = [1] * len(axes)
        kinds = ["MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "GlobalMaxPool", "ReduceSum"]
        kinds += ["Resize"] if max(axes) < 7 else []
        kind = self._one_of(kinds)
        match kind:
            case "MaxPool" | "AveragePool":
                kernels = [self._one_of([k for k in (2, 1, 3) if k <= size]) for size in axes]
                strides = [self._one_of([1, 2]) for _ in axes]
                pad = kind == "AveragePool" and max(kernels) > 1 and self._seldom()
                pads = [int(pad and kernel > 1) for kernel in kernels] * 2
                more = f", pads={pads}, count_include_pad=1" if pad else ""
                sizes = [
                    (size + 2 * p - k) // s + 1 for size, k, s, p in zip(axes, kernels, strides, pads, strict=False)
                ]
                settled = self._at.settled and kind == "MaxPool"
                self._add(
                    f"{kind} <kernel_shape={kernels}, strides={strides}{more}> ({self._at.name})",
                    shape=(channels, *sizes),
                    settled=settled,
                    grid=self._at.grid if kind == "MaxPool" else None,
                )
            case "Resize":
                factors = [1.0, 1.0, *(float(self._one_of([2, 1, 3])) for _ in axes)]
                how = self._one_of(
                    [
                        'coordinate_transformation_mode="asymmetric", nearest_mode="floor"',
                        'coordinate_transformation_mode="half_pixel", nearest_mode="round_prefer_floor"',
                    ]
                )
                self._add(
                    f'Resize <mode="nearest", {how}> ({self._at.name}, {self._constant(np.zeros(0))}, '
                    f"{self._constant(np.array(factors))})",
                    shape=(channels, *(size * int(f) for size, f in zip(axes, factors[2:], strict=True))),
                )
            case "ReduceMean" | "ReduceSum":
                keep = self._coin()
                spread = self._at.spread * (np.prod(axes) ** 0.5 if kind == "ReduceSum" else 1.0)
                named = self._constant(np.arange(2, len(axes) + 2))
                self._add(
                    f"{kind} <keepdims={int(keep)}> ({self._at.name}, {named})",
                    shape=(channels, *ones) if keep else (channels,),
                    settled=False,
                    grid=None,
                    spread=spread,
                )
            case _:
                settled = self._at.settled and kind == "GlobalMaxPool"
                self._add(f"{kind} ({self._at.name})", shape=(channels, *ones), settled=settled, grid=None)

    def _reshaped(self) -> None:
        """Flatten, reshape or transpose, or not."""
        shape = self._at.shape
        if len(shape) == 1:
            if shape[0] % 4 == 0 and self._seldom():
                self._reshape((shape[0] // 4, 2, 2))
            return
        match self._one_of(["stay", "flatten", "stay", "transpose", "reshape", "squeeze"]):
            case "flatten":
                self._flatten()
            case "transpose":
                axes = self._one_of(TRANSPOSED[len(shape)])
                self._add(
                    f"Transpose <perm={list(axes)}> ({self._at.name})",
                    shape=tuple(shape[axis - 1] for axis in axes[1:]),
                )
                if self._coin():
                    self._flatten()
            case "reshape" if len(shape) == 3:
                self._reshape((shape[0], shape[1] * shape[2]))
            case "squeeze" if len(shape) == 3 and 1 in shape[1:]:
                axis = shape.index(1, 1)
                squeezed = (*shape[:axis], *shape[axis + 1 :])
                self._add(f"Squeeze ({self._at.name}, {self._constant(np.array([axis + 1]))})", shape=squeezed)

    def _reshape(self, shape: tuple[int, ...]) -> None:
        first = self._one_of([-1, 1, 0])
        self._add(f"Reshape ({self._at.name}, {self._constant(np.array([first, *shape]))})", shape=shape)

    def _flatten(self) -> None:
        size = int(np.prod(self._at.shape))
        if self._coin():
            self._reshape((size,))
        else:
            self._add(f"Flatten ({self._at.name})", shape=(size,))
