"""Tabulating a monotone function, against looking each value up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bitwright.export import step_function
from bitwright.export.operations import Integers, Interval
from bitwright.export.step_function import StepFunction, tabulate

FIRST, LAST = -12, 12
Table = NDArray[np.int64]


def looked_up(table: Table, codes: Integers) -> Integers:
    return table[codes.reshape(-1) - FIRST]


def value(steps: StepFunction, channel: int, code: int) -> int:
    """The level that the thresholds give, one comparison after the other."""
    count = sum(1 for threshold in steps.thresholds[channel].tolist() if code >= threshold)
    return count if steps.rising[channel] else steps.levels - 1 - count


@st.composite
def tables(draw: st.DrawFn) -> tuple[Table, int, Interval]:
    """Monotone columns, with jumps over several levels, and an interval of its own for each."""
    levels, channels = draw(st.integers(2, 9)), draw(st.integers(1, 4))
    size = LAST - FIRST + 1
    columns, ends = [], []
    for _ in range(channels):
        column = sorted(draw(st.lists(st.integers(0, levels - 1), min_size=size, max_size=size)))
        columns.append(column[::-1] if draw(st.booleans()) else column)
        ends.append(sorted(draw(st.lists(st.integers(FIRST, LAST), min_size=2, max_size=2))))
    lowest, highest = np.array(ends).T
    return np.array(columns).T, levels, Interval(lowest, highest)


@settings(deadline=None)
@given(case=tables(), chunk=st.integers(1, 60))
def test_every_code_of_every_channel_has_its_level(case: tuple[Table, int, Interval], chunk: int) -> None:
    table, levels, interval = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_function, "CHUNK_VALUES", chunk)
        steps = tabulate(lambda codes: looked_up(table, codes), interval, levels)
    for channel in range(table.shape[1]):
        for code in range(interval.lowest[channel], interval.highest[channel] + 1):
            assert value(steps, channel, code) == table[code - FIRST, channel]


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
    steps = tabulate(lambda codes: table[codes.reshape(-1)], interval, 4)
    assert steps.rising.tolist() == [True, False, True]
    assert steps.thresholds.tolist() == [[3, 3, 5], [2, 2, 4], [0, 0, 6]]


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_function_is_asked_for_at_most_a_chunk_at_a_time(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_function, "CHUNK_VALUES", 2 * chunk)
    asked: list[int] = []

    def level(codes: Integers) -> Integers:
        asked.extend(codes.reshape(-1).tolist())
        assert len(codes) <= max(chunk, 2)  # both ends are asked for first
        return np.repeat((codes > 4).astype(np.int64), 2, axis=1)

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
        ValueError, match=r"^activation: function must rise or fall, not both; use a monotone activation$"
    ):
        tabulate(lambda codes: np.array(column)[codes], interval, 3)
