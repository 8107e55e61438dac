"""`bitwright search`: the least precision that still works, as a user asks for it."""

import json
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from float_networks import CNN, float_network
from quick_search import FAST, quick_lowering
from road import Bitwright
from torch import nn

from bitwright.calibration.candidate import Candidate
from bitwright.calibration.moves import NARROWEST, Move
from bitwright.cli import search_lowering, stage_search
from bitwright.cli.search_wanted import Wanted
from bitwright.models.checkpoint import load, save
from bitwright.quant.recipe import Recipe


@pytest.fixture(autouse=True)
def _quick_lowering(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_lowering(monkeypatch)


@pytest.fixture(scope="module")
def _searched(_float_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(_float_run.parent, tmp_path_factory.mktemp("search") / "runs"))


@pytest.fixture
def found(_searched: Path, bitwright: Bitwright) -> Path:
    """The runs' folder after a search, made once."""
    if not (_searched / "digits_mlp_float_search").exists():
        outcome = bitwright(
            "search", _searched / "digits_mlp_float", "--runs-dir", _searched, "--max-accuracy-loss", "0.05", *FAST
        )
        assert outcome.status == 0, outcome.err
    return _searched


def report(runs: Path) -> Any:  # noqa: ANN401 - JSON
    """What the search says."""
    return json.loads((runs / "digits_mlp_float" / "search" / "search.json").read_text())


def test_winner_reaches_the_target_and_none_is_cheaper(found: Path) -> None:
    said = report(found)
    winner = said["winner"]
    assert said["target_accuracy"] == said["float_accuracy"] - 0.05
    assert winner["accuracy"] >= said["target_accuracy"]
    lines = (found / "digits_mlp_float" / "search" / "candidates.jsonl").read_text().splitlines()
    tried = [json.loads(line) for line in lines]
    assert len(tried) == said["candidates"] == len({json.dumps(each["recipe"]) for each in tried})
    good = [each["bit_operations"] for each in tried if each["accuracy"] >= said["target_accuracy"]]
    assert winner["bit_operations"] == min(good) < tried[0]["bit_operations"]


def test_points_of_the_front_are_lowered_and_beat_each_other(found: Path) -> None:
    points = report(found)["front"]
    assert {point["different"] for point in points} == {0}
    assert all(point["integers_compared"] == 144 * 10 and point["lut"] > 0 for point in points)
    costs, reached = ([point[name] for point in points] for name in ("bit_operations", "accuracy"))
    assert costs == sorted(costs)
    assert reached == sorted(set(reached))


def test_winner_is_a_run_that_goes_on_to_csim(found: Path, bitwright: Bitwright) -> None:
    run = found / "digits_mlp_float_search"
    for stage in ("export", "hls"):
        outcome = bitwright(stage, run)
        assert outcome.status == 0, outcome.err
    levels = json.loads((run / "verification.json").read_text())["levels"]
    assert {level["different"] for level in levels.values()} == {0}
    _, description = load(run / "checkpoint.safetensors")
    winner = Recipe.model_validate(report(found)["winner"]["recipe"])
    assert description.recipe.layers == winner.layers


def test_recipe_says_why_and_can_be_trained(found: Path, bitwright: Bitwright) -> None:
    path = found / "digits_mlp_float_search" / "recipe.toml"
    layers = tomllib.loads(path.read_text())["recipe"]["layers"]
    assert list(layers) == ["fc0", "fc1", "out"]
    lines = (found / "digits_mlp_float" / "search" / "candidates.jsonl").read_text().splitlines()
    reached = {json.dumps(each["recipe"], sort_keys=True): each["accuracy"] for each in map(json.loads, lines)}
    winner = Recipe.model_validate(report(found)["winner"]["recipe"])
    for name, layer in layers.items():
        if layer["weight_bit_width"] > NARROWEST:
            less = Move(name, "weight", layer["weight_bit_width"] - 1).apply(winner)
            accuracy = reached[json.dumps(less.model_dump(), sort_keys=True)]
            assert f"weights of {layer['weight_bit_width'] - 1} bits reached {accuracy:.2%}" in layer["why"]
        else:
            assert "weights of fewer than 2 bits need training" in layer["why"]
    outcome = bitwright("train", path, "--runs-dir", found, "--set", "train.epochs=1")
    assert outcome.status == 0, outcome.err
    _, description = load(found / "digits_mlp_float_search_trained" / "checkpoint.safetensors")
    assert description.model.batch_norm
    assert description.recipe.layers["fc0"].weight_bit_width == layers["fc0"]["weight_bit_width"]


def test_search_goes_on_from_the_candidates_that_are_there(found: Path, bitwright: Bitwright) -> None:
    path = found / "digits_mlp_float" / "search" / "candidates.jsonl"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]) + lines[-2][:50])  # killed in the middle of a line
    arguments = ("--runs-dir", found, "--max-accuracy-loss", "0.05", *FAST)
    outcome = bitwright("search", found / "digits_mlp_float", *arguments)
    assert outcome.status == 0, outcome.err
    assert "search: 2 candidates in " in outcome.err
    assert path.read_bytes() == whole


