"""The front of a search while it runs."""

import io

import pytest
from rich.console import Console

from bitwright.calibration.candidate import Candidate
from bitwright.calibration.moves import uniform
from bitwright.cli import search_live
from bitwright.cli.search_live import ROWS, front_table, live_front


def candidates(count: int) -> list[Candidate]:
    """A front: each more accurate than the one before, and dearer."""
    recipe = uniform(("fc1", "out"), 4, 3, 8)
    return [Candidate(recipe, 0.5 + 0.02 * i, 100 * (i + 1), 1000, None, 50) for i in range(count)]


def text_of(best: list[Candidate], target: float) -> str:
    """The table in words."""
    out = io.StringIO()
    Console(file=out, width=100).print(front_table("just now", best, "weight_bits", target))
    return out.getvalue()


def test_table_has_the_points_around_the_target() -> None:
    text = text_of(candidates(24), 0.8)
    rows = [line for line in text.splitlines() if "%" in line]
    assert len(rows) == ROWS
    assert [row.split()[1] for row in rows][:4] == ["74.00%", "76.00%", "78.00%", "80.00%"]
    assert "just now" in text
    assert "1,300" in rows[0]
    assert all("4 4" in row and " 3 " in row for row in rows)


@pytest.mark.parametrize("target", [0.0, 0.99])
def test_table_of_few_points_has_them_all(target: float) -> None:
    assert text_of(candidates(3), target).count("%") == 3


def test_terminal_shows_the_table_and_a_log_the_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with live_front("weight_bits", 0.8) as say:
        say("search: a step", candidates(5))
    assert capsys.readouterr().err == "search: a step\n"
    screen = io.StringIO()
    monkeypatch.setattr(search_live, "err", Console(file=screen, force_terminal=True, width=100))
    with live_front("weight_bits", 0.5) as say:
        say("search: a step", candidates(5))
        say("search: another", candidates(6))
    assert "60.00%" in screen.getvalue()
    assert "search: another" in screen.getvalue()
