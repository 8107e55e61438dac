"""From values seen to the grid that quantises them: the methods of post-training calibration.

`observer(method)` makes an `Observer`. It is shown batches by `update` and asked for a `UniformGrid` by `grid`, as
often as there are bit widths to try. `min_max`, `percentile`, `mse` and `entropy` depend only on which values were
seen, not on their order or batches; `moving_average` depends on both.

Source of the methods: Nagel et al., A White Paper on Neural Network Quantization, arXiv:2106.08295, section 3.1
(min-max, mean squared error); McKinstry et al., arXiv:1809.04191 (percentile); Jacob et al., arXiv:1712.05877, section
3.1 (moving average); Migacz, 8-bit Inference with TensorRT, GTC 2017 (entropy).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitwright.calibration import uniform
from bitwright.calibration.histogram import Distribution, Histogram, by_channel
from bitwright.calibration.uniform import UniformGrid

Method = Literal["min_max", "moving_average", "percentile", "mse", "entropy"]

OCTAVES = 8
"""Powers of two that the methods `mse` and `entropy` try, from that of `min_max` downwards. The range of the last is a
128th of what was seen, of which a histogram's bins hold but sixteen."""

SCALES_PER_OCTAVE = 16
"""Scales tried between one power of two and the next, where a scale is free."""

ZERO_POINTS = 17
"""Zero points tried of each scale, where they are free."""


class Observer(Protocol):
    """Sees the values of a tensor, and then says how to quantise it."""

    def update(self, values: ArrayLike) -> None:
        """See further values, of any shape with the channels along the observer's axis.

        Raises:
            ValueError: If a value is not finite, or the channels are not as many as before; nothing is kept then.
        """
        ...

    def grid(
        self,
        bit_width: int,
        *,
        signed: bool | None = None,
        symmetric: bool = True,
        power_of_two: bool = True,
        narrow_range: bool = False,
    ) -> UniformGrid:
        """Return the grid for what was seen; with an axis, the scales and zero points of its channels.

        Args:
            bit_width: Bits of a code, 2 to 32.
            signed: Whether the codes are two's complement. If none: of a symmetric grid, whether a negative value was
                seen in any channel; of an asymmetric one, not. A symmetric unsigned grid makes negative values zero.
            symmetric: Whether the zero point is 0.
            power_of_two: Whether the scales are powers of two.
            narrow_range: Whether the most negative code is left out.

        Raises:
            ValueError: If nothing was seen, or the bit width is out of range.
        """
        ...


def observer(method: Method, *, axis: int | None = None, percentile: float = 99.99, momentum: float = 0.1) -> Observer:
    """Return an observer that has not seen anything.

    Args:
        method: ``min_max`` holds all values. ``moving_average`` holds the exponential average of the extremes of the
            batches. ``percentile`` leaves the greatest magnitudes out, or of an asymmetric grid both tails. ``mse``
            has the least expected squared error. ``entropy`` loses the least information, as a divergence.
        axis: Axis of the channels, if each is to have a scale of its own.
        percentile: Of ``percentile``, how many of 100 values lie within the range; above 50, at most 100.
        momentum: Of ``moving_average``, the share of a new batch; above 0, at most 1.

    Raises:
        ValueError: If the method is unknown, or a number is out of range.

    >>> seen = observer("min_max")
    >>> seen.update([0.0, 0.25, 0.9])
    >>> grid = seen.grid(8)
    >>> grid.scale == 2**-8, grid.signed
    (True, False)
    """
    if method not in get_args(Method):
        raise ValueError(f"observer: method must be one of {get_args(Method)}, not {method!r}")
    if not 50 < percentile <= 100:
        raise ValueError(f"observer: percentile must be above 50 and at most 100, not {percentile!r}")
    if not 0 < momentum <= 1:
        raise ValueError(f"observer: momentum must be above 0 and at most 1, not {momentum!r}")
    match method:
        case "min_max":
            return ExtremesObserver(method, axis)
        case "moving_average":
            return ExtremesObserver(method, axis, momentum)
        case "percentile" | "mse" | "entropy":
            return HistogramObserver(method, Histogram(axis), percentile)


