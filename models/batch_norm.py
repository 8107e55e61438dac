"""Batch normalisation that rounds alike at every level."""

import torch
from torch import Tensor, nn


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over axis 1 of ``(N, C)`` or ``(N, C, H, W)``.

    In training it is torch's own. In eval mode it is one multiplication and one addition a value, by a scale and an
    offset a channel. PyTorch's fused kernel and onnxruntime's each round in an order of their own, and where a value
    lies next to a rounding boundary of the next quantiser, their integers differ; one IEEE multiplication and one IEEE
    addition are the same numbers in PyTorch, in the exported graph (``Mul``, ``Add``) and in NumPy.

    >>> norm = BatchNorm(3).eval()
    >>> bool((norm(torch.ones(2, 3)) == (torch.ones(2, 3) / torch.sqrt(torch.tensor(1.0) + norm.eps))).all())
    True
    """

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - torch's name
        """Accept any input: torch would ask for one class a rank."""

    def affine_parameters(self) -> tuple[Tensor, Tensor]:
        """Return scale and offset, each ``(C,)``, of the running statistics."""
        assert self.running_mean is not None
        assert self.running_var is not None
        # torch's root of single precision (MKL's) is not IEEE's; that of double precision, rounded to single, is
        root = torch.sqrt((self.running_var + self.eps).double()).to(self.running_var.dtype)
        scale = self.weight / root
        return scale, self.bias - self.running_mean * scale

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Normalise ``(N, C, ...)``."""
        if self.training:
            return super().forward(input)
        scale, offset = self.affine_parameters()
        per_channel = [1, -1] + [1] * (input.dim() - 2)
        return input * scale.reshape(per_channel) + offset.reshape(per_channel)
