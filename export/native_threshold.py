"""Thresholds of each channel, counted by the executor's C++."""

import numpy as np

from bitwright.export.native import address_of, library
from bitwright.export.operation import Integers


def reached(codes: Integers, thresholds: Integers, first: Integers, step: Integers) -> Integers | None:
    """Return ``first + step * (thresholds that a code is not below)`` for each code, or None without the C++.

    Args:
        codes: ``(..., C)``.
        thresholds: ``(K, C)``, in any order along K; like the others, one channel's may be those of all.
        first: ``(C,)``, of a code below all of them.
        step: ``(C,)``, for each of them.

    Raises:
        ValueError: If the channels are not as many.

    >>> found = reached(np.array([[-1], [0], [7]]), np.array([[0], [5]]), np.array([10]), np.array([-1]))
    >>> found is None or found.tolist() == [[10], [9], [8]]
    True
    """
    native = library()
    if native is None:
        return None
    channels, levels = codes.shape[-1], len(thresholds)
    if thresholds.shape[1] != channels or not len(first) == len(step) == channels:
        thresholds = np.broadcast_to(thresholds, (levels, channels))
        first, step = (np.broadcast_to(array, (channels,)) for array in (first, step))
    codes, thresholds, first, step = (
        np.ascontiguousarray(array, np.int64) for array in (codes, thresholds, first, step)
    )
    result = np.empty(codes.shape, np.int64)
    native.bitwright_threshold(
        address_of(codes),
        codes.size // max(1, channels),
        channels,
        address_of(thresholds),
        levels,
        address_of(first),
        address_of(step),
        address_of(result),
    )
    return result
