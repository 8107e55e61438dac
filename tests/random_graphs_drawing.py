"""What every part of a random QONNX graph draws with: nodes, constants and quantisers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from networks import GENERAL
from numpy.typing import NDArray

ROUNDINGS = ("ROUND", "FLOOR", "CEIL", "UP", "DOWN", "HALF_UP", "HALF_DOWN", "HALF_EVEN")


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


class Drawing:
    """A graph so far: its nodes and constants, and the tensor that it has come to.

    Args:
        draw: Of Hypothesis.
        power_of_two: Whether all scales are powers of two.
    """

    _at: Spot

    def __init__(self, draw: st.DrawFn, *, power_of_two: bool) -> None:
        self._draw, self._power_of_two = draw, power_of_two
        self._rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self._lines: list[str] = []
        self._constants: dict[str, Any] = {}

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
