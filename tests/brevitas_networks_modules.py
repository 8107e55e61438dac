"""What random Brevitas networks are made of: Brevitas' modules, and what users write around them. Imports torch."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

with warnings.catch_warnings():  # an optional kernel that this project has no use for
    warnings.filterwarnings("ignore", message="fast_hadamard_transform package not found")
    import brevitas.nn
    from brevitas import quant as quant
    from brevitas.quant.fixed_point import Int8WeightPerChannelFixedPoint as Int8WeightPerChannelFixedPoint
    from brevitas.quant.scaled_int import Int8WeightPerChannelFloat as Int8WeightPerChannelFloat
    from brevitas.quant.shifted_scaled_int import (
        ShiftedUint8ActPerTensorFixedPoint as ShiftedUint8ActPerTensorFixedPoint,
    )
    from brevitas.quant.shifted_scaled_int import ShiftedUint8ActPerTensorFloat as ShiftedUint8ActPerTensorFloat

qnn: Any = brevitas.nn  # ships no types


def plain(values: Any) -> Tensor:  # noqa: ANN401 - a QuantTensor, or a Tensor (always, while Brevitas exports)
    """Return the tensor of a quantised tensor."""
    tensor = getattr(values, "value", values)
    assert isinstance(tensor, Tensor)
    return tensor


class Apply(nn.Module):
    """A function of tensors, as it stands in a user's ``forward``."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, values: Tensor) -> Tensor:
        """Return the function's value."""
        return self._function(plain(values))


class Normalise(nn.Module):
    """Subtract the mean and divide by the deviation, of one value or one a channel."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def forward(self, values: Tensor) -> Tensor:
        """Return the normalised values."""
        return (values - self.mean) / self.deviation


class Affine(nn.Module):
    """Multiply and add learned floats."""

    def __init__(self, slope: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.slope, self.offset = nn.Parameter(slope), nn.Parameter(offset)

    def forward(self, values: Tensor) -> Tensor:
        """Return the line's value."""
        return plain(values) * self.slope + self.offset


class Join(nn.Module):
    """Two branches of one tensor, quantised each, then added or concatenated.

    Args:
        branches: From the tensor to tensors of equal shape, or for ``"cat"`` of equal height and width.
        quantizers: The quantisers of the branches, maybe one and the same; for ``"eltwise"`` none.
        how: ``"add"``, ``"cat"``, or ``"eltwise"`` for Brevitas' own layer.
        eltwise: That layer.
    """

    def __init__(
        self, branches: Sequence[nn.Module], quantizers: Sequence[nn.Module], how: str, eltwise: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.branches, self.quantizers = nn.ModuleList(branches), nn.ModuleList(quantizers)
        self.how, self.eltwise = how, eltwise

    def forward(self, values: Tensor) -> Tensor:
        """Return the joined branches."""
        results: list[Tensor] = [branch(values) for branch in self.branches]
        if self.eltwise is not None:
            joined = self.eltwise(*results)
            assert isinstance(joined, Tensor)
            return joined
        left, right = (quantizer(result) for quantizer, result in zip(list(self.quantizers), results, strict=True))
        if self.how == "cat":
            return torch.cat([left, right], 1)
        total = left + right
        assert isinstance(total, Tensor)
        return total
