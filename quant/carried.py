"""What a network carries past its layers, and adds: signed values, brought to one grid. Imports torch."""

from typing import Any

from torch import Tensor, nn

from bitwright.quant.brevitas_activations import (
    STATISTICS_BATCHES,
    SignedAct,
    activation_of,
    constant,
    qnn,
)
from bitwright.quant.quantizer_scale import SMALLEST_SCALE
from bitwright.quant.recipe import FLOAT, Recipe
from bitwright.quant.values import values


class Carried(nn.Module):
    """The float form of `carried`: gives what it takes. Calibration observes what passes."""

    def forward(self, x: Any) -> Any:  # noqa: ANN401 - a tensor, or Brevitas' own
        """Return the input."""
        return x


class QuantCarried(qnn.QuantIdentity):  # type: ignore[misc]
    """The fixed-point form of `carried`: signed codes on one power-of-two scale, which training learns."""


def carried(bit_width: int) -> nn.Module:
    """Return a quantiser of signed values, of any shape.

    Args:
        bit_width: 2 to 16, sign included, or 32.

    >>> import torch
    >>> carried(8).train()(torch.tensor([-1.0, 0.5])).value.tolist()
    [-1.0, 0.5]
    """
    if bit_width == FLOAT:
        return Carried()
    return QuantCarried(
        act_quant=SignedAct,
        bit_width=bit_width,
        collect_stats_steps=STATISTICS_BATCHES,
        scaling_min_val=SMALLEST_SCALE,
        return_quant_tensor=True,
    )


def averaged_signs(bit_width: int) -> nn.Module:
    """Return a quantiser of averages of +1 and -1, of any shape, on a constant scale.

    Its range is from -2 to 2, so that no average saturates. Where each is over one pixel, all are +1 or -1, and a scale
    that training learns can come to hold none of them: no gradient passes any more, and the network before it is dead.

    Args:
        bit_width: 2 to 16, sign included.

    >>> import torch
    >>> averaged_signs(8)(torch.tensor([-1.0, 0.125, 1.0])).value.tolist()
    [-1.0, 0.125, 1.0]
    """
    return constant(bit_width, 2.0, signed=True)


def signed_activation_of(layer: Recipe) -> nn.Module:
    """Return what stands behind a linear layer: no ReLU, only the quantiser; of one bit the binary activation.

    Args:
        layer: Gives the bits (see `Recipe.layer`).
    """
    return activation_of(layer) if layer.activation_bit_width == 1 else carried(layer.activation_bit_width)


def added(quantizer: nn.Module, left: Any, right: Any) -> Tensor:  # noqa: ANN401 - a tensor, or Brevitas' own
    """Return the sum of two branches, each quantised by the same quantiser: on one grid, so that it is exact.

    Args:
        quantizer: Of `carried`; ``nn.Identity`` adds the branches as they are.
        left: ``(N, ...)``, quantised or not.
        right: Of the same shape.

    >>> import torch
    >>> added(nn.Identity(), torch.ones(1), torch.ones(1))
    tensor([2.])
    """
    # While the scale is still a statistic of the values, it is another one for each branch: plain tensors
    return values(quantizer(left)) + values(quantizer(right))
