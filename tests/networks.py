"""Graphs and programs that tests of `export` share."""

import re
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

from bitwright.export.interface import input_codes
from bitwright.export.lower import LoweredNetwork

GENERAL = "qonnx.custom_op.general"
SPELT_OUT = {
    "BipolarQuant": f"{GENERAL}.BipolarQuant",
    "NarrowQuant": f'{GENERAL}.Quant <signed=1, narrow=1, rounding_mode="ROUND">',
    "UnsignedQuant": f'{GENERAL}.Quant <signed=0, narrow=0, rounding_mode="ROUND">',
    "Quant": f'{GENERAL}.Quant <signed=1, narrow=0, rounding_mode="ROUND">',
}
NUMBERS = {"zero": 0.0, "one": 1.0, "half": 0.5, "two": 2.0, "three": 3.0, "four": 4.0, "eight": 8.0}


def graph(body: str, shape: tuple[int, ...], result: tuple[int, ...], **constants: Any) -> ModelWrapper:  # noqa: ANN401
    """Return a graph from ``x`` to ``y``.

    Args:
        body: Its nodes in ONNX's text, the quantisers by the short names above; a quantiser's inputs are the values,
            the scale, the zero point and the bit width.
        shape: Of the input, with the batch.
        result: Of the output, with the batch.
        constants: Initialisers, beside the `NUMBERS`.
    """
    body = re.sub(rf"(?<![\w.])({'|'.join(SPELT_OUT)}) ?\(", lambda found: f"{SPELT_OUT[found[1]]} (", body)
    ports = [f"float[{','.join(map(str, sizes))}]" for sizes in (shape, result)]
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 20, "{GENERAL}": 2]> g ({ports[0]} x) => ({ports[1]} y) {{ {body} }}'
    )
    used = {name for node in model.graph.node for name in node.input}
    values = {name: np.asarray(value) for name, value in ({**NUMBERS, **constants}).items() if name in used}
    for name, value in values.items():
        kind = np.int64 if value.dtype.kind == "i" and value.ndim == 1 and name.endswith("shape") else np.float32
        model.graph.initializer.append(numpy_helper.from_array(value.astype(kind), name))
    return ModelWrapper(model)


