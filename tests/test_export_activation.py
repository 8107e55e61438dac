"""Activations: whatever operation is chosen, it is the network's own float32 arithmetic on every code."""

import re
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper
from qonnx.custom_op.general.quant import quant
from random_activations import (
    CHANNELS,
    FORMAT,
    FORMS,
    MODES,
    SCALE,
    ZERO_POINTS,
    accumulators,
    chains,
    intervals,
    kernel,
    quantizers,
)

from bitwright.export.accumulator import Accumulator
from bitwright.export.activation import Activation, agrees, lower_activation
from bitwright.export.elementwise import Elementwise, Pair, Step
from bitwright.export.kernel import Kernel
from bitwright.export.operations import Affine, Integers, Interval, MultiplyAdd, Operation, Requantize, Table, Threshold
from bitwright.export.quantizer import Floats, Quantizer, Truncation
from bitwright.export.step_function import tabulate
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint, format_of

# ---- the network, one code and one channel at a time -----------------------------------------------------------------


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


# ---- random activations ----------------------------------------------------------------------------------------------


MANY = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@MANY
@given(source=accumulators(), quantizer=quantizers())
def test_operation_is_the_network_on_every_code(source: Accumulator, quantizer: Quantizer) -> None:
    activation = is_the_network(source, quantizer)
    assert (activation.undecided, activation.ties) == (0, 0)


@MANY
@given(source=accumulators(uniform=True), quantizer=quantizers(uniform=True))
def test_operation_of_one_function_for_all_channels_is_the_network(source: Accumulator, quantizer: Quantizer) -> None:
    is_the_network(source, quantizer)


@MANY
@given(
    source=accumulators(uniform=True), quantizer=quantizers(uniform=True), tail=chains(uniform=True), pair=st.booleans()
)
def test_function_that_rises_and_falls_is_the_network(
    source: Accumulator, quantizer: Quantizer, tail: tuple[Step, ...], pair: bool
) -> None:
    bend: Step = Pair("Mul", (Elementwise("Relu"),), (kernel("Clip"),)) if pair else kernel("Abs")
    source = replace(source, steps=(*source.steps, bend, *tail[:2]))
    with np.errstate(over="ignore", invalid="ignore"):
        assume(np.isfinite(source.values(np.array([[end] for end in source.interval.ends]))).all())
    is_the_network(source, quantizer)


@MANY
@given(source=accumulators(), quantizer=quantizers())
def test_bits_before_an_activation_are_the_network(source: Accumulator, quantizer: Quantizer) -> None:
    ones = np.ones(CHANNELS, np.int64)
    source = replace(source, format=Bipolar(), interval=Interval(-ones, ones, 2), zero_point=0)
    operation = is_the_network(source, quantizer).operation
    assert isinstance(operation, Threshold)
    assert not (operation.thresholds == 0).any()  # a wire knows no 0


def test_sums_of_bits_change_level_at_a_sum_that_occurs() -> None:
    """Sums of an odd number of bits are odd: even codes, where the function steps too, must not count."""
    half = 347
    interval = Interval(np.full(CHANNELS, -half), np.full(CHANNELS, half), 2)
    steps = (Elementwise("Add", np.array(0.64042264, np.float32)),)
    source = Accumulator("fc", FixedPoint(12, 12), interval, np.array(float(np.float32(0.27708885))), steps)
    is_the_network(source, quantizer_of(4, signed=True, scale=0.6404849))


@MANY
@given(
    source=accumulators(),
    shift=st.integers(0, 3),
    form=FORMS,
    mode=MODES,
    zero_after=st.one_of(st.just(0), st.integers(-9, 9)),
)
def test_truncation_of_codes_shifts_them(
    source: Accumulator, shift: int, form: tuple[int, bool, bool], mode: str, zero_after: int
) -> None:
    """What the source is worth is what is truncated: integers are shifted, rounded and clipped."""
    bit_width, signed, narrow = form
    divisor = 2**shift
    zero = zero_after * divisor
    source = replace(source, steps=(), zero_point=zero)
    scale = source.scale.astype(np.float32)
    truncation = Truncation(
        scale, zero, float(divisor), scale * np.float32(divisor), zero_after, bit_width, signed, narrow, mode
    )
    operation = lower_activation("act", source, truncation).operation
    codes = all_codes(source)
    found = run(operation, np.repeat(codes[:, None], CHANNELS, axis=1), source.format)
    plain = Quantizer(np.array(divisor, np.float32), bit_width, signed, narrow, bipolar=False, rounding=mode)
    wanted = plain.codes(codes.astype(np.float32))[:, None]
    assert (found == wanted)[occurring(source.interval, codes)].all()


