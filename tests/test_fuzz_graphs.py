"""Random QONNX graphs: every level gives the same integers, or the graph is refused as it should be."""

import pytest
from fuzz_check import check
from random_graphs import random_graphs

COMPARED = 90
"""Graphs of each kind, of those that are not refused."""


@pytest.mark.parametrize("power_of_two", [True, False], ids=["powers of two", "any scales"])
def test_levels_of_a_random_graph_give_the_same_integers(power_of_two: bool) -> None:
    check(random_graphs(power_of_two=power_of_two), COMPARED)
