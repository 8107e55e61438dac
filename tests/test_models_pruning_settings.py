"""How a network is pruned: what cannot be, or not together, is refused."""

import re

import pytest

from bitwright.models.pruning_settings import PruningSettings, Scope


@pytest.mark.parametrize(
    ("structure", "share", "scope", "message"),
    [
        (
            "rows",
            None,
            "layer",
            "--structure: value must be weights, channels, or N:M with N below M, not 'rows'; 2:4 is",
        ),
        (
            "4:4",
            None,
            "layer",
            "--structure: value must be weights, channels, or N:M with N below M, not '4:4'; 2:4 is",
        ),
        (
            "0:4",
            None,
            "layer",
            "--structure: value must be weights, channels, or N:M with N below M, not '0:4'; 2:4 is",
        ),
    ],
)
def test_structure_that_cannot_be_is_refused(structure: str, share: float, scope: Scope, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)} usual$"):
        PruningSettings(structure, share, scope)


@pytest.mark.parametrize("share", [1.0, -0.1, float("nan")])
def test_share_that_cannot_be_is_refused(share: float) -> None:
    with pytest.raises(
        ValueError, match=re.escape(f"--share: value must be from 0 to below 1, not {share:g}; 0.5 is a start")
    ):
        PruningSettings("weights", share)


def test_groups_say_their_share_themselves() -> None:
    with pytest.raises(
        ValueError,
        match=r"^--share: value must be left out for --structure 2:4, not 0\.5; 2 of 4 weights stay$",
    ):
        PruningSettings("2:4", 0.5)
    with pytest.raises(
        ValueError,
        match=r"^--scope: value must be layer for --structure 2:4, not global; every 4 weights lose as many$",
    ):
        PruningSettings("2:4", scope="global")
