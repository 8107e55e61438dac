"""The Makefile takes the Pythons that the package takes, and refuses others before it makes anything."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SAYS = "make: PYTHON must be Python 3.11 to 3.13, not {}; set PYTHON=python3.11"


def installed_with(folder: Path, version: tuple[int, int]) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Call `make install` with a Python that says that it is of another version, and that makes no environment."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    python = folder / "python"
    changed = f"import sys; sys.version_info = {version}; exec(sys.argv[1])"
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exec {sys.executable} -c "{changed}" "$2"\necho made >&2; exit 7\n')
    python.chmod(0o755)
    command = ["make", "-C", str(folder), "--no-print-directory", "install", f"PYTHON={python}"]
    return python, subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("version", [(3, 10), (3, 14)])
def test_python_that_the_package_does_not_take_is_refused(version: tuple[int, int], tmp_path: Path) -> None:
    python, made = installed_with(tmp_path, version)
    assert made.returncode != 0
    assert made.stderr.splitlines()[0] == SAYS.format(python)
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("version", [(3, 11), (3, 13)])
def test_python_that_the_package_takes_makes_the_environment(version: tuple[int, int], tmp_path: Path) -> None:
    _, made = installed_with(tmp_path, version)
    assert made.stderr.splitlines()[0] == "made"
