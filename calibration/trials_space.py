"""The recipes that a study searches, as parameters with ranges. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass

from bitwright.calibration.moves import NARROWEST
from bitwright.quant.recipe import LEFT_OUT, LayerRecipe, Recipe

WIDEST = 8

Widths = dict[str, int]


@dataclass(frozen=True)
class Space:
    """The recipes that differ from one only in their layers' widths, which are 2 to 8 bits.

    A width is a parameter by the name of its layer and part. For weights of a layer that may be left out, one less than
    the narrowest stands for that, so that the range has no gap.

    Args:
        start: Names each layer; those with a width of activations have one in all recipes.
        removable: Layers that may be left out.
        binarisable: Layers whose weights may have 1 bit.
    """

    start: Recipe
    removable: frozenset[str]
    binarisable: frozenset[str] = frozenset()

    def ranges(self) -> dict[str, range]:
        """Return the possible widths of every parameter.

        >>> from bitwright.calibration.moves import uniform
        >>> Space(uniform(("fc1", "out"), 8, 8, 8), frozenset({"fc1"})).ranges()
        {'fc1.weight': range(1, 9), 'fc1.activation': range(2, 9), 'out.weight': range(2, 9)}
        """
        found = {}
        for name, own in self.start.layers.items():
            found[f"{name}.weight"] = range(
                self._left_out(name) if name in self.removable else self._narrowest(name), WIDEST + 1
            )
            if own.activation_bit_width is not None:
                found[f"{name}.activation"] = range(NARROWEST, WIDEST + 1)
        return found

    def recipe(self, widths: Mapping[str, int]) -> Recipe:
        """Return the recipe with these widths."""
        layers = {name: self._layer(name, own, widths) for name, own in self.start.layers.items()}
        return self.start.model_copy(update={"layers": layers}).without_reasons()

    def widths(self, recipe: Recipe) -> Widths | None:
        """Return the parameters that give a recipe; none if one is out of range."""
        found = {}
        for name, own in recipe.layers.items():
            found[f"{name}.weight"] = (
                self._left_out(name) if own.weight_bit_width == LEFT_OUT else own.weight_bit_width or 0
            )
            if own.activation_bit_width is not None:
                found[f"{name}.activation"] = own.activation_bit_width
        ranges = self.ranges()
        if found.keys() != ranges.keys() or any(found[name] not in ranges[name] for name in ranges):
            return None
        return found

    def uniform(self, width: int) -> Widths:
        """Return the parameters of one width everywhere."""
        return dict.fromkeys(self.ranges(), width)

    def _narrowest(self, name: str) -> int:
        return 1 if name in self.binarisable else NARROWEST

    def _left_out(self, name: str) -> int:
        return self._narrowest(name) - 1

    def _layer(self, name: str, own: LayerRecipe, widths: Mapping[str, int]) -> LayerRecipe:
        weight = widths[f"{name}.weight"]
        if weight == self._left_out(name):  # then its activations are not there either, whatever their width
            return own.model_copy(update={"weight_bit_width": LEFT_OUT})
        return own.model_copy(
            update={"weight_bit_width": weight, "activation_bit_width": widths.get(f"{name}.activation")}
        )
