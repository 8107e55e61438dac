"""Which reuse factors hls4ml takes."""

from math import isqrt

from bitwright.estimates.layers import Matrix


def legal_reuse_factors(layer: Matrix) -> tuple[int, ...]:
    """Return the reuse factors that the strategy Resource takes for a layer, rising.

    A factor divides the products; below the inputs it leaves whole outputs to each multiplier, above it is a multiple
    of them. A convolution's is at most its inputs: hls4ml's C++ asserts it.

    Source: hls4ml 1.3.0, `FPGABackend._validate_reuse_factor`, `nnet_dense_resource.h`, `nnet_conv2d_resource.h`.
    """
    return _legal(layer.inputs, layer.outputs, layer.inputs if layer.kind == "conv" else layer.inputs * layer.outputs)


def _legal(inputs: int, outputs: int, most: int) -> tuple[int, ...]:
    """Return the legal factors of a matrix up to the largest that is wanted.

    >>> _legal(4, 6, 24)
    (1, 2, 4, 8, 12, 24)
    """
    products = inputs * outputs
    small = [factor for factor in range(1, isqrt(products) + 1) if products % factor == 0]
    divisors = sorted({*small, *(products // factor for factor in small)})
    return tuple(factor for factor in divisors if factor <= most and _is_legal(inputs, factor))


def _is_legal(inputs: int, factor: int) -> bool:
    return inputs % factor == 0 if factor < inputs else factor % inputs == 0


def nearest(legal: tuple[int, ...], wanted: int) -> int:
    """Return the legal factor nearest to one that is wanted, the smaller of two: hls4ml takes it.

    >>> nearest((1, 2, 4, 8), 3)
    2
    """
    return min(legal, key=lambda factor: (abs(factor - wanted), factor))


def neighbours(legal: tuple[int, ...], wanted: int) -> tuple[int, ...]:
    """Return the legal factors on both sides of one that is not.

    >>> neighbours((1, 2, 4, 8), 3), neighbours((1, 2, 4, 8), 9)
    ((2, 4), (8,))
    """
    below = [factor for factor in legal if factor < wanted][-1:]
    above = [factor for factor in legal if factor > wanted][:1]
    return (*below, *above)
