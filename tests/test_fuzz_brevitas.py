"""Random Brevitas networks: every level gives the same integers, or the network is refused as it should be."""

from pathlib import Path

import pytest
from brevitas_networks import EXACT_KINDS, KINDS, brevitas_networks
from fuzz import TARGETS, check

COMPARED = 40
"""Networks of each kind, of those that are not refused: an export takes a second."""

SIMULATED = 10


@pytest.mark.parametrize(
    ("power_of_two", "kinds"),
    [
        pytest.param(True, EXACT_KINDS, id="exact"),
        pytest.param(True, KINDS, id="powers of two", marks=pytest.mark.slow),
        pytest.param(False, KINDS, id="any scales", marks=pytest.mark.slow),
    ],
)
def test_levels_of_a_random_network_give_the_same_integers(
    power_of_two: bool, kinds: frozenset[str], tmp_path: Path
) -> None:
    check(brevitas_networks(power_of_two=power_of_two, kinds=kinds), COMPARED, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("power_of_two", [True, False], ids=["powers of two", "any scales"])
def test_simulation_of_a_random_network_gives_the_programs_integers(power_of_two: bool, tmp_path: Path) -> None:
    check(brevitas_networks(power_of_two=power_of_two, most_layers=3), SIMULATED, tmp_path, TARGETS)
