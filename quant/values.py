"""The values of what a quantiser gave."""

from typing import Any

from torch import Tensor


def values(x: Any) -> Tensor:  # noqa: ANN401 - a tensor, or Brevitas' own
    """Return Brevitas' ``QuantTensor`` as the plain tensor of its values; a tensor as it is.

    While a network is exported, its quantisers give plain tensors.
    """
    return getattr(x, "value", x)  # type: ignore[no-any-return]
