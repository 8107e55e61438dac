"""The dense autoencoder: a multi-layer perceptron that is trained to give back its input.

Reference: Hinton and Salakhutdinov, Reducing the Dimensionality of Data with Neural Networks, Science 313 (2006).
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from bitwright.models.mlp import MLP
from bitwright.quant.recipe import Recipe


class Autoencoder(MLP):
    """Dense layers to a bottleneck and back, from a flat or an image input to as many values.

    The last layer is linear: its outputs are sums of an accumulator, and no quantiser stands behind it.

    Args:
        in_features: Values of one input, and of the output.
        hidden: Width of each hidden layer; the least of them is the bottleneck.
        recipe: Widths of input, weights and activations; float, fixed point and binary are the same network.
        batch_norm: Whether a batch norm stands before each activation. Then the hidden layers have no bias.
        own_widths: Of hidden layers by their names, where they are not those of ``hidden``.
        input_range: Smallest and largest value of the input.

    >>> import torch
    >>> Autoencoder(64, (32, 8, 32), Recipe()).eval()(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 64])
    """

    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int],
        recipe: Recipe,
        *,
        batch_norm: bool = True,
        own_widths: Mapping[str, int] = MappingProxyType({}),
        input_range: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        super().__init__(
            in_features,
            hidden,
            in_features,
            recipe,
            batch_norm=batch_norm,
            own_widths=own_widths,
            input_range=input_range,
        )
