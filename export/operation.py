"""What every operation of an integer program is: a named step from integers to integers, channels last.

Arrays have a leading batch axis: ``(N, F)`` or ``(N, H, W, C)``; shapes in the types are without it. All values are
integer codes; what a code is worth is said by its format, and what the network's own scale was, by the interface.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.quant.bipolar import Bipolar, Format

Integers = NDArray[np.int64]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Interval:
    """Smallest and largest code that a channel can take; arrays ``(C,)``, C the size of the last axis.

    >>> Interval(np.array([-2, 0]), np.array([3, 9])).ends
    (-2, 9)

    Args:
        lowest: Smallest code of each channel.
        highest: Largest code of each channel.
        stride: Only every so-many-th code from the smallest occurs: 2 for +1 and -1 and for their sums.
    """

    lowest: Integers
    highest: Integers
    stride: int = 1

    @property
    def ends(self) -> tuple[int, int]:
        """The interval of all channels together."""
        return int(self.lowest.min()), int(self.highest.max())

    @classmethod
    def of_format(cls, format: Format, channels: int) -> "Interval":  # noqa: A002 - the field's word
        """Return the whole range of a format."""
        lowest, highest = (np.full(channels, end, np.int64) for end in (format.lowest, format.highest))
        return cls(lowest, highest, stride=2 if isinstance(format, Bipolar) else 1)


@dataclass(frozen=True)
class Tensor:
    """Result of an operation.

    Args:
        shape: Without the batch axis, channels last.
        format: How its integers are kept.
        interval: What each channel can be: a proof, from the weights and the input's range.
    """

    shape: Shape
    format: Format
    interval: Interval


@dataclass(frozen=True, eq=False)
class Operation:
    """A named step from the results of other operations to one tensor.

    Args:
        name: Unique; also the layer's name in the C++ project.
    """

    name: str

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the operations whose results this one takes."""
        raise self._unknown()

    def result(self, sources: Sequence[Tensor]) -> Tensor:
        """Return the result's shape, format and interval, given the sources'."""
        raise self._unknown()

    def compute(self, codes: Sequence[Integers], formats: Sequence[Format]) -> Integers:
        """Compute the result's codes from the sources', which are of ``formats``."""
        raise self._unknown()

    def _unknown(self) -> TypeError:
        return TypeError(
            f"{self.name}: operation must be one of bitwright.export.operations, not {type(self).__name__}"
        )


@dataclass(frozen=True, eq=False)
class UnaryOperation(Operation):
    """An operation on one tensor.

    Args:
        source: Name of the operation whose result this one takes; empty for the input.
    """

    source: str

    @property
    def sources(self) -> tuple[str, ...]:
        """The source, if there is one."""
        return (self.source,) if self.source else ()

    def result(self, sources: Sequence[Tensor]) -> Tensor:
        """Put the three parts together."""
        (source,) = sources
        interval = self.result_interval(source.interval, source.shape)
        return Tensor(self.result_shape(source.shape), self.result_format(source.format, interval), interval)

    def compute(self, codes: Sequence[Integers], formats: Sequence[Format]) -> Integers:
        """Run on the one source."""
        return self.run(codes[0], formats[0])

    def result_shape(self, shape: Shape) -> Shape:
        """Return the shape of the result, without the batch axis."""
        return shape

    def result_interval(self, interval: Interval, shape: Shape) -> Interval:
        """Return what every channel of the result can be, given the source's interval and shape."""
        return interval

    def result_format(self, format: Format, interval: Interval) -> Format:  # noqa: A002
        """Return the format of the result, given the source's format and the result's interval."""
        return format

    def run(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Compute the result's codes from the source's, which are of ``format``."""
        raise self._unknown()


@dataclass(frozen=True, eq=False)
class Input(UnaryOperation):
    """The integers that the host sends."""

    shape: Shape
    format: Format

    def result(self, sources: Sequence[Tensor]) -> Tensor:
        """Return the port: every code of its format."""
        return Tensor(self.shape, self.format, Interval.of_format(self.format, self.shape[-1]))

    def run(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Return the codes as they are."""
        return codes
