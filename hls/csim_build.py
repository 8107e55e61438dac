"""Compiling the C++ project into a shared library for simulation, cached by content."""

import hashlib
import shutil
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Literal

from bitwright.hls.tool_error import ToolError

# Without -fno-gnu-unique the streams' line buffers, static in templates, are one and the same in all libraries that a
# process loads: a second project of the same types and another image size hangs or reads the first one's memory
FLAGS = ("-O2", "-fPIC", "-std=c++17", "-w", "-fno-gnu-unique")
# Where signed overflow is undefined, GCC does not see that an int index made of unsigned numbers runs evenly, and keeps
# the loops over products scalar: five times slower. This machine's wider registers make them twice as fast again
FAST_FLAGS = ("-march=native", "-fwrapv")

Headers = Literal["fast", "original"]
"""Which ap_types a simulation is compiled against: Bitwright's native integers, or those that hls4ml ships."""

FAST_HEADERS = Path(str(resources.files("bitwright.hls").joinpath("templates", "fast_ap")))

WEIGHTS_VARIABLE = "BITWRIGHT_WEIGHTS_DIR"
"""Environment variable that tells a compiled simulation where the project's weights lie."""


def compiler() -> str:
    """Return the path of g++.

    Raises:
        ToolError: If there is none on the PATH.
    """
    found = shutil.which("g++")
    if found is None:
        raise ToolError(
            "csim: compiler must be g++ on the PATH, not missing; install g++ (Debian: apt-get install g++)"
        )
    return found


def source_files(project: Path) -> list[Path]:
    """Return every file of the project that the simulation is compiled from or reads, sorted."""
    top = list(project.glob("*_bridge.cpp"))
    return sorted(top + [path for path in (project / "firmware").rglob("*") if path.is_file() and path.suffix != ".so"])


def content_key(files: Iterable[Path], root: Path, *more: str) -> str:
    """Return a digest of files' names below a folder and contents, and of ``more``.

    Raises:
        OSError: If a file cannot be read.
    """
    digest = hashlib.sha256("\0".join(more).encode())
    for path in files:
        digest.update(f"\0{path.relative_to(root)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:24]


def build_library(project: Path, cache: Path, headers: Headers = "original") -> Path:
    """Compile a project's simulation; the same sources are compiled once with each kind of headers.

    The project stays as it is: the synthesis tool sees the original headers whatever the simulation takes.

    Args:
        project: An hls4ml project of the Vivado or Vitis back end.
        cache: Folder of the compiled libraries.
        headers: What the project's `ap_int.h`, `ap_fixed.h`, `hls_stream.h` are.

    Returns:
        The shared library.

    Raises:
        ToolError: If there is no compiler, or it fails; its output lies in ``cache``.
        FileNotFoundError: If the folder is no such project.
    """
    bridges = sorted(project.glob("*_bridge.cpp"))
    if len(bridges) != 1:
        raise FileNotFoundError(
            f"{project}: project must be one that `bitwright hls` wrote, not without a bridge; write it again"
        )
    name = bridges[0].name.removesuffix("_bridge.cpp")
    sources = [project / "firmware" / f"{name}.cpp", bridges[0]]
    gcc = compiler()
    folder, flags = (FAST_HEADERS, FLAGS + FAST_FLAGS) if headers == "fast" else (_original(project), FLAGS)
    key = content_key(source_files(project), project, *_identity(gcc, headers), *flags)
    library = cache / f"{key}.so"
    if library.exists():
        return library
    cache.mkdir(parents=True, exist_ok=True)
    # hls4ml's C++ makes a std::string of it: read when it runs, it lets a project and its library be moved
    include = [f"-I{folder.resolve()}", f'-DWEIGHTS_DIR=std::getenv("{WEIGHTS_VARIABLE}")']
    objects = [cache / f".{key}.{source.stem}.o" for source in sources]
    commands = [
        [gcc, *flags, *include, "-c", str(source.resolve()), "-o", str(target)]
        for source, target in zip(sources, objects, strict=True)
    ]
    log = cache / ("compile.fast.log" if headers == "fast" else "compile.log")
    log.unlink(missing_ok=True)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda command: _run(command, log), commands))
    partial = cache / f".{key}.partial"
    _run([gcc, "-shared", *map(str, objects), "-o", str(partial)], log)
    for target in objects:
        target.unlink()
    partial.replace(library)
    return library


def build_fast_or_original(project: Path, cache: Path, headers: Headers) -> tuple[Path, Headers, Path | None]:
    """Compile against the headers asked for; where the fast ones do not compile, against the original ones.

    Args:
        project: As `build_library` takes it.
        cache: As `build_library` takes it.
        headers: Those asked for.

    Returns:
        The shared library, the headers that it was compiled against, and where they are not those asked for, the
        compiler's output.

    Raises:
        ToolError: If there is no compiler, or it fails with the original headers too.
        FileNotFoundError: If the folder is no such project.
    """
    try:
        return build_library(project, cache, headers), headers, None
    except ToolError as error:
        if headers == "original" or error.status is None:
            raise
        return build_library(project, cache, "original"), "original", error.log


def _original(project: Path) -> Path:
    return project / "firmware" / "ap_types"


def _identity(gcc: str, headers: Headers) -> list[str]:
    """Return what a library depends on besides the project and the flags.

    That is the compiler; with the fast headers also their text, and the machine that "native" stands for.
    """
    said = [subprocess.run([gcc, "--version"], capture_output=True, text=True, check=False).stdout]
    if headers == "fast":
        machine = [gcc, "-march=native", "-Q", "--help=target"]
        said.append(subprocess.run(machine, capture_output=True, text=True, check=False).stdout)
        said.append(content_key(sorted(path for path in FAST_HEADERS.rglob("*.h")), FAST_HEADERS))
    return said


def _run(command: list[str], log: Path) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return
    with log.open("a") as file:
        file.write(f"$ {' '.join(command)}\n{result.stderr}\n")
    lines = (
        [line for line in result.stderr.splitlines() if "error" in line] or result.stderr.splitlines() or ["no output"]
    )
    raise ToolError(
        f"csim: compiler must succeed, not exit with status {result.returncode}: {lines[0].strip()}; see {log}",
        command,
        result.returncode,
        log,
    )
