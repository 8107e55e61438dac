"""The page of a pruned run: its numbers are those of pruning.json, of this run's weights and of no others."""

import copy
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from page_runs import Read, at, says, small_run

from bitwright.cli.page import write_page
from bitwright.cli.page_pruning import LayerFigures
from bitwright.cli.run_folder import PRUNING, RunFolder, digest
from bitwright.models.pruning import LayerWeights

CHANGED = "pruning.json: pruning must be as `bitwright prune` wrote it, not changed; prune again"
STALE = "pruning.json: pruning must be of the run's weights, not of others; prune again, or delete the file"


def stage(validation: float, nonzero: tuple[int, int], *, lut: int | None = None) -> dict[str, Any]:
    layers = [
        {"name": name, "weights": weights, "nonzero": left, "bits": 3 * weights}
        for name, weights, left in zip(("fc0", "out"), (4096, 320), nonzero, strict=True)
    ]
    return {
        "accuracy": {"validation": validation, "test": validation - 0.03125},
        "layers": layers,
        "lut": {"hls4ml": lut, "unrolled": lut // 3} if lut else None,
    }


FILE: dict[str, Any] = {
    "source": "wide",
    "settings": {"structure": "weights", "share": 0.5, "scope": "global"},
    "widths": {},
    "keep_zeros": True,
    "before": stage(0.96875, (4001, 317), lut=30000),
    "pruned": stage(0.5, (1999, 210)),
    "retrained": stage(0.9375, (1987, 209), lut=12000),
}


def pruned(folder: Path, content: dict[str, Any]) -> RunFolder:
    """Write a run as `prune` leaves it."""
    run = small_run(folder / "small")
    run.checkpoint.write_bytes(b"weights")
    (run.path / PRUNING).write_text(json.dumps(content))
    run.finish("prune", "key", 0.0, result=digest(run.checkpoint))
    return run


def page(run: RunFolder) -> Read:
    return Read(source=write_page(run).read_text())


def test_file_is_read_with_the_fields_that_are_written() -> None:
    assert [one.name for one in fields(LayerWeights)] == [one.name for one in fields(LayerFigures)]


def test_every_number_shown_is_the_files(tmp_path: Path) -> None:
    found = page(pruned(tmp_path, FILE))
    assert found.json["problems"] == []
    assert [(path, text) for path, text in found.shown if not says(text, at(found.json, path))] == []
    shown = found.json["pruning"]
    assert (shown["source"], shown["words"]) == ("wide", "50% of the weights of the network")
    assert [(one["stage"], one["validation"], one["test"]) for one in shown["results"]] == [
        ("before", 0.96875, 0.9375),
        ("pruned", 0.5, 0.46875),
        ("trained further", 0.9375, 0.90625),
    ]
    assert [(one["name"], one["weights"], one["nonzero_before"], one["nonzero"]) for one in shown["layers"]] == [
        ("fc0", 4096, 4001, 1987),
        ("out", 320, 317, 209),
    ]
    assert (shown["lut_before"], shown["lut"]) == (
        {"hls4ml": 30000, "unrolled": 10000},
        {"hls4ml": 12000, "unrolled": 4000},
    )
    drawn = {path for path, _ in found.shown if path.startswith("pruning.")}
    assert len(drawn) == 2 + 3 * 3 + 2 * 7 + 4


def test_network_that_was_not_trained_further_has_two_rows_and_no_lut(tmp_path: Path) -> None:
    found = page(pruned(tmp_path, {name: value for name, value in FILE.items() if name != "retrained"}))
    assert [one["stage"] for one in found.json["pruning"]["results"]] == ["before", "pruned"]
    assert found.json["pruning"]["layers"][0]["nonzero"] == 1999
    assert found.json["pruning"]["lut"] is None


def test_autoencoders_error_is_no_share(tmp_path: Path) -> None:
    content = copy.deepcopy(FILE)
    for name in ("before", "pruned", "retrained"):
        content[name]["mean_squared_error"] = content[name].pop("accuracy")
    found = page(pruned(tmp_path, content))
    assert found.json["pruning"]["figure"] == "mean squared error"
    assert [text for path, text in found.shown if path == "pruning.results.0.validation"] == ["0.96875"]


def test_pruning_of_other_weights_is_not_shown(tmp_path: Path) -> None:
    run = pruned(tmp_path, FILE)
    run.checkpoint.write_bytes(b"others")
    found = page(run)
    assert (found.json["problems"], found.json["pruning"]) == ([STALE], None)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["before"]["layers"].pop(),
        lambda content: content["pruned"].pop("accuracy"),
        lambda content: content["retrained"]["layers"][0].update(nonzero=-1),
        lambda content: content["settings"].update(structure="4:2"),
        lambda content: content.pop("settings"),
    ],
)
def test_changed_file_is_a_problem_and_the_page_is_written(change: Any, tmp_path: Path) -> None:  # noqa: ANN401
    content = copy.deepcopy(FILE)
    change(content)
    found = page(pruned(tmp_path, content))
    assert (found.json["problems"], found.json["pruning"]) == ([CHANGED], None)
