"""How far the estimate was from what tools reported: measured, kept in a file, printed with every estimate."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from pydantic import PositiveFloat, TypeAdapter
from pydantic.dataclasses import dataclass as checked

from bitwright.estimates.network import estimate, layer_cost
from bitwright.estimates.reported import PROJECTS, Figures, ReportedProject
from bitwright.estimates.settings import settings_of

MEASURED = "measured_errors.json"
"""Beside this module; `make bench-estimate` writes it."""

WHOLE = "(whole design)"

CELLS = ("lut", "ff", "dsp", "bram_18k")
CYCLES = ("latency_cycles", "initiation_interval_cycles")


@checked(frozen=True)
class Ratio:
    """One figure, estimated and found.

    Args:
        design: Project or run.
        tool: That found it.
        layer: Its name, or `WHOLE`.
        figure: What it counts.
        estimated: By this folder, or by `rtl.size` where the design is unrolled logic.
        found: By the tool.
        ratio: Estimated / found; None where one of them is 0.
    """

    design: str
    tool: str
    layer: str
    figure: str
    estimated: float
    found: float
    ratio: PositiveFloat | None


@checked(frozen=True)
class MeasuredErrors:
    """The file.

    Args:
        hls: Against reports of C synthesis.
        unrolled: LUT of `rtl.size.lut_estimates` against alkaid's estimate and Yosys' count.
    """

    hls: tuple[Ratio, ...]
    unrolled: tuple[Ratio, ...]


@dataclass(frozen=True)
class Spread:
    """Between which factors a figure lay.

    Args:
        figure: What it counts.
        lowest: Least ratio of estimate and report.
        highest: Greatest ratio.
        count: Layers and designs that were compared.
    """

    figure: str
    lowest: float
    highest: float
    count: int


def ratio(design: str, tool: str, layer: str, figure: str, estimated: float, found: float) -> Ratio:
    """Return a figure's error.

    >>> ratio("run", "Yosys 0.70", "fc1", "lut", 30, 40).ratio
    0.75
    """
    share = round(estimated / found, 3) if estimated and found else None
    return Ratio(design, tool, layer, figure, round(estimated, 1), found, share)


def hls_ratios(projects: Sequence[ReportedProject] = PROJECTS) -> tuple[Ratio, ...]:
    """Return every figure of the projects that C synthesis reported on."""
    return tuple(one for project in projects for one in _project_ratios(project))


def _project_ratios(project: ReportedProject) -> Iterator[Ratio]:
    settings = settings_of(project.target)
    whole = estimate(project.layers, settings)
    for layer in project.layers:
        if layer.name in project.reported:
            cost = layer_cost(layer, settings)
            values = _values(cost.cells, cost)
            yield from _ratios(project, layer.name, values, project.reported[layer.name])
    yield from _ratios(project, WHOLE, _values(whole.cells, whole), project.whole)


def _values(cells: object, timed: object) -> dict[str, float]:
    return {**{name: getattr(cells, name) for name in CELLS}, **{name: getattr(timed, name) for name in CYCLES}}


def _ratios(project: ReportedProject, layer: str, values: dict[str, float], found: Figures) -> Iterator[Ratio]:
    for figure, value in values.items():
        yield ratio(project.name, project.tool, layer, figure, value, getattr(found, figure))


def spreads(ratios: Sequence[Ratio]) -> tuple[Spread, ...]:
    """Return the range of each figure's errors, over layers and whole designs.

    >>> spreads([ratio("a", "t", "l", "lut", 1, 2), ratio("b", "t", "l", "lut", 3, 2)])
    (Spread(figure='lut', lowest=0.5, highest=1.5, count=2),)
    """
    found: dict[str, list[float]] = {}
    for one in ratios:
        if one.ratio is not None:
            found.setdefault(one.figure, []).append(one.ratio)
    return tuple(Spread(figure, min(values), max(values), len(values)) for figure, values in found.items())


@cache
def measured() -> MeasuredErrors:
    """Return the file."""
    return read(Path(str(files("bitwright.estimates") / MEASURED)))


def read(path: Path) -> MeasuredErrors:
    """Read errors that were measured.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is none.
    """
    return TypeAdapter(MeasuredErrors).validate_json(path.read_bytes())


def text(errors: MeasuredErrors) -> str:
    """Return the file's text."""
    return json.dumps(TypeAdapter(MeasuredErrors).dump_python(errors), indent=1) + "\n"
