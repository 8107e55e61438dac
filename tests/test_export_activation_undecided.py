"""Sums that float32 does not decide before an activation: each one is counted, and so are ties."""

from dataclasses import replace

import numpy as np
import pytest
from activation_codes import all_codes, network_codes, occurring, quantizer_of
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import helper
from random_activations import CHANNELS, FORMAT, MANY, ZERO_POINTS, accumulators, intervals, quantizers

from bitwright.export.accumulator import Accumulator
from bitwright.export.activation import lower_activation
from bitwright.export.elementwise import Elementwise
from bitwright.export.kernel import Kernel
from bitwright.export.operations import Interval
from bitwright.export.quantizer import Quantizer
from bitwright.quant.fixed_point import FixedPoint


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
