"""Measure how far estimates are off: `make bench-estimate`, or `python -m bitwright.cli.benchmark_estimate RUN...`.

Layers of vendor reports are compared anew. Runs that are given, with their design of `bitwright rtl` and, where there
is one, their synthesis with Yosys, take the place of the figures of unrolled logic that the file holds.
"""

import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from bitwright.cli.benchmark_arguments import Parser, ends_in_one_line
from bitwright.cli.console import out
from bitwright.cli.run_folder import RunFolder, write_text
from bitwright.cli.stage_estimate import error_lines
from bitwright.cli.stage_export import load_program
from bitwright.estimates.errors import MEASURED, MeasuredErrors, Ratio, hls_ratios, ratio, read, text
from bitwright.rtl.design import read_design
from bitwright.rtl.folded_size import folded_lut_estimates
from bitwright.synth.yosys import FIGURES, read_synthesis


def unrolled_ratios(run: RunFolder) -> Iterator[Ratio]:
    """Yield the errors of a run's estimate as logic of its own: unrolled, or used clock after clock as its design is.

    Raises:
        OSError: If its design is missing.
        ValueError: If a file is refused.
    """
    design = read_design(run.rtl)
    estimated = sum(folded_lut_estimates(load_program(run), design.initiation_interval).values())
    tool = f"alkaid {version('alkaid')}, its estimate"
    yield ratio(run.path.name, tool, "(whole design)", "lut", estimated, round(design.lut_estimate, 1))
    for path in sorted(run.path.rglob(FIGURES)):
        synthesis = read_synthesis(path.parent)
        if synthesis is not None:
            tool = f"{synthesis.tool}, {synthesis.family}"
            yield ratio(run.path.name, tool, "(whole design)", "lut", estimated, synthesis.cells.lut)


def measure(path: Path, runs: Sequence[Path]) -> MeasuredErrors:
    """Return the errors, unrolled ones of the runs or as the file has them."""
    unrolled = tuple(one for run in runs for one in unrolled_ratios(RunFolder(run)))
    if not runs and path.is_file():
        unrolled = read(path).unrolled
    return MeasuredErrors(hls_ratios(), unrolled)


@ends_in_one_line
def main(arguments: Sequence[str]) -> int:
    """Measure, write the file, print it."""
    parser = Parser(__file__, __doc__)
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="folder of a run with its design")
    options = parser.read(arguments)
    path = Path(__file__).parents[1] / "estimates" / MEASURED
    errors = measure(path, options.runs)
    write_text(path, text(errors))
    for one in (*errors.hls, *errors.unrolled):
        if one.ratio is not None:
            shown = f"{one.estimated:,.0f} / {one.found:,.0f} = {one.ratio:.3f}"
            out.print(f"{one.design}, {one.tool}, {one.layer}, {one.figure}: {shown}", markup=False)
    for line in error_lines(errors):
        out.print(line, markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
