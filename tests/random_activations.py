"""Random chains of steps, accumulators and quantisers: what an activation is lowered from."""

from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from onnx import helper

from bitwright.export.accumulator import Accumulator
from bitwright.export.elementwise import Elementwise, Step
from bitwright.export.kernel import Kernel
from bitwright.export.operations import Interval
from bitwright.export.quantizer import ROUNDINGS, Quantizer
from bitwright.quant.fixed_point import FixedPoint

MANY = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
CHANNELS = 3
FORMAT = FixedPoint(12, 8)
SCALE = np.array(2.0**-4)
FLOATS = st.one_of(
    st.floats(-3, 3, width=32),
    st.sampled_from([0.0, 1.0, -1.0, 0.5, -0.25, 2.0]),
    st.floats(-1e6, 1e6, width=32),
)
KINDS = st.sampled_from(["Mul", "Add", "Sub", "Div", "RSub", "Relu", "LeakyRelu", "Clip"])
FORMS = st.tuples(st.integers(1, 8), st.booleans(), st.booleans()).map(
    lambda form: (form[0], form[1], form[1] and form[2] and form[0] > 1)
)
SCALES = st.one_of(st.integers(-9, 3).map(lambda exponent: 2.0**exponent), st.floats(2.0**-9, 8.0, width=32))
ZERO_POINTS = st.one_of(st.just(0), st.integers(-40, 40))
MODES = st.one_of(st.just("ROUND"), st.sampled_from(sorted(ROUNDINGS)))


def kernel(kind: str) -> Kernel:
    attributes: dict[str, Any] = {"alpha": 0.3} if kind == "LeakyRelu" else {}
    bounds = {"low": np.array(-1.3, np.float32), "high": np.array(2.7, np.float32)} if kind == "Clip" else {}
    return Kernel(kind, helper.make_node(kind, ["a", *bounds], ["b"], **attributes), bounds, 20)


@st.composite
def chains(draw: st.DrawFn, *, uniform: bool = False) -> tuple[Step, ...]:
    steps: list[Step] = []
    for kind in draw(st.lists(KINDS, max_size=4)):
        if kind in ("LeakyRelu", "Clip"):
            steps.append(kernel(kind))
            continue
        size = 1 if uniform else draw(st.sampled_from([1, CHANNELS]))
        constants = draw(st.lists(FLOATS, min_size=size, max_size=size))
        constant = np.array([0.5 if kind == "Div" and abs(c) < 1e-3 else c for c in constants], np.float32)
        steps.append(Elementwise(kind, None if kind == "Relu" else constant.reshape(() if size == 1 else -1)))  # type: ignore[arg-type]
    return tuple(steps)


@st.composite
def intervals(draw: st.DrawFn, most: int = 60) -> Interval:
    """Of each channel its own, of one stride."""
    stride = draw(st.sampled_from([1, 1, 2, 3]))
    lowest = np.array(draw(st.lists(st.integers(-most, most), min_size=CHANNELS, max_size=CHANNELS)))
    sizes = np.array(draw(st.lists(st.integers(0, most // stride), min_size=CHANNELS, max_size=CHANNELS)))
    return Interval(lowest, lowest + stride * sizes, stride)


@st.composite
def accumulators(draw: st.DrawFn, *, uniform: bool = False) -> Accumulator:
    on_format = draw(st.booleans())
    per_channel = not (on_format or uniform) and draw(st.booleans())
    size = CHANNELS if per_channel else 1
    scales = np.array(draw(st.lists(SCALES, min_size=size, max_size=size)))
    return Accumulator(
        "fc",
        FORMAT if on_format else FixedPoint(12, 12),
        draw(intervals()),
        SCALE if on_format else scales.reshape(-1 if per_channel else ()),
        draw(chains(uniform=uniform)),
        zero_point=draw(ZERO_POINTS),
    )


@st.composite
def quantizers(draw: st.DrawFn, *, uniform: bool = False) -> Quantizer:
    bit_width, signed, narrow = draw(FORMS)
    per_channel = not uniform and draw(st.booleans())
    size = CHANNELS if per_channel else 1
    scale = np.array(draw(st.lists(SCALES, min_size=size, max_size=size)), np.float32)
    bipolar = signed and bit_width == 1
    zero_point = 0 if bipolar else draw(ZERO_POINTS)
    return Quantizer(
        scale.reshape(-1 if per_channel else ()), bit_width, signed, narrow, bipolar, zero_point, draw(MODES)
    )
