"""The cells of a netlist for a Xilinx device, by what they take of the chip."""

import re
from collections.abc import Mapping

from pydantic import NonNegativeInt
from pydantic.dataclasses import dataclass

LUT = re.compile(r"LUT([1-6])(?:_2)?$")

BRAM_HALVES = re.compile(r"RAMB(18|36)")


@dataclass(frozen=True)
class XilinxCells:
    """How many of each kind.

    Args:
        lut1: Look-up tables of one input; of two to six inputs likewise.
        lut: Their sum. Two small ones may share a place on the chip: the vendor's packed "CLB LUTs" are fewer.
        inverter: Cells INV: on the chip most of them vanish into what they feed.
        ff: Flip-flops.
        latch: Latches.
        carry: Carry chains of four bits (CARRY4) or eight (CARRY8).
        wide_mux: MUXF7, MUXF8, MUXF9.
        dsp: Multipliers.
        bram_18k: Halves of 18 kbit: a RAMB36 is two.
        uram: UltraRAM blocks.
        lutram: Memories out of look-up tables; not in ``lut``.
        srl: Shift registers out of look-up tables; not in ``lut``.
    """

    lut1: NonNegativeInt = 0
    lut2: NonNegativeInt = 0
    lut3: NonNegativeInt = 0
    lut4: NonNegativeInt = 0
    lut5: NonNegativeInt = 0
    lut6: NonNegativeInt = 0
    lut: NonNegativeInt = 0
    inverter: NonNegativeInt = 0
    ff: NonNegativeInt = 0
    latch: NonNegativeInt = 0
    carry: NonNegativeInt = 0
    wide_mux: NonNegativeInt = 0
    dsp: NonNegativeInt = 0
    bram_18k: NonNegativeInt = 0
    uram: NonNegativeInt = 0
    lutram: NonNegativeInt = 0
    srl: NonNegativeInt = 0


KINDS = (
    ("inverter", r"INV$"),
    ("ff", r"FD"),
    ("latch", r"LD"),
    ("carry", r"CARRY[48]$"),
    ("wide_mux", r"MUXF[789]$"),
    ("dsp", r"DSP"),
    ("uram", r"URAM288"),
    ("srl", r"SRL"),
    ("lutram", r"RAM\d"),
)


def xilinx_cells(types: Mapping[str, int]) -> XilinxCells:
    """Count the cells of a netlist by kind; buffers are left out.

    Args:
        types: Number of cells of each type, as `stat -json` of Yosys has them.

    Raises:
        ValueError: If a type is none that is known: a figure would leave it out in silence.

    >>> cells = xilinx_cells({"LUT2": 3, "LUT6": 1, "FDRE": 8, "RAMB36E2": 2})
    >>> cells.lut, cells.ff, cells.bram_18k
    (4, 8, 4)
    """
    counts = dict.fromkeys(XilinxCells.__dataclass_fields__, 0)
    for name, count in types.items():
        if lut := LUT.match(name):
            counts[f"lut{lut[1]}"] += count
            counts["lut"] += count
        elif bram := BRAM_HALVES.match(name):
            counts["bram_18k"] += count * (2 if bram[1] == "36" else 1)
        elif kind := next((kind for kind, pattern in KINDS if re.match(pattern, name)), None):
            counts[kind] += count
        elif not re.match(r"BUFG|IBUF|OBUF|VCC$|GND$|\$scopeinfo$", name):
            raise ValueError(f"yosys: cell type must be one of a Xilinx device, not {name}; report this design")
    return XilinxCells(**counts)
