"""The bit widths of a network: one recipe, read by every network's definition."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

FLOAT = 32
"""The width that means: not quantised."""

Width = Annotated[int, Field(ge=1, le=FLOAT)]
Position = Literal["first", "middle", "last"]


class Recipe(BaseModel):
    """Widths and scales of the quantisers of a network.

    A width of 1 is binary (+1/-1), 2 to 16 is fixed point with a power-of-two scale, 32 is float. The first and the
    last layer may differ from those between, as published binary networks have it.

    >>> Recipe(weight_bit_width=1, activation_bit_width=1, last_weight_bit_width=8).weight_width("last")
    8
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    weight_bit_width: Width = Field(6, description="Bits of the weights: 1 (binary), 2 to 16, or 32 (float).")
    activation_bit_width: Width = Field(6, description="Bits of the activations: 1 (binary), 2 to 16, or 32 (float).")
    input_bit_width: Width = Field(8, description="Bits of the network's input: 1 (binary), 2 to 16, or 32 (float).")
    first_weight_bit_width: Width | None = Field(None, description="Weights of the first layer, if they differ.")
    first_activation_bit_width: Width | None = Field(None, description="Activations after it, if they differ.")
    last_weight_bit_width: Width | None = Field(None, description="Weights of the last layer, if they differ.")
    bias_bit_width: Annotated[int, Field(ge=2, le=24)] = Field(
        16, description="Bits of the biases, on the accumulator's grid: 2 to 24. Layers with batch norm have none."
    )
    weight_scale: Literal["per_tensor", "per_channel"] = Field(
        "per_tensor",
        description='One scale for a layer\'s weights, or one for each output: "per_tensor", "per_channel".',
    )

    @model_validator(mode="after")
    def _combination_is_possible(self) -> Self:
        widths = {name: value for name, value in self.widths().items() if value is not None}
        for name, width in widths.items():
            if 16 < width < FLOAT:
                raise ValueError(f"{name}: value must be 1 to 16, or {FLOAT} for float, not {width}")
        floats = [name for name, width in widths.items() if width == FLOAT]
        if floats and len(floats) < len(widths):
            quantised = next(name for name in widths if name not in floats)
            raise ValueError(
                f"{quantised}: value must be {FLOAT} like {floats[0]}, not {widths[quantised]}; "
                "a network is float in every part or in none"
            )
        return self

    def widths(self) -> dict[str, int | None]:
        """Return every width of weights, activations and input by its key."""
        return {name: value for name, value in self if name.endswith("bit_width") and name != "bias_bit_width"}

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

    @classmethod
    def floating(cls) -> "Recipe":
        """Return the recipe that quantises nothing.

        >>> Recipe.floating().is_float
        True
        """
        return cls(weight_bit_width=FLOAT, activation_bit_width=FLOAT, input_bit_width=FLOAT)
