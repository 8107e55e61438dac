"""Small integer programs, one for each kind of layer, for the tests of RTL."""

from collections.abc import Callable

import numpy as np

from bitwright.export.operations import (
    Add,
    Affine,
    Concat,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    Flatten,
    Input,
    Integers,
    MaxPool2d,
    Multiply,
    MultiplyAdd,
    Operation,
    Requantize,
    Reshape,
    Table,
    Threshold,
    Transpose,
    Upsample,
)
from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint

SIGNED = FixedPoint(4, 2)
UNSIGNED = FixedPoint(4, 4, signed=False)
WEIGHT = FixedPoint(4, 4)
ROUNDED = FixedPoint(3, 1, rounding="AP_RND_CONV", overflow="AP_SAT")
NARROW = FixedPoint(4, 4, rounding="AP_RND_CONV", overflow="AP_SAT_SYM")
UNSIGNED_ROUNDED = FixedPoint(3, 3, signed=False, rounding="AP_RND_CONV", overflow="AP_SAT")

VECTOR = (6,)
IMAGE = (4, 5, 2)


def _weights(*shape: int, seed: int = 0, bits: bool = False) -> Integers:
    rng = np.random.default_rng(seed)
    return rng.choice([-1, 1], shape).astype(np.int64) if bits else rng.integers(-7, 8, shape)


def _of(shape: tuple[int, ...], form: Format, *operations: Operation) -> Program:
    return Program((Input("x", "", shape, form), *operations))


def _dense(form: Format, *, bits: bool = False) -> Program:
    weight_format: Format = Bipolar() if bits else WEIGHT
    bias = None if bits else np.array([3, 0, -5, 100])
    return _of(VECTOR, form, Dense("fc", "x", _weights(6, 4, bits=bits), weight_format, bias))


def _conv(form: Format, padding: tuple[int, int, int, int], stride: tuple[int, int]) -> Program:
    return _of(IMAGE, form, Conv2d("conv", "x", _weights(2, 3, 2, 3), WEIGHT, None, stride, padding))


def _depthwise() -> Program:
    operation = DepthwiseConv2d("conv", "x", _weights(2, 2, 2), WEIGHT, np.array([1, -2]), (1, 2), (1, 0, 0, 1))
    return _of(IMAGE, SIGNED, operation)


def _threshold(form: Format, levels: int) -> Program:
    thresholds = np.sort(np.random.default_rng(1).integers(-9, 9, (6, levels)), axis=1)
    thresholds[0], thresholds[1] = -50, 50  # always reached, and never
    rising = np.array([True, True, False, True, False, False])
    return _of(VECTOR, SIGNED, Threshold("act", "x", thresholds, rising, form))


def _multiply_add(form: FixedPoint) -> Program:
    multiplier, offset = np.array([5, -3, 1, 12, -16, 7]), np.array([4, 3, 8, 0, 8, -24])
    return _of(VECTOR, SIGNED, MultiplyAdd("act", "x", multiplier, offset, 4, form))


def _table(form: Format) -> Program:
    entries = np.random.default_rng(2).integers(-4, 4, 16)
    entries = np.where(entries < 0, -1, 1) if isinstance(form, Bipolar) else entries
    return _of(VECTOR, SIGNED, Table("act", "x", entries, -8, form))


def _join(kind: type[Add] | type[Multiply] | type[Concat]) -> Program:
    first = Requantize("a", "x", FixedPoint(3, 3, rounding="AP_RND_CONV", overflow="AP_SAT"))
    second = Requantize("b", "x", FixedPoint(3, 1, rounding="AP_RND_CONV", overflow="AP_SAT"))
    return _of(VECTOR, SIGNED, first, second, kind("join", "a", "b"))


def _bits(*operations: Operation) -> Program:
    return _of(IMAGE, Bipolar(), *operations)


