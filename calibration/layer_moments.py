"""How far a layer's outputs are from the float network's, for any weights, without running it again. Imports torch.

The outputs are linear in the weights: their squared error depends on the inputs through sums of products alone. With
``x`` what the float layer takes and ``y`` what the quantised one takes, ``w`` the float weights of an output and
``w + d`` the quantised ones,

    sum of (w'x - (w + d)'y)**2 = d'M d - 2 d'B w + w'R w,   M = sum yy',  B = sum y(x - y)',  R = sum (x - y)(x - y)'
"""

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

with warnings.catch_warnings():  # of Brevitas to itself
    warnings.simplefilter("ignore")
    from brevitas.graph.calibrate import quantization_status_manager

from bitwright.calibration.look import look_into

PIECE = 32
"""Inputs at once: every position of a convolution's window becomes a row."""


@dataclass(frozen=True, eq=False)
class LayerMoments:
    """Sums of products of a layer's inputs, in double precision.

    Args:
        quantised: ``(G, K, K)``, of the inputs of the quantised layer with themselves: M. G are the groups of a
            convolution, K the weights of one output.
        mixed: ``(G, K, K)``, of those with how far the float layer's inputs are from them: B.
        change: ``(G, K, K)``, of that with itself: R.
    """

    quantised: Tensor
    mixed: Tensor
    change: Tensor

    def grouped(self, weight: Tensor) -> Tensor:
        """Return weights ``(C, ...)`` as ``(G, C / G, K)``, in double precision."""
        groups, inputs, _ = self.quantised.shape
        return weight.detach().double().reshape(groups, -1, inputs)

    def errors(self, weight: Tensor, rounded: Tensor) -> Tensor:
        """Return the squared error of each output ``(C,)``, summed over all inputs and positions.

        Args:
            weight: In float ``(C, ...)``.
            rounded: Those of the quantised layer, of the same shape.

        >>> one = torch.ones(1, 1, 1).double()
        >>> LayerMoments(4 * one, 0 * one, 0 * one).errors(torch.tensor([[0.75]]), torch.tensor([[1.0]]))
        tensor([0.2500], dtype=torch.float64)
        """
        float_weight = self.grouped(weight)
        moved = self.grouped(rounded) - float_weight
        own = moved * (moved @ self.quantised - 2 * self.pull(weight))
        return (own + float_weight * (float_weight @ self.change)).sum(-1).reshape(-1)

    def pull(self, weight: Tensor) -> Tensor:
        """Return ``(B w)`` of each output ``(G, C / G, K)``: where the float layer's inputs draw the weights."""
        return self.grouped(weight) @ self.mixed.transpose(1, 2)


def layer_moments(network: nn.Module, layer: Any, inputs: Tensor) -> LayerMoments:  # noqa: ANN401 - Brevitas' own
    """Return the moments of what a layer takes on calibration data, in float and as the network is.

    Args:
        network: Quantised, in eval mode. In float it is the same network with all its quantisers switched off, and with
            the weights from before rounding where a layer still knows them (``weight_orig``).
        layer: A dense layer or a convolution in it.
        inputs: ``(N, ...)``.
    """
    found: list[Tensor] = []

    def look(module: Any, given: Any, _: object) -> None:  # noqa: ANN401 - Brevitas' own
        found.append(rows(module, getattr(given[0], "value", given[0])))

    sums: list[Tensor] = []
    for piece in torch.split(inputs, PIECE):
        found.clear()
        with quantization_status_manager(
            network, disable_act_quant=True, disable_weight_quant=True, disable_bias_quant=True
        ):
            look_into(network, [(layer, look)], piece)
        look_into(network, [(layer, look)], piece)
        wanted, given = found
        change = wanted - given
        products = torch.stack([left.transpose(1, 2) @ right for left, right in _pairs(given, change)]).double()
        sums = [sums[0] + products] if sums else [products]
    return LayerMoments(*sums[0])


def rows(layer: Any, values: Tensor) -> Tensor:  # noqa: ANN401 - Brevitas' own
    """Return what each output of a layer is summed over.

    Args:
        layer: A dense layer or a convolution.
        values: What it takes, ``(N, ..., K)`` or ``(N, C, H, W)``.

    Returns:
        ``(G, rows, K)``: a row for every input and position, in the order of the weights of one output.

    >>> rows(nn.Conv2d(2, 4, 1, groups=2), torch.arange(6.0).reshape(1, 2, 1, 3))
    tensor([[[0.],
             [1.],
             [2.]],
    <BLANKLINE>
            [[3.],
             [4.],
             [5.]]])
    """
    if not isinstance(layer, nn.Conv2d):
        return values.reshape(1, -1, values.shape[-1])
    windows = F.unfold(values, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # type: ignore[arg-type]
    count, _, positions = windows.shape
    grouped = windows.reshape(count, layer.groups, -1, positions)  # (N, G, K, H' * W')
    return grouped.permute(1, 0, 3, 2).flatten(1, 2)


def _pairs(given: Tensor, change: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
    return (given, given), (given, change), (change, change)
