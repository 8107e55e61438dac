"""What an activation is computed from: integers that are worth something, and float32 operations on them."""

from dataclasses import dataclass, field, replace

import numpy as np

from bitwright.export.elementwise import Floats, Step, after, alone, line_after
from bitwright.export.kernel import SMOOTH
from bitwright.export.line import Doubles, Line
from bitwright.export.operation import Integers, Interval
from bitwright.quant.bipolar import Format

UNIT_ROUNDOFF = 2.0**-24
"""Of float32: the largest relative error of one operation."""


@dataclass(frozen=True, eq=False)
class Accumulator:
    """What an activation is computed from: ``steps((code - zero_point) * scale)``.

    Where every product and sum is exact in float32 (powers of two below 2**24), that is what the network computes.
    Where it is not, the network's own sum depends on the order of adding; it lies within ``noise`` of the exact one.

    Args:
        operation: Name of the operation that gives it.
        format: Of its codes.
        interval: That its codes cannot leave, a channel.
        scale: Worth of one code, float64: ``()`` or ``(C,)``.
        steps: Elementwise operations between it and the quantiser, in order.
        zero_point: Code of zero.
        noise: How far float32 sums may lie from the exact value, float64: ``()`` or ``(C,)``.
        fine: Whether the steps are evaluated in float64, as the network means them, instead of in float32, as it
            computes them.
    """

    operation: str
    format: Format
    interval: Interval
    scale: Doubles
    steps: tuple[Step, ...]
    zero_point: int = 0
    noise: Doubles = field(default_factory=lambda: np.zeros(()))
    fine: bool = False

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.interval.lowest)

    @property
    def monotone(self) -> bool:
        """Whether every step keeps the order of its values in float32 too."""
        return all(step.monotone or (self.fine and step.kind in SMOOTH) for step in self.steps)

    @property
    def is_uniform(self) -> bool:
        """Whether every channel has the same function."""
        return bool((self.scale == self.scale.flat[0]).all()) and all(step.uniform for step in self.steps)

    @property
    def values_to_try(self) -> int:
        """Codes that can occur, over all channels that have functions of their own."""
        lowest, highest = self.interval.ends
        return (highest - lowest + 1) * (1 if self.is_uniform else self.channels)

    def hull(self) -> "Accumulator":
        """Return one channel that has the codes of all and the greatest noise, where all have the same function."""
        lowest, highest = self.interval.ends
        stride = self.interval.stride if not ((self.interval.lowest - lowest) % self.interval.stride).any() else 1
        interval = Interval(np.array([lowest]), np.array([highest]), stride)
        scale, noise = np.asarray(self.scale.flat[0]), np.asarray(self.noise.max())
        return replace(self, interval=interval, scale=scale, noise=noise)

    def values(self, codes: Integers, off: float = 0.0, *, at_the_end: bool = False) -> Floats:
        """Return what the network computes before its quantiser.

        Args:
            codes: ``(V, 1)`` or ``(V, C)``.
            off: Share of the noise that is added to the exact sums.
            at_the_end: Whether as onnxruntime computes it at the end of a tensor.

        Returns:
            ``(V, C)``, float32; float64 where it is ``fine``.

        Raises:
            ValueError: If a value is no number.
        """
        exact: Doubles = np.asarray(codes - self.zero_point, np.float64) * self.scale
        exact = np.broadcast_to(exact, (len(codes), self.channels))
        if off:
            exact = exact + off * self.noise
        steps = (alone(self.steps) if at_the_end else None) or self.steps
        with np.errstate(over="ignore", invalid="ignore"):  # infinity saturates; what is no number is refused
            values: Floats = after(np.asarray(exact, np.float64 if self.fine else np.float32), steps)
        if np.isnan(values).any():
            raise ValueError("values must be numbers, not NaN; train again, a batch norm may have overflowed")
        return values

    @property
    def is_positional(self) -> bool:
        """Whether the last bit of a value may depend on where in its tensor it stands."""
        return alone(self.steps) is not None

    def line(self) -> Line:
        """Return the same without rounding, from code to value."""
        slope = np.broadcast_to(self.scale, (self.channels,)).astype(np.float64)
        return line_after(Line(slope, -self.zero_point * slope), self.steps)