PROGRAMS: dict[str, Callable[[], Program]] = {
    "dense": lambda: _dense(SIGNED),
    "dense on bits": lambda: _dense(Bipolar(), bits=True),
    "dense of bits": lambda: _dense(UNSIGNED, bits=True),
    "convolution": lambda: _conv(SIGNED, (0, 0, 0, 0), (1, 1)),
    "padded convolution": lambda: _conv(UNSIGNED, (1, 2, 0, 1), (2, 1)),
    "padded convolution of bits": lambda: _conv(Bipolar(), (1, 1, 1, 1), (1, 2)),
    "depthwise convolution": _depthwise,
    "max pooling": lambda: _of(IMAGE, SIGNED, MaxPool2d("pool", "x", (2, 2), (2, 1))),
    "max pooling of bits": lambda: _bits(MaxPool2d("pool", "x", (2, 2), (2, 2))),
    "max pooling of negated values": lambda: _of(
        IMAGE,
        SIGNED,
        Affine("a", "x", np.array([-1, -3]), np.array([0, 2]), 2),
        MaxPool2d("pool", "a", (2, 2), (2, 2)),
    ),
    "upsampling": lambda: _of(IMAGE, SIGNED, Upsample("up", "x", (2, 1))),
    "shift, rounding half to even": lambda: _of(VECTOR, SIGNED, Requantize("act", "x", ROUNDED)),
    "shift to the left": lambda: _of(
        VECTOR, SIGNED, Requantize("act", "x", FixedPoint(7, 3, rounding="AP_RND_CONV", overflow="AP_SAT"))
    ),
    "multiplication and addition": lambda: _multiply_add(NARROW),
    "multiplication and addition, unsigned": lambda: _multiply_add(UNSIGNED_ROUNDED),
    "one threshold": lambda: _threshold(Bipolar(), 1),
    "thresholds": lambda: _threshold(FixedPoint(3, 3), 7),
    "table": lambda: _table(FixedPoint(3, 3)),
    "table to bits": lambda: _table(Bipolar()),
    "table of fewer codes than alkaid expects": lambda: _of(
        (2,),
        FixedPoint(2, 2),
        Requantize("act", "x", FixedPoint(1, 1, signed=False, rounding="AP_RND_CONV", overflow="AP_SAT")),
        Dense("fc", "act", np.array([[-1], [1]]), WEIGHT, None),
        Table("table", "fc", np.array([-1, 1, 1]), -1, Bipolar()),
    ),
    "table after saturation": lambda: _of(
        VECTOR,
        SIGNED,
        Requantize("act", "x", UNSIGNED_ROUNDED),
        Table("table", "act", np.random.default_rng(4).integers(-4, 4, 8), 0, FixedPoint(3, 3)),
    ),
    "layers that alkaid gets wrong when it traces them again": lambda: _of(
        (6,),
        SIGNED,
        Dense("a", "x", np.array([[-2], [4], [-2], [-4], [-1], [-2]]), WEIGHT, np.array([4])),
        MultiplyAdd(
            "b",
            "a",
            np.array([6488]),
            np.array([-26007]),
            0,
            FixedPoint(5, 5, rounding="AP_RND_CONV", overflow="AP_SAT_SYM"),
        ),
        Dense("c", "b", np.array([[-1, 1, 1, 1]]), WEIGHT, None),
        Requantize("d", "c", FixedPoint(4, 4, signed=False, rounding="AP_RND_CONV", overflow="AP_SAT")),
        Dense("e", "d", np.array([[1, 1, -1], [1, -1, -1], [1, -1, -1], [-1, 1, -1]]), WEIGHT, None),
        Threshold(
            "f",
            "e",
            np.array([[-15, -15, 0], [-30, -30, -2], [-60, -60, 0]]),
            np.array([True, True, True]),
            FixedPoint(2, 2, rounding="AP_RND_CONV", overflow="AP_SAT"),
        ),
    ),
    "a matrix in blocks": lambda: _of(
        (600,), FixedPoint(2, 2, signed=False), Dense("fc", "x", _weights(600, 20, bits=True), WEIGHT, None)
    ),
    "multiplication exactly": lambda: _of(
        VECTOR, SIGNED, Affine("a", "x", np.array([1, -1, 2, -6, 5, 3]), np.array([0, 1, -2, 30, 0, 7]), 2)
    ),
    "sum of branches": lambda: _join(Add),
    "product of branches": lambda: _join(Multiply),
    "gate": lambda: _of(
        VECTOR,
        SIGNED,
        Threshold("bits", "x", _weights(6, 1), np.array([True, False] * 3), FixedPoint(1, 1, signed=False)),
        Multiply("gated", "x", "bits"),
    ),
    "branches side by side": lambda: _join(Concat),
    "bits side by side": lambda: _bits(Flatten("f", "x"), Concat("join", "f", "f")),
    "flattening": lambda: _of(IMAGE, SIGNED, Flatten("f", "x")),
    "another shape": lambda: _of(IMAGE, SIGNED, Reshape("r", "x", (2, 20))),
    "other axes": lambda: _of(IMAGE, SIGNED, Transpose("t", "x", (2, 0, 1))),
    "inputs that nothing reads": lambda: _of(
        VECTOR, SIGNED, Dense("fc", "x", np.diag([0, 3, 0, 2, 0, 0])[:, 1:4], WEIGHT, None)
    ),
    "even results only": lambda: _of(VECTOR, SIGNED, Dense("fc", "x", 4 * _weights(6, 3), FixedPoint(6, 6), None)),
}
"""A program for each kind of layer, alone, by name."""


def inputs_of(program: Program, count: int, seed: int = 3) -> Integers:
    """Draw input codes ``(N, *shape)``; the first two rows are the ends."""
    form = program.input.format
    rng = np.random.default_rng(seed)
    shape = (count, *program.input.shape)
    if isinstance(form, Bipolar):
        return rng.choice([-1, 1], shape).astype(np.int64)
    codes = rng.integers(form.lowest, form.highest + 1, shape)
    codes[0], codes[1] = form.lowest, form.highest
    return codes
