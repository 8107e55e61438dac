"""One part of a data set: inputs with their labels, and the rule that holds a part out for validation."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Part = Literal["train", "test"]

REPLACE = "replace the file, or delete it to have it downloaded again"


@dataclass(frozen=True, eq=False)
class Split:
    """Inputs with their labels, in one order.

    Attributes:
        inputs: Raw inputs: uint8 of shape ``(N, C, H, W)``, or float32 of shape ``(N, F)``.
        labels: Class indices, int64 of shape ``(N,)``.
    """

    inputs: NDArray[np.uint8] | NDArray[np.float32]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse a split without samples, or with labels that do not go with its inputs.

        Raises:
            ValueError: If ``labels`` is not one label for each of at least one input.
        """
        samples = len(self.inputs)
        if samples == 0 or self.labels.shape != (samples,):
            raise ValueError(
                f"Split: labels must be of shape ({max(samples, 1)},), one for each input, not {self.labels.shape}"
            )

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> "Split":
        """Return a copy of the samples at ``indices``, of shape ``(M,)``, in their order."""
        return Split(self.inputs[indices], self.labels[indices])


def hold_out(split: Split, fraction: float) -> tuple[Split, Split]:
    """Part a training set into what is trained on and what validates it.

    The last ``fraction`` of a fixed permutation is held out; each part keeps the order of the files. The permutation
    is `RandomState`'s, whose stream is frozen, so that a run's validation set outlives an update of NumPy.

    Args:
        split: The training set, N samples.
        fraction: Share that is held out, above 0 and at most 0.5.

    Returns:
        The training part and the validation part, of ``round(N * fraction)`` samples but at least one.

    Raises:
        ValueError: If ``fraction`` is not in ``(0, 0.5]``.
    """
    check_fraction(fraction)
    held = max(1, round(len(split) * fraction))
    order = np.random.RandomState(0).permutation(len(split)).astype(np.int64)
    return split.take(np.sort(order[:-held])), split.take(np.sort(order[-held:]))


def check_fraction(fraction: float) -> None:
    """Refuse a share of the training set that cannot be held out.

    Raises:
        ValueError: If ``fraction`` is not in ``(0, 0.5]``.
    """
    if not 0 < fraction <= 0.5:
        raise ValueError(f"validation: fraction must be above 0 and at most 0.5, not {fraction!r}")


def class_indices(where: object, labels: NDArray[np.integer[Any]], classes: int) -> NDArray[np.int64]:
    """Return labels as int64 after a check of their range.

    Args:
        where: The file the labels come from, for the message.
        labels: Class indices of shape ``(N,)``, any integer type.
        classes: Number of classes.

    Returns:
        A copy of shape ``(N,)``.

    Raises:
        ValueError: If a label is below 0 or not below ``classes``, or if there is none.
    """
    if labels.size == 0:
        raise ValueError(f"{where}: samples must be at least 1, not 0; {REPLACE}")
    for worst in (int(labels.min()), int(labels.max())):
        if not 0 <= worst < classes:
            raise ValueError(f"{where}: labels must be from 0 to {classes - 1}, not {worst}; {REPLACE}")
    return labels.astype(np.int64)
