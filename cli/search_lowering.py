"""Candidates of a search as integer programs: their LUT, and the proof that their accuracy is the integers'."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from bitwright.export.interface import describe, input_codes, output_codes
from bitwright.export.lower import LoweredNetwork, lower
from bitwright.export.precision import needs
from bitwright.export.program import Program
from bitwright.export.qonnx_file import load
from bitwright.export.torch_export import write_qonnx
from bitwright.export.torch_level import run_torch
from bitwright.models.dataset import Split
from bitwright.quant.recipe import LayerRecipe, Recipe
from bitwright.rtl.size import lut_estimates


@dataclass(frozen=True)
class Lowering:
    """What a candidate is as integers.

    Args:
        program: The integer program.
        lut: Estimate as unrolled logic.
        integers: Outputs compared between PyTorch and the program.
        different: Of them.
    """

    program: Program
    lut: float
    integers: int
    different: int


def lowered(network: nn.Module, input_shape: tuple[int, ...]) -> LoweredNetwork:
    """Return a network's integer program.

    Raises:
        ValueError: If it cannot be lowered exactly.
    """
    with tempfile.TemporaryDirectory(prefix="bitwright-search-") as scratch:
        path = Path(scratch) / "candidate.onnx"
        write_qonnx(network, input_shape, path)
        return lower(load(path), "candidate")


def check(network: nn.Module, input_shape: tuple[int, ...], split: Split, input_scale: float) -> Lowering:
    """Lower a network and compare the program's integers with PyTorch's on a split."""
    found = lowered(network, input_shape)
    values = split.inputs.astype(np.float32) * np.float32(input_scale)
    wanted = output_codes(describe(found).output, run_torch(network, values))
    codes = found.program(input_codes(found, values))
    return Lowering(found.program, lut(found), wanted.size, int((codes != wanted).sum()))


def lut(found: LoweredNetwork) -> float:
    """Return the LUT that the whole program takes as unrolled logic, estimated."""
    return sum(lut_estimates(found.program).values())


def accumulator_bits(program: Program, recipe: Recipe) -> int:
    """Return the bits of a program's widest accumulator, as the exact interval of its sums gives them.

    Raises:
        ValueError: If one is wider than a recipe allows.
    """
    widths = {
        name: roles["accumulator"].format.width for name, roles in needs(program).items() if "accumulator" in roles
    }
    for name, width in widths.items():
        most = recipe.layers.get(name, LayerRecipe()).accumulator_bit_width or recipe.accumulator_bit_width
        if most is not None and width > most:
            raise ValueError(
                f"search: accumulator of {name} must have at most {most} bits, not {width}; search without --learn, or "
                "with a wider --max-accumulator-bits"
            )
    return max(widths.values())
