"""`bitwright study estimators` and `binary-scales`: how binary layers are trained."""

from pathlib import Path
from typing import get_args

from bitwright.cli.study_training import TrainingPlan, TrainingSource, compare
from bitwright.quant.recipe import BinaryScale, SignGradientName

GRADIENT, SCALE = "recipe.sign_gradient", "recipe.binary_weight_scale"
"""The keys that the studies vary."""


def estimators(source: TrainingSource, plan: TrainingPlan, given: Path) -> None:
    """Train with each gradient of the sign.

    Args:
        source: The experiment.
        plan: How to train it.
        given: What the user called it.

    Raises:
        ValueError: If it has nothing of 1 bit, or cannot be trained.
        OSError: If a file cannot be read or written.
    """
    _check_binary(source, given, "")
    compare(source, plan, "estimators", GRADIENT, get_args(SignGradientName))


def binary_scales(source: TrainingSource, plan: TrainingPlan, given: Path) -> None:
    """Train with each kind of scale of 1-bit weights.

    Args:
        source: The experiment.
        plan: How to train it.
        given: What the user called it.

    Raises:
        ValueError: If it has no 1-bit weights, or cannot be trained.
        OSError: If a file cannot be read or written.
    """
    _check_binary(source, given, "weight_bit_width")
    compare(source, plan, "binary_scales", SCALE, get_args(BinaryScale))


def _check_binary(source: TrainingSource, given: Path, ending: str) -> None:
    widths = source.experiment.recipe.widths()
    if 1 not in (width for name, width in widths.items() if name.endswith(ending) and name != "input_bit_width"):
        what = "weights" if ending else "weights or activations"
        raise ValueError(
            f"{given}: {what} must be of 1 bit to be studied, not of {source.experiment.recipe.weight_bit_width}; "
            "try --set recipe.weight_bit_width=1"
        )
