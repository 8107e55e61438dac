"""Random Brevitas networks of every kind: every level gives the same integers, but for what float32 may decide."""

import pytest
from brevitas_networks import brevitas_networks
from fuzz_check import check

COMPARED = 40
"""Networks of each part, of those that are not refused; see `test_fuzz_brevitas`."""

EQUAL = 0.9
"""Of them, the least share where float32 decides nothing, so that PyTorch has the program's integers too."""

SCALES = pytest.mark.parametrize("power_of_two", [True, False], ids=["powers of two", "any scales"])


@pytest.mark.parametrize("part", range(2))
@SCALES
def test_levels_of_a_random_network_give_the_same_integers(power_of_two: bool, part: int) -> None:
    tally = check(brevitas_networks(power_of_two=power_of_two, most_layers=2 + part), COMPARED, seed=part)
    assert tally.results["Brevitas: equal"] >= EQUAL * COMPARED


@pytest.mark.slow
@SCALES
def test_levels_of_a_deep_random_network_give_the_same_integers(power_of_two: bool) -> None:
    check(brevitas_networks(power_of_two=power_of_two), 100)