def test_target_out_of_reach_ends_with_the_best_found(found: Path, bitwright: Bitwright) -> None:
    outcome = bitwright(
        "search", found / "digits_mlp_float", "--runs-dir", found, "--max-bits", "100", "--name", "none", *FAST
    )
    assert outcome.status == 1
    assert "search: target must be within reach, not 100 bits of the weights: the best found has " in outcome.out
    assert not (found / "none").exists()


def test_budget_of_bits_is_kept(found: Path, bitwright: Bitwright) -> None:
    outcome = bitwright(
        "search", found / "digits_mlp_float", "--runs-dir", found, "--max-bits", "6000", "--name", "small", *FAST
    )
    assert outcome.status == 0, outcome.err
    said = report(found)
    assert said["winner"]["weight_bits"] <= 6000
    lines = (found / "digits_mlp_float" / "search" / "candidates.jsonl").read_text().splitlines()
    below = [each for each in map(json.loads, lines) if each["weight_bits"] <= 6000]
    assert said["winner"]["accuracy"] == max(each["accuracy"] for each in below)


def test_weights_of_one_bit_are_proposed_where_they_are_wanted(found: Path, bitwright: Bitwright) -> None:
    run = found / "digits_mlp_float"
    network, _ = load(run / "checkpoint.safetensors")
    weights = sum(layer.weight.numel() for layer in network.modules() if isinstance(layer, nn.Linear))
    budget = str(weights * 3 // 2)  # two bits everywhere are too many
    outcome = bitwright("search", run, "--runs-dir", found, "--max-bits", budget, "--binary", "--name", "bits", *FAST)
    assert outcome.status == 0, outcome.err
    said = report(found)
    assert {point["different"] for point in said["front"]} == {0}
    recipe = tomllib.loads((found / "bits" / "recipe.toml").read_text())["recipe"]
    widths = {name: layer["weight_bit_width"] for name, layer in recipe["layers"].items()}
    assert 1 in widths.values()
    assert widths["out"] >= NARROWEST
    assert recipe["binary_weight_scale"] == "per_channel"
    _, description = load(found / "bits" / "checkpoint.safetensors")
    assert description.model.batch_norm
    outcome = bitwright("export", found / "bits")
    assert outcome.status == 0, outcome.err
    levels = json.loads((found / "bits" / "verification.json").read_text())["levels"]
    assert {level["different"] for level in levels.values()} == {0}


def test_trials_of_two_processes_join_the_candidates(found: Path, bitwright: Bitwright) -> None:
    before = report(found)["candidates"]
    arguments = ("--runs-dir", found, "--max-accuracy-loss", "0.05", *FAST, "--trials", "10", "--processes", "2")
    outcome = bitwright("search", found / "digits_mlp_float", *arguments, "--name", "tried")
    assert outcome.status == 0, outcome.err
    assert (found / "digits_mlp_float" / "search" / "trials.db").is_file()
    assert report(found)["candidates"] > before
    again = bitwright("search", found / "digits_mlp_float", *arguments, "--name", "tried")
    assert "search: 0 candidates in " in again.err


def test_network_whose_batch_norms_cannot_be_folded_is_searched_with_them(tmp_path: Path, bitwright: Bitwright) -> None:
    run = tmp_path / "runs" / "negative"
    run.mkdir(parents=True)
    save(run / "checkpoint.safetensors", float_network(CNN, negative=True), CNN)
    widths = "weight_bit_width = 32\nactivation_bit_width = 32\ninput_bit_width = 32\n"
    (run / "experiment.toml").write_text(f'name = "negative"\n[model]\nkind = "cnn"\n[recipe]\n{widths}')
    arguments = ("--rounding", "nearest", "--samples", "32", "--start-bit-width", "3", "--target-accuracy", "0.001")
    outcome = bitwright("search", run, "--runs-dir", run.parent, *arguments)
    assert outcome.status == 0, outcome.err
    assert "batch norms stay where they are" in outcome.err
    _, description = load(run.parent / "negative_search" / "checkpoint.safetensors")
    assert description.model.batch_norm
    assert {point["different"] for point in json.loads((run / "search" / "search.json").read_text())["front"]} == {0}


def test_edited_recipe_is_kept(found: Path, bitwright: Bitwright) -> None:
    recipe = found / "digits_mlp_float_search" / "recipe.toml"
    mine = recipe.read_text() + "# mine\n"
    recipe.write_text(mine)
    arguments = ("--runs-dir", found, "--max-accuracy-loss", "0.05", *FAST)
    assert bitwright("search", found / "digits_mlp_float", *arguments).status == 0
    assert recipe.with_name("recipe.edited.toml").read_text() == mine
    assert "# mine" not in recipe.read_text()


@pytest.mark.slow
def test_other_validation_split_scores_anew(found: Path, bitwright: Bitwright) -> None:
    split = ("--set", "data.validation_fraction=0.4")
    arguments = ("--runs-dir", found, "--max-accuracy-loss", "0.4", *FAST, *split, "--name", "split")
    outcome = bitwright("search", found / "digits_mlp_float", *arguments)
    assert outcome.status == 0, outcome.err
    assert "search: 0 candidates" not in outcome.err
    lines = (found / "digits_mlp_float" / "search" / "candidates.jsonl").read_text().splitlines()
    assert {json.loads(line)["images"] for line in lines} == {144, 575}
    assert report(found)["winner"]["images"] == 575


def test_candidate_whose_integers_differ_stops_the_search(
    found: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = search_lowering.check

    def differing(*arguments: Any) -> search_lowering.Lowering:  # noqa: ANN401
        return replace(check(*arguments), different=3)

    monkeypatch.setattr(stage_search, "check", differing)
    arguments = ("--runs-dir", found, "--max-accuracy-loss", "0.05", *FAST, "--name", "differing")
    outcome = bitwright("search", found / "digits_mlp_float", *arguments)
    assert outcome.status == 2
    assert outcome.err.splitlines()[-1] == (
        "search: integers of every candidate must be PyTorch's, not 3 of 1440 others; keep "
        f"{found / 'digits_mlp_float' / 'search' / 'candidates.jsonl'} and report it"
    )
    assert not (found / "differing").exists()


def test_recipe_of_the_command_line_is_the_one_to_begin_with(float_run: Path, bitwright: Bitwright) -> None:
    own = ("--set", "recipe.weight_scale=per_channel", "--set", "recipe.input_bit_width=4")
    arguments = ("--target-accuracy", "0.999", "--runs-dir", float_run.parent, *FAST)
    assert bitwright("search", float_run, *arguments, *own).status == 1  # out of reach
    line = (float_run / "search" / "candidates.jsonl").read_text().splitlines()[0]
    recipe = json.loads(line)["recipe"]
    assert (recipe["weight_scale"], recipe["input_bit_width"]) == ("per_channel", 4)


def test_database_that_does_not_answer_is_one_line(found: Path, bitwright: Bitwright) -> None:
    pytest.importorskip("psycopg")
    arguments = ("--runs-dir", found, "--max-accuracy-loss", "0.05", *FAST, "--trials", "5")
    storage = "postgresql://someone:secret@127.0.0.1:1/none"
    outcome = bitwright("search", found / "digits_mlp_float", *arguments, "--storage", storage)
    assert outcome.status == 2
    assert "secret" not in outcome.err
    assert "127.0.0.1:1" in outcome.err.splitlines()[-1]


def test_winner_of_equal_cost_has_the_fewest_operations() -> None:
    tried = [Candidate(Recipe(), 0.9 + 0.01 * i, 10, 5 + i, None, 1) for i in range(3)]
    assert Wanted(target_accuracy=0.905, cost="weight_bits").winner(tried, 0.905) == tried[1]
    assert Wanted(max_bits=10, cost="weight_bits").winner(tried, 0.0) == tried[2]
    assert Wanted(target_accuracy=0.95).winner(tried, 0.95) is None
