"""What cannot be lowered: every problem of a graph, gathered, then refused in one go."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One node that cannot be lowered.

    Args:
        node: Its name.
        op_type: Its operator.
        wrong: What is wrong, as "<subject> must be <rule>, not <value>".
        remedy: What to do.
    """

    node: str
    op_type: str
    wrong: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.node} ({self.op_type}): {self.wrong}; {self.remedy}"


class UnsupportedOperatorError(ValueError):
    """A graph that cannot be lowered exactly, with all that is wrong with it."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(f"{file}: {problem}" for problem in problems))
