"""Every example in a docstring runs and says what it says."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("quant", "models", "calibration", "export", "hls", "reports", "rtl", "synth", "cli")
MODULES = [
    f"bitwright.{folder}.{path.stem}"
    for folder in FOLDERS
    for path in sorted((ROOT / folder).glob("*.py"))
    if not path.stem.startswith("__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(name)
    assert Path(module.__file__ or "").is_relative_to(ROOT)
    monkeypatch.chdir(tmp_path)  # what an example writes is not left in the project
    failed, _ = doctest.testmod(module)
    assert failed == 0
    assert list(tmp_path.iterdir()) == []


def test_every_folder_has_examples_that_run() -> None:
    for folder in FOLDERS:
        modules = [importlib.import_module(name) for name in MODULES if name.split(".")[1] == folder]
        examples = [test for module in modules for test in doctest.DocTestFinder().find(module) if test.examples]
        assert examples or not modules
