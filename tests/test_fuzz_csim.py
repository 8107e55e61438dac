"""Random networks through the C simulation: it gives the program's integers, for every way to write the project."""

import pytest
from brevitas_networks import brevitas_networks
from fuzz_check import TARGETS, check
from random_graphs import random_graphs

SIMULATED = 10
"""Networks of each source and of each kind of scales: 40."""

SCALES = pytest.mark.parametrize("power_of_two", [True, False], ids=["powers of two", "any scales"])


@SCALES
def test_simulation_of_a_random_graph_gives_the_programs_integers(power_of_two: bool) -> None:
    tally = check(random_graphs(power_of_two=power_of_two, most_layers=3), SIMULATED, targets=TARGETS)
    assert (len(tally.simulated), tally.simulated.total()) == (len(TARGETS), SIMULATED)


@SCALES
def test_simulation_of_a_random_network_gives_the_programs_integers(power_of_two: bool) -> None:
    tally = check(brevitas_networks(power_of_two=power_of_two, most_layers=3), SIMULATED, targets=TARGETS)
    assert (len(tally.simulated), tally.simulated.total()) == (len(TARGETS), SIMULATED)
