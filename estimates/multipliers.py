"""What one product takes."""

from math import ceil

from bitwright.estimates.parts import Cells, Speed

ADDER_OVERHEAD_LUT = 7
"""C synthesis counts an adder of w bits as w + 7 LUT, a comparison as w / 2 + 5: every adder of 16 bits in the three
projects of `reported` is 23."""

LEAST_DSP_BITS = 10
"""Products whose wider factor has fewer bits become LUT. Source: Coelho et al., arXiv:2006.10159, section on resources;
the reports bear out that 16 x 6 bits still take a DSP."""

LEAST_FACTOR_BITS = 4
"""Products whose narrower factor has fewer bits become additions."""


def adder_lut(bits: int) -> int:
    """Return the LUT that C synthesis counts for an addition.

    >>> adder_lut(16)
    23
    """
    return bits + ADDER_OVERHEAD_LUT


def comparison_lut(bits: int) -> float:
    """Return the LUT that C synthesis counts for a comparison."""
    return bits / 2 + 5


def product_cells(data_bits: int, weight_bits: int, speed: Speed) -> Cells:
    """Return what a product of two values that change takes.

    A DSP slice multiplies 27 x 18 bits (DSP48E2, UG579) or 25 x 18 (DSP48E1, UG479), signed; wider factors are cut into
    digits of one bit less. In LUT an array multiplier takes half its rows, each of the other factor's width and two.
    Source: Walters, Array Multipliers for High Throughput in Xilinx FPGAs with 6-Input LUTs, Computers 5(4), 2016.

    >>> from bitwright.estimates.parts import SPEEDS, Family
    >>> product_cells(16, 16, SPEEDS[Family.SERIES_7]).dsp, product_cells(8, 8, SPEEDS[Family.SERIES_7]).lut
    (1, 40)
    >>> product_cells(26, 16, SPEEDS[Family.SERIES_7]).dsp, product_cells(26, 16, SPEEDS[Family.ULTRASCALE]).dsp
    (2, 1)
    """
    wide, narrow = max(data_bits, weight_bits), min(data_bits, weight_bits)
    if wide < LEAST_DSP_BITS or narrow < LEAST_FACTOR_BITS:
        return Cells(lut=ceil(narrow / 2) * (wide + 2))
    most_wide, most_narrow = speed.dsp_widths
    if wide <= most_wide and narrow <= most_narrow:
        return Cells(dsp=1)
    return Cells(dsp=ceil((wide - 1) / (most_wide - 1)) * ceil((narrow - 1) / (most_narrow - 1)))
