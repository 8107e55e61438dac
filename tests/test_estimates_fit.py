"""Proposals hold what they promise, by estimating them again."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitwright.estimates.fit import MOST_SHARE, propose
from bitwright.estimates.layers import Constants, Layer, Matrix
from bitwright.estimates.network import estimate
from bitwright.estimates.reported import CONV1D, MLP
from bitwright.estimates.settings import settings_of
from bitwright.hls.target import Target


def layers(inputs: int, hidden: int, bits: int = 16) -> list[Layer]:
    """Two dense layers."""
    sizes = [("fc1", inputs, hidden), ("fc2", hidden, 5)]
    layer = MLP.layers[0]
    assert isinstance(layer, Matrix)
    return [
        replace(
            layer,
            name=name,
            inputs=given_,
            outputs=outputs,
            channels=given_,
            data_bits=bits,
            weight_bits=bits,
            constants=Constants(0, 0, 0, given_ * outputs),
        )
        for name, given_, outputs in sizes
    ]


@given(st.integers(2, 60), st.integers(2, 60), st.sampled_from(["xc7z020", "xczu3eg", "xcvu13p"]))
def test_what_is_proposed_fits(inputs: int, hidden: int, part: str) -> None:
    network = layers(inputs, hidden)
    found = propose(network, settings_of(Target(part=part)))
    again = estimate(network, found.settings)
    assert max(again.shares.values()) <= MOST_SHARE
    assert not again.stops


@given(st.integers(2, 60), st.floats(0.05, 1))
def test_what_is_proposed_reaches_the_rate(hidden: int, rate_mhz: float) -> None:
    network = layers(16, hidden)
    found = propose(network, settings_of(Target(part="xcu250")), rate_mhz)
    assert estimate(network, found.settings).rate_mhz >= rate_mhz


def test_a_lower_rate_takes_less() -> None:
    network, settings = layers(32, 32), settings_of(Target(part="xczu9eg"))
    slow, fast = propose(network, settings, 0.1), propose(network, settings, 10)
    assert max(slow.shares.values()) < max(fast.shares.values())


def test_a_small_network_is_proposed_as_fast_as_it_goes() -> None:
    found = propose(layers(4, 4), settings_of(Target()))
    assert (found.settings.target.strategy, found.settings.target.reuse_factor) == ("Latency", 1)


def test_arrays_that_are_too_large_are_avoided() -> None:
    found = propose(layers(784, 64), settings_of(Target()))
    assert found.settings.target.strategy == "Resource"


def refusal(message: str) -> str:
    """The whole message, as a pattern."""
    return f"^{re.escape(message)}$"


def test_rate_that_no_setting_reaches_is_refused() -> None:
    message = (
        "--target-rate-mhz: rate must be at most 0.5128 MHz, the highest that fits xcu250, not 1000; "
        "take a larger part or fewer bits"
    )
    with pytest.raises(ValueError, match=refusal(message)):
        propose(CONV1D.layers, settings_of(CONV1D.target), 1000)


def test_network_that_no_setting_fits_is_refused() -> None:
    network = layers(2000, 2000)
    with pytest.raises(
        ValueError,
        match=r"^--part: xc7a35t must hold the network in 80% of its [A-Z_0-9]+, not need [\d,]+ of [\d,]+; "
        r"take a larger part or fewer bits$",
    ):
        propose(network, settings_of(Target(part="xc7a35t")))


def test_network_that_no_strategy_can_build_is_refused() -> None:
    message = (
        "--fit: fc1: array acc must have at most 4096 elements to be partitioned completely, not 5000; "
        "take fewer outputs; no strategy avoids it"
    )
    with pytest.raises(ValueError, match=refusal(message)):
        propose(layers(1, 5000)[:1], settings_of(Target()))
