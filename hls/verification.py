"""The verdict: the integers of every level against the first one's."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.export.interface import OFF_GRID, Interface, in_port_order, output_values
from bitwright.export.operations import Integers

LEVELS = ("torch", "qonnx", "program", "csim", "rtl")
"""From the network to the chip. The first that is there is what the others are compared with."""


FLOAT_LEVELS = ("torch", "qonnx")
"""Levels that compute with floats."""


@dataclass(frozen=True)
class LevelResult:
    """One level against the reference.

    Args:
        compared: Integers compared.
        different: Integers that differ; for the reference itself, outputs that are no integer.
        accuracy: Share of its inputs whose largest output is the label's; None where there are no labels.
        seconds: That the level took when it last ran.
        mean_squared_error: Of the outputs to what they are to be, in the network's units; None where that is not known,
            or an output is no integer.
    """

    compared: int
    different: int
    accuracy: float | None
    seconds: float
    mean_squared_error: float | None = None


@dataclass(frozen=True)
class Verification:
    """Every level's result.

    Args:
        test_set: Number of inputs.
        levels: Results by level, from the network to the chip.
        undecided: Share of the sums before a layer's quantiser that float32 may round either way, by layer.
        approximate: Whether the user allowed the network's own levels to differ from the program where they may.
        chip_exact: Whether every level below the program has the program's integers.
        largest_error: Greatest distance of a score of the program from the reference's, in the network's units.
    """

    test_set: int
    levels: Mapping[str, LevelResult]
    undecided: Mapping[str, float] = field(default_factory=dict)
    approximate: bool = False
    chip_exact: bool = True
    largest_error: float = 0.0

    @property
    def accepted(self) -> bool:
        """Whether it is exact, or only the network's own float32 differs, and was allowed to."""
        return self.exact or (self.approximate and bool(self.undecided) and self.chip_exact)

    @property
    def exact(self) -> bool:
        """Whether no integer differs at any level."""
        return all(level.different == 0 for level in self.levels.values())

    @property
    def fewer(self) -> Mapping[str, int]:
        """Inputs of the levels that ran only the first ones, by level.

        >>> levels = {"program": LevelResult(1000, 0, None, 1.0), "csim": LevelResult(200, 0, None, 1.0)}
        >>> Verification(100, levels).fewer
        {'csim': 20}
        """
        most = max((level.compared for level in self.levels.values()), default=0)
        return {
            name: level.compared * self.test_set // most for name, level in self.levels.items() if level.compared < most
        }

    @property
    def impossible(self) -> str | None:
        """What cannot be of a verdict that a file says, in words; None where all can.

        >>> Verification(10, {"program": LevelResult(100, 0, 1.7, 1.0)}).impossible
        'accuracy of program must be from 0 to 1, not 1.7'
        """
        for name, level in self.levels.items():
            if level.accuracy is not None and not 0 <= level.accuracy <= 1:
                return f"accuracy of {name} must be from 0 to 1, not {level.accuracy:g}"
            if not 0 <= level.different <= level.compared:
                return f"different integers of {name} must be from 0 to {level.compared}, not {level.different}"
        return None

    def text(self) -> str:
        """Return `verification.json`."""
        levels: dict[str, Any] = {name: vars(level) for name, level in self.levels.items()}
        facts: dict[str, Any] = {"exact": self.exact, "test_set": self.test_set, "levels": levels}
        if self.undecided:
            facts["undecided"] = dict(self.undecided)
            facts["approximate"] = self.approximate
            facts["chip_exact"] = self.chip_exact
            facts["largest_error"] = self.largest_error
        return json.dumps(facts, indent=2) + "\n"


def verify(
    outputs: Mapping[str, Integers],
    labels: NDArray[np.int64] | None,
    interface: Interface,
    seconds: Mapping[str, float],
    *,
    approximate: bool = False,
    targets: NDArray[np.float32] | None = None,
    first: Mapping[str, int] = MappingProxyType({}),
) -> Verification:
    """Compare every level's output integers ``(N, values)`` with the first level's.

    Args:
        outputs: By level.
        labels: ``(N,)``, or None where nobody knows them.
        interface: The output's scale and offset, for the accuracy or the error; and what float32 leaves undecided.
        seconds: By level.
        approximate: Whether the network's own levels may differ from the program where they are undecided.
        targets: What the network's output ``(N, values)`` is to be, in its own order; None where nobody knows.
        first: How many inputs a level was asked to run, by level: the first so many; all, where it is not named.

    Raises:
        ValueError: If a level has another number of inputs or values, or there are more or fewer targets.
    """
    order = [level for level in LEVELS if level in outputs]
    reference = outputs[order[0]]
    if targets is not None:
        if targets.shape != reference.shape:
            raise ValueError(
                f"targets.npy: values must be of shape {reference.shape}, not {targets.shape}; delete it and export "
                "again"
            )
        targets = in_port_order(interface.output, targets)
    results = {}
    for level in order:
        codes = outputs[level]
        inputs = min(first.get(level, len(reference)), len(reference))
        wanted = (inputs, *reference.shape[1:])
        if codes.shape != wanted or (labels is not None and len(reference) != len(labels)):
            raise ValueError(
                f"outputs/{level}.npy: integers must be of shape {wanted}, not {codes.shape}; delete it and run again"
            )
        different = (codes != reference[:inputs]) | (codes == OFF_GRID)
        scores = output_values(interface.output, codes)
        results[level] = LevelResult(
            compared=codes.size,
            different=int(different.sum()),
            accuracy=None if labels is None else float((scores.argmax(axis=1) == labels[:inputs]).mean()),
            seconds=round(seconds.get(level, 0.0), 3),
            mean_squared_error=None if targets is None else _mean_squared_error(scores, codes, targets[:inputs]),
        )
    program = outputs.get("program", reference)
    below = [outputs[level] for level in order if level not in FLOAT_LEVELS]
    error = np.abs(output_values(interface.output, program) - output_values(interface.output, reference))
    return Verification(
        test_set=len(reference),
        levels=results,
        undecided=interface.undecided,
        approximate=approximate,
        chip_exact=all(np.array_equal(codes, program[: len(codes)]) for codes in below),
        largest_error=float(error.max(initial=0.0)),
    )


def _mean_squared_error(values: NDArray[np.float64], codes: Integers, targets: NDArray[np.float32]) -> float | None:
    """Return the mean squared error of the values behind codes, all ``(N, values)``; None where one is no integer."""
    return None if (codes == OFF_GRID).any() else float(np.mean((values - targets) ** 2))
