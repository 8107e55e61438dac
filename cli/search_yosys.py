"""What candidates take as real logic: their RTL, synthesised by Yosys."""

from collections.abc import Sequence
from dataclasses import replace

from bitwright.calibration.candidate import Candidate, front, key_of
from bitwright.calibration.moves import narrower
from bitwright.calibration.post_training import quantize
from bitwright.cli.console import note, progress_bar
from bitwright.cli.run_folder import digest
from bitwright.cli.search_lowering import lowered
from bitwright.cli.search_state import Search
from bitwright.cli.search_wanted import Wanted
from bitwright.export.program import Program
from bitwright.quant.recipe import Recipe
from bitwright.rtl.design import FACTS, TOP, sources, write_design
from bitwright.synth.open_tool import wheel_version
from bitwright.synth.yosys import WHEEL, Family, synthesize

MOST_LUT = 15_000
"""Estimated; larger networks take Yosys many minutes each."""

MOST_OF_FRONT = 12
"""Of the estimate's front that are synthesised; of a longer one so many, evenly."""

NEAR = 4
"""Candidates that are synthesised beside the front: those that would win by the estimate, one after another."""

ROOM = (0.8, 1.0, 1.25)
"""Where a budget is wanted: shares of it for which these are looked for, as far as the estimate may be off."""


def check_yosys(wanted: Wanted) -> None:
    """Refuse a search that cannot have what it wants of Yosys.

    Raises:
        ToolError: If Yosys is wanted, and missing.
        ValueError: If the budget is more than is synthesised.
    """
    if wanted.yosys or wanted.cost == "yosys_lut":
        wheel_version(WHEEL)
    if wanted.cost == "yosys_lut" and wanted.max_lut is not None and wanted.max_lut > MOST_LUT:
        raise ValueError(
            f"--max-lut: budget must be at most {MOST_LUT} LUT beside --cost yosys_lut, not {wanted.max_lut}; use "
            "--cost lut"
        )


def refuse_too_large(search: Search, wanted: Wanted) -> None:
    """Refuse a network that even at its fewest bits takes Yosys too long, before minutes are spent.

    Args:
        search: By the estimate.
        wanted: What for.

    Raises:
        ValueError: If it is.
    """
    if wanted.cost != "yosys_lut":
        return
    recipe: Recipe = search.start
    while (move := next(narrower(recipe, search.removable, search.binarisable), None)) is not None:
        recipe = move.apply(recipe)
    least = search.scorer.score(recipe).cost("lut")
    if least > MOST_LUT:
        raise ValueError(
            f"--cost: network must take at most {MOST_LUT} LUT, estimated, at its fewest bits to be searched by "
            f"yosys_lut, not {least:.0f}; use --cost lut"
        )


def synthesised(search: Search) -> list[Candidate]:
    """Return the candidates that matter by the estimate, each with the LUT that Yosys counts.

    Args:
        search: By the estimate. What it synthesised before is not synthesised again.

    Raises:
        ValueError: If the winner by the estimate is too large, or an operation cannot be held in RTL.
        ToolError: If Yosys fails.
        OSError: If a file cannot be written.
    """
    chosen = candidates_that_matter(search.comparable(), search.wanted, search.target)
    found = []
    with progress_bar("synthesising", len(chosen)) as count:
        for each in chosen:
            found.append(replace(each, yosys_lut=yosys_lut(search, each)))
            count(1)
    return found


def candidates_that_matter(tried: Sequence[Candidate], wanted: Wanted, target: float) -> list[Candidate]:
    """Return the candidates that Yosys is asked of: points of the estimate's front, and those nearest to its winner.

    Args:
        tried: With their estimates.
        wanted: By the estimate.
        target: Least accuracy.

    Returns:
        None too large, the cheapest first.

    Raises:
        ValueError: If the winner by the estimate is too large.
    """
    winner = wanted.winner(list(tried), target)
    if winner is not None and winner.cost("lut") > MOST_LUT:
        raise ValueError(
            f"search: winner must take at most {MOST_LUT} LUT, estimated, to be synthesised, not "
            f"{winner.cost('lut'):.0f}; use --cost lut, or lower the target"
        )
    small = [each for each in tried if each.cost("lut") <= MOST_LUT]
    best = front(small, "lut")
    if len(best) > MOST_OF_FRONT:
        best = [best[round(i * (len(best) - 1) / (MOST_OF_FRONT - 1))] for i in range(MOST_OF_FRONT)]
    for share in ROOM if wanted.max_lut is not None else (1.0,):
        asked = wanted if wanted.max_lut is None else replace(wanted, max_lut=max(1, round(share * wanted.max_lut)))
        left = list(small)
        for _ in range(NEAR):
            near = asked.winner(left, target)
            if near is None:
                break
            left.remove(near)
            if near not in best:
                best.append(near)
    return sorted(best, key=lambda each: (each.cost("lut"), -each.accuracy))


def with_yosys(search: Search, point: Candidate, program: Program) -> Candidate:
    """Return a point of a front with the LUT that Yosys counts, or as it is, if it is too large.

    Args:
        search: Of which it is a point.
        point: With its estimate.
        program: Of it.
    """
    if point.cost("lut") > MOST_LUT:
        note(f"search: {point.lut:,.0f} LUT, estimated, are too many for Yosys here; `bitwright synth` has time")
        return point
    return replace(point, yosys_lut=yosys_lut(search, point, program))


def yosys_lut(search: Search, candidate: Candidate, program: Program | None = None) -> int:
    """Return the LUT that Yosys counts of a candidate for UltraScale+.

    Args:
        search: Its designs lie in its folder; what was synthesised there is not synthesised again.
        candidate: Of it.
        program: Of the candidate, if it was lowered already.

    Raises:
        ValueError: If an operation cannot be held in RTL.
        ToolError: If Yosys is missing or fails.
        OSError: If a file cannot be written.
    """
    place = search.folder / "yosys" / digest(search.setting, key_of(candidate.recipe))[:16]
    if not (place / "rtl" / FACTS).is_file():
        write_design(program or _program(search, candidate), place / "rtl")
    found, made = synthesize(sources(place / "rtl", "verilog"), TOP, Family.XCUP, place / Family.XCUP)
    if made:
        estimate = "" if candidate.lut is None else f", {candidate.lut:,.0f} estimated"
        note(f"search: yosys counts {found.cells.lut:,} LUT{estimate}; {found.seconds:.0f} s")
    return found.cells.lut


def _program(search: Search, candidate: Candidate) -> Program:
    network, description = quantize(search.scorer.observed, candidate.recipe)
    return lowered(network, description.input_shape).program
