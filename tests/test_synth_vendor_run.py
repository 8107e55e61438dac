"""The vendor's tools, as stand-ins: no licensed one was at hand.

The stand-ins take the arguments, and write the logs and report trees, of vitis-run 2024.2, Vitis HLS 2023.1, Vivado HLS
2019.2 and Vivado 2023.1, as hls4ml 1.3.0 and published projects show them.
"""

import re
from pathlib import Path

import pytest
from vendor_standins import calls, hls_project, only_on_path

from bitwright.hls.tool_error import ToolError
from bitwright.synth.vendor_run import Finished, milestone, run_steps
from bitwright.synth.vendor_tool import Step, find_tool

ALL = tuple(Step)


def finished(done: tuple[Finished, ...]) -> list[tuple[str, str, str | None]]:
    """Steps, and who did them."""
    return [(step.step.value, step.tool, step.version) for step in done]


@pytest.mark.parametrize(
    ("tool", "backend", "version", "arguments"),
    [
        ("vitis-run", "vitis", "2024.2", "vitis-run|--mode|hls|--tcl|build_prj.tcl"),
        ("vitis_hls", "vitis", "2023.1", "vitis_hls|-f|build_prj.tcl"),
    ],
)
def test_each_version_is_asked_in_its_own_words(
    tool: str, backend: str, version: str, arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = hls_project(tmp_path / "hls", backend=backend)
    before = (project / "build_opt.tcl").read_text()
    only_on_path(monkeypatch, tmp_path / "bin", tool, "vivado")
    done, missing = run_steps(project, ALL, tmp_path / "notes")
    steps = ["csynth", "cosim", "export"]
    assert finished(done) == [*((step, tool, version) for step in steps), ("vsynth", "vivado", "2023.1")]
    assert missing == ()
    vivado = "vivado|-mode|batch|-nojournal|-source|vivado_synth.tcl"
    assert calls(tmp_path / "bin") == [arguments, arguments, arguments, vivado]
    assert calls(tmp_path / "bin", "options") == ["synth", "cosim csim validation", "export"]
    assert (project / "build_opt.tcl").read_text() == before


def test_vivado_hls_reads_its_options_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = hls_project(tmp_path / "hls", backend="vivado")
    only_on_path(monkeypatch, tmp_path / "bin", "vivado_hls")
    done, _ = run_steps(project, [Step.CSYNTH], tmp_path / "notes")
    assert finished(done) == [("csynth", "vivado_hls", "2019.2")]
    off = "cosim=0 validation=0 export=0 vsynth=0 fifo_opt=0"
    assert calls(tmp_path / "bin") == [f"vivado_hls|-f|build_prj.tcl|reset=0 csim=0 synth=1 {off}"]
    assert not (project / "build_opt.tcl").exists()


def test_newest_tool_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_on_path(monkeypatch, tmp_path / "bin", "vitis_hls", "vitis-run", "vivado_hls")
    assert str(find_tool(Step.CSYNTH, "vitis")) == "vitis-run 2024.2"
    assert str(find_tool(Step.CSYNTH, "vivado")) == "vivado_hls 2019.2"
    assert find_tool(Step.VSYNTH, "vitis") is None


def test_finished_steps_are_done_again_only_where_inputs_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = hls_project(tmp_path / "hls")
    only_on_path(monkeypatch, tmp_path / "bin", "vitis_hls")
    run_steps(project, [Step.CSYNTH], tmp_path / "notes")
    run_steps(project, [Step.CSYNTH, Step.EXPORT], tmp_path / "notes")
    assert calls(tmp_path / "bin", "options") == ["synth", "export"]
    (project / "firmware" / "top.cpp").write_text("void top(int *x) { x[0]--; }\n")
    run_steps(project, [Step.CSYNTH, Step.EXPORT], tmp_path / "notes")
    assert calls(tmp_path / "bin", "options") == ["synth", "export", "synth", "export"]
    (project / "top_prj" / "solution1" / "impl" / "ip" / "component.xml").unlink()
    run_steps(project, [Step.CSYNTH, Step.EXPORT], tmp_path / "notes")
    assert calls(tmp_path / "bin", "options")[4:] == ["export"]


@pytest.mark.parametrize(
    ("how", "quoted"),
    [
        ("refuse", r"ERROR: \[HLS 207-3776\] use of undeclared identifier 'relu' \(firmware/top.cpp:7:5\)"),
        ("licence", r"@E \[HLS-72\] License checkout unsuccessful. Make sure that license can be accessed."),
        ("nothing", r"no top_prj/solution1/syn/report/csynth.xml was written"),
        ("killed", r"INFO: \[HLS 200-10\] Analyzing design file 'firmware/top.cpp' ..."),
    ],
)
def test_failure_quotes_the_tools_own_first_error(
    how: str, quoted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, log = hls_project(tmp_path / "hls"), tmp_path / "notes" / "csynth.log"
    only_on_path(monkeypatch, tmp_path / "bin", "vitis_hls")
    monkeypatch.setenv("STANDIN", how)
    before = (project / "build_opt.tcl").read_text()
    message = (
        rf"^{re.escape(str(project))}: C synthesis by vitis_hls 2023.1 must succeed, not fail \({quoted}\); "
        rf"see {re.escape(str(log))}$"
    )
    with pytest.raises(ToolError, match=message):
        run_steps(project, ALL, tmp_path / "notes")
    assert (project / "build_opt.tcl").read_text() == before
    monkeypatch.delenv("STANDIN")
    done, _ = run_steps(project, [Step.CSYNTH], tmp_path / "notes")
    assert finished(done) == [("csynth", "vitis_hls", "2023.1")]


def test_report_of_older_inputs_does_not_pass_for_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = hls_project(tmp_path / "hls")
    only_on_path(monkeypatch, tmp_path / "bin", "vitis_hls")
    run_steps(project, [Step.CSYNTH], tmp_path / "notes")
    (project / "firmware" / "top.cpp").write_text("void top(int *x) {}\n")
    monkeypatch.setenv("STANDIN", "nothing")
    with pytest.raises(ToolError, match=r"must succeed, not fail \(no top_prj"):
        run_steps(project, [Step.CSYNTH], tmp_path / "notes")


def test_progress_is_told_from_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_on_path(monkeypatch, tmp_path / "bin", "vitis-run")
    said: list[str] = []
    run_steps(hls_project(tmp_path / "hls"), [Step.CSYNTH], tmp_path / "notes", said.append)
    assert [re.sub(r", \d+ s$", "", text) for text in said] == [
        "C synthesis by vitis-run 2024.2",
        "C synthesis: C/RTL SYNTHESIS",
        "C synthesis: Implementing module 'top'",
        "C synthesis: C/RTL SYNTHESIS COMPLETED IN 0h0m1s",
    ]
    assert milestone("INFO: [SCHED 204-61] Pipelining result") is None


def test_missing_tool_is_named_with_the_command_for_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = hls_project(tmp_path / "hls")
    only_on_path(monkeypatch, tmp_path / "bin")
    done, missing = run_steps(project, [Step.CSYNTH, Step.VSYNTH], tmp_path / "notes")
    assert done == ()
    assert list(map(str, missing)) == [
        f"C synthesis needs vitis-run or vitis_hls, not on the PATH here; there: cd {project} && "
        "vitis-run --mode hls --tcl build_prj.tcl",
        f"logic synthesis needs vivado, not on the PATH here; there: cd {project} && "
        "vivado -mode batch -nojournal -source vivado_synth.tcl",
    ]


def test_backend_without_a_launcher_is_refused(tmp_path: Path) -> None:
    project = hls_project(tmp_path / "hls", backend="quartus")
    message = (
        rf"^{re.escape(str(project))}: backend must be vitis or vivado to be launched, not quartus; write it again$"
    )
    with pytest.raises(ValueError, match=message):
        run_steps(project, [Step.CSYNTH], tmp_path / "notes")


def test_folder_without_a_project_is_refused(tmp_path: Path) -> None:
    where = re.escape(str(tmp_path / "project.tcl"))
    message = rf"^{where}: project must be there, not missing; run `bitwright hls` first$"
    with pytest.raises(FileNotFoundError, match=message):
        run_steps(tmp_path, [Step.CSYNTH], tmp_path / "notes")
    (tmp_path / "project.tcl").write_text('set project_name "top"\n')
    message = rf"^{where}: variable backend must be set, not missing; run `bitwright hls` again$"
    with pytest.raises(ValueError, match=message):
        run_steps(tmp_path, [Step.CSYNTH], tmp_path / "notes")