# ---- sums that float32 does not decide -------------------------------------------------------------------------------


@st.composite
def noisy(draw: st.DrawFn) -> Accumulator:
    source = draw(accumulators())
    share = np.array(draw(st.lists(st.floats(1e-5, 0.4), min_size=CHANNELS, max_size=CHANNELS)))
    noise = share * source.scale if source.scale.ndim or draw(st.booleans()) else share[0] * source.scale
    return replace(source, noise=np.asarray(noise))


@MANY
@given(source=noisy(), quantizer=quantizers(), seed=st.integers(0, 2**32 - 1))
def test_code_that_a_sum_within_the_noise_changes_is_counted(
    source: Accumulator, quantizer: Quantizer, seed: int
) -> None:
    activation = lower_activation("act", source, quantizer)
    codes = all_codes(source)
    exact = network_codes(source, quantizer, codes)
    shares = np.random.default_rng(seed).uniform(-1, 1, (len(codes), CHANNELS))
    shares[::2] = np.sign(shares[::2])
    changed = (exact != network_codes(source, quantizer, codes, shares)) & occurring(source.interval, codes)
    assert activation.undecided > 0 or not changed.any()


@MANY
@given(source=noisy(), quantizer=quantizers())
def test_undecided_sums_are_those_whose_codes_differ_at_both_ends_of_the_noise(
    source: Accumulator, quantizer: Quantizer
) -> None:
    """A sum that may get one of several codes counts once for each but the first."""
    activation = lower_activation("act", source, quantizer)
    codes = all_codes(source)
    ends = [network_codes(source, quantizer, codes, off) for off in (-1.0, 1.0)]
    inside = occurring(source.interval, codes)
    constant = [[len(set(end[inside[:, c], c])) == 1 for c in range(CHANNELS)] for end in ends]
    assume(constant[0] == constant[1])  # else a falling channel is counted from the wrong end
    between = np.abs(ends[0] - ends[1]) // (2 if quantizer.bipolar else 1)
    assert activation.undecided == int(between[inside].sum())


@MANY
@given(
    interval=intervals(),
    exponent=st.integers(-4, 4),
    bit_width=st.integers(2, 8),
    zero_point=ZERO_POINTS,
    sign=st.sampled_from([1.0, -2.0]),
)
def test_sums_on_a_boundary_are_ties_where_float32_is_not_exact(
    interval: Interval, exponent: int, bit_width: int, zero_point: int, sign: float
) -> None:
    quantizer = replace(quantizer_of(bit_width, signed=True, scale=2.0**exponent), zero_point=zero_point)
    steps = (Elementwise("Mul", np.array(sign, np.float32)),)
    source = Accumulator("fc", FixedPoint(12, 12), interval, np.array(1.0), steps, noise=np.array(1e-3))
    codes = all_codes(source)
    steps_of = codes * sign / 2.0**exponent + zero_point
    lowest, highest = quantizer.range
    on_boundary = (steps_of % 1 == 0.5) & (steps_of > lowest) & (steps_of < highest)
    tied = bool((on_boundary[:, None] & occurring(interval, codes)).any())
    activation = lower_activation("act", source, quantizer)
    assert (activation.ties > 0) is tied
    assert (activation.undecided > 0) is tied