@dataclass
class ExtremesObserver:
    """Keeps the least and the greatest value of each channel: over all batches, or an average of the batches'.

    Args:
        method: For messages.
        axis: Axis of the channels, if there are any.
        momentum: The share of a new batch in the average, whose start is the first batch; if none, the extremes are
            those of all values.
    """

    method: Method
    axis: int | None = None
    momentum: float | None = None
    _extremes: tuple[NDArray[np.float64], NDArray[np.float64]] | None = field(default=None, init=False)

    def update(self, values: ArrayLike) -> None:
        """See further values (`Observer.update`)."""
        rows = by_channel(values, self.axis, channels=None if self._extremes is None else len(self._extremes[0]))
        if not rows.size:
            return
        low, high = rows.min(axis=1), rows.max(axis=1)
        if self._extremes is not None:
            before_low, before_high = self._extremes
            if self.momentum is None:
                low, high = np.minimum(before_low, low), np.maximum(before_high, high)
            else:
                low = (1 - self.momentum) * before_low + self.momentum * low
                high = (1 - self.momentum) * before_high + self.momentum * high
        self._extremes = low, high

    def grid(
        self,
        bit_width: int,
        *,
        signed: bool | None = None,
        symmetric: bool = True,
        power_of_two: bool = True,
        narrow_range: bool = False,
    ) -> UniformGrid:
        """Return the grid that holds the range (`Observer.grid`)."""
        if self._extremes is None:
            raise _nothing_seen(self.method)
        low, high = self._extremes
        kind = _Kind(bit_width, _signed(signed, symmetric, low), symmetric, power_of_two, narrow_range)
        return kind.holding(low, high, self.axis)


@dataclass
class HistogramObserver:
    """Keeps a histogram and chooses the range that its method prefers.

    Args:
        method: ``percentile``, ``mse`` or ``entropy``.
        histogram: What was seen so far. Several observers may share it; then one of them is shown the values.
        percentile: Of ``percentile``, how many of 100 values lie within the range.
    """

    method: Literal["percentile", "mse", "entropy"]
    histogram: Histogram
    percentile: float = 99.99

    def update(self, values: ArrayLike) -> None:
        """See further values (`Observer.update`)."""
        self.histogram.update(values)

    def grid(
        self,
        bit_width: int,
        *,
        signed: bool | None = None,
        symmetric: bool = True,
        power_of_two: bool = True,
        narrow_range: bool = False,
    ) -> UniformGrid:
        """Return the grid that the method prefers (`Observer.grid`)."""
        seen = self.histogram.distributions()
        if not seen:
            raise _nothing_seen(self.method)
        is_signed = _signed(signed, symmetric, np.array([each.minimum for each in seen]))
        kind = _Kind(bit_width, is_signed, symmetric, power_of_two, narrow_range)
        match self.method:
            case "percentile":
                ranges = np.array([_within_percentile(each, self.percentile, kind) for each in seen])
                return kind.holding(ranges[:, 0], ranges[:, 1], self.histogram.axis)
            case "mse":
                grids = [_least(expected_squared_error, each, kind) for each in seen]
            case "entropy":
                grids = [_least(divergence, each, kind) for each in seen]
        if self.histogram.axis is None:
            return grids[0]
        scales, zero_points = np.array([grid.scale for grid in grids]), np.array([grid.zero_point for grid in grids])
        return replace(grids[0], scale=scales, zero_point=zero_points, axis=self.histogram.axis)


