"""The folders, and which may import which."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = ("quant", "models", "calibration", "export", "hls", "reports", "rtl", "synth", "estimates", "cli")
FILES = sorted(path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).glob("*.py"))
TESTS = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").glob("*.py"))

MAY_IMPORT = {
    "quant": {"quant"},
    "models": {"quant", "models"},
    "calibration": {"quant", "models", "calibration"},
    "export": {"quant", "export"},
    "hls": {"quant.fixed_point", "quant.bipolar", "export", "hls"},
    "reports": {"hls", "reports"},
    "rtl": {"quant.fixed_point", "quant.bipolar", "export", "hls", "rtl"},
    "synth": {"hls", "rtl", "synth"},
    "estimates": {"quant.fixed_point", "quant.bipolar", "export", "hls.target", "rtl.size", "estimates"},
    "cli": set(FOLDERS),
}
HARDWARE = ("export", "hls", "reports", "rtl", "synth", "estimates")
TORCH = ("torch", "brevitas", "lightning")


def name_of(path: Path) -> str:
    """The module's name, of the project's folders without `bitwright`."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def tree_of(path: Path) -> ast.Module:
    """The syntax of a file."""
    return ast.parse((ROOT / path).read_text(), str(path))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it, and the names it takes from packages."""
    for node in ast.walk(tree_of(path)):
        match node:
            case ast.Import(names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from (f"{module}.{name.name}" for name in names)


def is_within(name: str, package: str) -> bool:
    """Whether a name is of a package or is the package."""
    return f"{name}.".startswith(f"{package}.")


def needs_torch(path: Path) -> bool:
    """Whether a file of export/ is one that may import torch and the networks."""
    return path.parts[0] == "export" and path.name.startswith("torch_")


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_one_way(path: Path) -> None:
    allowed = MAY_IMPORT[path.parts[0]] | ({"models"} if needs_torch(path) else set())
    ours = {name.removeprefix("bitwright.") for name in imports(path) if is_within(name, "bitwright")}
    assert {name for name in ours if not any(is_within(name, package) for package in allowed)} == set()


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[0] in HARDWARE], ids=str)
def test_torch_stays_out_of_the_export_and_the_hardware(path: Path) -> None:
    found = {name for name in imports(path) if any(is_within(name, package) for package in TORCH)}
    assert needs_torch(path) or not found


@pytest.mark.parametrize("path", FILES + TESTS, ids=str)
def test_no_import_is_relative_or_by_a_folders_bare_name(path: Path) -> None:
    relative = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.ImportFrom) and node.level]
    bare = {name for name in imports(path) if name.partition(".")[0] in (*FOLDERS, "tests")}
    assert (relative, bare) == ([], set())


@pytest.mark.parametrize("path", FILES, ids=str)
def test_importing_a_module_leads_to_no_circle(path: Path) -> None:
    modules = {name_of(file): file for file in FILES}

    def needed(file: Path) -> set[Path]:
        names = {name.removeprefix("bitwright.") for name in imports(file) if is_within(name, "bitwright")}
        return {modules[m] for name in names for m in (name, name.rpartition(".")[0]) if m in modules} - {file}

    seen: set[Path] = set()
    waiting = needed(path)
    while waiting:
        seen |= waiting
        waiting = {further for file in waiting for further in needed(file)} - seen
    assert path not in seen


def test_folders_of_the_project_are_those_that_are_packaged() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    packages = [f"bitwright.{folder}" for folder in FOLDERS]
    setuptools = SETTINGS["tool"]["setuptools"]
    assert folders == set(FOLDERS)
    assert setuptools["packages"] == packages
    assert setuptools["package-dir"] == dict(zip(packages, FOLDERS, strict=True))
    assert all((ROOT / folder / "py.typed").is_file() for folder in FOLDERS)
    assert not [path for folder in FOLDERS for path in (ROOT / folder).glob("*/*.py")]


def test_types_and_bare_names_are_checked_in_every_folder() -> None:
    tool = SETTINGS["tool"]
    assert [Path(path).name for path in tool["mypy"]["files"]] == [*FOLDERS, "tests"]
    assert [Path(path).name for path in tool["pyright"]["include"]] == [*FOLDERS, "tests"]
    assert tool["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"].keys() == set(FOLDERS)


def test_hardware_and_export_are_imported_without_torch() -> None:
    names = [f"bitwright.{name_of(p)}" for p in FILES if p.parts[0] in HARDWARE and not needs_torch(p)]
    script = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    assert not (found := {'torch', 'brevitas', 'lightning'} & set(sys.modules)), f'{name} imports {found}'\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, *names], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
