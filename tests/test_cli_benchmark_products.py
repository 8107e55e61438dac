"""Layers product by product: the Verilog computes the program's integers."""

from pathlib import Path

import numpy as np
import pytest

from bitwright.cli.benchmark_products import write_products
from bitwright.export.operations import Dense, Input, Integers
from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint
from bitwright.rtl.simulation import build_simulation, run_simulation

RNG = np.random.default_rng(3)
BIAS = np.array([5, -70, 0, 1])


@pytest.mark.parametrize(
    ("given", "weight_format", "weight", "bias"),
    [
        (FixedPoint(3, 3, signed=False), FixedPoint(4, 4), RNG.integers(-8, 8, (6, 4)), BIAS),
        (FixedPoint(4, 4), FixedPoint(4, 4), RNG.integers(-8, 8, (6, 4)), None),
        (Bipolar(), Bipolar(), RNG.choice([-1, 1], (7, 4)), None),
    ],
    ids=["unsigned", "signed", "bits"],
)
def test_products_are_those_of_the_program(
    given: Format, weight_format: Format, weight: Integers, bias: Integers | None, tmp_path: Path
) -> None:
    layer = Dense("fc", "x", weight, weight_format, bias)
    program = Program((Input("x", "", (len(weight),), given), layer))
    codes = RNG.integers(given.lowest, given.highest + 1, (50, len(weight)))
    codes = np.where(codes >= 0, 1, -1) if isinstance(given, Bipolar) else codes
    design = write_products(program, layer, tmp_path / "rtl")
    built = build_simulation(design, tmp_path / "rtl", tmp_path / "cache")
    np.testing.assert_array_equal(run_simulation(built, design, codes, tmp_path / "parts"), program(codes))
