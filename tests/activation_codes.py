"""The network at an activation, one code and one channel at a time, and the operation that it is lowered to."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qonnx.custom_op.general.quant import quant
from random_activations import CHANNELS, FORMAT, SCALE

from bitwright.export.accumulator import Accumulator
from bitwright.export.activation import Activation, lower_activation
from bitwright.export.elementwise import Elementwise, Pair, Step
from bitwright.export.operations import Integers, Interval, Operation
from bitwright.export.quantizer import Quantizer
from bitwright.quant.bipolar import Format


def one_step(step: Step, x: Any, channel: int) -> Any:  # noqa: ANN401
    """One operator in float32."""
    if isinstance(step, Pair):
        assert step.kind == "Mul"
        left, right = x, x
        for part in step.left:
            left = one_step(part, left, channel)
        for part in step.right:
            right = one_step(part, right, channel)
        return left * right
    k: Any = None
    if isinstance(step, Elementwise) and step.constant is not None:
        k = np.broadcast_to(step.constant, CHANNELS)[channel]
    match step.kind:
        case "Mul":
            return x * k
        case "Div":
            return x / k
        case "Add":
            return x + k
        case "Sub":
            return x - k
        case "RSub":
            return k - x
        case "Relu":
            return max(x, np.float32(0))
        case "LeakyRelu":
            return x if x >= 0 else np.float32(0.3) * x
        case "Clip":
            return min(max(x, np.float32(-1.3)), np.float32(2.7))
        case "Abs":
            return abs(x)
    raise AssertionError(step.kind)


def network_codes(
    source: Accumulator, quantizer: Quantizer, codes: Integers, off: NDArray[np.float64] | float = 0.0
) -> NDArray[np.int64]:
    """Codes ``(V, C)`` of the sums' codes ``(V,)``, as qonnx quantises; the sums being off by a share of the noise."""
    scale, worth, noise = (
        np.broadcast_to(values, CHANNELS) for values in (quantizer.scale, source.scale, source.noise)
    )
    shares = np.broadcast_to(off, (len(codes), CHANNELS))
    values = np.empty((len(codes), CHANNELS), np.float32)
    with np.errstate(over="ignore"):
        for row, code in enumerate(codes):
            for c in range(CHANNELS):
                value = np.float32((int(code) - source.zero_point) * worth[c] + shares[row, c] * noise[c])
                for step in source.steps:
                    value = one_step(step, value, c)
                values[row, c] = value
        zero = np.float32(quantizer.zero_point)
        found = quant(
            values, scale, zero, np.float32(quantizer.bit_width), quantizer.signed, quantizer.narrow, quantizer.rounding
        )
    return np.asarray(np.rint(found.astype(np.float64) / scale) + quantizer.zero_point, np.int64)


def occurring(interval: Interval, codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which codes ``(V,)`` each channel can have, ``(V, C)``."""
    inside = (codes[:, None] >= interval.lowest) & (codes[:, None] <= interval.highest)
    return np.asarray(inside & ((codes[:, None] - interval.lowest) % interval.stride == 0))


def all_codes(source: Accumulator) -> NDArray[np.int64]:
    lowest, highest = source.interval.ends
    return np.arange(lowest, highest + 1)


def run(operation: Operation, codes: Integers, form: Format = FORMAT) -> Integers:
    return operation.compute([codes], [form])


def is_the_network(source: Accumulator, quantizer: Quantizer) -> Activation:
    """Lower, and compare on every code that can occur."""
    activation = lower_activation("act", source, quantizer)
    codes = all_codes(source)
    found = run(activation.operation, np.repeat(codes[:, None], CHANNELS, axis=1), source.format)
    assert (found == network_codes(source, quantizer, codes))[occurring(source.interval, codes)].all()
    assert (activation.operation.name, activation.operation.sources) == ("act", ("fc",))
    return activation


def source_of(
    steps: tuple[Step, ...], ends: tuple[int, int] = (-300, 300), scale: NDArray[np.float64] = SCALE
) -> Accumulator:
    interval = Interval(np.full(CHANNELS, ends[0]), np.full(CHANNELS, ends[1]))
    return Accumulator("fc", FORMAT, interval, scale, steps)


def lowered(steps: tuple[Step, ...], quantizer: Quantizer, ends: tuple[int, int] = (-300, 300)) -> Operation:
    return lower_activation("act", source_of(steps, ends), quantizer).operation


def quantizer_of(bit_width: int, *, signed: bool = False, bipolar: bool = False, scale: float = 0.5) -> Quantizer:
    return Quantizer(np.array(scale, np.float32), bit_width, signed, narrow=False, bipolar=bipolar)


NORM: tuple[Step, ...] = (
    Elementwise("Mul", np.array([0.3123, -0.7071, 0.1101], np.float32)),
    Elementwise("Add", np.array([0.1, 5.0, -0.2], np.float32)),
)
