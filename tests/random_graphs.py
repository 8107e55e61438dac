"""Random QONNX graphs, as any tool might write them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from networks import GENERAL, graph
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper

ROUNDINGS = ("ROUND", "FLOOR", "CEIL", "UP", "DOWN", "HALF_UP", "HALF_DOWN", "HALF_EVEN")

BENT = ("Clip", "Erf", "HardSigmoid", "LeakyRelu", "PRelu", "Sigmoid", "Softsign", "Tanh", "ThresholdedRelu")
"""Functions that onnxruntime computes; up to the last bit they rise."""

UNSTEADY = ("Abs", "Ceil", "Floor", "Neg", "Round", "Sign", "Elu", "HardSwish", "Mish", "Softplus")
"""Functions that fall, rise and fall, or are rounded by position."""

TRANSPOSED = {2: ((0, 2, 1),), 3: ((0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2), (0, 3, 2, 1))}


@dataclass(frozen=True)
class Spot:
    """A tensor of the graph.

    Args:
        name: In the graph.
        shape: Without the batch.
        spread: About the deviation of its values.
        settled: Whether nothing waits for a quantiser.
        grid: Scale, zero point, bits and sign of the quantiser that it comes from, if the scale is one number.
        channel_axis: Along which the layer before has its outputs, not counting the batch.
    """

    name: str
    shape: tuple[int, ...]
    spread: float
    settled: bool = True
    grid: tuple[float, float, int, bool] | None = None
    channel_axis: int = 0

    @property
    def channels(self) -> int:
        """Outputs of the layer before."""
        return self.shape[self.channel_axis]


class RandomGraph:
    """A QONNX graph of batch size one, as any tool might write it, drawn step by step.

    Attributes:
        input_shape: Of one input, without the batch axis.
    """

    def __init__(self, draw: st.DrawFn, *, power_of_two: bool, most_layers: int) -> None:
        self._draw, self._power_of_two = draw, power_of_two
        self._rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self._lines: list[str] = []
        self._constants: dict[str, Any] = {}
        self.input_shape: tuple[int, ...] = draw(
            st.sampled_from([(5,), (6,), (2, 5, 6), (3, 4, 4), (4, 5, 3), (1, 6, 5), (2, 9), (4, 7)])
        )
        self._spread = draw(st.sampled_from([1.0, 8.0, 0.1]))
        self._at = Spot("x", self.input_shape, self._spread)
        if self._seldom():
            self._on_host()
        self._hosted = self._at.name != "x"
        self._quantize(first=True)
        layers = draw(st.integers(1, most_layers))
        for layer in range(layers):
            self._layer(last=layer == layers - 1)
        self._end()

    def __repr__(self) -> str:
        shown = [re.sub(r"qonnx\.custom_op\.general\.|\[n\d+\] ", "", line) for line in self._lines]
        constants = {n: np.asarray(v).tolist() for n, v in self._constants.items() if np.asarray(v).size <= 4}
        return f"{self.input_shape}: {'; '.join(shown)}; {constants}"

    def model(self) -> ModelWrapper:
        """Return the graph."""
        body = "\n".join([*self._lines, f"y = Identity ({self._at.name})"])
        return graph(body, (1, *self.input_shape), (1, *self._at.shape), **self._constants)

    def inputs(self, count: int) -> NDArray[np.float32]:
        """Return inputs ``(count, ...)``, half of them on the input quantiser's grid and midway between."""
        rng = np.random.default_rng(count)
        values = rng.normal(0, 1.5 * self._spread, (count, *self.input_shape))
        if not self._hosted:
            half = np.asarray(self._input_scale, np.float64) / 2
            values[::2] = np.rint(values[::2] / half) * half
        return values.astype(np.float32)

    # What is drawn

    def _coin(self) -> bool:
        return self._draw(st.booleans())

    def _seldom(self) -> bool:
        return self._draw(st.integers(0, 3)) == 3

    def _one_of(self, options: Sequence[Any]) -> Any:  # noqa: ANN401
        return self._draw(st.sampled_from(options))

    def _add(self, text: str, **changed: Any) -> None:  # noqa: ANN401
        """Add a node; the tensor is as before but for what changed."""
        name = f"t{len(self._lines)}"
        self._lines.append(f"[n{len(self._lines)}] {name} = {text}")
        self._at = replace(self._at, name=name, **changed)

    def _constant(self, value: Any) -> str:  # noqa: ANN401
        name = f"c{len(self._constants)}" + ("shape" if np.asarray(value).dtype.kind == "i" else "")
        self._constants[name] = value
        return name

    def _normal(self, size: float, *shape: int) -> NDArray[np.float32]:
        return self._rng.normal(0, size, shape).astype(np.float32)

    def _scales(self, size: float, *shape: int) -> NDArray[np.float32]:
        """Return scales of about a size."""
        if self._power_of_two or self._seldom():
            exponents = np.rint(np.log2(size)) + self._rng.integers(-1, 2, shape)
            return np.asarray(np.exp2(exponents), np.float32)
        return np.asarray(size * self._rng.uniform(0.6, 1.7, shape), np.float32)

    def _of_channels(self, values: Any) -> Any:  # noqa: ANN401
        """Return a constant a channel in one of the shapes that broadcast alike."""
        trailing = [1] * (len(self._at.shape) - 1 if self._at.channel_axis == 0 else 0)
        return values.reshape((1, -1, *trailing) if self._coin() else (-1, *trailing))

    # Quantisers

    def _quantize(self, *, first: bool = False) -> None:
        kind = self._one_of(["Quant", "UnsignedQuant", "NarrowQuant", "BipolarQuant"])
        channels = self._at.channels
        per_channel = channels > 1 and self._seldom()
        if kind == "BipolarQuant":
            scale = self._scales(self._one_of([1.0, self._at.spread]), *([channels] if per_channel else []))
            bits, rest, zero, signed = 1, "", 0.0, True
        else:
            signed = kind != "UnsignedQuant"
            bits = self._draw(st.integers(9, 12) if self._seldom() else st.integers(2, 8))
            size = 4 * self._at.spread / 2**bits
            scale = self._scales(size, *([channels] if per_channel else []))
            zero = float(self._draw(st.integers(-3, 2**bits))) if self._seldom() else 0.0
            rest = f", {self._constant(zero)}, {self._constant(float(bits))}"
        if first:
            self._input_scale = scale.reshape(-1, *[1] * (len(self._at.shape) - 1)) if per_channel else scale
        operator = kind if kind == "BipolarQuant" else self._quant(kind, signed=signed)
        named = self._constant(self._of_channels(scale) if per_channel else scale)
        largest = float(scale.max()) * 2 ** max(bits - 1, 0)
        grid = None if per_channel or kind == "BipolarQuant" else (float(scale), zero, bits, signed)
        spread = min(self._at.spread, largest)
        self._add(f"{operator} ({self._at.name}, {named}{rest})", spread=spread, settled=True, grid=grid)

    def _quant(self, kind: str, *, signed: bool) -> str:
        rounding = self._one_of(ROUNDINGS) if self._seldom() else "ROUND"
        narrow = int(kind == "NarrowQuant")
        return f'{GENERAL}.Quant <signed={int(signed)}, narrow={narrow}, rounding_mode="{rounding}">'

    def _trunc(self) -> None:
        """Cut bits off a tensor on one grid."""
        assert self._at.grid is not None
        scale, zero, bits, signed = self._at.grid
        cut = self._draw(st.integers(0, min(3, bits - 1)))
        if zero % 2**cut:
            return
        width = max(2, bits - self._draw(st.integers(0, cut)))
        numbers = [scale, zero, float(bits), scale * 2**cut, float(width)]
        rounding = self._one_of(["FLOOR", "ROUND", "CEIL"])
        operator = f'{GENERAL}.Trunc <signed={int(signed)}, narrow=0, rounding_mode="{rounding}">'
        constants = ", ".join(map(self._constant, numbers))
        after = (scale * 2.0**cut, zero / 2**cut, width, signed)
        self._add(f"{operator} ({self._at.name}, {constants})", settled=True, grid=after)

    def _weight(self, *shape: int, channel_axis: int, size: float = 1.0) -> str:
        scale_shape = [1] * len(shape)
        scale_shape[channel_axis] = shape[channel_axis]
        kind = self._one_of(["NarrowQuant", "Quant", "BipolarQuant"])
        bits = 1 if kind == "BipolarQuant" else self._draw(st.integers(2, 5))
        scale = self._scales(size * 4 / 2**bits, *(scale_shape if self._coin() else []))
        weight = self._constant(self._normal(size, *shape))
        zero = float(self._draw(st.integers(-1, 2))) if bits > 1 and self._seldom() else 0.0
        rest = "" if bits == 1 else f", {self._constant(zero)}, {self._constant(float(bits))}"
        before = self._at
        operator = kind if bits == 1 else self._quant(kind, signed=True)
        self._add(f"{operator} ({weight}, {self._constant(scale)}{rest})")
        name, self._at = self._at.name, before
        return name

    # Layers

    def _layer(self, *, last: bool) -> None:
        """Add a layer with what may stand around it."""
        if not last and self._seldom():
            self._join()
            return
        self._reshaped()
        if self._seldom() and self._at.grid is not None:
            self._trunc()
        self._weighted()
        if last and self._coin():
            return
        if len(self._at.shape) > 1 and self._at.settled and self._seldom():
            self._pool()
        self._elementwise()
        self._quantize()
        if self._seldom():
            if self._coin():
                self._elementwise()
            self._quantize()
        if len(self._at.shape) > 1 and self._coin():
            self._pool()
            if not self._at.settled:
                self._quantize()

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

    # Two branches

    def _join(self) -> None:
        """Add, multiply or put side by side two branches of one tensor."""
        trunk = self._at
        how = self._one_of(["Add", "Concat", "Sub", "Mul"])
        self._weighted(same=True)
        if self._coin() or not self._at.settled:
            self._quantize()
        left, self._at = self._at, trunk
        match self._one_of(["as it is", "quantised", "layer"]):
            case "quantised":
                self._quantize()
            case "layer":
                self._weighted(same=True)
                if self._coin() or not self._at.settled:
                    self._quantize()
        right = self._at
        sides = [left, right] if self._coin() else [right, left]
        names = ", ".join(side.name for side in sides)
        spread = max(left.spread, right.spread)
        if how == "Concat":
            shape = (left.shape[0] + right.shape[0], *left.shape[1:])
            self._add(f"Concat <axis=1> ({names})", shape=shape, spread=spread, grid=None, settled=True)
            if self._seldom():
                return
        else:
            wider = left.spread * right.spread if how == "Mul" else spread * 1.4
            self._add(f"{how} ({names})", spread=wider, grid=None, settled=False)
            if self._seldom():
                self._elementwise()
        self._quantize()

    # Functions of one value

    def _elementwise(self, *, final: bool = False) -> None:
        """Add operations by constants of either sign and zero; of a final one, the slope must not be 0."""
        lines = ["Mul", "Div", "Add", "Sub", "RSub", "Norm"]
        kinds = lines if final else ["Relu", *lines, *BENT, *UNSTEADY, "Quantised", "Twice"]
        for kind in self._draw(st.lists(st.sampled_from(kinds), max_size=2)):
            self._function(kind, final=final)

    def _function(self, kind: str, *, final: bool) -> None:
        channels, spread = self._at.channels, self._at.spread
        per_channel = self._coin() if kind in ("Mul", "Div", "Add", "Sub", "RSub", "PRelu") else False
        values = self._normal(1.5 if kind in ("Mul", "Div") else spread, channels if per_channel else 1)
        if kind == "Mul" and not final and self._seldom():
            values[0] = 0.0
        if kind in ("Mul", "Div"):
            values = np.where(np.abs(values) < 0.25, values + np.float32(0.5), values) * (values != 0)
            values[values == 0] = 0.0 if kind == "Mul" and not final else 1.0
        constant = self._of_channels(values) if per_channel else values
        match kind:
            case "Norm":
                if self._at.channel_axis == 0:
                    self._norm(final=final)
            case "PRelu":
                self._add(f"PRelu ({self._at.name}, {self._constant(np.abs(constant))})", settled=False)
            case "Clip":
                ends = self._constant(-spread), self._constant(1.2 * spread)
                self._add(f"Clip ({self._at.name}, {ends[0]}, {ends[1]})", settled=False)
            case "Quantised":
                if len(self._at.shape) == 1:
                    weight = self._weight(channels, channel_axis=0, size=spread)
                    self._add(f"Add ({self._at.name}, {weight})", settled=False)
            case "Twice":
                before = self._at.name
                self._add(f"{self._one_of(['Sigmoid', 'Relu', 'Abs'])} ({before})", settled=False)
                self._add(f"{self._one_of(['Mul', 'Add', 'Sub'])} ({before}, {self._at.name})", settled=False)
            case "RSub":
                self._add(f"Sub ({self._constant(constant)}, {self._at.name})", settled=False)
            case "Mul" | "Div" | "Add" | "Sub":
                sides = [self._at.name, self._constant(constant)]
                sides = sides if kind in ("Div", "Sub") or self._coin() else sides[::-1]
                self._add(f"{kind} ({', '.join(sides)})", settled=False)
            case _:
                self._add(f"{kind} ({self._at.name})", settled=False)
        small = {"Sigmoid": 0.3, "HardSigmoid": 0.3, "Tanh": 0.7, "Erf": 0.7, "Softsign": 0.7, "Sign": 1.0, "Norm": 1.0}
        self._at = replace(self._at, spread=small.get(kind, self._at.spread), grid=None)

    def _norm(self, *, final: bool) -> None:
        """Add a batch normalisation with gammas of either sign and zero, and one tiny variance."""
        channels, spread = self._at.shape[0], self._at.spread
        gamma, beta, mean = self._normal(1.0, channels), self._normal(1.0, channels), self._normal(spread, channels)
        variance = (self._rng.uniform(0.1, 4, channels) * spread**2).astype(np.float32)
        if self._seldom():
            variance[-1] = 1e-12
        if not final and self._seldom():
            gamma[0] = 0.0
        constants = ", ".join(self._constant(values) for values in (gamma, beta, mean, variance))
        self._add(f"BatchNormalization ({self._at.name}, {constants})", settled=False)

    # Ends

    def _on_host(self) -> None:
        """Put steps before the first quantiser."""
        for kind in self._draw(
            st.lists(st.sampled_from(["Div", "Sub", "Mul", "Add", "Transpose", "Relu", "Tanh"]), min_size=1, max_size=3)
        ):
            if kind == "Transpose":
                if len(self._at.shape) == 3:
                    shape = self._at.shape
                    self._add(f"Transpose <perm=[0, 3, 1, 2]> ({self._at.name})", shape=(shape[2], *shape[:2]))
            else:
                self._function(kind, final=True)
        self._at = replace(self._at, settled=True)

    def _end(self) -> None:
        if len(self._at.shape) > 1 and self._coin():
            self._flatten()
        if self._seldom() and not self._power_of_two:
            self._elementwise(final=True)
        if len(self._at.shape) == 1 and self._seldom():
            self._add(f"Softmax ({self._at.name})")


@st.composite
def random_graphs(draw: st.DrawFn, *, power_of_two: bool = False, most_layers: int = 4) -> RandomGraph:
    """Draw a graph.

    Args:
        draw: Of Hypothesis.
        power_of_two: Whether all scales are powers of two, and biases quantised.
        most_layers: Layers with weights in a row; a join of two branches counts as one.
    """
    return RandomGraph(draw, power_of_two=power_of_two, most_layers=most_layers)
