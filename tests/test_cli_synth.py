"""The command `synth`: what is there is synthesised, and what is not is said in one line."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from road import Bitwright
from vendor_standins import calls, hls_project, only_on_path

from bitwright.export.operations import Dense, Input
from bitwright.export.program import Program
from bitwright.quant.fixed_point import FixedPoint
from bitwright.rtl.design import Language, write_design


def run_of(folder: Path, language: Language = "verilog", *, rtl: bool = True, hls: bool = True, code: str = "") -> Path:
    """A run with a design and a project, as `rtl` and `hls` leave them."""
    folder.mkdir(parents=True)
    (folder / "model.lowered.onnx").write_text("")
    if rtl:
        layer = Dense("fc", "x", np.array([[1, -1], [1, 1], [-1, 2]]), FixedPoint(4, 4), None)
        write_design(Program((Input("x", "", (3,), FixedPoint(4, 2)), layer)), folder / "rtl", language)
    if hls:
        hls_project(folder / "hls", code or "void top(int *x) { x[0]++; }\n")
    return folder


def test_run_is_synthesised_with_what_is_there(
    tmp_path: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_on_path(monkeypatch, tmp_path / "bin")
    run = run_of(tmp_path / "net")
    outcome = bitwright("synth", run)
    assert outcome.status == 0, outcome.err
    figures = {family: json.loads((run / "synth" / family / "yosys.json").read_text()) for family in ("xc7", "xcup")}
    for family, found in figures.items():
        shown = re.search(rf"│ net │ {family} +│(.*)│", outcome.out)
        assert shown is not None
        assert [cell.strip() for cell in shown[1].split("│")][6:8] == [
            f"{found['cells']['lut']:,}",
            f"{found['cells']['ff']:,}",
        ]
    assert "net: C synthesis needs vitis-run or vitis_hls, not on the PATH here; there: cd " in outcome.out
    assert "net: nothing in the C++ that HLS would refuse\n" in outcome.err
    again = bitwright("synth", run, "--family", "xc7", "--no-vendor")
    assert again.status == 0
    assert "net: yosys for xc7 is up to date\n" in again.err
    assert "xcup" not in again.out


def test_project_with_refused_cpp_is_not_launched(
    tmp_path: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_on_path(monkeypatch, tmp_path / "bin", "vitis-run")
    run = run_of(tmp_path / "net", rtl=False, code="void top(int *x) { int *y = new int; *x = *y; }\n")
    outcome = bitwright("synth", run)
    assert outcome.status == 1
    assert outcome.err == (
        f"{run}/hls: C++ must be such that HLS takes it, not with dynamic memory: top -> operator new "
        "(firmware/top.cpp:1); change it\n"
        f"net: no design for Yosys in {run}/rtl; run `bitwright rtl {run}` first\n"
    )
    assert calls(tmp_path / "bin") == []


def test_many_projects_are_launched_side_by_side_and_one_failure_stops_no_other(
    tmp_path: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_on_path(monkeypatch, tmp_path / "bin", "vitis_hls")
    runs = [run_of(tmp_path / name, rtl=False) for name in ("one", "two", "three")]
    (runs[1] / "hls" / "project.tcl").unlink()
    outcome = bitwright("synth", *runs, "--jobs", "2", "--export-ip")
    assert outcome.status == 1
    assert sorted(calls(tmp_path / "bin", "options")) == ["export", "export", "synth", "synth"]
    for name in ("one", "three"):
        assert re.search(
            rf"^{name}: C synthesis by vitis_hls 2023.1, \d+ s; see `bitwright report`$", outcome.out, re.M
        )
        assert (tmp_path / name / "synth" / "vendor" / "export.json").is_file()
    assert f"{runs[1]}/hls/project.tcl: project must be there, not missing; run `bitwright hls` first\n" in outcome.err


def test_run_with_neither_design_nor_project_is_a_failure(tmp_path: Path, bitwright: Bitwright) -> None:
    run = run_of(tmp_path / "net", rtl=False, hls=False)
    outcome = bitwright("synth", run)
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err == (
        f"net: no project for C synthesis in {run}/hls; run `bitwright hls` first\n"
        f"net: no design for Yosys in {run}/rtl; run `bitwright rtl {run}` first\n"
    )


def test_design_in_vhdl_is_refused_by_name(tmp_path: Path, bitwright: Bitwright) -> None:
    run = run_of(tmp_path / "net", "vhdl", hls=False)
    outcome = bitwright("synth", run, "--no-vendor")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err == (
        f"{run}/rtl: language must be verilog for Yosys, not vhdl; run `bitwright rtl {run} --language verilog`\n"
    )


def test_interrupted_tool_ends_the_command_and_starts_no_other(
    tmp_path: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_on_path(monkeypatch, tmp_path / "bin", "vitis-run")
    monkeypatch.setenv("STANDIN", "interrupt")
    runs = [run_of(tmp_path / name, rtl=False) for name in ("one", "two", "three")]
    outcome = bitwright("synth", *runs)
    assert outcome.status == 130
    assert outcome.err.endswith("interrupted; the same command goes on from what is finished\n")
    assert len(calls(tmp_path / "bin")) < 3
    monkeypatch.delenv("STANDIN")
    assert bitwright("synth", *runs).status == 0
