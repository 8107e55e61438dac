"""The verdict: the integers of every level against the first one's."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.export.interface import OFF_GRID, Port, output_values
from bitwright.export.operations import Integers

LEVELS = ("torch", "qonnx", "program", "csim", "rtl")
"""From the network to the chip. The first that is there is what the others are compared with."""


@dataclass(frozen=True)
class LevelResult:
    """One level against the reference.

    Args:
        compared: Integers compared.
        different: Integers that differ; for the reference itself, outputs that are no integer.
        accuracy: Share of inputs whose largest output is the label's; None where there are no labels.
        seconds: That the level took when it last ran.
    """

    compared: int
    different: int
    accuracy: float | None
    seconds: float


@dataclass(frozen=True)
class Verification:
    """Every level's result.

    Args:
        test_set: Number of inputs.
        levels: Results by level, from the network to the chip.
    """

    test_set: int
    levels: Mapping[str, LevelResult]

    @property
    def exact(self) -> bool:
        """Whether no integer differs at any level."""
        return all(level.different == 0 for level in self.levels.values())

    def text(self) -> str:
        """Return `verification.json`."""
        levels: dict[str, Any] = {name: vars(level) for name, level in self.levels.items()}
        return json.dumps({"exact": self.exact, "test_set": self.test_set, "levels": levels}, indent=2) + "\n"


def verify(
    outputs: Mapping[str, Integers], labels: NDArray[np.int64] | None, port: Port, seconds: Mapping[str, float]
) -> Verification:
    """Compare every level's output integers ``(N, values)`` with the first level's.

    Args:
        outputs: By level.
        labels: ``(N,)``, or None where nobody knows them.
        port: The output's scale and offset, for the accuracy.
        seconds: By level.

    Raises:
        ValueError: If a level has another number of inputs or values.
    """
    order = [level for level in LEVELS if level in outputs]
    reference = outputs[order[0]]
    results = {}
    for level in order:
        codes = outputs[level]
        if codes.shape != reference.shape or (labels is not None and len(codes) != len(labels)):
            raise ValueError(
                f"outputs/{level}.npy: integers must be of shape {reference.shape}, not {codes.shape}; "
                "delete it and run again"
            )
        different = (codes != reference) | (codes == OFF_GRID)
        scores = output_values(port, codes)
        results[level] = LevelResult(
            compared=codes.size,
            different=int(different.sum()),
            accuracy=None if labels is None else float((scores.argmax(axis=1) == labels).mean()),
            seconds=round(seconds.get(level, 0.0), 3),
        )
    return Verification(test_set=len(reference), levels=results)