def expected_squared_error(seen: Distribution, grid: UniformGrid) -> float:
    """Return the mean squared error of quantising, were the values of each bin spread evenly over it.

    The error of a value is its distance to the grid, which changes by no more than the value does. So the root of this
    mean is at most ``width / sqrt(3)`` from that of the values themselves: the root mean square of a bin's even spread
    about an edge of it. Zeros have no error, as every grid holds zero.

    Args:
        seen: The values.
        grid: Of one scale.

    Returns:
        The error in the square of the bins' width.

    >>> seen = Histogram()
    >>> seen.update(np.linspace(0, 1, 10001))
    >>> (of_one,) = seen.distributions()
    >>> grid = UniformGrid(0.125, 0, 4, signed=False)
    >>> round(expected_squared_error(of_one, grid) * of_one.width**2 / grid.scale**2, 4) == round(1 / 12, 4)
    True
    """
    # In widths of a bin. Beyond these bounds a grid is to the bins nothing but zero, and the numbers would overflow
    step = min(max(float(grid.scale) / seen.width, 2.0**-1000), 2.0**60)
    edges = np.arange(-(len(seen.counts) // 2), len(seen.counts) // 2 + 1)
    codes = np.clip(np.rint(edges / step), grid.lowest - grid.zero_point, grid.highest - grid.zero_point)
    distance = edges - codes * step
    # The integral of the squared distance to the grid: of every whole step step**3 / 12, and the rest of this one
    integral = codes * (step**3 / 12) + distance * distance * distance / 3
    return float(seen.counts @ np.diff(integral)) / seen.count


def divergence(seen: Distribution, grid: UniformGrid) -> float:
    """Return the Kullback-Leibler divergence of the distribution after quantising from that before, in nats.

    The reference P has the bins within the grid's range, and what lies beyond it in the outermost of them. The
    candidate Q has the bins within the range alone; what falls on one code is spread evenly over those of the code's
    bins that are not empty in P. Where that is nothing, but P has values from beyond, it is taken for one value: the
    divergence would be infinite, however few they are. Zeros are left out: they are what they are on every grid.

    Args:
        seen: The values.
        grid: Of one scale.

    Returns:
        The divergence; 0 if there is nothing but zeros, infinite if the grid is finer than the bins, which then tell
        nothing of it.

    Source: Migacz, 8-bit Inference with TensorRT, GTC 2017. TensorRT's is of the magnitudes, and its codes' bins begin
    where the code lies; here they are those that round to the code, of both signs.

    >>> seen = Histogram()
    >>> seen.update([1.0, 2.0, 2.0, 3.0])
    >>> round(divergence(seen.distributions()[0], UniformGrid(2.0, 0, 2, signed=False)), 4)
    0.0425
    """
    if not seen.counts.any():
        return 0.0
    if float(grid.scale) < seen.width:
        return np.inf
    lowest, highest = (code - int(np.asarray(grid.zero_point)) for code in (grid.lowest, grid.highest))
    side = len(seen.counts) // 2
    codes = np.rint((np.arange(-side, side) + 0.5) * (seen.width / float(grid.scale)))  # ascending
    first, end = codes.searchsorted(lowest), codes.searchsorted(highest, side="right")
    inside = seen.counts[first:end]
    reference = inside.copy()
    reference[0] += seen.counts[:first].sum()
    reference[-1] += seen.counts[end:].sum()
    filled = reference > 0
    _, code = np.unique(codes[first:end], return_inverse=True)
    share = np.maximum(np.bincount(code, inside), 1) / np.maximum(np.bincount(code, filled), 1)  # shape (codes,)
    candidate = share[code][filled]
    p, q = reference[filled] / reference.sum(), candidate / candidate.sum()
    return float(np.sum(p * np.log(p / q)))


@dataclass(frozen=True)
class _Kind:
    """What a grid must be, but for its range."""

    bit_width: int
    signed: bool
    symmetric: bool
    power_of_two: bool
    narrow_range: bool

    def holding(self, lowest: ArrayLike, highest: ArrayLike, axis: int | None) -> UniformGrid:
        """Return the finest grid of the kind that holds a range; of one channel without an axis, a single scale."""
        if axis is None:
            lowest, highest = np.asarray(lowest).item(), np.asarray(highest).item()
        make = uniform.symmetric if self.symmetric else uniform.asymmetric
        return make(
            lowest,
            highest,
            self.bit_width,
            signed=self.signed,
            power_of_two=self.power_of_two,
            narrow_range=self.narrow_range,
            axis=axis,
        )

    def candidates(self, lowest: float, highest: float) -> Iterator[UniformGrid]:
        """Return grids with ever smaller scales, the finest that holds a range first."""
        widest = self.holding(lowest, highest, None)
        yield widest
        if lowest == highest == 0:
            return
        part = 1 if self.power_of_two else SCALES_PER_OCTAVE
        for smaller in range(1, (OCTAVES - 1) * part + 1):
            scale = float(widest.scale) * 2.0 ** (-smaller / part)
            for zero_point in self._zero_points(widest, max(0.0, -lowest) / scale, max(0.0, highest) / scale):
                yield replace(widest, scale=scale, zero_point=zero_point)

    def _zero_points(self, grid: UniformGrid, below: float, above: float) -> list[int]:
        """Return zero points of which none leaves a code beyond the range, which is given in steps from zero."""
        if self.symmetric:
            return [0]
        steps = grid.highest - grid.lowest
        least, most = max(0, steps - int(np.ceil(above))), min(steps, int(np.ceil(below)))
        return sorted({grid.lowest + round(each) for each in np.linspace(min(least, most), most, ZERO_POINTS).tolist()})


def _least(loss: Callable[[Distribution, UniformGrid], float], seen: Distribution, kind: _Kind) -> UniformGrid:
    """Return the candidate with the least loss, of equal ones the widest."""
    if kind.symmetric and not kind.signed:
        seen = seen.rectified()  # that much is lost on every candidate
    grids = list(kind.candidates(seen.minimum, seen.maximum))
    losses = np.array([loss(seen, grid) for grid in grids])
    as_good = losses <= losses.min() * (1 + 1e-9)  # what differs by rounding alone is equal
    return grids[int(np.flatnonzero(as_good)[0])]


def _within_percentile(seen: Distribution, percent: float, kind: _Kind) -> tuple[float, float]:
    """Return the range that holds so many of 100 values: of the magnitudes, or of an asymmetric grid up to each end."""
    if kind.symmetric and kind.signed:
        magnitude = seen.percentile_of_magnitudes(percent)
        return max(-magnitude, seen.minimum), min(magnitude, seen.maximum)
    return min(0.0, -seen.mirrored().percentile(percent)), max(0.0, seen.percentile(percent))


def _signed(signed: bool | None, symmetric: bool, minimum: NDArray[np.float64]) -> bool:
    return bool(symmetric and (minimum < 0).any()) if signed is None else signed


def _nothing_seen(method: Method) -> ValueError:
    return ValueError(f"{method}: data must have been seen, not none; call update with at least one value")
