"""The recipes next to a recipe: one width of one layer less. Imports no torch."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bitwright.quant.recipe import LEFT_OUT, LayerRecipe, Recipe

NARROWEST = 2
"""Bits that need no training, but for weights before a batch norm (see `post_training.binarisable`)."""

Part = Literal["weight", "activation"]


@dataclass(frozen=True)
class Move:
    """One width of one layer.

    Args:
        layer: Its name.
        part: Of its weights, or of the activations behind it.
        bit_width: The new width; 0 leaves the layer out.
    """

    layer: str
    part: Part
    bit_width: int

    def apply(self, recipe: Recipe) -> Recipe:
        """Return a recipe with this width.

        >>> Move("fc1", "weight", 3).apply(uniform(("fc1", "out"), 8, 8, 8)).layers["fc1"].weight_bit_width
        3
        """
        own = recipe.layers[self.layer].model_copy(update={f"{self.part}_bit_width": self.bit_width})
        return recipe.model_copy(update={"layers": {**recipe.layers, self.layer: own}})


def uniform(
    layers: Sequence[str],
    weight_bit_width: int,
    activation_bit_width: int,
    input_bit_width: int,
    unactivated: Collection[str] = (),
) -> Recipe:
    """Return the recipe with the same widths in every layer, each named.

    Args:
        layers: In their order; the last has no activation behind it.
        weight_bit_width: Of all.
        activation_bit_width: Of all.
        input_bit_width: Of the network's input.
        unactivated: Other layers with no activation behind them.
    """
    without = {*unactivated, layers[-1]}
    named = {
        name: LayerRecipe(
            weight_bit_width=weight_bit_width,
            activation_bit_width=None if name in without else activation_bit_width,
        )
        for name in layers
    }
    return Recipe(
        weight_bit_width=weight_bit_width,
        activation_bit_width=activation_bit_width,
        input_bit_width=input_bit_width,
        weight_scale_from="parameter",
        layers=named,
    )


def narrower(recipe: Recipe, removable: Collection[str] = (), binarisable: Collection[str] = ()) -> Iterator[Move]:
    """Yield every move to one bit less; from the narrowest weights, to none where a layer may be left out.

    Args:
        recipe: Made by `uniform` and moves.
        removable: Layers that may be left out.
        binarisable: Layers whose weights may have 1 bit.
    """
    for name, own in recipe.layers.items():
        if own.weight_bit_width is None or own.weight_bit_width == LEFT_OUT:
            continue
        if own.weight_bit_width > (1 if name in binarisable else NARROWEST):
            yield Move(name, "weight", own.weight_bit_width - 1)
        elif name in removable:
            yield Move(name, "weight", LEFT_OUT)
        if own.activation_bit_width is not None and own.activation_bit_width > NARROWEST:
            yield Move(name, "activation", own.activation_bit_width - 1)
