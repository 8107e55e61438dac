"""What points of a front take as real logic: their RTL, synthesised by Yosys."""

from pathlib import Path

from bitwright.calibration.candidate import Candidate, key_of
from bitwright.cli.console import note
from bitwright.cli.run_folder import digest
from bitwright.cli.search_lowering import Lowering
from bitwright.rtl.design import FACTS, TOP, sources, write_design
from bitwright.synth.yosys import Family, synthesize

MOST_LUT = 15_000
"""Estimated; larger networks take Yosys many minutes each."""


def yosys_lut(candidate: Candidate, lowering: Lowering, folder: Path, setting: str) -> int | None:
    """Return the LUT that Yosys counts of a candidate for UltraScale+, or None if it is too large.

    Args:
        candidate: A point of the front.
        lowering: Of it.
        folder: Where designs lie; what was synthesised there is not synthesised again.
        setting: Of the search.

    Raises:
        ValueError: If an operation cannot be held in RTL.
        OSError: If a file cannot be written.
    """
    if lowering.lut > MOST_LUT:
        note(f"search: {lowering.lut:,.0f} LUT, estimated, are too many for Yosys here; `bitwright synth` has time")
        return None
    place = folder / digest(setting, key_of(candidate.recipe))[:16]
    if not (place / "rtl" / FACTS).is_file():
        write_design(lowering.program, place / "rtl")
    note(f"search: yosys, {lowering.lut:,.0f} LUT estimated")
    found, _ = synthesize(sources(place / "rtl", "verilog"), TOP, Family.XCUP, place / Family.XCUP)
    return found.cells.lut
