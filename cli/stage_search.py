"""The command `search`: the least precision that still works."""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

from rich.table import Table

from bitwright.calibration.candidate import Candidate, front
from bitwright.calibration.greedy import Step, descend
from bitwright.calibration.post_training import quantize
from bitwright.calibration.sensitivity import WIDTHS, Sensitivity, sensitivities
from bitwright.cli.console import note, out, progress_bar
from bitwright.cli.run_folder import write_text
from bitwright.cli.search_chart import WORDS, front_chart, sensitivity_chart
from bitwright.cli.search_learn import learn_front
from bitwright.cli.search_live import live_front
from bitwright.cli.search_lowering import Lowering, check
from bitwright.cli.search_state import Search, begin
from bitwright.cli.search_trials import make_trials
from bitwright.cli.search_wanted import Wanted
from bitwright.cli.search_winner import winners_run, write_winner
from bitwright.cli.search_yosys import check_yosys, refuse_too_large, synthesised, with_yosys
from bitwright.cli.stage_calibrate import read_float
from bitwright.cli.versions import installed

MOST_POINTS = 12
"""Of a front that are lowered; of a longer one so many, evenly, and always the winner."""


def search(source: Path, runs_dir: Path, data_dir: Path | None, overrides: Iterable[str], wanted: Wanted) -> bool:
    """Search, write the front and the winner; return whether the target was reached.

    Raises:
        ValueError: If the network is not float or too large for what is wanted, or a candidate's integers are not
            PyTorch's.
        ToolError: If Yosys is wanted, and is missing or fails.
        OSError: If a file cannot be read or written.
    """
    float_run = read_float(source, runs_dir, overrides)
    winners = winners_run(float_run, wanted, runs_dir)  # what cannot be is refused before minutes are spent
    check_yosys(wanted)
    found = begin(float_run, data_dir, wanted.by_estimate())
    refuse_too_large(found, wanted)
    started = time.monotonic()
    sensitive = _sensitivities(found)
    steps = _descend(found)
    learned = learn_front(found) if wanted.learn else []
    if wanted.trials:
        make_trials(found, [*(step.candidate.recipe for step in steps), *learned], data_dir)
    seconds = time.monotonic() - started
    note(f"search: {found.scorer.scored} candidates in {seconds:.0f} s, {len(found.scorer.file)} in all")
    candidates = found.comparable()
    if wanted.cost == "yosys_lut":
        candidates, found = synthesised(found), replace(found, wanted=wanted)
    best = front(candidates, wanted.cost)
    winner = wanted.winner(candidates, found.target)
    points = _lowered_front(found, best, winner)
    _write(found, candidates, best, winner, points, sensitive)
    _show(found, candidates, points, winner)
    if winner is None:
        return False
    write_winner(found, winner, winners)
    return True


def _sensitivities(search: Search) -> list[Sensitivity]:
    total = sum(width < search.wanted.start_bit_width for width in WIDTHS) * (2 * len(search.layers) - 1)
    total += len(search.binarisable)
    with progress_bar("sensitivity of each layer", total) as count:
        found = []
        for each in sensitivities(search.start, search.scorer.score, binarisable=search.binarisable):
            found.append(each)
            count(1)
    return found


def _descend(search: Search) -> list[Step]:
    """Descend, and say every step."""
    cost = search.wanted.cost
    with live_front(cost, search.target) as say:

        def taken(step: Step) -> None:
            move, there = step.move, step.candidate
            text = f"search: {move.layer} {move.part}s {move.bit_width} bits: {there.accuracy:.2%}"
            say(f"{text}, {there.cost(cost):,.0f} {WORDS[cost]}", search.comparable())

        return descend(
            search.start,
            search.scorer.score,
            target=search.target,
            cost=cost,
            removable=search.removable,
            binarisable=search.binarisable,
            taken=taken,
        )


