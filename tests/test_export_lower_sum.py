"""Sums of two quantised branches on float scales: every pair of codes is tried once for all channels that are alike."""

from typing import Any

import numpy as np
import pytest
from networks import executed, graph, program_integers

from bitwright.export.interface import describe, input_codes, output_codes
from bitwright.export.lower import LoweredNetwork, lower
from bitwright.export.operations import Table
from bitwright.export.problems import UnsupportedOperatorError

BRANCHES = "[in] q = Quant (x, s, zero, eight) [p] p = Quant (q, t, zero, eight) [join] a = Add (q, p) "
ONE_READER = "[act] y = Quant (a, u, zero, eight)"
TWO_READERS = "[act] z = Quant (a, u, zero, eight) [other] r = Quant (a, s, zero, eight) y = Concat <axis=1> (z, r)"
PAIRS = 2**16
UNDECIDED = {"s": 0.566, "t": 0.67, "u": 0.512}
TIED = {"s": 0.05, "t": 0.15, "u": 0.1}


def lowered(body: str, channels: int, **scales: Any) -> LoweredNetwork:  # noqa: ANN401
    width = 2 * channels if body == TWO_READERS else channels
    return lower(graph(BRANCHES + body, (1, channels), (1, width), **scales))


def refusal(channels: int) -> str:
    with pytest.raises(UnsupportedOperatorError) as refused:
        lowered(ONE_READER, channels, **TIED)
    return str(refused.value)


def ties(count: int) -> str:
    return (
        f"model: act (Quant): sums must lie beside the boundaries of rounding, not on them as {count} do, where the "
        "last bit of float32 decides: PyTorch itself gives one integer or the other, by the order of adding; use "
        "power-of-two scales (restrict_scaling_type POWER_OF_TWO) and sums below 2**24, or a bias or batch norm that "
        "moves the sums, or --allow-approximate"
    )


@pytest.mark.parametrize("channels", [1, 8, 64])
def test_share_of_undecided_pairs_is_that_of_one_channel(channels: int) -> None:
    assert lowered(TWO_READERS, channels, **UNDECIDED).undecided == {"act": 33 / PAIRS}


@pytest.mark.parametrize("channels", [1, 8, 64])
def test_pairs_on_boundaries_are_refused_for_any_number_of_channels(channels: int) -> None:
    assert refusal(channels) == ties(4325 * channels)


def test_channels_of_two_kinds_each_count_as_often_as_they_are() -> None:
    other = {**UNDECIDED, "t": 0.6}
    both = {**UNDECIDED, "t": np.repeat([0.67, 0.6], [16, 48])}
    (share,), (of_other,) = (lowered(TWO_READERS, 1, **scales).undecided.values() for scales in (UNDECIDED, other))
    assert share != of_other
    assert lowered(TWO_READERS, 64, **both).undecided == {"act": (16 * share + 48 * of_other) / 64}


@pytest.mark.parametrize(
    "scales",
    [
        {"s": 0.3, "t": 0.7, "u": 0.35},
        {"s": 0.3, "t": np.repeat([0.7, 0.9, 0.7], [10, 30, 24]), "u": 0.61},
    ],
    ids=["alike", "of two kinds"],
)
def test_sum_of_many_channels_gives_the_networks_codes(scales: dict[str, Any]) -> None:
    network = lowered(ONE_READER, 64, **scales)
    assert network.undecided == {}
    values = np.random.default_rng(2).normal(0, 20, (200, 64)).astype(np.float32)
    model = graph(BRANCHES + ONE_READER, values.shape, values.shape, **scales)
    found = program_integers(network, values)
    assert len(np.unique(found)) > 100
    assert (found == output_codes(describe(network).output, executed(model, values))).all()


def traced(
    scales: dict[str, float], channels: int
) -> tuple[LoweredNetwork, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return a lowered sum of two branches, the integers of its operation, and what the network has there."""
    network = lowered(ONE_READER, channels, **scales)
    values = np.random.default_rng(3).normal(0, 20, (200, channels)).astype(np.float32)
    model = graph(BRANCHES.strip().replace("a = Add", "y = Add"), values.shape, values.shape, **scales)
    return network, dict(network.program.trace(input_codes(network, values)))["join"], executed(model, values)


def test_scale_of_a_sum_is_that_of_the_grid_that_it_got() -> None:
    network, integers, sums = traced({"s": 0.3, "t": 0.7, "u": 0.35}, 3)
    scale = network.scales["join"]
    assert np.abs(integers * scale - sums).max() < 0.01 * np.abs(sums).max()


def test_index_of_a_table_of_pairs_has_no_scale() -> None:
    few = "[in] q = Quant (x, s, zero, four) [p] p = Quant (q, t, zero, four) [join] a = Add (q, p) "
    network = lower(graph(few + "[act] y = Quant (a, u, zero, four)", (1, 2), (1, 2), s=0.3, t=0.15, u=0.2))
    assert isinstance(network.program.operations[-1], Table)
    assert set(network.scales) == {"in", "p", "act"} < set(network.program.tensors)
