"""What cannot be lowered: every problem of a graph, gathered, then refused in one go."""

from dataclasses import dataclass
from typing import Self

from onnx import NodeProto

AGAIN = "export the network again"
"""The remedy for what no exporter writes."""


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
        self.file, self.problems = file, problems
        super().__init__("\n".join(f"{file}: {problem}" for problem in problems))

    def __reduce__(self) -> tuple[type[Self], tuple[str, list[Problem]]]:
        """Let it pass from one process to another: its arguments are not those of its base."""
        return type(self), (self.file, self.problems)


def label(node: NodeProto) -> str:
    """Return what messages call a node: its name, or its result's."""
    return node.name or next((name for name in node.output if name), "a node without a name")


def at(node: NodeProto, wrong: str, remedy: str = AGAIN) -> Problem:
    """Return a problem of a node."""
    return Problem(label(node), node.op_type, wrong, remedy)


def refuse(file: str, problems: list[Problem]) -> None:
    """Raise what was found, if anything was; the same is said once."""
    if problems:
        raise UnsupportedOperatorError(file, list(dict.fromkeys(problems)))
