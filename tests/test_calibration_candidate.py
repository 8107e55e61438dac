"""The file of candidates that processes share, and the front of them."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from full_disk import room_for
from hypothesis import given
from hypothesis import strategies as st

from bitwright.calibration.candidate import Candidate, CandidateFile, front, key_of
from bitwright.calibration.moves import uniform
from bitwright.quant.recipe import LayerRecipe, Recipe


def candidate(bits: int, accuracy: float = 0.9) -> Candidate:
    """One with a recipe of its own for each number of bits."""
    return Candidate(Recipe(bias_bit_width=2 + bits % 23, weight_bit_width=1 + bits // 23), accuracy, bits, 0, None, 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made" / "candidates.jsonl"


def test_candidate_is_found_again_by_another_reader(path: Path) -> None:
    whole = Candidate(uniform(("fc1", "out"), 4, 3, 8), 0.97, 100, 2000, 12.5, 500)
    CandidateFile(path, "setting").add(whole)
    assert CandidateFile(path, "setting").get(whole.recipe) == whole
    assert CandidateFile(path, "setting").get(uniform(("fc1", "out"), 4, 4, 8)) is None


def test_reader_sees_what_is_added_later(path: Path) -> None:
    reader, writer = CandidateFile(path, "setting"), CandidateFile(path, "setting")
    assert (len(reader), list(reader), reader.get(Recipe())) == (0, [], None)
    for bits in (3, 1, 2):
        writer.add(candidate(bits))
        assert reader.get(candidate(bits).recipe) == candidate(bits)
    assert [each.weight_bits for each in reader] == [3, 1, 2]
    assert len(reader) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [("accuracy", '"high"'), ("accuracy", "NaN"), ("accuracy", "1.5"), ("weight_bits", "-3"), ("lut", "Infinity")],
)
def test_number_that_no_search_writes_is_refused(path: Path, name: str, value: str) -> None:
    CandidateFile(path, "setting").add(candidate(1))
    text = re.sub(rf'"{name}": [^,]*,', f'"{name}": {value},', path.read_text())
    assert value in text
    path.write_text(text)
    with pytest.raises(ValueError, match=r"line must be a candidate as `bitwright search` writes it, not "):
        len(CandidateFile(path, "setting"))


def test_line_that_finds_no_room_leaves_the_others(path: Path) -> None:
    file = CandidateFile(path, "setting")
    file.add(candidate(1))
    whole = path.read_bytes()
    with room_for(len(whole) + 50), pytest.raises(OSError, match="No space left") as refusal:
        file.add(candidate(2))
    assert refusal.value.filename == str(path)
    assert path.read_bytes() == whole
    file.add(candidate(2))
    assert len(CandidateFile(path, "setting")) == 2


def test_reasons_make_no_other_recipe(path: Path) -> None:
    file = CandidateFile(path, "setting")
    file.add(replace(candidate(1), recipe=Recipe(layers={"out": LayerRecipe(weight_bit_width=3)})))
    assert file.get(Recipe(layers={"out": LayerRecipe(weight_bit_width=3, why="4 gain nothing")})) is not None


def test_candidates_of_another_setting_are_not_seen(path: Path) -> None:
    CandidateFile(path, "one").add(candidate(1))
    other = CandidateFile(path, "other")
    assert (len(other), other.get(candidate(1).recipe)) == (0, None)
    other.add(candidate(1, accuracy=0.5))
    assert [each.accuracy for name in ("one", "other") for each in CandidateFile(path, name)] == [0.9, 0.5]


def test_later_candidate_of_a_recipe_replaces_the_earlier(path: Path) -> None:
    file = CandidateFile(path, "setting")
    file.add(candidate(1))
    file.add(replace(candidate(1), lut=7.0))
    assert [each.lut for each in CandidateFile(path, "setting")] == [each.lut for each in file] == [7.0]


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_half_a_line_of_a_killed_process_is_dropped(path: Path, kept: int) -> None:
    file = CandidateFile(path, "setting")
    file.add(candidate(1))
    line = path.read_bytes()
    path.write_bytes(line + line[:kept])
    assert len(CandidateFile(path, "setting")) == 1
    file.add(candidate(2))
    assert [each.weight_bits for each in CandidateFile(path, "setting")] == [1, 2]
    assert [json.loads(each)["weight_bits"] for each in path.read_text().splitlines()] == [1, 2]


def test_half_a_line_alone_is_dropped(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b'{"setting": "sett')
    file = CandidateFile(path, "setting")
    assert len(file) == 0
    file.add(candidate(1))
    assert [each.weight_bits for each in file] == [1]


@pytest.mark.parametrize(
    "line", ["nonsense", "{}", "[]", "7", '{"setting": "setting"}', '{"setting": "setting", "recipe": {"bits": 3}}']
)
def test_damaged_line_is_refused(path: Path, line: str) -> None:
    CandidateFile(path, "setting").add(candidate(1))
    with path.open("a") as file:
        file.write(f"{line}\n")
    shown = f"{line}\n".encode()[:40]
    message = (
        f"{path}: line must be a candidate as `bitwright search` writes it, not {shown!r}; delete the line or the file"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        len(CandidateFile(path, "setting"))


def test_file_begun_anew_is_read_anew(path: Path) -> None:
    file = CandidateFile(path, "setting")
    for bits in (1, 2, 3):
        file.add(candidate(bits))
    path.unlink()
    CandidateFile(path, "setting").add(candidate(4))
    assert file.get(candidate(4).recipe) == candidate(4)


def test_processes_add_to_one_file_and_lose_nothing(path: Path) -> None:
    own = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}  # which PYTHONSAFEPATH leaves out
    running = [subprocess.Popen([sys.executable, __file__, str(path), str(first)], env=own) for first in (0, 100)]
    assert [each.wait(timeout=60) for each in running] == [0, 0]
    assert {each.weight_bits for each in CandidateFile(path, "setting")} == {*range(100), *range(100, 200)}
    assert len(path.read_text().splitlines()) == 200


def test_cost_that_was_not_counted_is_refused() -> None:
    message = "search: lut must be counted to be compared, not left out; search with --cost lut"
    with pytest.raises(ValueError, match=f"^{message}$"):
        candidate(1).cost("lut")


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_front_holds_each_that_no_other_beats_and_the_first_of_equals(points: list[tuple[int, int]]) -> None:
    tried = [Candidate(Recipe(), accuracy / 5, bits, 0, None, number) for number, (accuracy, bits) in enumerate(points)]

    def beats(one: Candidate, other: Candidate) -> bool:
        at_least = one.accuracy >= other.accuracy and one.weight_bits <= other.weight_bits
        better = one.accuracy > other.accuracy or one.weight_bits < other.weight_bits
        return at_least and (better or one.images < other.images)

    expected = [each for each in tried if not any(beats(other, each) for other in tried)]
    assert front(tried, "weight_bits") == sorted(expected, key=lambda each: each.weight_bits)


def test_keys_of_recipes_differ_where_a_width_does() -> None:
    recipes = [Recipe(), Recipe(weight_bit_width=5), Recipe(layers={"out": LayerRecipe(weight_bit_width=6)})]
    assert len({key_of(each) for each in recipes}) == 3


def _main(path: str, first: str) -> None:
    """Add a hundred candidates, looking up each of another's in between."""
    file = CandidateFile(Path(path), "setting")
    for bits in range(int(first), int(first) + 100):
        file.add(candidate(bits))
        file.get(candidate(199 - bits).recipe)


if __name__ == "__main__":
    _main(*sys.argv[1:])
