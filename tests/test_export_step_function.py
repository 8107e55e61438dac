"""Tabulating a monotone function, against looking each value up."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bitwright.export import step_function
from bitwright.export.operations import Integers, Interval
from bitwright.export.step_function import NotMonotoneError, StepFunction, tabulate

FIRST, LAST = -12, 12
Table = NDArray[np.int64]


def looked_up(table: Table, codes: Integers) -> Integers:
    assert codes.shape[1] == table.shape[1]
    return table[codes - FIRST, np.arange(table.shape[1])]


def value(steps: StepFunction, channel: int, code: int) -> int:
    """The level that the thresholds give, one comparison after the other."""
    count = sum(1 for threshold in steps.thresholds[channel].tolist() if code >= threshold)
    return count if steps.rising[channel] else steps.levels - 1 - count


@st.composite
def tables(draw: st.DrawFn) -> tuple[Table, int, Interval]:
    """Monotone columns, with jumps over several levels, and an interval of its own for each, of one stride."""
    levels, channels, stride = draw(st.integers(2, 9)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    size = LAST - FIRST + 1
    columns, ends = [], []
    for _ in range(channels):
        column = sorted(draw(st.lists(st.integers(0, levels - 1), min_size=size, max_size=size)))
        columns.append(column[::-1] if draw(st.booleans()) else column)
        lowest, highest = sorted(draw(st.lists(st.integers(FIRST, LAST), min_size=2, max_size=2)))
        ends.append((lowest, highest - (highest - lowest) % stride))
    lows, highs = np.array(ends).T
    return np.array(columns).T, levels, Interval(lows, highs, stride)


@contextmanager
def searched(how: str) -> Iterator[None]:
    """Force bisection or enumeration of what is called monotone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_function, "log2", lambda _: -1.0 if how == "bisected" else float("inf"))
        yield


SEARCHES = st.sampled_from(["bisected", "counted"])


@settings(deadline=None)
@given(case=tables(), chunk=st.integers(1, 60), how=SEARCHES)
def test_every_code_of_every_channel_has_its_level(case: tuple[Table, int, Interval], chunk: int, how: str) -> None:
    table, levels, interval = case
    with searched(how), pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_function, "CHUNK_VALUES", chunk)
        steps = tabulate(lambda codes: looked_up(table, codes), interval, levels, monotone=True)
    for channel in range(table.shape[1]):
        for code in range(interval.lowest[channel], interval.highest[channel] + 1, interval.stride):
            assert value(steps, channel, code) == table[code - FIRST, channel]


@settings(deadline=None)
@given(case=tables())
def test_bisection_finds_what_enumeration_finds(case: tuple[Table, int, Interval]) -> None:
    table, levels, interval = case
    found = []
    for how in ("bisected", "counted"):
        with searched(how):
            found.append(tabulate(lambda codes: looked_up(table, codes), interval, levels, monotone=True))
    assert found[0].rising.tolist() == found[1].rising.tolist()
    assert found[0].thresholds.tolist() == found[1].thresholds.tolist()


@settings(deadline=None)
@given(case=tables(), how=SEARCHES)
def test_thresholds_are_the_first_codes_that_occur_of_each_level(case: tuple[Table, int, Interval], how: str) -> None:
    table, levels, interval = case
    with searched(how):
        steps = tabulate(lambda codes: looked_up(table, codes), interval, levels, monotone=True)
    for channel, thresholds in enumerate(steps.thresholds.tolist()):
        codes = range(interval.lowest[channel], interval.highest[channel] + 1, interval.stride)
        column = [int(table[code - FIRST, channel]) for code in codes]
        if not steps.rising[channel]:
            column = [levels - 1 - level for level in column]
        first = [
            next((code for code, level in zip(codes, column, strict=True) if level >= wanted), codes[-1] + 1)
            for wanted in range(1, levels)
        ]
        assert thresholds == first


