"""Runs that tests of `bitwright compare` look at: random weights, exported; and what it says of them."""

import json
from pathlib import Path
from typing import Any

from float_networks import float_network
from quick_export import quick_exports
from road import CONFIGS, Bitwright

from bitwright.cli.experiment import changed, read
from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_export import export
from bitwright.cli.stage_hls import judge
from bitwright.cli.stage_train import store_experiment, training_finished
from bitwright.models.checkpoint import NetworkDescription, save

HIDDEN = "model.hidden=[8, 6]"
FLOAT = tuple(f"recipe.{part}_bit_width=32" for part in ("weight", "activation", "input"))
RUNS = {
    "net_s1_w4": ("digits_mlp_w6a6", "recipe.weight_bit_width=4"),
    "net_s2_w4": ("digits_mlp_w6a6", "recipe.weight_bit_width=4", "seed=2"),
    "binary": ("digits_mlp_w1a1",),
    "float": ("digits_mlp_w6a6", *FLOAT),
}
QUICK = ("--no-speed", "--format", "json")


def make(folder: Path, config: str, *overrides: str) -> RunFolder:
    """Write a run of random weights, exported where it is not float."""
    experiment = changed(read(CONFIGS / f"{config}.toml"), [f"name={folder.name}", HIDDEN, *overrides])
    description = NetworkDescription(experiment.model, experiment.recipe, (1, 8, 8), 10)
    run = RunFolder(folder)
    run.create()
    save(run.checkpoint, float_network(description, seed=experiment.seed), description)
    store_experiment(experiment, run)
    training_finished(experiment, run)
    if not experiment.recipe.is_float:
        export(experiment, run, None)
        judge(run)
    return run


def make_all(folder: Path) -> Path:
    """Make every run in a folder; return the folder."""
    with quick_exports():
        for name, (config, *overrides) in RUNS.items():
            make(folder / name, config, *overrides)
    return folder


def rows(outcome_text: str) -> dict[str, dict[str, Any]]:
    """The rows of the JSON by their names."""
    return {row["name"]: row for row in json.loads(outcome_text)["rows"]}


def compared(bitwright: Bitwright, *arguments: str | Path) -> dict[str, dict[str, Any]]:
    """Rows of a comparison that is not timed."""
    outcome = bitwright("compare", *arguments, *QUICK)
    assert outcome.status == 0, outcome.err
    return rows(outcome.out)


def accuracy_of(run: Path) -> float:
    """What a run's verdict says of the program."""
    found = json.loads((run / "verification.json").read_text())["levels"]["program"]["accuracy"]
    assert isinstance(found, float)
    return found