def executed(model: ModelWrapper, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the output that qonnx computes, of a graph of this very batch size."""
    shaped = ModelWrapper(model.model, make_deepcopy=True).transform(InferShapes())
    result = execute_onnx(shaped, {shaped.graph.input[0].name: values})
    return np.asarray(next(iter(result.values())))


def program_integers(network: LoweredNetwork, values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the program's output ``(N, values)`` for the network's float input."""
    return network.program(input_codes(network, values))


def score_integers(network: LoweredNetwork, outputs: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the integers behind the network's flat float output; fail where there is none."""
    line = network.output_line
    steps = (outputs.reshape(len(outputs), -1).astype(np.float64) - line.offset) / line.slope
    nearest = np.rint(steps)
    assert np.abs(steps - nearest).max() < 0.01
    return nearest.astype(np.int64)


BATCH = 12

BENT = ("Clip", "Erf", "HardSigmoid", "LeakyRelu", "PRelu", "Sigmoid", "Softsign", "Tanh", "ThresholdedRelu")
"""Functions that onnxruntime computes."""


class RandomGraph:
    """Layers, elementwise operations and quantisers, drawn one after the other, of which all can be lowered."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self._lines: list[str] = []
        self._constants: dict[str, Any] = {}
        self._shape: tuple[int, ...] = draw(st.sampled_from([(5,), (2, 5, 6), (3, 4, 4)]))
        self._input_shape = self._shape
        self._last = "x"
        self._quantize(uniform=True, bits=8)
        if len(self._shape) == 3 and self._coin():
            self._flatten()
        layers = draw(st.integers(1, 3))
        for layer in range(layers):
            self._layer(last=layer == layers - 1 and self._coin())
        if len(self._shape) == 3 and (self._shape[0] == 1 or self._shape[1:] == (1, 1)):
            self._flatten()
        if self._coin():
            self._elementwise(most=2, final=True)

    def _coin(self) -> bool:
        return self._draw(st.booleans())

    def _add(self, text: str) -> None:
        name = f"t{len(self._lines)}"
        self._lines.append(f"[n{len(self._lines)}] {name} = {text}")
        self._last = name

    def _constant(self, value: Any) -> str:  # noqa: ANN401
        name = f"c{len(self._constants)}" + ("shape" if np.asarray(value).dtype.kind == "i" else "")
        self._constants[name] = value
        return name

    def _powers_of_two(self, *shape: int) -> Any:  # noqa: ANN401
        return np.exp2(self._rng.integers(-3, 1, shape)).astype(np.float32)

    def _of_channels(self, values: Any) -> Any:  # noqa: ANN401
        """Return a constant a channel in one of the shapes that broadcast alike."""
        trailing = (1, 1) if len(self._shape) == 3 else ()
        return values.reshape((1, -1, *trailing) if self._coin() else (-1, *trailing))

    def _quantize(self, *, uniform: bool, bits: int = 6) -> None:
        kind = self._draw(st.sampled_from(["BipolarQuant", "Quant", "NarrowQuant", "UnsignedQuant"]))
        per_channel = not uniform and self._coin()
        scale = self._of_channels(self._powers_of_two(self._shape[0])) if per_channel else self._powers_of_two()
        width = self._draw(st.integers(2 if kind == "NarrowQuant" else 1, bits))
        rest = "" if kind == "BipolarQuant" else f", zero, {self._constant(float(width))}"
        self._add(f"{kind} ({self._last}, {self._constant(scale)}{rest})")

    def _weight(self, *shape: int, channel_axis: int) -> str:
        scale_shape = [1] * len(shape)
        scale_shape[channel_axis] = shape[channel_axis]
        scale = self._powers_of_two(*scale_shape) if self._coin() else self._powers_of_two()
        weight = self._constant(self._rng.normal(0, 2, shape).astype(np.float32))
        kind = self._draw(st.sampled_from(["BipolarQuant", "NarrowQuant", "Quant"]))
        rest = "" if kind == "BipolarQuant" else f", zero, {self._constant(float(self._draw(st.integers(2, 5))))}"
        data = self._last
        self._add(f"{kind} ({weight}, {self._constant(scale)}{rest})")
        name, self._last = self._last, data
        return name

    def _layer(self, *, last: bool) -> None:
        if len(self._shape) == 3 and self._coin():
            self._flatten()
            if self._coin():  # constants a value, in the order of the flattened image
                self._elementwise(most=2)
                self._quantize(uniform=False)
                self._elementwise(most=1)
                self._quantize(uniform=False)
        if len(self._shape) == 3:
            self._conv()
        else:
            self._dense()
        if len(self._shape) == 3 and self._coin():
            self._pool()
        if not last:
            self._elementwise(most=3)
            self._quantize(uniform=False)
            if len(self._shape) == 3 and self._coin():
                self._pool()

    def _conv(self) -> None:
        channels, height, width = self._shape
        filters, kernel = self._draw(st.integers(1, 3)), self._draw(st.sampled_from([(1, 1), (2, 1), (2, 2)]))
        kernel = (min(kernel[0], height), min(kernel[1], width))
        pads = self._draw(st.lists(st.integers(0, 1), min_size=4, max_size=4))
        strides = self._draw(st.sampled_from([(1, 1), (2, 1), (1, 2)]))
        weight = self._weight(filters, channels, *kernel, channel_axis=0)
        bias = f", {self._weight(filters, channel_axis=0)}" if self._coin() else ""
        self._add(f"Conv <strides=[{strides[0]}, {strides[1]}], pads={pads}> ({self._last}, {weight}{bias})")
        height, width = height + pads[0] + pads[2] - kernel[0], width + pads[1] + pads[3] - kernel[1]
        self._shape = (filters, height // strides[0] + 1, width // strides[1] + 1)

    def _dense(self) -> None:
        inputs, outputs = self._shape[0], self._draw(st.integers(1, 4))
        transposed = self._coin()
        shape = (outputs, inputs) if transposed else (inputs, outputs)
        weight = self._weight(*shape, channel_axis=0 if transposed else 1)
        if transposed or self._coin():
            bias = f", {self._weight(outputs, channel_axis=0)}" if self._coin() else ""
            self._add(f"Gemm <transB={int(transposed)}> ({self._last}, {weight}{bias})")
        else:
            self._add(f"MatMul ({self._last}, {weight})")
        self._shape = (outputs,)

    def _pool(self) -> None:
        channels, height, width = self._shape
        kernel = (min(2, height), min(2, width))
        self._add(f"MaxPool <kernel_shape=[{kernel[0]}, {kernel[1]}], strides=[2, 1]> ({self._last})")
        self._shape = (channels, (height - kernel[0]) // 2 + 1, width - kernel[1] + 1)

    def _flatten(self) -> None:
        size = int(np.prod(self._shape))
        shape = self._constant(np.array([-1, size]))
        self._add(f"Reshape ({self._last}, {shape})" if self._coin() else f"Flatten ({self._last})")
        self._shape = (size,)

    def _elementwise(self, *, most: int, final: bool = False) -> None:
        """Add operations by constants of either sign and zero; of a final one, the slope must not be 0."""
        kinds = ["Mul", "Div", "Add", "Sub", "RSub", "Quantised", "Norm"] + ([] if final else ["Relu", *BENT])
        for kind in self._draw(st.lists(st.sampled_from(kinds), max_size=most)):
            values = self._rng.normal(0, 2, self._shape[0] if self._coin() else 1).astype(np.float32)
            if kind not in ("Mul", "Div") or (kind == "Mul" and not final and self._coin()):
                values[0] = 0.0
            match kind:
                case "Relu":
                    self._add(f"Relu ({self._last})")
                case "Norm":
                    self._norm(final=final)
                case "PRelu":
                    slope = self._of_channels(np.abs(self._rng.normal(0, 1, self._shape[0])).astype(np.float32))
                    self._add(f"PRelu ({self._last}, {self._constant(slope)})")
                case "Clip":
                    self._add(f"Clip ({self._last}, {self._constant(-1.5)}, {self._constant(1.25)})")
                case _ if kind in BENT:
                    self._add(f"{kind} ({self._last})")
                case "Quantised" if len(self._shape) == 1:
                    self._add(f"Add ({self._last}, {self._weight(self._shape[0], channel_axis=0)})")
                case "Quantised":
                    pass
                case "RSub":
                    self._add(f"Sub ({self._constant(self._of_channels(values))}, {self._last})")
                case _:
                    self._add(f"{kind} ({self._last}, {self._constant(self._of_channels(values))})")

    def _norm(self, *, final: bool) -> None:
        """Add a batch normalisation with gammas of either sign and zero, and one tiny variance."""
        channels = self._shape[0]
        gamma, beta, mean = (self._rng.normal(0, 2, channels).astype(np.float32) for _ in range(3))
        variance = self._rng.uniform(0.1, 9, channels).astype(np.float32)
        variance[-1] = 1e-12
        if not final:
            gamma[0] = 0.0
        constants = ", ".join(self._constant(values) for values in (gamma, beta, mean, variance))
        self._add(f"BatchNormalization ({self._last}, {constants})")

    def model(self) -> ModelWrapper:
        """Return the graph, of `BATCH` inputs."""
        body = "\n".join([*self._lines, f"y = Identity ({self._last})"])
        return graph(body, (BATCH, *self._input_shape), (BATCH, *self._shape), **self._constants)

    def inputs(self) -> NDArray[np.float32]:
        """Return as many inputs, half of them on the grids and between."""
        values = self._rng.normal(0, 6, (BATCH, *self._input_shape))
        values[::2] = np.round(values[::2] * 8) / 16
        return values.astype(np.float32)


@st.composite
def random_graphs(draw: st.DrawFn) -> RandomGraph:
    """Draw a graph."""
    return RandomGraph(draw)
