"""What tests of the command line share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CONFIGS = Path(__file__).parent.parent / "configs"
SMALL = ("--set", "train.epochs=2", "--set", "model.hidden=[24, 16]", "--set", "train.batch_size=64")


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    status: int
    out: str
    err: str


Bitwright = Callable[..., Outcome]
