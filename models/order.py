"""What stands behind a layer, in which order: pooling, batch norm and activation."""

from torch import Tensor, nn

from bitwright.models.settings import Order


def in_order(
    order: Order, x: Tensor, *, norm: nn.Module, activation: nn.Module, pool: nn.Module | None = None
) -> Tensor:
    """Return a layer's output behind what follows the layer.

    Args:
        order: Of the three.
        x: The layer's output, ``(N, C)`` or ``(N, C, H, W)``.
        norm: Batch norm, or the identity.
        activation: Of any width.
        pool: Left out where nothing is pooled.

    >>> import torch
    >>> in_order("activation_pool_norm", torch.ones(2, 3), norm=nn.Softplus(), activation=nn.Tanh()) > 1
    tensor([[True, True, True],
            [True, True, True]])
    """
    parts = {"pool": pool, "norm": norm, "activation": activation}
    for name in order.split("_"):
        part = parts[name]
        if part is not None:
            x = part(x)
    return x
