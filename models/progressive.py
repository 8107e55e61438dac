"""Progressive quantisation: activations first, weights when the training has come half of its way, say."""

from typing import Any

from torch import nn


def keep_weights_float(network: nn.Module, *, floating: bool) -> None:
    """Let the layers of a network use their float weights, or their quantised ones again.

    Weights that are float for a while find their place under quantised activations before they lose their precision
    too: binary networks are often trained so, in two steps (Martinez et al., Training binary neural networks with
    real-to-binary convolutions, arXiv:2003.11535, section 4.1).

    Args:
        network: Changed in place.
        floating: Whether the weights are float from now on.

    >>> from bitwright.quant.brevitas_layers import dense
    >>> from bitwright.quant.recipe import Recipe
    >>> layer = dense(Recipe(weight_bit_width=1), 2, 1, bias=False)
    >>> nn.init.constant_(layer.weight, 0.25).shape
    torch.Size([1, 2])
    >>> keep_weights_float(layer, floating=True)
    >>> layer.quant_weight().tolist()
    [[0.25, 0.25]]
    """
    for module in network.modules():
        for name in ("weight_quant", "bias_quant"):  # the grid of a bias is that of its weights
            quantizer: Any = getattr(module, name, None)
            if quantizer is not None:
                quantizer.disable_quant = floating
