"""Which values of a tensor each position of a convolution or a pooling sees."""

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bitwright.export.operations import Integers

PADDING = -1


def positions(shape: Sequence[int]) -> Integers:
    """Return each value's place in the flat order of the tensor.

    >>> positions((2, 2))
    array([[0, 1],
           [2, 3]])
    """
    return np.arange(prod(shape)).reshape(shape)


def taps(
    shape: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int] = (0, 0, 0, 0)
) -> Integers:
    """Return the places that a window sees, for each place where it stands.

    Args:
        shape: ``(H, W, C)``.
        kernel: Rows and columns of the window.
        stride: Of rows and columns.
        padding: Zeros at top, left, bottom and right.

    Returns:
        ``(H' * W', KH * KW, C)``; -1 where a zero is seen.

    >>> taps((1, 3, 1), kernel=(1, 2), stride=(1, 1), padding=(0, 1, 0, 0))[..., 0]
    array([[-1,  0],
           [ 0,  1],
           [ 1,  2]])
    """
    top, left, bottom, right = padding
    around = ((top, bottom), (left, right), (0, 0))
    padded = np.pad(positions(shape), around, constant_values=PADDING)
    windows = sliding_window_view(padded, tuple(kernel), axis=(0, 1))[:: stride[0], :: stride[1]]  # (H', W', C, KH, KW)
    return windows.transpose(0, 1, 3, 4, 2).reshape(-1, prod(kernel), shape[2])
