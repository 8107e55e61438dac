"""Activations: whatever operation is chosen, it is the network's own float32 arithmetic on every code."""

import re
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.export.activation import Accumulator, agrees, lower_activation
from bitwright.export.elementwise import Elementwise
from bitwright.export.operations import Interval, MultiplyAdd, Operation, Requantize, Threshold
from bitwright.export.quantizer import Quantizer
from bitwright.export.step_function import StepFunction
from bitwright.quant.fixed_point import FixedPoint, format_of

CHANNELS = 3
Kind = Literal["Mul", "Add", "Sub", "Div", "RSub", "Relu"]
FORMAT = FixedPoint(12, 8)
SCALE = np.array(2.0**-4, np.float32)
FLOATS = st.one_of(
    st.floats(-3, 3, width=32),
    st.sampled_from([0.0, 1.0, -1.0, 0.5, -0.25, 2.0]),
    st.floats(-1e6, 1e6, width=32),
)
KINDS: st.SearchStrategy[Kind] = st.sampled_from(["Mul", "Add", "Sub", "Div", "RSub", "Relu"])
FORMS = st.tuples(st.integers(1, 8), st.booleans(), st.booleans()).map(
    lambda form: (form[0], form[1], form[1] and form[2] and form[0] > 1)
)


@st.composite
def chains(draw: st.DrawFn) -> tuple[Elementwise, ...]:
    steps = []
    for kind in draw(st.lists(KINDS, max_size=4)):
        size = draw(st.sampled_from([1, CHANNELS]))
        constants = draw(st.lists(FLOATS, min_size=size, max_size=size))
        constant = np.array([0.5 if kind == "Div" and abs(c) < 1e-3 else c for c in constants], np.float32)
        steps.append(Elementwise(kind, None if kind == "Relu" else constant.reshape(() if size == 1 else -1)))
    return tuple(steps)


@st.composite
def accumulators(draw: st.DrawFn) -> Accumulator:
    lowest = draw(st.lists(st.integers(-300, 300), min_size=CHANNELS, max_size=CHANNELS))
    sizes = draw(st.lists(st.integers(0, 400), min_size=CHANNELS, max_size=CHANNELS))
    interval = Interval(np.array(lowest), np.array(lowest) + np.array(sizes))
    exponents = draw(st.lists(st.integers(-9, 3), min_size=CHANNELS, max_size=CHANNELS))
    per_channel = draw(st.booleans())
    scale = np.exp2(np.array(exponents if per_channel else -4)).astype(np.float32)
    return Accumulator("fc", FORMAT if not per_channel else FixedPoint(12, 12), interval, scale, draw(chains()))


@st.composite
def quantizers(draw: st.DrawFn) -> Quantizer:
    bit_width, signed, narrow = draw(FORMS)
    exponents = draw(st.lists(st.integers(-6, 3), min_size=CHANNELS, max_size=CHANNELS))
    scale = np.exp2(np.array(exponents if draw(st.booleans()) else exponents[0])).astype(np.float32)
    return Quantizer(scale, bit_width, signed, narrow, bipolar=signed and bit_width == 1)


def one_step(kind: Kind, x: Any, k: Any) -> Any:  # noqa: ANN401
    match kind:
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


def network_codes(source: Accumulator, quantizer: Quantizer, codes: Any) -> Any:  # noqa: ANN401
    """The operators in float32, one code and one channel at a time."""
    lowest, highest = quantizer.range
    scale = np.broadcast_to(quantizer.scale, CHANNELS)
    worth = np.broadcast_to(source.scale, CHANNELS)
    result = np.empty((len(codes), CHANNELS), np.int64)
    for row, code in enumerate(codes):
        for c in range(CHANNELS):
            value = np.float32(code) * worth[c]
            for step in source.steps:
                assert isinstance(step, Elementwise)
                constant = None if step.constant is None else np.broadcast_to(step.constant, CHANNELS)[c]
                value = one_step(step.kind, value, constant)
            rounded = round(float(value / scale[c]))  # half to even
            result[row, c] = (1 if value >= 0 else -1) if quantizer.bipolar else min(max(rounded, lowest), highest)
    return result


@settings(deadline=None, max_examples=150)
@given(source=accumulators(), quantizer=quantizers())
def test_operation_is_the_network_on_every_code(source: Accumulator, quantizer: Quantizer) -> None:
    lowest, highest = source.interval.ends
    codes = np.unique(np.linspace(lowest, highest, 60).astype(np.int64))
    operation = lower_activation("act", source, quantizer)
    found = operation.run(np.repeat(codes[:, None], CHANNELS, axis=1), source.format)
    inside = (codes[:, None] >= source.interval.lowest) & (codes[:, None] <= source.interval.highest)
    assert (found == network_codes(source, quantizer, codes))[inside].all()
    assert (operation.name, operation.source) == ("act", "fc")


