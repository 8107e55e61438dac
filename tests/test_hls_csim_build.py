"""Compiling, and what is said when it cannot be done."""

import re
from pathlib import Path

import pytest

from bitwright.hls.csim_build import build_fast_or_original, build_library, compiler, content_key
from bitwright.hls.tool_error import ToolError


def project(folder: Path, body: str) -> Path:
    (folder / "firmware").mkdir(parents=True)
    (folder / "firmware" / "top.cpp").write_text(body)
    (folder / "top_bridge.cpp").write_text('extern "C" void top_double(double *, double *) {}\n')
    return folder


def test_same_sources_are_compiled_once(tmp_path: Path) -> None:
    source = project(tmp_path / "hls", "int one = 1;\n")
    library = build_library(source, tmp_path / "csim")
    written = library.stat().st_mtime_ns
    assert build_library(source, tmp_path / "csim") == library
    assert library.stat().st_mtime_ns == written
    (source / "firmware" / "top.cpp").write_text("int one = 2;\n")
    assert build_library(source, tmp_path / "csim") != library
    assert [path.name for path in (tmp_path / "csim").iterdir() if path.suffix != ".so"] == []


def test_compiler_error_is_quoted(tmp_path: Path) -> None:
    source = project(tmp_path / "hls", "this is not C++\n")
    message = (
        r"^csim: compiler must succeed, not exit with status 1: .*top\.cpp:1:1: error: .*; "
        rf"see {re.escape(str(tmp_path / 'csim' / 'compile.log'))}$"
    )
    with pytest.raises(ToolError, match=message) as caught:
        build_library(source, tmp_path / "csim")
    assert caught.value.status == 1
    assert caught.value.log is not None
    assert "this is not C++" in caught.value.log.read_text()


def test_each_kind_of_headers_has_its_library(tmp_path: Path) -> None:
    source = project(tmp_path / "hls", "int one = 1;\n")
    fast, original = (build_library(source, tmp_path / "csim", kind) for kind in ("fast", "original"))
    assert fast != original
    assert build_fast_or_original(source, tmp_path / "csim", "fast") == (fast, "fast", None)
    assert build_fast_or_original(source, tmp_path / "csim", "original") == (original, "original", None)


def test_original_headers_are_taken_where_the_fast_ones_do_not_compile(tmp_path: Path) -> None:
    source = project(tmp_path / "hls", '#include "ap_int.h"\nap_int<200> wide;\n')
    (source / "firmware" / "ap_types").mkdir()
    (source / "firmware" / "ap_types" / "ap_int.h").write_text("template <int W> struct ap_int {};\n")
    library, headers, log = build_fast_or_original(source, tmp_path / "csim", "fast")
    assert (library, headers) == (build_library(source, tmp_path / "csim"), "original")
    assert log == tmp_path / "csim" / "compile.fast.log"
    assert "fast_ap: width must be 1 to 128 bits; use the original headers" in log.read_text()


def test_project_that_compiles_with_no_headers_is_refused(tmp_path: Path) -> None:
    source = project(tmp_path / "hls", "this is not C++\n")
    with pytest.raises(ToolError, match=rf"; see {re.escape(str(tmp_path / 'csim' / 'compile.log'))}$"):
        build_fast_or_original(source, tmp_path / "csim", "fast")


def test_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    message = "csim: compiler must be g++ on the PATH, not missing; install g++ (Debian: apt-get install g++)"
    with pytest.raises(ToolError, match=f"^{re.escape(message)}$"):
        compiler()


def test_folder_that_is_no_project_is_refused(tmp_path: Path) -> None:
    message = f"{tmp_path}: project must be one that `bitwright hls` wrote, not without a bridge; write it again"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        build_library(tmp_path, tmp_path / "csim")


def test_content_key_sees_names_and_contents(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("1")
    second.write_text("1")
    keys = {content_key([first], tmp_path), content_key([second], tmp_path), content_key([first, second], tmp_path)}
    first.write_text("2")
    assert len(keys | {content_key([first], tmp_path), content_key([second], tmp_path, "more")}) == 5