@pytest.mark.parametrize("highest", [5, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_last_sum_is_a_tie_though_no_sum_reaches_the_next_level(highest: int, stride: int) -> None:
    interval = Interval(np.full(CHANNELS, -3), np.full(CHANNELS, highest), stride)
    source = Accumulator("fc", FORMAT, interval, np.array(1.0), (), noise=np.array(1e-3))
    activation = lower_activation("act", source, quantizer_of(1, scale=10.0))  # 5 is half a step
    assert activation.undecided == activation.ties == CHANNELS


# ---- which operation -------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("kind", "quantizer"),
    [
        ("Erf", quantizer_of(1, signed=True, bipolar=True)),
        ("Tanh", quantizer_of(1, signed=True, bipolar=True)),
        ("Ceil", quantizer_of(4, signed=True, scale=1.73)),
        ("Floor", quantizer_of(4, signed=True, scale=1.73)),
    ],
)
def test_zero_is_a_tie_of_a_function_that_steps_there(kind: str, quantizer: Quantizer) -> None:
    """Found by `make fuzz`: the sum 0 of float32 is 1e-8 or -1e-8."""
    kernel = Kernel(kind, helper.make_node(kind, ["a"], ["b"]), {}, 20)
    interval = Interval(np.full(CHANNELS, -5), np.full(CHANNELS, 5))
    source = Accumulator("fc", FORMAT, interval, np.array(0.37), (kernel,), noise=np.array(1e-6))
    activation = lower_activation("act", source, quantizer)
    assert activation.undecided == activation.ties == CHANNELS


@pytest.mark.parametrize("bit_width", [1, 2, 3, 6])
def test_relu_and_a_power_of_two_scale_are_a_shift(bit_width: int) -> None:
    operation = lowered((Elementwise("Relu"),), quantizer_of(bit_width))
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


def test_scale_that_is_no_power_of_two_is_one_multiplier() -> None:
    quantizer = replace(quantizer_of(5, signed=True, scale=0.3), zero_point=4)
    operation = is_the_network(source_of((), scale=np.array(float(np.float32(0.0123)))), quantizer).operation
    assert isinstance(operation, MultiplyAdd)
    assert operation.format == FixedPoint(5, 5, rounding="AP_RND_CONV", overflow="AP_SAT")


def test_function_on_no_line_is_as_many_comparators_as_it_takes() -> None:
    bend = (Elementwise("Relu"), Elementwise("RSub", np.array(3, np.float32)), Elementwise("Relu"), *NORM)
    operation = lowered(bend, quantizer_of(4, signed=True))
    assert isinstance(operation, Threshold)
    assert operation.thresholds.shape == (CHANNELS, 15)


def test_function_that_rises_and_falls_is_a_table_of_every_code() -> None:
    operation = lowered((kernel("Abs"),), quantizer_of(4), (-20, 30))
    assert isinstance(operation, Table)
    assert (operation.lowest, len(operation.entries)) == (-20, 51)
    assert operation.entries.tolist() == [round(abs(code) / 8) for code in range(-20, 31)]


def test_function_that_onnxruntime_rounds_by_position_is_a_table_where_no_code_depends_on_it() -> None:
    swish = Kernel("HardSwish", helper.make_node("HardSwish", ["a"], ["b"]), {}, 20)
    source = source_of((swish,), scale=np.array(float(np.float32(0.0371))))
    quantizer = quantizer_of(6, signed=True, scale=0.11)
    operation = lower_activation("act", source, quantizer).operation
    assert isinstance(operation, Table)
    codes = all_codes(source)
    x = codes * float(np.float32(0.0371))
    exact = x * np.clip(x / 6 + 0.5, 0, 1) / float(np.float32(0.11))
    sure = np.abs(exact % 1 - 0.5) > 1e-4
    wanted = np.clip(np.rint(exact), -32, 31)
    assert sure.sum() > 590
    assert (operation.run(codes, FORMAT) == wanted)[sure].all()


def test_sixteen_bits_are_exact() -> None:
    quantizer = quantizer_of(16, scale=2.0**-9)
    operation = lowered(NORM, quantizer, (-20000, 20000))
    codes = np.arange(-20000, 20000, 37)
    found = run(operation, np.repeat(codes[:, None], CHANNELS, axis=1))
    assert (found == network_codes(source_of(NORM), quantizer, codes)).all()


@MANY
@given(
    multipliers=st.lists(st.integers(-6, 6), min_size=2, max_size=2),
    offset=st.integers(-40, 40),
    shift=st.integers(0, 4),
    stride=st.integers(1, 3),
    change=st.tuples(st.integers(-1, 1), st.integers(-2, 2)),
)
def test_agreement_is_that_on_every_code(
    multipliers: list[int], offset: int, shift: int, stride: int, change: tuple[int, int]
) -> None:
    form = format_of(1.0, 3, signed=True)
    interval = Interval(np.array([-20, -7]), np.array([-20 + 15 * stride, -7 + 4 * stride]), stride)

    def operation(more: int, further: int) -> MultiplyAdd:
        ones = np.ones(2, np.int64)
        return MultiplyAdd("act", "fc", np.array(multipliers) + more, (offset + further) * ones, shift, form)

    steps = tabulate(lambda codes: operation(0, 0).run(codes, FORMAT) + 4, interval, 8)
    changed = operation(*change)
    codes = np.arange(-20, 26)
    equal = (changed.run(codes[:, None], FORMAT) == operation(0, 0).run(codes[:, None], FORMAT))[
        occurring(interval, codes)
    ].all()
    assert equal or not agrees(changed, FORMAT, steps, -4)
    if stride == 1:
        assert bool(equal) is agrees(changed, FORMAT, steps, -4)


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_overflow_to_infinity_saturates() -> None:
    steep = (Elementwise("Mul", np.array(1e38, np.float32)), Elementwise("Mul", np.array(1e38, np.float32)))
    operation = lowered(steep, quantizer_of(4, signed=True))
    codes = np.array([[-300] * 3, [0] * 3, [1] * 3])
    assert run(operation, codes).tolist() == [[-8] * 3, [0] * 3, [7] * 3]


def test_function_that_is_no_number_somewhere_is_refused() -> None:
    huge, nothing = (Elementwise("Mul", np.array(value, np.float32)) for value in (1e38, 0))
    says = "values must be numbers, not NaN; train again, a batch norm may have overflowed"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        lowered((huge, huge, nothing), quantizer_of(4))


def test_function_that_rises_and_falls_over_too_many_codes_is_refused() -> None:
    says = (
        "a function that rises and falls must have at most 16384 codes before it, over all channels that differ, "
        "not 20001; put a quantiser of one scale before it, or use a monotone activation"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        lowered((kernel("Abs"),), quantizer_of(4), (-10000, 10000))


@pytest.mark.parametrize("scale", [np.array(0.5, np.float32), np.array([0.5, 0.25, 0.5], np.float32)])
def test_function_that_rises_and_falls_in_its_own_way_a_channel_takes_one_part_of_a_table_each(scale: Floats) -> None:
    steps: tuple[Step, ...] = (*NORM, kernel("Abs")) if scale.ndim == 0 else (kernel("Abs"),)
    quantizer = replace(quantizer_of(4), scale=scale)
    source = source_of(steps, (-20, 30))
    activation = lower_activation("act", source, quantizer)
    assert isinstance(activation.before, Affine)
    codes = np.arange(-20, 31)[:, None] * np.ones(3, np.int64)
    found = run(activation.operation, run(activation.before, codes))
    assert (found == quantizer.codes(source.values(codes))).all()
    assert len({tuple(column) for column in found.T.tolist()}) > 1


PLACES: dict[str, Literal["Elu", "HardSwish"]] = {"rising": "Elu", "rising and falling": "HardSwish"}


@pytest.mark.parametrize("kind", PLACES.values(), ids=PLACES)
def test_code_that_depends_on_where_onnxruntime_computes_it_is_refused(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A last bit that the end of the tensor changes, put where it changes a code."""
    step = Kernel(kind, helper.make_node(kind, ["a"], ["b"]), {}, 20)
    run = Kernel._run

    def wavering(self: Kernel, values: Floats) -> Floats:
        return run(self, values) + np.float32(1 if values.size == 1 else 0)

    monkeypatch.setattr(Kernel, "_run", wavering)
    says = (
        f"quantised values must not depend on where in a tensor onnxruntime computes {kind}, as they do; "
        "use Relu, LeakyRelu, Sigmoid or Tanh"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        lowered((step,), quantizer_of(4, signed=True))
