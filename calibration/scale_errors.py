"""The error of a layer's weights under one scale or one a channel, of any value or a power of two. Imports no torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.calibration.observers import Method, observer
from bitwright.calibration.uniform import signal_to_noise_db, squared_error


@dataclass(frozen=True)
class ScaleError:
    """What rounding makes of a layer's weights.

    Args:
        layer: Its name.
        method: How the range was found.
        per_channel: Whether each output has a scale of its own.
        power_of_two: Whether scales are powers of two.
        squared_error: Mean over the weights, in the square of their unit.
        signal_to_noise_db: Mean square of the weights over that, in decibels; None if no weight changes.
    """

    layer: str
    method: Method
    per_channel: bool
    power_of_two: bool
    squared_error: float
    signal_to_noise_db: float | None


def scale_errors(
    weights: Mapping[str, NDArray[np.floating]],
    bit_width: int,
    methods: Sequence[Method],
    *,
    percentile: float = 99.99,
) -> list[ScaleError]:
    """Return the error of each layer, with each method, for each kind of scale.

    The grids are those of `post_training`: symmetric, signed, without the most negative code.

    Args:
        weights: By the layer's name, ``(outputs, ...)`` each.
        bit_width: Of a weight.
        methods: How a range is found.
        percentile: Of method "percentile".

    Raises:
        ValueError: If a method is unknown, the bit width is out of range, or a weight is not finite.

    >>> found = scale_errors({"fc": np.array([[1.0, 0.4], [0.1, 0.04]])}, 4, ["min_max"])
    >>> for each in found:
    ...     print(each.per_channel, each.power_of_two, round(each.signal_to_noise_db or 0.0, 1))
    False False 24.4
    False True 17.3
    True False 31.5
    True True 20.7
    """
    return [
        _error(layer, values, bit_width, method, percentile, per_channel=per_channel, power_of_two=power_of_two)
        for layer, values in weights.items()
        for method in methods
        for per_channel in (False, True)
        for power_of_two in (False, True)
    ]


def _error(
    layer: str,
    values: NDArray[np.floating],
    bit_width: int,
    method: Method,
    percentile: float,
    *,
    per_channel: bool,
    power_of_two: bool,
) -> ScaleError:
    seen = observer(method, axis=0 if per_channel else None, percentile=percentile)
    seen.update(values)
    grid = seen.grid(bit_width, signed=True, symmetric=True, power_of_two=power_of_two, narrow_range=True)
    decibels = signal_to_noise_db(values, grid)
    return ScaleError(
        layer=layer,
        method=method,
        per_channel=per_channel,
        power_of_two=power_of_two,
        squared_error=squared_error(values, grid),
        signal_to_noise_db=decibels if math.isfinite(decibels) else None,
    )
