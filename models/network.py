"""The one place that turns settings into a network."""

from torch import nn

from bitwright.models.cnn import CNN
from bitwright.models.cnv import CNV
from bitwright.models.lenet5 import LeNet5
from bitwright.models.mlp import MLP
from bitwright.models.settings import ModelSettings
from bitwright.quant.recipe import Recipe

STANDARDISED_RANGE = (-8.0, 8.0)
"""Range of standardised features: eight standard deviations; beyond it the input quantiser saturates."""


def build(settings: ModelSettings, recipe: Recipe, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return a network with random weights.

    Args:
        settings: Which network.
        recipe: Widths of input, weights and activations.
        input_shape: Of one input: ``(C, H, W)`` for images, which lie in [0, 1], or ``(F,)`` for standardised features.
        classes: Scores.

    Raises:
        ValueError: If the network cannot take such an input, or has 1-bit weights without batch norm.

    >>> type(build(ModelSettings(hidden=(8,)), Recipe(), (16,), 5)).__name__
    'MLP'
    """
    if not settings.batch_norm and 1 in recipe.widths().values():
        raise ValueError(
            "model.batch_norm: value must be true where a width is 1 bit, not False; binary layers have no bias"
        )
    images = len(input_shape) == 3
    if settings.kind != "mlp":
        if not images:
            raise ValueError(
                f"model.kind: input of {settings.kind} must be images (C, H, W), not {input_shape!r}; use kind = 'mlp'"
            )
        channels, height, width = input_shape
    if settings.kind == "cnn":
        return CNN(
            (channels, height, width),
            classes,
            recipe,
            batch_norm=settings.batch_norm,
            channels=8 * settings.channel_multiplier,
        )
    if settings.kind == "cnv":
        return CNV(
            (channels, height, width),
            classes,
            recipe,
            batch_norm=settings.batch_norm,
            channels=64 * settings.channel_multiplier,
        )
    if settings.kind == "lenet5":
        return LeNet5(
            (channels, height, width),
            classes,
            recipe,
            batch_norm=settings.batch_norm,
            channel_multiplier=settings.channel_multiplier,
        )
    features = 1
    for size in input_shape:
        features *= size
    return MLP(
        features,
        settings.hidden,
        classes,
        recipe,
        batch_norm=settings.batch_norm,
        input_range=(0.0, 1.0) if images else STANDARDISED_RANGE,
    )
