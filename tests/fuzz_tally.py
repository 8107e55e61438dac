"""What became of the random networks, in numbers."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from levels import Verdict

from bitwright.hls.target import Target


@dataclass(eq=False)
class Tally:
    """Counts."""

    results: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)
    places: dict[str, Path] = field(default_factory=dict)
    simulated: Counter[str] = field(default_factory=Counter)
    lowered: int = 0
    undecided: int = 0
    integers: int = 0
    decided_otherwise: int = 0
    slowest: tuple[float, str] = (0.0, "")

    @property
    def networks(self) -> int:
        """All that were looked at."""
        return self.results.total()

    def add(self, source: str, verdict: Verdict, target: Target | None) -> None:
        """Count a verdict."""
        self.results[f"{source}: {verdict.result}"] += 1
        if verdict.is_finding:
            self.findings[f"{verdict.result}: {verdict.where}"] += 1
        if verdict.result == "refused":
            self.refusals.update(set(verdict.reasons()))
            return
        if verdict.result == "crashed":
            return
        self.lowered += 1
        self.integers += verdict.compared
        self.undecided += verdict.undecided
        if verdict.result == "float32 decided otherwise":
            self.decided_otherwise += verdict.different
        if verdict.simulated and target is not None:
            self.simulated[f"{target.io_type} {target.backend} {target.strategy}"] += 1

    def line(self) -> str:
        """Return the progress in one line."""
        by_result: Counter[str] = Counter()
        for name, count in self.results.items():
            by_result[name.split(": ", 1)[1]] += count
        return f"{self.networks} networks, {self.simulated.total()} through csim: " + ", ".join(
            f"{count} {name}" for name, count in sorted(by_result.items())
        )

    def table(self) -> str:
        """Return all counts."""
        rate = self.decided_otherwise / max(1, self.integers)
        sections = {
            "networks": self.results,
            "refused because": self.refusals,
            "through csim": self.simulated,
            "findings": Counter(
                {f"{name}  {self.places.get(name, '')}".rstrip(): n for name, n in self.findings.items()}
            ),
        }
        lines = []
        for title, counts in sections.items():
            lines += [f"{title}: {counts.total()}", *(f"  {n:7d}  {name}" for name, n in counts.most_common())]
        lines += [
            f"lowered: {self.lowered}, of which float32 leaves sums undecided in {self.undecided}",
            f"integers at the outputs: {self.integers}, of which float32 decided otherwise {self.decided_otherwise} "
            f"({rate:.2g})",
            f"slowest to lower, in {self.slowest[0]:.1f} s: {self.slowest[1]}",
        ]
        return "\n".join(lines)