@settings(deadline=None, max_examples=50)
@given(
    steps=st.lists(st.lists(st.integers(-(2**40), 2**40), min_size=3, max_size=3), min_size=1, max_size=4),
    falling=st.booleans(),
    stride=st.sampled_from([1, 2, 5]),
)
def test_huge_intervals_are_searched_by_few_evaluations(steps: list[list[int]], falling: bool, stride: int) -> None:
    places = np.array([sorted(column) for column in steps])  # (C, 3)
    lowest = np.full(len(places), -(2**40))
    interval = Interval(lowest, lowest + (2**41 // stride) * stride, stride)
    evaluations = 0

    def level(codes: Integers) -> Integers:
        nonlocal evaluations
        evaluations += codes.shape[0]
        count: Integers = (codes[..., None] >= places).sum(axis=2)
        return 3 - count if falling else count

    found = tabulate(level, interval, 4, monotone=True)
    for channel, thresholds in enumerate(found.thresholds.tolist()):
        reachable = [-(2**40) + -(-(int(place) + 2**40) // stride) * stride for place in places[channel]]
        wanted = [min(place, int(interval.highest[channel]) + 1) for place in reachable]
        if (found.rising[channel] != falling) or len(set(wanted)) > 1:
            assert thresholds == wanted
    assert evaluations <= 2 + 3 * 43


def test_function_that_nobody_calls_monotone_is_not_searched_by_bisection() -> None:
    asked: list[int] = []

    def level(codes: Integers) -> Integers:
        asked.extend(codes.reshape(-1).tolist())
        return (codes >= 70).astype(np.int64)

    interval = Interval(np.array([0]), np.array([99]))
    assert tabulate(level, interval, 2).thresholds.tolist() == [[70]]
    assert sorted(set(asked)) == list(range(100))


def test_function_of_too_many_codes_that_may_rise_and_fall_is_refused() -> None:
    interval = Interval(np.array([0, 0]), np.array([2**27, 5]))
    says = (
        f"reachable values must be at most {2**28} before a function that may rise and fall, not {2**28 + 2}; "
        "use fewer bits, or Relu, LeakyRelu, HardTanh or batch norm only"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        tabulate(lambda codes: np.zeros((len(codes), 2), np.int64), interval, 2)


@settings(deadline=None)
@given(case=tables())
def test_thresholds_ascend_and_lie_in_the_interval_or_one_above_it(case: tuple[Table, int, Interval]) -> None:
    table, levels, interval = case
    steps = tabulate(lambda codes: looked_up(table, codes), interval, levels)
    assert steps.thresholds.shape == (table.shape[1], levels - 1)
    assert (np.diff(steps.thresholds, axis=1) >= 0).all()
    assert (steps.thresholds >= interval.lowest[:, None]).all()
    assert (steps.thresholds <= interval.highest[:, None] + 1).all()
    assert steps.interval is interval
    assert steps.levels == levels


def test_rising_falling_and_constant_channels_are_told_apart() -> None:
    interval = Interval(np.array([0, 0, 0]), np.array([5, 5, 5]))
    table = np.array([[0, 0, 0, 2, 2, 3], [3, 3, 1, 1, 0, 0], [2, 2, 2, 2, 2, 2]]).T
    steps = tabulate(lambda codes: table[codes, np.arange(3)], interval, 4)
    assert steps.rising.tolist() == [True, False, True]
    assert steps.thresholds.tolist() == [[3, 3, 5], [2, 2, 4], [0, 0, 6]]


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_function_is_asked_for_at_most_a_chunk_at_a_time(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_function, "CHUNK_VALUES", 2 * chunk)
    asked: list[int] = []

    def level(codes: Integers) -> Integers:
        asked.extend(codes[:, 0].tolist())
        assert len(codes) <= max(chunk, 2)  # both ends are asked for first
        return (codes > 4).astype(np.int64)

    tabulate(level, Interval(np.array([0, 2]), np.array([9, 4])), 2)
    assert asked[2:] == list(range(10))


@pytest.mark.parametrize("chunk", [1, 100])
@pytest.mark.parametrize("column", [[0, 1, 0], [1, 0, 1], [0, 2, 1], [0, 1, 0, 1], [1, 0, 0, 2]])
def test_function_that_rises_and_falls_is_refused(
    column: list[int], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_function, "CHUNK_VALUES", chunk)
    interval = Interval(np.array([0]), np.array([len(column) - 1]))
    with pytest.raises(
        NotMonotoneError, match=r"^activation: function must rise or fall, not both; use a monotone activation$"
    ):
        tabulate(lambda codes: np.array(column)[codes], interval, 3)
