"""Hardware figures of a run for a comparison: by stage and tool, which never share a column."""

from collections.abc import Mapping

from bitwright.cli.page_hardware import hardware
from bitwright.cli.run_folder import RunFolder
from bitwright.estimates.describe import describe
from bitwright.estimates.network import estimate
from bitwright.estimates.settings import settings_of
from bitwright.export.precision import Precision
from bitwright.export.program import Program
from bitwright.hls.target import Target
from bitwright.rtl.size import lut_estimates

HLS_ESTIMATE = "hls4ml project, estimate of C synthesis"
UNROLLED_ESTIMATE = "unrolled logic, estimate"

CELLS = ("lut", "ff", "dsp", "bram_18k")
NAMES = {"lut_estimate": "lut"}
"""What alkaid calls its own estimate: its stage tells that it is one."""

PLACES = ("part", "family", "device", "solution")
"""Words that tell figures of one tool apart."""

Hardware = Mapping[str, Mapping[str, int | float]]
"""Cells by stage, and by kind."""


def estimates(program: Program, precision: Precision, target: Target) -> Hardware:
    """Return what a program is estimated to take, as an hls4ml project and as unrolled logic.

    Raises:
        ValueError: If the target's device is not known.
    """
    settings = settings_of(target)
    cells = estimate(describe(program, precision, settings.part.speed), settings).cells
    return {
        HLS_ESTIMATE: {kind: round(getattr(cells, kind)) for kind in CELLS},
        UNROLLED_ESTIMATE: {"lut": round(sum(lut_estimates(program).values()))},
    }


def reported(run: RunFolder) -> tuple[Hardware, tuple[str, ...]]:
    """Return what tools reported of a run, each stage with its tool and device, and what could not be read.

    >>> from pathlib import Path
    >>> reported(RunFolder(Path("nowhere")))
    ({}, ())
    """
    found = hardware(run, run.path.name)
    stages: dict[str, dict[str, int | float]] = {}
    for stage in found.stages:
        cells = {
            NAMES.get(name, name): round(value) if name in NAMES else value for name, value in stage.figures.items()
        }
        cells = {kind: cells[kind] for kind in CELLS if kind in cells}
        if cells:
            where = [stage.words[word] for word in PLACES if stage.words.get(word)]
            stages[", ".join([stage.title, stage.tool, *where])] = cells
    return stages, tuple(found.problems)
