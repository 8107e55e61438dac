"""What each layer alone costs in accuracy at each width, all others being wide."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from bitwright.calibration.candidate import Candidate
from bitwright.calibration.moves import Move, Part
from bitwright.quant.recipe import Recipe

WIDTHS = (6, 4, 3, 2)


@dataclass(frozen=True)
class Sensitivity:
    """One layer at one width.

    Args:
        layer: Its name.
        part: Of its weights, or of the activations behind it.
        bit_width: The width tried.
        accuracy: On the validation split.
        loss: Of accuracy, beside all layers wide.
    """

    layer: str
    part: Part
    bit_width: int
    accuracy: float
    loss: float


def sensitivities(
    wide: Recipe,
    score: Callable[[Recipe], Candidate],
    widths: Sequence[int] = WIDTHS,
    binarisable: Collection[str] = (),
) -> Iterator[Sensitivity]:
    """Yield what each layer's weights and activations alone lose at each width that is less than theirs.

    Args:
        wide: All layers named, and wide.
        score: Of a recipe.
        widths: To try.
        binarisable: Layers whose weights are tried with 1 bit, too.
    """
    reached = score(wide).accuracy
    for name, own in wide.layers.items():
        parts: list[Part] = ["weight"] if own.activation_bit_width is None else ["weight", "activation"]
        for part in parts:
            wide_bits = own.weight_bit_width if part == "weight" else own.activation_bit_width
            for width in (*widths, *[1] * (part == "weight" and name in binarisable)):
                if wide_bits is None or width >= wide_bits:
                    continue
                accuracy = score(Move(name, part, width).apply(wide)).accuracy
                yield Sensitivity(name, part, width, accuracy, reached - accuracy)
