"""How a float network is calibrated. Imports no torch."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from bitwright.calibration.observers import Method
from bitwright.quant.recipe import LEFT_OUT, Recipe

Rounding = Literal["nearest", "gptq", "gpfq", "learned"]


@dataclass(frozen=True)
class CalibrationSettings:
    """Everything that decides how a float network becomes a fixed-point one, but its widths.

    Args:
        method: How the range of an activation is found.
        weight_method: How the range of a layer's weights is.
        percentile: Of the values, in percent, that method "percentile" keeps inside.
        samples: Inputs of the training set to calibrate on.
        fold: Whether batch norms are folded into the layers before them.
        equalize: Whether neighbouring layers' ranges are made equal first.
        correct_bias: Whether the mean error of every channel is taken off its bias.
        rounding: Of the weights: each to the nearest, or all of a layer together so that its outputs change least:
            "gptq" (Frantar et al., arXiv:2210.17323), "gpfq" (Lybrand and Saab, arXiv:2010.15862), or "learned": up or
            down, as is learned layer by layer (AdaRound, Nagel et al., arXiv:2004.10568).
    """

    method: Method = "mse"
    weight_method: Method = "mse"
    percentile: float = 99.99
    samples: int = 512
    fold: bool = True
    equalize: bool = False
    correct_bias: bool = True
    rounding: Rounding = "nearest"

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ValueError: If a setting is out of its range.
        """
        if self.samples < 1:
            raise ValueError(f"--samples: number must be at least 1, not {self.samples}; 512 are usual")
        if not 50 < self.percentile <= 100:
            raise ValueError(
                f"--percentile: share must be above 50 and at most 100 percent, not {self.percentile:g}; try 99.99"
            )


def check_widths(recipe: Recipe, binarisable: Collection[str] = ()) -> None:
    """Refuse widths that calibration cannot give.

    Args:
        recipe: All widths.
        binarisable: Layers whose weights may have 1 bit: a batch norm behind them can make up for it.

    Raises:
        ValueError: If one is 1 elsewhere, or float.
    """
    own = {f"layers.{name}.weight_bit_width" for name in binarisable}
    for name, width in recipe.widths().items():
        left_out = width == LEFT_OUT and name.endswith("weight_bit_width")
        if width is not None and not left_out and not (1 if name in own else 2) <= width <= 16:
            kept = width == 1 and name.startswith("layers.") and name.endswith("weight_bit_width") and not own
            raise ValueError(
                f"recipe.{name}: width must be 2 to 16 to calibrate, not {width}; train networks of one bit, with "
                "`bitwright train`"
                + (", or keep the batch norms, with `calibrate --no-fold` or `search --binary`" if kept else "")
            )


def check_trains(rank: int, settings: CalibrationSettings) -> None:
    """Refuse what a network with tensor trains cannot have: no core sees all outputs of its layer.

    Args:
        rank: Of the trains; 0 for a network without.
        settings: To check.

    Raises:
        ValueError: If batch norms are to be folded, or ranges to be made equal.
    """
    if rank and settings.fold:
        raise ValueError(
            "--fold: option must be --no-fold for a network with tensor trains, not --fold; a batch norm behind one "
            "has a factor an output, and no core has"
        )
    if rank and settings.equalize:
        raise ValueError(
            "--equalize: option must be --no-equalize for a network with tensor trains, not --equalize; no core has "
            "the channels of the layer before it in order"
        )