def _lowered_front(search: Search, best: list[Candidate], winner: Candidate | None) -> list[tuple[Candidate, Lowering]]:
    """Lower the points of the front, and compare the integers of each with PyTorch's on the validation split."""
    chosen = best
    if len(best) > MOST_POINTS:
        chosen = [best[round(i * (len(best) - 1) / (MOST_POINTS - 1))] for i in range(MOST_POINTS)]
    if winner is not None and winner not in chosen:
        chosen = sorted([*chosen, winner], key=lambda each: each.cost(search.wanted.cost))
    points = []
    with progress_bar("lowering the front", len(chosen)) as count:
        for each in chosen:
            network, description = quantize(search.scorer.observed, each.recipe)
            lowering = check(network, description.input_shape, search.data.validation, search.data.input_scale)
            if lowering.different:
                raise ValueError(
                    f"search: integers of every candidate must be PyTorch's, not {lowering.different} of "
                    f"{lowering.integers} others; keep {search.folder / 'candidates.jsonl'} and report it"
                )
            point = replace(each, lut=lowering.lut)
            points.append((with_yosys(search, point, lowering.program) if search.wanted.yosys else point, lowering))
            count(1)
    return points


def _write(
    search: Search,
    candidates: list[Candidate],
    best: list[Candidate],
    winner: Candidate | None,
    points: list[tuple[Candidate, Lowering]],
    sensitive: list[Sensitivity],
) -> None:
    """Write search.json and its pictures."""
    cost = search.wanted.cost
    result = {
        "wanted": asdict(replace(search.wanted, storage=None)),  # which may hold a password
        "recipe_overrides": search.source.recipe_overrides,
        "float_accuracy": search.float_accuracy,
        "target_accuracy": search.target,
        "candidates": len(search.comparable()),
        "winner": _plain(winner) if winner else None,
        "front": [
            _plain(each) | {"integers_compared": lowering.integers, "different": lowering.different}
            for each, lowering in points
        ],
        "sensitivity": [asdict(each) for each in sensitive],
        "versions": installed(),
    }
    write_text(search.folder / "search.json", json.dumps(result, indent=2) + "\n")
    front_chart(search.folder / "front.svg", candidates, best, winner, cost, search.target)
    sensitivity_chart(search.folder / "sensitivity.svg", sensitive)


def _plain(candidate: Candidate) -> dict[str, object]:
    return {**asdict(candidate), "recipe": candidate.recipe.model_dump(exclude_none=True)}


def _show(
    search: Search,
    candidates: list[Candidate],
    points: list[tuple[Candidate, Lowering]],
    winner: Candidate | None,
) -> None:
    cost = search.wanted.cost
    yosys = search.wanted.yosys or cost == "yosys_lut"
    table = Table(title=f"{search.source.run.path}: front of accuracy against {WORDS[cost]}", title_justify="left")
    table.add_column("")
    for column in ("accuracy", "bits of weights", "bit operations", "LUT, estimated", *["LUT, Yosys"] * yosys):
        table.add_column(column, justify="right")
    table.add_column("weights", overflow="fold")
    table.add_column("activations", overflow="fold")
    for each, lowering in points:
        own = each.recipe.layers.values()
        table.add_row(
            "winner" if winner is not None and each.recipe == winner.recipe else "",
            f"{each.accuracy:.2%}",
            f"{each.weight_bits:,}",
            f"{each.bit_operations:,}",
            f"{lowering.lut:,.0f}",
            *["too large" if each.yosys_lut is None else f"{each.yosys_lut:,}"] * yosys,
            " ".join(str(layer.weight_bit_width) for layer in own),
            " ".join(str(layer.activation_bit_width) for layer in own if layer.activation_bit_width is not None),
        )
    out.print(table)
    integers = sum(lowering.integers for _, lowering in points)
    out.print(
        f"float {search.float_accuracy:.2%} on {len(search.data.validation):,} validation inputs; every point above "
        f"was lowered: {integers:,} integers compared with PyTorch's, 0 different",
        markup=False,
    )
    if winner is None:
        reached = max(candidates, key=lambda each: each.accuracy)
        what = f"an accuracy of {search.target:.2%}"
        if search.wanted.budget is not None:
            what = f"{search.wanted.budget:,} {WORDS[cost]}"
            reached = min(candidates, key=lambda each: each.cost(cost))
        out.print(
            f"search: target must be within reach, not {what}: the best found has {reached.accuracy:.2%} with "
            f"{reached.cost(cost):,.0f} {WORDS[cost]}; lower the target, or train the float network further",
            markup=False,
        )
