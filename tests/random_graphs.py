"""Random QONNX graphs, as any tool might write them."""

import re
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st
from networks import graph
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper
from random_graphs_drawing import Spot
from random_graphs_functions import Functions
from random_graphs_layers import Layers


class RandomGraph(Layers, Functions):
    """A QONNX graph of batch size one, as any tool might write it, drawn step by step.

    Attributes:
        input_shape: Of one input, without the batch axis.
    """

    def __init__(self, draw: st.DrawFn, *, power_of_two: bool, most_layers: int) -> None:
        super().__init__(draw, power_of_two=power_of_two)
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
