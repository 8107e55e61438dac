"""What every part of a random Brevitas network draws with. Imports torch."""

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from brevitas_networks_kinds import KINDS
from brevitas_networks_modules import plain
from hypothesis import strategies as st
from torch import Tensor, nn

SMALLEST_SCALE = 2.0**-12


class Drawing:
    """A network so far: its steps, and what they make of a batch.

    Args:
        draw: Of Hypothesis.
        power_of_two: Whether all scales are powers of two.
        kinds: The features that may be drawn.
    """

    _sample: Tensor
    _shape: tuple[int, ...]

    def __init__(self, draw: st.DrawFn, *, power_of_two: bool, kinds: Collection[str]) -> None:
        unknown = set(kinds) - KINDS
        if unknown:
            raise ValueError(f"kinds must be of {sorted(KINDS)}, not {sorted(unknown)}")
        self._draw, self._power_of_two, self._kinds = draw, power_of_two, frozenset(kinds)
        self._seed = draw(st.integers(0, 2**31 - 1))
        self._rng = np.random.default_rng(self._seed)
        self._steps: list[nn.Module] = []
        self._texts: list[str] = []
        self._bits, self._on_grid, self._shifted = 8, False, False

    def _coin(self, kind: str | None = None) -> bool:
        """Return whether to; never if the kind is not wanted. Shrinks to no."""
        return (kind is None or kind in self._kinds) and self._draw(st.booleans())

    def _one_of(self, options: Sequence[Any]) -> Any:  # noqa: ANN401
        return self._draw(st.sampled_from(options))

    def _wanted(self, **options: str | None) -> list[str]:
        """Return the options whose kind is wanted, or None."""
        return [name for name, kind in options.items() if kind is None or kind in self._kinds]

    def _normal(self, *shape: int) -> Tensor:
        return torch.from_numpy(self._rng.normal(0, 1, shape).astype(np.float32))

    def _scale(self, size: float = 1.0) -> tuple[float, str]:
        """Return a constant scale of about a size."""
        scale = self._one_of([1.0, 0.25] if self._power_of_two else [1.0, 0.37])
        scale *= 2.0 ** round(math.log2(size))
        return scale, f"{scale:g}"

    def _spread(self) -> float:
        """Return the deviation of the values so far, with some sense where they are all alike."""
        values = plain(self._sample)
        return float(np.clip(values.std().item(), 2.0**-8, 2.0**8))

    def _add(self, module: nn.Module, text: str) -> None:
        with torch.no_grad():
            self._sample = module.train()(self._sample)
        self._steps.append(module)
        self._texts.append(text)
