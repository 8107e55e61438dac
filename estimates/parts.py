"""Devices, and what they hold."""

from dataclasses import dataclass
from enum import StrEnum


class Family(StrEnum):
    """Of devices, by their DSP slice and speed."""

    SERIES_7 = "7-series"
    ULTRASCALE = "UltraScale"
    ULTRASCALE_PLUS = "UltraScale+"


@dataclass(frozen=True)
class Speed:
    """How fast a family's logic is, in ns, a slow speed grade.

    Args:
        multiply_ns: A product of 16 bits.
        add_ns: A sum of 16 bits.
        dsp_widths: Bits that one DSP slice multiplies, signed: the wider port and the narrower one.
    """

    multiply_ns: float
    add_ns: float
    dsp_widths: tuple[int, int]


SPEEDS = {
    Family.SERIES_7: Speed(4.0, 2.1, (25, 18)),
    Family.ULTRASCALE: Speed(2.7, 1.0, (27, 18)),
    Family.ULTRASCALE_PLUS: Speed(2.2, 0.8, (27, 18)),
}
"""Widths: DSP48E1 (UG479) and DSP48E2 (UG579). Delays: chosen so that depths come near those of `reported.PROJECTS`."""


@dataclass(frozen=True)
class Cells:
    """What a design takes of a device, or what a device holds. A BRAM of 36 kbit is two of 18 kbit."""

    lut: float = 0.0
    ff: float = 0.0
    dsp: float = 0.0
    bram_18k: float = 0.0

    def __add__(self, other: "Cells") -> "Cells":
        """Return the sum of each kind."""
        return Cells(self.lut + other.lut, self.ff + other.ff, self.dsp + other.dsp, self.bram_18k + other.bram_18k)

    def shares(self, available: "Cells") -> dict[str, float]:
        """Return how much of what is there each kind takes; 1 is all.

        >>> Cells(lut=50).shares(Cells(100, 200, 10, 10))["lut"]
        0.5
        """
        return {name: getattr(self, name) / getattr(available, name) for name in ("lut", "ff", "dsp", "bram_18k")}


@dataclass(frozen=True)
class Part:
    """A device.

    Args:
        device: How the vendor's part numbers begin: package, grade and temperature follow.
        family: Of the device.
        cells: What it holds.
        uram: UltraRAM blocks of 288 kbit.
        source: Document with these figures.
    """

    device: str
    family: Family
    cells: Cells
    uram: int
    source: str

    @property
    def speed(self) -> Speed:
        """Delays and DSP widths of its family."""
        return SPEEDS[self.family]


_DS890 = "AMD DS890 UltraScale Architecture and Product Data Sheet: Overview"
_DS891 = "AMD DS891 Zynq UltraScale+ MPSoC Data Sheet: Overview"
_DS889 = "AMD DS889 Zynq UltraScale+ RFSoC Data Sheet: Overview"
_DS180 = "AMD DS180 7 Series FPGAs Data Sheet: Overview"
_DS190 = "AMD DS190 Zynq-7000 SoC Data Sheet: Overview"
_DS962 = "AMD DS962 Alveo U200 and U250 Data Sheet"
_PLUS, _ULTRA, _SEVEN = Family.ULTRASCALE_PLUS, Family.ULTRASCALE, Family.SERIES_7

PARTS = (
    Part("xcvu13p", _PLUS, Cells(1_728_000, 3_456_000, 12_288, 5_376), 1_280, _DS890),
    Part("xcvu9p", _PLUS, Cells(1_182_240, 2_364_480, 6_840, 4_320), 960, _DS890),
    Part("xcu250", _PLUS, Cells(1_728_000, 3_456_000, 12_288, 5_376), 1_280, _DS962),
    Part("xcu200", _PLUS, Cells(1_182_240, 2_364_480, 6_840, 4_320), 960, _DS962),
    Part("xcu280", _PLUS, Cells(1_303_680, 2_607_360, 9_024, 4_032), 960, "AMD DS963 Alveo U280 Data Sheet"),
    Part("xcu50", _PLUS, Cells(871_680, 1_743_360, 5_952, 2_688), 640, "AMD DS965 Alveo U50 Data Sheet"),
    Part("xcku115", _ULTRA, Cells(663_360, 1_326_720, 5_520, 4_320), 0, _DS890),
    Part("xcku040", _ULTRA, Cells(242_400, 484_800, 1_920, 1_200), 0, _DS890),
    Part("xczu3eg", _PLUS, Cells(70_560, 141_120, 360, 432), 0, _DS891),
    Part("xck26", _PLUS, Cells(117_120, 234_240, 1_248, 288), 64, "AMD DS987 Kria K26 SOM Data Sheet"),
    Part("xczu7ev", _PLUS, Cells(230_400, 460_800, 1_728, 624), 96, _DS891),
    Part("xczu9eg", _PLUS, Cells(274_080, 548_160, 2_520, 1_824), 0, _DS891),
    Part("xczu28dr", _PLUS, Cells(425_280, 850_560, 4_272, 2_160), 80, _DS889),
    Part("xczu48dr", _PLUS, Cells(425_280, 850_560, 4_272, 2_160), 80, _DS889),
    Part("xc7z020", _SEVEN, Cells(53_200, 106_400, 220, 280), 0, _DS190),
    Part("xc7z045", _SEVEN, Cells(218_600, 437_200, 900, 1_090), 0, _DS190),
    Part("xc7a35t", _SEVEN, Cells(20_800, 41_600, 90, 100), 0, _DS180),
    Part("xc7a100t", _SEVEN, Cells(63_400, 126_800, 240, 270), 0, _DS180),
    Part("xc7vx690t", _SEVEN, Cells(433_200, 866_400, 3_600, 2_940), 0, _DS180),
)
"""Devices that users of hls4ml name. Those of xczu9eg, xc7z020, xcu250 and xc7vx690t stand in vendor reports, too."""


def part_of(name: str) -> Part:
    """Return the device of a part number.

    Args:
        name: As the vendor spells it, with or without package and grade.

    Raises:
        ValueError: If it is none that is known here.

    >>> part_of("xc7z020clg400-1").cells.dsp, part_of("xcvu13p-flga2577-2-e").uram
    (220, 1280)
    """
    for part in PARTS:
        rest = name.lower().removeprefix(part.device)
        if len(rest) < len(name) and not rest[:1].isdigit():
            return part
    known = ", ".join(part.device for part in PARTS)
    raise ValueError(f"--part: device must be one of {known}, not {name!r}; give one that is near it")
