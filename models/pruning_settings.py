"""How a network is pruned. Imports no torch."""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Scope = Literal["layer", "global"]

USUAL_SHARE = 0.5


@dataclass(frozen=True)
class PruningSettings:
    """What is taken out of a network, and how it is chosen.

    Args:
        structure: "weights": single ones; "channels": whole outputs of layers, which leave the network; "N:M", such as
            "2:4": of each M neighbouring inputs of an output, all but N.
        share: Of the weights or channels that go; None for N:M, which says it itself, and for the usual half.
        scope: "layer": the share of each layer; "global": of the whole network, wherever the smallest are.

    Raises:
        ValueError: If one of them cannot be, or they do not go together.

    >>> PruningSettings("2:4").group
    (2, 4)
    """

    structure: str = "weights"
    share: float | None = None
    scope: Scope = "layer"

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.structure not in ("weights", "channels") and not self._is_group():
            raise ValueError(
                "--structure: value must be weights, channels, or N:M with N below M, not "
                f"{self.structure!r}; 2:4 is usual"
            )
        if self.group and self.share is not None:
            raise ValueError(
                f"--share: value must be left out for --structure {self.structure}, not {self.share:g}; "
                f"{self.group[0]} of {self.group[1]} weights stay"
            )
        if self.group and self.scope != "layer":
            raise ValueError(
                f"--scope: value must be layer for --structure {self.structure}, not {self.scope}; every "
                f"{self.group[1]} weights lose as many"
            )
        if self.share is not None and not 0 <= self.share < 1:
            raise ValueError(f"--share: value must be from 0 to below 1, not {self.share:g}; 0.5 is a start")

    @property
    def group(self) -> tuple[int, int] | None:
        """N and M, where the structure is N:M."""
        if self.structure in ("weights", "channels"):
            return None
        kept, _, size = self.structure.partition(":")
        return int(kept), int(size)

    @property
    def words(self) -> str:
        """What goes, for people.

        >>> PruningSettings("channels", 0.25).words, PruningSettings("2:4").words
        ('25% of the channels of each layer', '2 of every 4 weights left')
        """
        if self.group:
            return f"{self.group[0]} of every {self.group[1]} weights left"
        share = USUAL_SHARE if self.share is None else self.share
        return (
            f"{100 * share:.4g}% of the {self.structure} of {'each layer' if self.scope == 'layer' else 'the network'}"
        )

    def taken(self, count: int) -> int:
        """Return how many of so many go: the share, rounded down.

        >>> PruningSettings("channels", 0.7).taken(10), PruningSettings("channels").taken(3)
        (7, 1)
        """
        share = USUAL_SHARE if self.share is None else self.share
        return int(Fraction(str(share)) * count)  # of the decimal: 0.29 * 100 is below 29 in binary

    def _is_group(self) -> bool:
        if not re.fullmatch(r"[1-9][0-9]{0,3}:[1-9][0-9]{0,3}", self.structure):
            return False
        kept, _, size = self.structure.partition(":")
        return int(kept) < int(size)
