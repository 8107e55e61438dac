"""What is installed and what is not, and what each missing part costs."""

import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass

from rich.table import Table

from bitwright.cli.console import out
from bitwright.cli.versions import installed, pins


@dataclass(frozen=True)
class Tool:
    """A program outside Python.

    Args:
        names: As it may be called; the first that is on the PATH counts.
        cost: What cannot be done without it.
        needed: Whether `make train export hls` fails without it.
    """

    names: tuple[str, ...]
    cost: str
    needed: bool = False


TOOLS = (
    Tool(
        ("g++",), "no C simulation: `bitwright hls` cannot prove the project (Debian: apt-get install g++)", needed=True
    ),
    Tool(("make",), "no `make train export hls`; the command `bitwright` does the same"),
    Tool(("vitis-run", "vitis_hls"), "no C synthesis of the Vitis project here; it is ready for a machine that has it"),
    Tool(("vivado", "vivado_hls"), "no logic synthesis of the project here; it is ready for a machine that has it"),
    Tool(("ghdl",), "no simulation of VHDL: `bitwright rtl --language vhdl` (Debian: apt-get install ghdl)"),
)


def doctor() -> bool:
    """Print versions against the pins, and tools; return whether all that is needed is there."""
    healthy = (3, 11) <= sys.version_info < (3, 14)
    out.print(f"Python {platform.python_version()}" + ("" if healthy else ": must be 3.11 to 3.13"))
    table = Table("package", "pinned", "installed", "")
    versions = installed_versions()
    for package, pin in sorted(pins().items()):
        found = versions.get(package, "missing")
        good = found.split("+")[0] == pin
        healthy &= good
        table.add_row(package, pin, found, "ok" if good else "differs: run `make install`", style="" if good else "red")
    out.print(table)
    table = Table("tool", "found", "without it")
    for tool in TOOLS:
        path = next(filter(None, map(shutil.which, tool.names)), None)
        healthy &= path is not None or not tool.needed
        table.add_row(
            " or ".join(tool.names),
            f"{path} ({_version(path)})" if path else "missing",
            "" if path else tool.cost,
            style="" if path else "red" if tool.needed else "yellow",
        )
    out.print(table)
    out.print(
        "All that is needed is there." if healthy else "Something that is needed is missing or of another version."
    )
    return healthy


def installed_versions() -> dict[str, str]:
    """Return the installed version of every pinned package."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - names too common for the module

    found = dict(installed())
    for package in pins():
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found


def _version(path: str) -> str:
    try:
        result = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "does not start"
    lines = (result.stdout or result.stderr).strip().splitlines()
    return lines[0] if lines else "no version"
