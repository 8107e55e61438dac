"""What a search is asked for. Imports no torch."""

from dataclasses import dataclass, replace

from bitwright.calibration.candidate import Candidate, Cost
from bitwright.calibration.observers import Method
from bitwright.calibration.settings import Rounding
from bitwright.quant.recipe import Scale

USUAL_LOSS = 0.005


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for; see `search_command.search`."""

    target_accuracy: float | None = None
    max_accuracy_loss: float | None = None
    max_bits: int | None = None
    max_lut: int | None = None
    cost: Cost = "bit_operations"
    start_bit_width: int = 8
    max_accumulator_bits: int | None = None
    learn: int = 0
    learn_epochs: int = 1
    learn_widths: Scale = "per_tensor"
    trials: int = 0
    storage: str | None = None
    processes: int = 1
    method: Method = "mse"
    rounding: Rounding = "gptq"
    samples: int = 512
    yosys: bool = False
    binary: bool = False
    name: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ValueError: If two targets are given, or one is out of range.
        """
        targets = ("target_accuracy", "max_accuracy_loss", "max_bits", "max_lut")
        given = [f"--{name.replace('_', '-')}" for name in targets if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{given[1]}: target must be the only one, not beside {given[0]}; leave one out")
        if self.target_accuracy is not None and not 0 < self.target_accuracy <= 1:
            raise ValueError(
                f"--target-accuracy: share must be above 0 and at most 1, not {self.target_accuracy:g}; write 0.985 "
                "for 98.5 %"
            )
        if self.max_accuracy_loss is not None and not 0 <= self.max_accuracy_loss < 1:
            raise ValueError(
                f"--max-accuracy-loss: share must be from 0 to 1, not {self.max_accuracy_loss:g}; write 0.003 for "
                "0.3 points"
            )
        if self.cost == "yosys_lut" and self.max_bits is not None:
            raise ValueError(
                "--max-bits: budget must be --max-lut beside --cost yosys_lut, not bits of weights; leave one out"
            )
        if self.binary and self.max_accumulator_bits is not None:
            raise ValueError(
                "--binary: weights of one bit must be wanted without --max-accumulator-bits, not with it; leave one out"
            )
        if self.binary and self.samples == 1:
            raise ValueError("--binary: --samples must be at least 2, not 1; one image has no deviation")
        if not self.learn:
            for option, given_too in (
                ("--learn-epochs", self.learn_epochs > 1),
                ("--learn-widths", self.learn_widths != "per_tensor"),
            ):
                if given_too:
                    raise ValueError(f"{option}: learned widths must be wanted with it, not none; add --learn 6")
        if not self.trials:
            for option, given_too in (("--storage", self.storage is not None), ("--processes", self.processes > 1)):
                if given_too:
                    raise ValueError(f"{option}: trials must be wanted with it, not none; add --trials 200")

    @property
    def budget(self) -> int | None:
        """The most that the cost may be, if that is the target."""
        return self.max_bits if self.max_bits is not None else self.max_lut

    def target(self, float_accuracy: float) -> float:
        """Return the least accuracy; none where a cost is the target.

        >>> Wanted(max_accuracy_loss=0.25).target(0.75), Wanted(max_bits=100).target(0.75)
        (0.5, 0.0)
        """
        if self.target_accuracy is not None:
            return self.target_accuracy
        if self.budget is not None:
            return 0.0
        return float_accuracy - (USUAL_LOSS if self.max_accuracy_loss is None else self.max_accuracy_loss)

    def by_estimate(self) -> "Wanted":
        """Return what the search itself goes by: where LUT of Yosys are the cost, their estimate.

        >>> Wanted(cost="yosys_lut", max_lut=5000).by_estimate()
        ... # doctest: +ELLIPSIS
        Wanted(...max_lut=5000, cost='lut', ...)
        """
        return replace(self, cost="lut") if self.cost == "yosys_lut" else self

    def winner(self, candidates: list[Candidate], target: float) -> Candidate | None:
        """Return the best of those that reach the target: the cheapest, or, of a budget, the most accurate.

        Of equals, the one with the fewest bit operations.
        """
        good = [
            each
            for each in candidates
            if each.accuracy >= target and (self.budget is None or each.cost(self.cost) <= self.budget)
        ]
        if self.budget is not None:
            return min(good, key=lambda each: (-each.accuracy, each.cost(self.cost), each.bit_operations), default=None)
        return min(good, key=lambda each: (each.cost(self.cost), each.bit_operations, -each.accuracy), default=None)
