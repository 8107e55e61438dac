"""Random Brevitas networks where float32 rounds nowhere: PyTorch and every other level give the same integers."""

import pytest
from brevitas_networks import brevitas_networks
from brevitas_networks_kinds import EXACT_KINDS
from fuzz_check import check

COMPARED = 57
"""Networks of each part, of those that are not refused; with those of `test_fuzz_brevitas_scales` 500 and more.

The first of a part is the simplest, the same in each part of a kind.
"""


@pytest.mark.parametrize("part", range(6))
def test_levels_of_a_random_network_give_the_same_integers(part: int) -> None:
    networks = brevitas_networks(power_of_two=True, kinds=EXACT_KINDS, most_layers=2 + part % 2)
    assert check(networks, COMPARED, seed=part).results["Brevitas: equal"] == COMPARED


@pytest.mark.slow
def test_levels_of_a_deep_random_network_give_the_same_integers() -> None:
    check(brevitas_networks(power_of_two=True, kinds=EXACT_KINDS), 100)
