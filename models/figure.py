"""How good a network is on a split, in one figure: a classifier's accuracy, an autoencoder's squared error."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bitwright.models.batches import accuracy
from bitwright.models.dataset import Split
from bitwright.models.settings import Kind

Figure = Literal["accuracy", "mean_squared_error"]


def figure_of(kind: Kind) -> Figure:
    """Return which figure a network has.

    >>> figure_of("mlp"), figure_of("autoencoder")
    ('accuracy', 'mean_squared_error')
    """
    return "mean_squared_error" if kind == "autoencoder" else "accuracy"


def measured(kind: Kind, outputs: NDArray, split: Split, input_scale: float) -> float:  # type: ignore[type-arg]
    """Return a network's figure on a split.

    Args:
        kind: Of the network.
        outputs: Of the network, ``(N, classes)``, or ``(N, values)`` of an autoencoder, for every input of the split.
        split: Its labels are a classifier's targets, its inputs an autoencoder's.
        input_scale: The real input is the raw input times this.
    """
    if figure_of(kind) == "accuracy":
        return accuracy(outputs, split.labels)
    return mean_squared_error(outputs, targets(split, input_scale))


def targets(split: Split, input_scale: float) -> NDArray[np.float32]:
    """Return what an autoencoder is to give back: every input as the network gets it, flat ``(N, values)``."""
    return split.inputs.reshape(len(split), -1).astype(np.float32) * np.float32(input_scale)


def mean_squared_error(outputs: NDArray, wanted: NDArray) -> float:  # type: ignore[type-arg]  # any numeric type
    """Return the mean of ``(output - wanted)**2`` over all values of all rows ``(N, values)``, in double precision.

    >>> mean_squared_error(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]]))
    2.0
    """
    return float(np.mean((outputs.astype(np.float64) - wanted.astype(np.float64)) ** 2))


def in_words(figure: Figure, value: float) -> str:
    """Return a figure as people read it.

    >>> in_words("accuracy", 0.975), in_words("mean_squared_error", 0.0123456)
    ('97.50%', '0.01235')
    """
    return f"{value:.2%}" if figure == "accuracy" else f"{value:.4g}"


def name_in_words(figure: Figure) -> str:
    """Return a figure's name as people read it.

    >>> name_in_words("mean_squared_error")
    'mean squared error'
    """
    return figure.replace("_", " ")