def lowered(steps: list[Elementwise], quantizer: Quantizer, ends: tuple[int, int] = (-300, 300)) -> Operation:
    interval = Interval(np.full(CHANNELS, ends[0]), np.full(CHANNELS, ends[1]))
    return lower_activation("act", Accumulator("fc", FORMAT, interval, SCALE, tuple(steps)), quantizer)


def quantizer_of(bit_width: int, *, signed: bool = False, bipolar: bool = False, scale: float = 0.5) -> Quantizer:
    return Quantizer(np.array(scale, np.float32), bit_width, signed, narrow=False, bipolar=bipolar)


NORM = [
    Elementwise("Mul", np.array([0.3123, -0.7071, 0.1101], np.float32)),
    Elementwise("Add", np.array([0.1, 5.0, -0.2], np.float32)),
]


@pytest.mark.parametrize("bit_width", [1, 2, 3, 6])
def test_relu_and_a_power_of_two_scale_are_a_shift(bit_width: int) -> None:
    operation = lowered([Elementwise("Relu")], quantizer_of(bit_width))
    assert isinstance(operation, Requantize)
    assert operation.format == format_of(0.5, bit_width, signed=False)


@pytest.mark.parametrize("quantizer", [quantizer_of(1, signed=True, bipolar=True), quantizer_of(1)])
def test_one_bit_is_one_comparator_whose_direction_is_the_sign_of_the_norm(quantizer: Quantizer) -> None:
    operation = lowered(NORM, quantizer)
    assert isinstance(operation, Threshold)
    assert operation.thresholds.shape == (CHANNELS, 1)
    assert operation.rising.tolist() == [True, False, True]


def test_two_bits_are_three_comparators_and_more_are_one_multiplier() -> None:
    two, three = (lowered(NORM, quantizer_of(bits)) for bits in (2, 3))
    assert isinstance(two, Threshold)
    assert two.thresholds.shape == (CHANNELS, 3)
    assert isinstance(three, MultiplyAdd)


def test_function_on_no_line_is_as_many_comparators_as_it_takes() -> None:
    bend = [Elementwise("Relu"), Elementwise("RSub", np.array(3, np.float32)), Elementwise("Relu"), *NORM]
    operation = lowered(bend, quantizer_of(4, signed=True))
    assert isinstance(operation, Threshold)
    assert operation.thresholds.shape == (CHANNELS, 15)


def test_sixteen_bits_are_exact() -> None:
    quantizer = quantizer_of(16, scale=2.0**-9)
    operation = lowered(NORM, quantizer, (-20000, 20000))
    codes = np.arange(-20000, 20000, 37)
    source = Accumulator("fc", FORMAT, Interval(np.zeros(3), np.zeros(3)), SCALE, tuple(NORM))  # type: ignore[arg-type]
    found = operation.run(np.repeat(codes[:, None], CHANNELS, axis=1), FORMAT)
    assert (found == network_codes(source, quantizer, codes)).all()


def test_agreement_is_asked_at_both_sides_of_every_step_and_at_both_ends() -> None:
    steps = StepFunction(np.array([[2, 5]]), np.array([True]), Interval(np.array([0]), np.array([7])))
    form = format_of(1.0, 2, signed=False)

    def agree(*thresholds: int) -> bool:
        return agrees(Threshold("t", "fc", np.array([thresholds]), np.array([True]), form), FORMAT, steps, 0)

    assert agree(2, 5, 99)
    assert not any([agree(1, 5, 99), agree(3, 5, 99), agree(2, 4, 99), agree(2, 6, 99), agree(2, 5, 7)])
    assert not agree(0, 2, 5)


def test_overflow_to_infinity_saturates() -> None:
    steep = [Elementwise("Mul", np.array(1e38, np.float32)), Elementwise("Mul", np.array(1e38, np.float32))]
    operation = lowered(steep, quantizer_of(4, signed=True))
    codes = np.array([[-300] * 3, [0] * 3, [1] * 3])
    assert operation.run(codes, FORMAT).tolist() == [[-8] * 3, [0] * 3, [7] * 3]


def test_function_that_is_no_number_somewhere_is_refused() -> None:
    steps = [Elementwise("Mul", np.array(1e38, np.float32))] * 2 + [Elementwise("Mul", np.array(0, np.float32))]
    says = "values must be numbers, not NaN; train again, a batch norm may have overflowed"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        lowered(steps, quantizer_of(4))


def test_scale_that_is_no_power_of_two_is_refused() -> None:
    says = "scale: value must be a power of two, not 0.75; set restrict_scaling_type to POWER_OF_TWO"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        lowered([], quantizer_of(4, scale=0.75))
