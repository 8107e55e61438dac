"""Searches of little work: few samples, rounding to the nearest, and exports in a third of the time."""

from pathlib import Path

import pytest
from quick_export import quick_exports
from torch import nn

from bitwright.cli import search_lowering
from bitwright.export.torch_export import write_qonnx

FAST = ("--rounding", "nearest", "--samples", "64", "--start-bit-width", "4")


def quick_lowering(patch: pytest.MonkeyPatch) -> None:
    """Let the many exports of a search take a third of the time; the files are the same."""

    def quickly(network: nn.Module, input_shape: tuple[int, ...], path: Path) -> None:
        with quick_exports():
            write_qonnx(network, input_shape, path)

    patch.setattr(search_lowering, "write_qonnx", quickly)
