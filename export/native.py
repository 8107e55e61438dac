"""C++ of the integer executor: compiled once on each machine, kept in the user's cache folder by content."""

import ctypes
import hashlib
import shutil
import subprocess
import tempfile
from functools import cache
from importlib import resources
from pathlib import Path
from threading import Lock
from typing import Any

from numpy.typing import NDArray
from platformdirs import user_cache_dir

TEMPLATES = Path(str(resources.files("bitwright.export").joinpath("templates")))
SOURCES = (TEMPLATES / "packed.cpp", TEMPLATES / "threshold.cpp")
FLAGS = ("-O3", "-std=c++17", "-fPIC", "-shared", "-w")
_LOCK = Lock()


def library() -> ctypes.CDLL | None:
    """Return the compiled sources, or None where they cannot be had: no g++, one that fails, no place to write to.

    The first call of a process asks g++ what machine this is; the first on a machine compiles, in a second or two.
    """
    with _LOCK:  # the threads of a program meet here
        return _loaded()


@cache
def _loaded() -> ctypes.CDLL | None:
    gcc = shutil.which("g++")
    if gcc is None:
        return None
    try:
        return load(build(gcc, Path(user_cache_dir("bitwright")) / "native"))
    except (OSError, subprocess.CalledProcessError):
        return None


def load(path: Path) -> ctypes.CDLL:
    """Return a library that `build` compiled, its functions with the types of what they take.

    Raises:
        OSError: If it cannot be loaded.
    """
    made = ctypes.CDLL(str(path))
    address, size = ctypes.c_void_p, ctypes.c_size_t  # an address may be given as a number
    made.bitwright_dense.argtypes = (address, size, size, address, address, address)
    made.bitwright_conv2d.argtypes = (address, address, address, address, address)
    made.bitwright_threshold.argtypes = (address, size, size, address, size, address, address, address)
    made.bitwright_threshold.restype = None
    return made


def address_of(array: NDArray[Any]) -> int:
    """Return where the values of an array are in memory."""
    found: int = array.__array_interface__["data"][0]  # array.ctypes.data, without an object for each call
    return found


def build(gcc: str, folder: Path, machine: str = "native") -> Path:
    """Compile the sources into a folder, unless the same sources were, by this compiler and for such a machine.

    Args:
        gcc: The compiler.
        folder: Of compiled libraries.
        machine: As g++ takes it with ``-march``.

    Returns:
        The shared library.

    Raises:
        CalledProcessError: If the compiler fails.
        OSError: If it cannot be run, or the folder cannot be written to.
    """
    command = [gcc, f"-march={machine}", *FLAGS]
    # The macros that it defines by itself tell its version and what "native" can do
    asked = [*command, "-dM", "-E", "-x", "c++", "-"]
    macros = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout
    digest = hashlib.sha256("\0".join(FLAGS).encode() + macros + b"\0".join(source.read_bytes() for source in SOURCES))
    made = folder / f"{digest.hexdigest()[:24]}.so"
    if not made.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as own:  # other processes may be compiling too
            partial = Path(own) / made.name
            subprocess.run([*command, *map(str, SOURCES), "-o", str(partial)], capture_output=True, check=True)
            partial.replace(made)
    return made
