"""The bit widths of a network: one recipe, read by every network's definition."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

FLOAT = 32
"""The width that means: not quantised."""

MOST_BIAS_BITS = 24

LEFT_OUT = 0
"""The width of a layer's weights that means: the layer is not there."""

Width = Annotated[int, Field(ge=1, le=FLOAT)]
AccumulatorWidth = Annotated[int, Field(ge=6, le=32)]
Scale = Literal["per_tensor", "per_channel"]
BinaryScale = Literal["none", "per_tensor", "per_channel"]
Position = Literal["first", "middle", "last"]
SignGradientName = Literal["straight_through", "clipped", "approx_sign", "tanh", "swish_sign", "reste"]


class LayerRecipe(BaseModel):
    """What one layer has of its own; the rest is the network's.

    >>> LayerRecipe(weight_bit_width=2, why="3 bits gain nothing").weight_bit_width
    2
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    weight_bit_width: Annotated[int, Field(ge=LEFT_OUT, le=FLOAT)] | None = Field(
        None,
        description="Bits of the weights: 0 (the layer is left out), 1 (binary), 2 (ternary) to 16, or 32 (float).",
    )
    activation_bit_width: Width | None = Field(
        None, description="Bits of the activations behind it: 1 (binary), 2 to 16, or 32 (float)."
    )
    weight_scale: Scale | None = Field(None, description='"per_tensor" or "per_channel".')
    accumulator_bit_width: AccumulatorWidth | None = Field(
        None, description="Most bits of its accumulator: 6 to 32; the network's, if left out."
    )
    why: str = Field("", description="For people: what speaks for these widths.")


class Recipe(BaseModel):
    """Widths and scales of the quantisers of a network.

    A width of 1 is binary (+1/-1), 2 to 16 is fixed point with a power-of-two scale (2 bits of weights: -1, 0 and +1),
    32 is float. The first and the last layer may differ from those between, as published binary networks have it, and
    any layer may from all others.

    >>> Recipe(weight_bit_width=1, activation_bit_width=1, last_weight_bit_width=8).weight_width("last")
    8
    >>> Recipe(layers={"fc1": LayerRecipe(weight_bit_width=3)}).layer("fc1", "middle").weight_bit_width
    3
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    weight_bit_width: Width = Field(6, description="Bits of the weights: 1 (binary), 2 to 16, or 32 (float).")
    activation_bit_width: Width = Field(6, description="Bits of the activations: 1 (binary), 2 to 16, or 32 (float).")
    input_bit_width: Width = Field(8, description="Bits of the network's input: 1 (binary), 2 to 16, or 32 (float).")
    first_weight_bit_width: Width | None = Field(None, description="Weights of the first layer, if they differ.")
    first_activation_bit_width: Width | None = Field(None, description="Activations after it, if they differ.")
    last_weight_bit_width: Width | None = Field(None, description="Weights of the last layer, if they differ.")
    bias_bit_width: Annotated[int, Field(ge=2, le=MOST_BIAS_BITS)] = Field(
        16, description="Bits of the biases, on the accumulator's grid: 2 to 24. Layers with batch norm have none."
    )
    weight_scale: Scale = Field(
        "per_tensor",
        description='One scale for a layer\'s weights, or one for each output: "per_tensor", "per_channel".',
    )
    weight_scale_from: Literal["statistics", "parameter"] = Field(
        "statistics",
        description='Scale of the weights: that of the largest one ("statistics"), or a number of its own that '
        'training learns ("parameter"), as `calibrate` stores it.',
    )
    accumulator_bit_width: AccumulatorWidth | None = Field(
        None,
        description="Most bits of every layer's accumulator, sign included: 6 to 32; unlimited, if left out. Training "
        "and calibration keep the weights where every sum fits, whatever the input; a bias gets 2 bits less at most, "
        "and the scale of the weights is a parameter. Not for weights of 1 bit or float.",
    )
    sign_gradient: SignGradientName = Field(
        "clipped",
        description="What training takes for the gradient of the sign, of 1-bit activations and, but for "
        '"approx_sign", of 1-bit weights: see docs/training.md. "tanh" and "reste" follow the training.',
    )
    binary_weight_scale: BinaryScale = Field(
        "none",
        description='Scale of 1-bit weights: 1 ("none"), or the power of two next to the mean magnitude of the float '
        'weights behind them, one a layer ("per_tensor") or one an output ("per_channel").',
    )
    layers: Mapping[str, LayerRecipe] = Field(
        {}, description="What single layers have of their own: [recipe.layers.conv1] weight_bit_width = 4."
    )

    @model_validator(mode="after")
    def _combination_is_possible(self) -> Self:
        widths = {name: value for name, value in self.widths().items() if value is not None}
        for name, width in widths.items():
            if 16 < width < FLOAT:
                raise ValueError(f"{name}: value must be 1 to 16, or {FLOAT} for float, not {width}")
        floats = [name for name, width in widths.items() if width == FLOAT]
        quantised = next((name for name, width in widths.items() if width not in (LEFT_OUT, FLOAT)), None)
        if floats and quantised:
            raise ValueError(
                f"{quantised}: value must be {FLOAT} like {floats[0]}, not {widths[quantised]}; "
                "a network is float in every part or in none"
            )
        self._check_accumulators()
        return self

    def _check_accumulators(self) -> None:
        """Refuse a limit on the accumulators of layers whose weights are not of fixed point."""
        limits = {
            f"layers.{name}.": own.accumulator_bit_width
            for name, own in self.layers.items()
            if own.accumulator_bit_width is not None
        }
        if self.accumulator_bit_width is not None:
            limits[""] = self.accumulator_bit_width
        for name, width in self.widths().items():
            if not name.endswith("weight_bit_width") or width not in (1, FLOAT):
                continue
            place = name.rpartition(".")[0]
            layer = f"{place}." if place else ""
            found = "" if "" in limits else layer if layer in limits else min(limits, default=None)
            if found is not None and (found in ("", layer) or width == FLOAT):
                raise ValueError(
                    f"{found}accumulator_bit_width: value must be left out where {name} is {width}, not "
                    f"{limits[found]}; only weights of 2 to 16 bits are limited"
                )

    def widths(self) -> dict[str, int | None]:
        """Return every width of weights, activations and input by its key; those of single layers where they have any.

        >>> Recipe(layers={"out": LayerRecipe(weight_bit_width=8)}).widths()["layers.out.weight_bit_width"]
        8
        """
        common = {name: value for name, value in self if _is_width(name)}
        own = {
            f"layers.{layer}.{name}": value
            for layer, settings in self.layers.items()
            for name, value in settings
            if _is_width(name) and value is not None
        }
        return common | own

    @property
    def is_float(self) -> bool:
        """Whether nothing is quantised."""
        return self.weight_bit_width == FLOAT

    def weight_width(self, position: Position) -> int:
        """Return the bits of the weights of the first, a middle or the last layer."""
        special = {"first": self.first_weight_bit_width, "last": self.last_weight_bit_width}.get(position)
        return special or self.weight_bit_width

    def activation_width(self, position: Position) -> int:
        """Return the bits of the activations after the first or a later layer."""
        return (position == "first" and self.first_activation_bit_width) or self.activation_bit_width

    def layer(self, name: str, position: Position) -> "Recipe":
        """Return the recipe of one layer: its own widths and scale as those of a whole network.

        Args:
            name: Of the layer, as in ``layers``.
            position: Of the layer in its network.
        """
        own = self.layers.get(name, LayerRecipe())
        return self.model_copy(
            update={
                "weight_bit_width": _or(own.weight_bit_width, self.weight_width(position)),
                "activation_bit_width": _or(own.activation_bit_width, self.activation_width(position)),
                "weight_scale": own.weight_scale or self.weight_scale,
                "accumulator_bit_width": own.accumulator_bit_width or self.accumulator_bit_width,
                "first_weight_bit_width": None,
                "first_activation_bit_width": None,
                "last_weight_bit_width": None,
                "layers": {},
            }
        )

    def without_reasons(self) -> "Recipe":
        """Return the same recipe with nothing in it that is only for people."""
        layers = {name: own.model_copy(update={"why": ""}) for name, own in self.layers.items()}
        return self.model_copy(update={"layers": layers})

    @classmethod
    def floating(cls) -> "Recipe":
        """Return the recipe that quantises nothing.

        >>> Recipe.floating().is_float
        True
        """
        return cls(weight_bit_width=FLOAT, activation_bit_width=FLOAT, input_bit_width=FLOAT)


def _is_width(name: str) -> bool:
    """Return whether a key is the width of weights, activations or input."""
    return name.endswith("bit_width") and name not in ("bias_bit_width", "accumulator_bit_width")


def _or(own: int | None, common: int) -> int:
    return common if own is None else own
