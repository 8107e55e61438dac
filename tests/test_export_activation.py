"""Activations: whatever operation is chosen, it is the network's own float32 arithmetic on every code."""

from dataclasses import replace

import numpy as np
from activation_codes import (
    NORM,
    all_codes,
    is_the_network,
    lowered,
    network_codes,
    occurring,
    quantizer_of,
    run,
    source_of,
)
from hypothesis import assume, given
from hypothesis import strategies as st
from random_activations import CHANNELS, FORMAT, FORMS, MANY, MODES, accumulators, chains, kernel, quantizers

from bitwright.export.accumulator import Accumulator
from bitwright.export.activation import agrees, lower_activation
from bitwright.export.elementwise import Elementwise, Pair, Step
from bitwright.export.operations import Interval, MultiplyAdd, Threshold
from bitwright.export.quantizer import Quantizer, Truncation
from bitwright.export.step_function import tabulate
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.fixed_point import FixedPoint, format_of


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


def test_overflow_to_infinity_saturates() -> None:
    steep = (Elementwise("Mul", np.array(1e38, np.float32)), Elementwise("Mul", np.array(1e38, np.float32)))
    operation = lowered(steep, quantizer_of(4, signed=True))
    codes = np.array([[-300] * 3, [0] * 3, [1] * 3])
    assert run(operation, codes).tolist() == [[-8] * 3, [0] * 3, [7] * 3]
