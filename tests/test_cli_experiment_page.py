"""The page of every key, which follows from the settings."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from bitwright.cli.experiment import Experiment, sections
from bitwright.cli.experiment_page import page
from bitwright.quant.recipe import LayerRecipe

PAGE = Path(__file__).parents[1] / "docs" / "experiments.md"


def test_page_is_the_one_of_the_settings() -> None:
    command = "python -m bitwright.cli.experiment_page > docs/experiments.md"
    assert PAGE.read_text() == page(), f"docs/experiments.md must be of these settings; run {command}"


def test_page_has_a_row_for_every_key() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", page(), flags=re.MULTILINE)
    keys = [name for name in Experiment.model_fields if name not in sections()]
    of_sections = [list(model.model_fields) for model in sections().values()]
    of_sections[2] = [name for name in of_sections[2] if name != "layers"] + list(LayerRecipe.model_fields)
    assert rows == [*keys, *(name for names in of_sections for name in names)]


def test_every_key_has_a_meaning() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert all(len(cells := re.split(r"(?<!\\)\|", row)) == 6 and all(c.strip() for c in cells[1:5]) for row in rows)


def test_example_of_the_page_is_an_experiment() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", page(), flags=re.DOTALL)
    experiment = Experiment.model_validate({"name": "example", **tomllib.loads(example)})
    assert experiment.model.hidden == (64, 32, 32)


def test_module_prints_the_page() -> None:
    command = [sys.executable, "-m", "bitwright.cli.experiment_page"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == page()
