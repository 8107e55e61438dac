"""Random integer programs: every operation, format and interval."""

import numpy as np
from hypothesis import strategies as st

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
    Linear,
    MaxPool2d,
    Multiply,
    MultiplyAdd,
    Operation,
    Requantize,
    Reshape,
    Table,
    Tensor,
    Threshold,
    Transpose,
    Upsample,
)
from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint, format_of

Draw = st.DrawFn

BATCH = 6
TWO = format_of(1.0, 2, signed=True)
PORTS: tuple[Format, ...] = (Bipolar(), FixedPoint(4, 2), FixedPoint(3, 5, signed=False), FixedPoint(8, 0))
WEIGHTS: tuple[Format, ...] = (Bipolar(), FixedPoint(3, 1), FixedPoint(5, 7))


WIDE_PORTS: tuple[Format, ...] = (*PORTS, FixedPoint(16, 16), FixedPoint(16, 3, signed=False))
WIDE_WEIGHTS: tuple[Format, ...] = (
    Bipolar(),
    FixedPoint(8, 1),
    FixedPoint(16, 2, signed=False),
    FixedPoint(24, 4),
    FixedPoint(25, 9),
    FixedPoint(30, 5),
    FixedPoint(30, 33, signed=False),
)


@st.composite
def programs(draw: Draw) -> tuple[Program, Integers]:
    """One to five operations of every kind, with formats of every kind, and input integers."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from([(4,), (4, 5, 2), (3, 3, 1)]))
    form = draw(st.sampled_from(PORTS))
    operations: list[Operation] = [Input("x", "", shape, form)]
    for i in range(draw(st.integers(1, 5))):
        tensors = Program(tuple(operations)).tensors
        operation = draw_operation(draw, rng, f"op{i}", operations[-1].name, tensors)
        operations.append(operation)
        if max(map(abs, Program(tuple(operations)).output.interval.ends)) >= 2**16:
            operations.append(Requantize(f"small{i}", operation.name, format_of(2.0**-3, 5, signed=True)))
    if isinstance(form, Bipolar):
        codes = rng.choice(np.array([-1, 1]), (BATCH, *shape))
    else:
        codes = rng.integers(form.lowest, form.highest + 1, (BATCH, *shape))
    return Program(tuple(operations)), codes


@st.composite
def wide_programs(draw: Draw) -> tuple[Program, Integers]:
    """As `programs`, with integers and partial sums of up to 53 bits, in layers, pools and moves above all."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from([(4,), (4, 5, 2), (3, 3, 1)]))
    form = draw(st.sampled_from(WIDE_PORTS))
    operations: list[Operation] = [Input("x", "", shape, form)]
    for i in range(draw(st.integers(1, 5))):
        tensors = Program(tuple(operations)).tensors
        kind = draw(st.sampled_from(["linear", "linear", "move", "move", "join", "other"]))
        if kind == "linear":
            last = draw_linear(draw, rng, f"op{i}", operations[-1].name, tensors, wide=True)
        else:
            last = KINDS[kind](draw, rng, f"op{i}", operations[-1].name, tensors)
        if is_exact(last, tensors):
            operations.append(last)
        else:
            operations.append(Requantize(f"small{i}", operations[-1].name, format_of(2.0**-3, 16, signed=True)))
    low, high = (-1, 1) if isinstance(form, Bipolar) else (form.lowest, form.highest)
    codes = rng.integers(low, high + 1, (BATCH, *shape))
    codes = np.where(rng.random(codes.shape) < 0.3, rng.choice(np.array([low, high]), codes.shape), codes)
    return Program(tuple(operations)), np.where(codes == 0, 1, codes) if isinstance(form, Bipolar) else codes


def is_exact(operation: Operation, tensors: dict[str, Tensor]) -> bool:
    """Whether all that an operation adds up stays below 2**53."""
    sources = [tensors[name] for name in operation.sources]
    finest = max(source.format.fractional for source in sources)
    largest = [max(map(abs, s.interval.ends)) * 2.0 ** (finest - s.format.fractional) for s in sources]
    match operation:
        case Linear():
            taps = np.abs(operation.weight.astype(np.float64)).reshape(-1, operation.weight.shape[-1]).sum(axis=0)
            total = taps.max() * largest[0] + (0 if operation.bias is None else np.abs(operation.bias).max())
        case MultiplyAdd() | Affine():
            total = np.abs(operation.multiplier).max() * largest[0] + np.abs(operation.offset).max()
        case _:
            total = sum(largest)
    return bool(total < 2**53)


def draw_format(draw: Draw, most: int = 6) -> FixedPoint:
    signed = draw(st.booleans())
    narrow = signed and draw(st.booleans())
    scale = 2.0 ** draw(st.integers(-4, 2))
    return format_of(scale, draw(st.integers(1 + signed, most)), signed, narrow)


