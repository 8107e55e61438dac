"""`bitwright study depthwise` and `bottlenecks`: what keeps networks with depthwise layers of few bits alive."""

from pathlib import Path

from bitwright.cli.study_training import TrainingPlan, TrainingSource, compare

WEIGHTS, BOTTLENECKS = "model.depthwise_bit_width", "model.bottleneck_bit_width"
"""The keys that the studies vary."""

WIDTHS = ("1", "2", "4", "8")


def depthwise(source: TrainingSource, plan: TrainingPlan, given: Path) -> None:
    """Train with depthwise weights of each width.

    Args:
        source: The experiment.
        plan: How to train it.
        given: What the user called it.

    Raises:
        ValueError: If its network has no depthwise layers, or cannot be trained.
        OSError: If a file cannot be read or written.
    """
    _check(source, given)
    compare(source, plan, "depthwise", WEIGHTS, WIDTHS)


def bottlenecks(source: TrainingSource, plan: TrainingPlan, given: Path) -> None:
    """Train with each width of what leaves the blocks.

    Args:
        source: The experiment.
        plan: How to train it.
        given: What the user called it.

    Raises:
        ValueError: If its network has no depthwise layers, or cannot be trained.
        OSError: If a file cannot be read or written.
    """
    _check(source, given)
    compare(source, plan, "bottlenecks", BOTTLENECKS, WIDTHS)


def _check(source: TrainingSource, given: Path) -> None:
    kind = source.experiment.model.kind
    if kind != "mobilenet_v2":
        raise ValueError(
            f"{given}: network must have depthwise layers to be studied, not be {kind}; use model.kind = 'mobilenet_v2'"
        )
    if source.experiment.recipe.is_float:
        raise ValueError(
            f"{given}: recipe must have widths to be studied, not be float; try --set recipe.weight_bit_width=1"
        )
