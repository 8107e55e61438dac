"""A recipe, what it reached and what it costs; and the file that keeps them all. Imports no torch."""

import contextlib
import errno
import fcntl
import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Literal

from bitwright.quant.recipe import Recipe

Cost = Literal["weight_bits", "bit_operations", "lut", "yosys_lut"]


@dataclass(frozen=True)
class Candidate:
    """One recipe, tried.

    Args:
        recipe: Without reasons.
        accuracy: On the validation split.
        weight_bits: Of all weights.
        bit_operations: Effective bit operations of one inference (see `costs`).
        lut: Estimate for the network as unrolled logic, if it was lowered; else none.
        images: Of the validation split, that the accuracy was counted on.
        yosys_lut: What Yosys counts of the same logic, if it was asked.
    """

    recipe: Recipe
    accuracy: float
    weight_bits: int
    bit_operations: int
    lut: float | None
    images: int
    yosys_lut: int | None = None

    def cost(self, kind: Cost) -> float:
        """Return one of its costs.

        Raises:
            ValueError: If it was not counted.
        """
        value = getattr(self, kind)
        if value is None:
            raise ValueError(f"search: {kind} must be counted to be compared, not left out; search with --cost {kind}")
        return float(value)


class CandidateFile:
    """Candidates on disk, one JSON object a line: several processes may add to it, and a killed one loses none.

    Args:
        path: Of the file; made with the first candidate.
        setting: What all its candidates were scored with; those of another are not seen.
    """

    def __init__(self, path: Path, setting: str) -> None:
        self._path = path
        self._setting = setting
        self._seen: dict[str, Candidate] = {}
        self._read = 0

    def get(self, recipe: Recipe) -> Candidate | None:
        """Return the candidate of a recipe, if any process has tried it."""
        self._look()
        return self._seen.get(key_of(recipe))

    def add(self, candidate: Candidate) -> None:
        """Keep a candidate.

        Raises:
            OSError: If it cannot be written.
        """
        line = json.dumps({"setting": self._setting, **asdict(candidate), "recipe": candidate.recipe.model_dump()})
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+b", buffering=0) as file:  # nothing is left to write when it closes
            fcntl.flock(file, fcntl.LOCK_EX)
            end = _drop_half_a_line(file)
            try:
                if file.write(line.encode() + b"\n") != len(line.encode()) + 1:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                with contextlib.suppress(OSError):
                    file.truncate(end)
                raise OSError(error.errno, error.strerror, str(self._path)) from error
        self._look()

    def __iter__(self) -> Iterator[Candidate]:
        """Iterate over all candidates, in the order in which they were tried."""
        self._look()
        return iter(list(self._seen.values()))

    def __len__(self) -> int:
        self._look()
        return len(self._seen)

    def _look(self) -> None:
        """Read what was added since."""
        if not self._path.is_file():
            return
        with self._path.open("rb") as file:
            if file.seek(0, 2) < self._read:  # someone deleted it and began anew
                self._read, self._seen = 0, {}
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # a process is writing it, or was killed
                self._read += len(line)
                candidate = self._candidate(line)
                if candidate is not None:
                    self._seen[key_of(candidate.recipe)] = candidate

    def _candidate(self, line: bytes) -> Candidate | None:
        try:
            found = json.loads(line)
            if found.pop("setting") != self._setting:
                return None
            return _checked(Candidate(**{**found, "recipe": Recipe.model_validate(found["recipe"])}))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{self._path}: line must be a candidate as `bitwright search` writes it, not {line[:40]!r}; "
                "delete the line or the file"
            ) from error


def _checked(candidate: Candidate) -> Candidate:
    """Refuse numbers that no search writes."""
    counts = (candidate.weight_bits, candidate.bit_operations, candidate.images)
    if not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError("counts")
    if not (isinstance(candidate.accuracy, float | int) and 0 <= candidate.accuracy <= 1):
        raise ValueError("accuracy")
    if not (candidate.lut is None or (isinstance(candidate.lut, float | int) and 0 <= candidate.lut < math.inf)):
        raise ValueError("lut")
    if not (candidate.yosys_lut is None or (type(candidate.yosys_lut) is int and candidate.yosys_lut >= 0)):
        raise ValueError("yosys_lut")
    return candidate


def key_of(recipe: Recipe) -> str:
    """Return a text that is equal for equal recipes, whatever the reasons in them."""
    return recipe.without_reasons().model_dump_json()


def front(candidates: list[Candidate], kind: Cost) -> list[Candidate]:
    """Return those that no other beats in both accuracy and cost, the cheapest first; of equal ones, the first.

    >>> tried = [Candidate(Recipe(), accuracy, bits, 0, None, 1) for accuracy, bits in ((0.9, 5), (0.8, 5), (0.95, 7))]
    >>> [(each.accuracy, each.weight_bits) for each in front(tried, "weight_bits")]
    [(0.9, 5), (0.95, 7)]
    """
    best: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda each: (each.cost(kind), -each.accuracy)):
        if not best or candidate.accuracy > best[-1].accuracy:
            best.append(candidate)
    return best


def _drop_half_a_line(file: IO[bytes]) -> int:
    """Cut off what a killed process left behind the last whole line; return where the file ends."""
    end = file.seek(0, 2)
    back = min(end, 1 << 20)
    file.seek(end - back)
    tail = file.read(back)
    if tail and not tail.endswith(b"\n"):
        end += tail.rfind(b"\n") + 1 - back
        file.truncate(end)
    return file.seek(end)
