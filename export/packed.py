"""Layers of 1-bit weights on packed 64-bit words: products are XNOR, sums count bits.

A code is cut into bit planes: ``code = lowest + step * (b_0 + 2 b_1 + 4 b_2 + ...)``. With weights +1 and -1, of which
``n`` are +1, a plane's sum is ``sum(b_p * w) = n - mismatches``, where a mismatch is a tap whose bit is not its
weight's sign. Codes +1 and -1 are one plane, a pixel of 8 bits is eight. (For one plane: Courbariaux et al.,
arXiv:1602.02830, section 1.5; for several: Zhou et al., arXiv:1606.06160, section 2.1.)
"""

import ctypes
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.export.native import address_of, library
from bitwright.export.operation import Integers
from bitwright.quant.bipolar import Bipolar, Format

WORD = 64
COLUMNS = 8
"""Filters whose words lie side by side; packed.cpp has the same."""
MOST_PLANES = 8
"""Codes of more bits take longer in planes than BLAS takes; packed.cpp says so of fewer, on lesser machines."""


class Levels(ctypes.Structure):
    """How codes are cut into planes, as packed.cpp takes it."""

    _fields_ = (
        ("lowest", ctypes.c_int64),
        ("highest", ctypes.c_uint64),
        ("shift", ctypes.c_int),
        ("planes", ctypes.c_int),
    )


class _Weights(ctypes.Structure):
    _fields_ = (("words", ctypes.c_void_p), ("base", ctypes.c_void_p), ("filters", ctypes.c_size_t))


class _Shape(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("images", "height", "width", "channels", "kernel_height", "kernel_width", "down", "across"),
            *("top", "left", "bottom", "right"),
        )
    )


def levels_of(format: Format, *, padded: bool = False) -> Levels | None:  # noqa: A002 - the field's word
    """Return how a format's codes are cut into planes, or None if they are too many.

    Args:
        format: Of the codes.
        padded: Whether there are zeros among them, which `Bipolar` has not: then -1, 0 and 1 are two planes.

    >>> levels_of(Bipolar()).planes, levels_of(Bipolar(), padded=True).planes
    (1, 2)
    """
    shift = 1 if isinstance(format, Bipolar) and not padded else 0
    above = format.highest - format.lowest
    planes = (above >> shift).bit_length()
    return Levels(format.lowest, above, shift, planes) if planes <= MOST_PLANES else None


@dataclass(frozen=True, eq=False)
class PackedLayer:
    """The weights of a layer as bits, and what is added to the counts.

    Args:
        taps: Weights of a filter, K.
        words: Signs of the weights, 1 for +1, ``(ceil(C / 8), ceil(K / 64), 8)`` words; bits beyond K are 0.
        base: Results ``(C,)`` where no tap of no plane mismatches.
        levels: How the codes are cut.
    """

    taps: int
    words: NDArray[np.uint64]
    base: Integers
    levels: Levels

    def dense(self, codes: Integers) -> Integers | None:
        """Multiply codes ``(N, K)``.

        Returns:
            ``(N, C)``, or None where it is left to BLAS: a code is not of the format, or the machine has not what this
            takes.
        """
        native = self._library()
        if native is None or codes.shape[1:] != (self.taps,):
            return None
        codes = np.ascontiguousarray(codes, np.int64)
        result = np.empty((len(codes), len(self.base)), np.int64)
        weights = self._weights()
        failed = native.bitwright_dense(
            address_of(codes),
            *codes.shape,
            ctypes.addressof(self.levels),
            ctypes.addressof(weights),
            address_of(result),
        )
        return None if failed else result

    def conv2d(
        self, codes: Integers, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int, int, int]
    ) -> Integers | None:
        """Convolve images ``(N, H, W, C)`` with zeros around them: ``(N, H', W', F)``, or None as `dense`."""
        native = self._library()
        if native is None or codes.ndim != 4 or kernel[0] * kernel[1] * codes.shape[3] != self.taps:
            return None
        codes = np.ascontiguousarray(codes, np.int64)
        rows, columns = (
            (codes.shape[i + 1] + padding[i] + padding[i + 2] - kernel[i]) // stride[i] + 1 for i in range(2)
        )
        result = np.empty((len(codes), rows, columns, len(self.base)), np.int64)
        weights, shape = self._weights(), _Shape(*codes.shape, *kernel, *stride, *padding)
        failed = native.bitwright_conv2d(
            address_of(codes),
            ctypes.addressof(shape),
            ctypes.addressof(self.levels),
            ctypes.addressof(weights),
            address_of(result),
        )
        return None if failed else result

    def _library(self) -> ctypes.CDLL | None:
        native = library()
        if native is None or self.levels.planes > ctypes.c_int.in_dll(native, "bitwright_most_planes").value:
            return None
        return native

    def _weights(self) -> _Weights:
        """Return where the weights are, made for each call: kept, it could not be pickled with the layer."""
        return _Weights(address_of(self.words), address_of(self.base), len(self.base))


def pack(weight: Integers, bias: Integers | None, levels: Levels) -> PackedLayer | None:
    """Return a layer's weights ``(K, C)`` as bits, or None if one is neither +1 nor -1.

    >>> layer = pack(np.array([[1], [-1], [1]]), None, levels_of(Bipolar()))
    >>> layer.words[0, 0, 0], layer.base
    (np.uint64(5), array([3]))
    """
    if weight.size == 0 or not (np.abs(weight) == 1).all():
        return None
    taps, filters = weight.shape
    signs = np.zeros((-(-taps // WORD) * WORD, -(-filters // COLUMNS) * COLUMNS), np.bool_)
    signs[:taps, :filters] = weight > 0
    octets = np.ascontiguousarray(np.packbits(signs.T, axis=1, bitorder="little"))
    words = octets.view("<u8").astype(np.uint64)  # (C, words)
    blocks = words.reshape(-1, COLUMNS, words.shape[1]).transpose(0, 2, 1)
    most = sum(1 << plane for plane in range(levels.planes)) << levels.shift
    base = levels.lowest * weight.sum(axis=0) + most * (weight > 0).sum(axis=0) + (0 if bias is None else bias)
    return PackedLayer(taps, np.ascontiguousarray(blocks), np.asarray(base, np.int64), levels)
