"""What an integer program takes: its weights, its constants as a file holds them, and its bit operations."""

from dataclasses import dataclass
from math import prod

import numpy as np

from bitwright.calibration.costs import effective_bits
from bitwright.calibration.packing import pack
from bitwright.export.operations import Integers, Linear, Threshold
from bitwright.export.precision import Need, needs
from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar

CONSTANTS = {
    "weight": "weight",
    "bias": "bias",
    "multiplier": "multiplier",
    "offset": "offset",
    "threshold": "thresholds",
    "table": "entries",
}
"""The field of an operation that holds the integers of each role of `needs`."""


@dataclass(frozen=True)
class Size:
    """Of one program.

    Args:
        weights: Their number.
        weight_bits: Of all of them, each at the width of its layer.
        packed_bytes: Of all constants, each array at its width without gaps: see `packed`.
        bit_operations: Of one inference: see `bit_operations`.
    """

    weights: int
    weight_bits: int
    packed_bytes: int
    bit_operations: int


def size_of(program: Program) -> Size:
    """Return what a program takes.

    >>> from bitwright.export.operations import Dense, Input
    >>> from bitwright.quant.fixed_point import FixedPoint
    >>> code = FixedPoint(3, 3)
    >>> fc = Dense("fc", "x", np.array([[1, -3], [2, 0]]), code, np.array([1, -2]))
    >>> size_of(Program((Input("x", "", (2,), FixedPoint(5, 5)), fc)))
    Size(weights=4, weight_bits=12, packed_bytes=3, bit_operations=20)
    """
    return Size(program.weights, program.weight_bits, len(packed(program)), bit_operations(program))


def packed(program: Program) -> bytes:
    """Return every constant of a program: weights, biases, factors, thresholds and tables.

    Each array stands at the narrowest width that holds it, as `precision.toml` has it, and begins a new byte. Names and
    shapes are not among them.
    """
    found = []
    for operation, roles in zip(program.operations, needs(program).values(), strict=True):
        if isinstance(operation, Linear) and operation.only_adds:
            continue
        for role, need in roles.items():
            codes = getattr(operation, CONSTANTS[role], None) if role in CONSTANTS else None
            if codes is not None:
                found.append(_packed(codes, need))
        if isinstance(operation, Threshold):
            found.append(pack(operation.rising.astype(np.int64), 1))
    return b"".join(found)


def _packed(codes: Integers, need: Need) -> bytes:
    form = need.format
    return pack(form.bits(codes) if isinstance(form, Bipolar) else codes, form.width)


def bit_operations(program: Program) -> int:
    """Return the effective bit operations of one inference, of all products with weights.

    For each of them, bits of the weight from its highest to its lowest one, times bits of the other factor. Source: Sun
    et al., HGQ, arXiv:2405.00645; as `calibration.costs` has it of a network.
    """
    tensors = program.tensors
    return sum(
        prod(tensors[operation.name].shape[:-1])
        * int(effective_bits(operation.weight).sum())
        * tensors[operation.source].format.width
        for operation in program.weighted
    )