def draw_linear(
    draw: Draw, rng: np.random.Generator, name: str, source: str, tensors: dict[str, Tensor], *, wide: bool = False
) -> Operation:
    shape = tensors[source].shape
    if len(shape) == 2:
        return Requantize(name, source, draw_format(draw))
    channels, outputs = shape[-1], draw(st.integers(1, 3))
    form: Format = draw(st.sampled_from(WIDE_WEIGHTS if wide else WEIGHTS))
    depthwise = draw(st.booleans())
    tail = (channels,) if depthwise else (channels, outputs)
    kernel = (min(2, shape[0]), draw(st.integers(1, min(2, shape[1]))) if wide else 1) if len(shape) == 3 else ()
    weight = rng.integers(form.lowest, form.highest + 1, (*kernel, *tail))
    if isinstance(form, Bipolar):
        weight = np.where(weight >= 0, 1, -1)
    most = 2 ** draw(st.sampled_from([7, 24, 45])) if wide else 99
    bias = rng.integers(-most, most, tail[-1]) if draw(st.booleans()) else None
    if len(shape) != 3:
        dense = weight.reshape(channels, -1)
        return Dense(name, source, dense, form, None if bias is None else bias[: dense.shape[1]])
    stride = draw(st.sampled_from([(1, 1), (1, 2), (3, 2)]))
    pads = (0, 0, 0, 0) if draw(st.booleans()) else (1, 0, 2, 1)
    return (DepthwiseConv2d if depthwise else Conv2d)(name, source, weight, form, bias, stride, pads)


def draw_threshold(
    draw: Draw, rng: np.random.Generator, name: str, source: str, tensors: dict[str, Tensor]
) -> Operation:
    channels, ends = tensors[source].shape[-1], tensors[source].interval.ends
    form: Format = Bipolar() if draw(st.booleans()) else draw_format(draw, most=4)
    count = 1 if isinstance(form, Bipolar) else form.highest - form.lowest
    thresholds = np.sort(rng.integers(ends[0] - 1, ends[1] + 2, (channels, count)), axis=1)
    rising = rng.integers(0, 2, channels).astype(bool) if draw(st.booleans()) else np.ones(channels, bool)
    return Threshold(name, source, thresholds, rising, form)


def draw_table(draw: Draw, rng: np.random.Generator, name: str, source: str, tensors: dict[str, Tensor]) -> Operation:
    lowest, highest = tensors[source].interval.ends
    if highest - lowest > 999:
        return Requantize(name, source, draw_format(draw))
    form: Format = Bipolar() if draw(st.booleans()) else draw_format(draw)
    entries = rng.integers(form.lowest, form.highest + 1, highest - lowest + 1)
    return Table(name, source, np.where(entries < 0, -1, 1) if isinstance(form, Bipolar) else entries, lowest, form)


def draw_move(draw: Draw, rng: np.random.Generator, name: str, source: str, tensors: dict[str, Tensor]) -> Operation:
    shape = tensors[source].shape
    if len(shape) == 1:
        return Reshape(name, source, (1, 1, *shape))
    if len(shape) == 2:
        return Transpose(name, source, (1, 0))
    match draw(st.sampled_from(["pool", "upsample", "transpose", "reshape", "flatten", "pair"])):
        case "pool" if min(shape[:2]) >= 2:
            return MaxPool2d(name, source, (2, 2), draw(st.sampled_from([(2, 2), (1, 2)])))
        case "upsample":
            return Upsample(name, source, draw(st.sampled_from([(1, 2), (3, 1), (2, 2)])))
        case "transpose":
            return Transpose(name, source, tuple(draw(st.permutations(range(3)))))
        case "reshape":
            return Reshape(name, source, (shape[2], shape[0], shape[1]))
        case "pair":
            return Reshape(name, source, (shape[0] * shape[1], shape[2]))
        case _:
            return Flatten(name, source)


def draw_join(draw: Draw, rng: np.random.Generator, name: str, source: str, tensors: dict[str, Tensor]) -> Operation:
    shape = tensors[source].shape
    kind = draw(st.sampled_from([Add, Multiply, Concat]))
    if kind is not Concat:
        # Products of products would soon leave float64's 53 bits
        alike = [n for n, t in tensors.items() if t.shape == shape]
        narrow = [n for n in alike if tensors[n].format.width + tensors[source].format.width <= 48]
        if kind is Add or not narrow:
            return Add(name, source, draw(st.sampled_from(alike)))
        return Multiply(name, source, draw(st.sampled_from(narrow)))
    return Concat(name, source, draw(st.sampled_from([n for n, t in tensors.items() if t.shape[:-1] == shape[:-1]])))


def draw_other(draw: Draw, rng: np.random.Generator, name: str, source: str, tensors: dict[str, Tensor]) -> Operation:
    tensor = tensors[source]
    channels = tensor.shape[-1]
    match draw(st.sampled_from(["requantize", "multiply-add", "affine"])):
        case "multiply-add":
            multiplier = rng.integers(-(2**20), 2**20, channels)
            offset = rng.integers(-(2**30), 2**30, channels)
            return MultiplyAdd(name, source, multiplier, offset, draw(st.integers(0, 24)), draw_format(draw))
        case "affine":
            most = 2 ** draw(st.sampled_from([3, 20]))
            multiplier = rng.integers(1, most, channels) * rng.choice(np.array([-1, 1]), channels)
            offset = rng.integers(-most, most, channels)
            return Affine(name, source, multiplier, offset, tensor.format.fractional + draw(st.integers(-1, 3)))
        case _:
            return Requantize(name, source, draw_format(draw))


KINDS = {
    "linear": draw_linear,
    "threshold": draw_threshold,
    "table": draw_table,
    "move": draw_move,
    "join": draw_join,
    "other": draw_other,
}


def draw_operation(
    draw: Draw, rng: np.random.Generator, name: str, source: str, tensors: dict[str, Tensor]
) -> Operation:
    return KINDS[draw(st.sampled_from(sorted(KINDS)))](draw, rng, name, source, tensors)
