"""`bitwright study orders`: pooling, batch norm and activation in each order."""

from pathlib import Path
from typing import get_args

from bitwright.cli.study_training import TrainingPlan, TrainingSource, compare
from bitwright.models.settings import OWN_ORDERS, Order

ORDER = "model.order"
"""The key that the study varies."""


def orders(source: TrainingSource, plan: TrainingPlan, given: Path) -> None:
    """Train with each order.

    Args:
        source: The experiment.
        plan: How to train it.
        given: What the user called it.

    Raises:
        ValueError: If the network has one order only, no batch norm, or cannot be trained.
        OSError: If a file cannot be read or written.
    """
    model = source.experiment.model
    if model.kind not in OWN_ORDERS:
        raise ValueError(
            f"{given}: model.kind must be one of {', '.join(OWN_ORDERS)}, not {model.kind!r}; the other networks have "
            "one order only"
        )
    if not model.batch_norm:
        raise ValueError(f"{given}: model.batch_norm must be true, not false; try --set model.batch_norm=true")
    compare(source, plan, "orders", ORDER, get_args(Order))
