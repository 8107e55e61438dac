"""The executor's C++: compiled once, and done without where it cannot be had."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bitwright.export import native

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not on the PATH")


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache, and nothing loaded yet."""
    monkeypatch.setattr(native, "user_cache_dir", lambda name: str(tmp_path / name))
    native._loaded.cache_clear()
    yield tmp_path / "bitwright" / "native"
    native._loaded.cache_clear()


@needs_compiler
def test_same_source_is_compiled_once(cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert native.library() is native.library()  # on a machine without AVX2: None
    if native.library() is None:
        pytest.skip("this machine has no AVX2")
    (made,) = cache_folder.iterdir()
    written = made.stat().st_mtime_ns
    assert native.build("g++", cache_folder) == made
    assert made.stat().st_mtime_ns == written
    other = cache_folder.parent / "other.cpp"
    other.write_text("int other;\n")
    monkeypatch.setattr(native, "SOURCES", (other,))
    assert native.build("g++", cache_folder) != made
    assert len(list(cache_folder.iterdir())) == 2


def test_no_compiler_is_no_library(cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert native.library() is None
    assert not cache_folder.exists()


@needs_compiler
def test_compiler_that_fails_is_no_library(cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = cache_folder.parent.parent / "wrong.cpp"
    wrong.write_text("this is not C++\n")
    monkeypatch.setattr(native, "SOURCES", (native.SOURCES[0], wrong))
    with pytest.raises(subprocess.CalledProcessError):
        native.build("g++", cache_folder)
    assert native.library() is None
    assert list(cache_folder.iterdir()) == []


@needs_compiler
def test_cache_that_cannot_be_written_is_no_library(cache_folder: Path) -> None:
    cache_folder.parent.mkdir()
    cache_folder.write_text("a file in its place\n")
    assert native.library() is None
