"""Random QONNX graphs: every level gives the same integers, or the graph is refused as it should be."""

from pathlib import Path

import pytest
from fuzz import TARGETS, check
from networks import random_graphs

COMPARED = 190
"""Graphs of each kind, of those that are not refused; with those of `test_fuzz_brevitas` 500."""

SIMULATED = 10
"""Of each kind, more; with those of `test_fuzz_brevitas` 40."""


@pytest.mark.parametrize("power_of_two", [True, False], ids=["powers of two", "any scales"])
def test_levels_of_a_random_graph_give_the_same_integers(power_of_two: bool, tmp_path: Path) -> None:
    check(random_graphs(power_of_two=power_of_two), COMPARED, tmp_path)


@pytest.mark.parametrize("power_of_two", [True, False], ids=["powers of two", "any scales"])
def test_simulation_of_a_random_graph_gives_the_programs_integers(power_of_two: bool, tmp_path: Path) -> None:
    check(random_graphs(power_of_two=power_of_two, most_layers=3), SIMULATED, tmp_path, TARGETS)
