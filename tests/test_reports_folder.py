"""A folder's reports together: what is there, what is not, and what does not fit."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vendor_reports import (
    MODULES,
    NOT_RUN,
    PROJECT,
    SIM,
    SOLUTION,
    SYN,
    TRANSACTIONS,
    cosim_rpt,
    csynth_rpt,
    csynth_xml,
    export_xml,
    hierarchy_rpt,
    power_rpt,
    timing_rpt,
    utilization_rpt,
    write,
)

from bitwright.reports.cosim import parse_cosim
from bitwright.reports.csynth import parse_csynth
from bitwright.reports.folder import read_project
from bitwright.reports.instances import parse_instances
from bitwright.reports.report import ProjectReport, figures
from bitwright.reports.vivado import parse_vivado

WHOLE = {
    **PROJECT,
    f"{SYN}/net_csynth.xml": csynth_xml("2024.1"),
    f"{SYN}/net_csynth.rpt": csynth_rpt(),
    f"{SIM}/net_cosim.rpt": cosim_rpt(),
    f"{SOLUTION}/sim/verilog/net.performance.result.transaction.xml": TRANSACTIONS,
    f"{SOLUTION}/impl/report/verilog/export_impl.xml": export_xml(),
    "vivado_synth.rpt": utilization_rpt("Optimized"),
    "vivado_utilization.rpt": utilization_rpt("Routed", lut=1400, version="2021.2"),
    "timing.rpt": timing_rpt(worst=" 0.125"),
    "clocks.rpt": "a report of something else",
}


def read(folder: Path) -> ProjectReport:
    (found,) = read_project(folder)
    return found


def test_every_stage_of_a_project_has_its_own_figures(tmp_path: Path) -> None:
    found = read(write(tmp_path, WHOLE))
    assert (found.solution, found.top, found.part) == ("net_prj/solution1", "net", "xc7z020-clg400-1")
    assert (found.notes, found.problems) == ((), ())
    luts = {stage.key: figures(stage).get("lut") for stage in found.stages}
    assert luts == {"csynth": 2100, "cosim_verilog": None, "synth_optimized": 1526, "impl": 1400, "impl_export": 1900}
    csynth, cosim, _, routed, _ = found.stages
    assert [layer.name for layer in csynth.layers] == ["fc1_U0", "act1_U0"]
    assert csynth.date == "2024-03-06T13:58:01"
    assert figures(cosim)["transaction_count"] == 3
    assert figures(cosim)["latency_max_ns"] == 75.0
    assert cosim.tool.version == "2024.1"
    assert routed.sources == ("timing.rpt", "vivado_utilization.rpt")
    assert figures(routed)["clock_period_achieved_ns"] == 4.875


@pytest.mark.parametrize("inner", ["", "net_prj", "net_prj/solution1"])
def test_solution_is_found_from_each_folder_above_it(inner: str, tmp_path: Path) -> None:
    found = read(write(tmp_path, WHOLE) / inner)
    assert (found.top, found.stages[0].key, found.problems) == ("net", "csynth", ())


def test_project_is_found_in_the_folder_of_a_run(tmp_path: Path) -> None:
    write(tmp_path / "hls", WHOLE)
    found = read(tmp_path)
    assert (found.path, found.stages[0].sources[0]) == (str(tmp_path), f"{SYN}/net_csynth.xml")


def test_project_of_an_accelerator_has_a_top_of_another_name(tmp_path: Path) -> None:
    tcl = 'set project_name "net"\nset backend "vivadoaccelerator"\n'
    write(tmp_path, {"project.tcl": tcl, f"{SYN}/net_axi_csynth.xml": csynth_xml(), f"{SYN}/net_csynth.xml": "<x/>"})
    assert (read(tmp_path).top, read(tmp_path).problems) == ("net_axi", ())


def test_project_without_its_script_is_named_by_its_reports(tmp_path: Path) -> None:
    assert read(write(tmp_path / "one", {f"{SYN}/net_csynth.xml": csynth_xml()})).top == "net"
    assert read(write(tmp_path / "all", {f"{SYN}/csynth.xml": csynth_xml(modules=MODULES)})).top == "net"


def test_solutions_are_apart(tmp_path: Path) -> None:
    write(tmp_path, {**WHOLE, "net_prj/solution2/syn/report/net_csynth.xml": csynth_xml(latency="99")})
    found = read_project(tmp_path)
    assert [(one.solution, [stage.key for stage in one.stages]) for one in found] == [
        ("net_prj/solution1", ["csynth", "cosim_verilog", "impl_export"]),
        ("net_prj/solution2", ["csynth"]),
        ("", ["synth_optimized", "impl"]),
    ]


def test_figures_of_single_layers_are_joined_by_name(tmp_path: Path) -> None:
    files = {"cells.rpt": hierarchy_rpt(), "power.rpt": power_rpt(), f"{SYN}/net_csynth.xml": csynth_xml()}
    found = read(write(tmp_path, files))
    assert [figures(layer) for layer in found.stages[1].layers] == [
        {"lut": 1200, "ff": 2300, "dsp": 66, "bram_18k": 3, "uram": 0, "power_dynamic_w": 0.2},
        {"lut": 200, "ff": 96, "dsp": 0, "bram_18k": 0, "uram": 0},
    ]


def test_two_reports_that_contradict_each_other_share_no_column(tmp_path: Path) -> None:
    files = {"a.rpt": utilization_rpt(lut=1526), "b.rpt": utilization_rpt(lut=1600), "c.rpt": utilization_rpt(lut=1600)}
    found = read(write(tmp_path, {**PROJECT, **files}))
    assert [(stage.key, figures(stage)["lut"], stage.sources) for stage in found.stages] == [
        ("synth", 1526, ("a.rpt",)),
        ("synth_b", 1600, ("b.rpt",)),
        ("synth_c", 1600, ("c.rpt",)),
    ]


def test_reports_of_two_versions_share_no_column(tmp_path: Path) -> None:
    files = {"a.rpt": utilization_rpt("Routed"), "b.rpt": timing_rpt()}
    found = read(write(tmp_path, {**PROJECT, **files}))
    assert [(stage.key, stage.tool.version) for stage in found.stages] == [("impl", "2020.1"), ("impl_b", "2021.2")]


def test_report_that_is_missing_is_named(tmp_path: Path) -> None:
    write(tmp_path, {**PROJECT, f"{SYN}/net_csynth.rpt": csynth_rpt(), "vivado_synth.rpt": utilization_rpt()})
    found = read(tmp_path)
    assert found.problems == (
        f"{tmp_path}/{SYN}/net_csynth.xml: report must be there, not missing; run C synthesis again",
    )
    assert [stage.key for stage in found.stages] == ["synth"]


def test_missing_table_leaves_out_the_layers_and_says_so(tmp_path: Path) -> None:
    found = read(write(tmp_path, {**PROJECT, f"{SYN}/net_csynth.xml": csynth_xml()}))
    assert (found.stages[0].layers, found.problems) == ((), ())
    assert found.notes == (f"{SYN}/net_csynth.rpt is not there: no figures of single layers",)


def test_layers_come_from_the_whole_designs_report_where_the_table_is_missing(tmp_path: Path) -> None:
    files = {f"{SYN}/net_csynth.xml": csynth_xml(), f"{SYN}/csynth.xml": csynth_xml("2024.1", modules=MODULES)}
    found = read(write(tmp_path, {**PROJECT, **files}))
    assert ([layer.name for layer in found.stages[0].layers], found.notes) == (["fc1_U0"], ())


def test_damaged_report_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    found = read(write(tmp_path, {**WHOLE, f"{SYN}/net_csynth.xml": csynth_xml()[:100]}))
    assert found.problems == (
        f"{tmp_path}/{SYN}/net_csynth.xml: report must be whole XML, not 100 bytes that end or break off "
        "(unclosed token: line 8, column 8); run the tool again",
    )
    assert [stage.key for stage in found.stages] == ["cosim_verilog", "synth_optimized", "impl", "impl_export"]


def test_hostile_project_file_is_not_obeyed(tmp_path: Path) -> None:
    app = '<!DOCTYPE project [<!ENTITY top SYSTEM "file:///etc/hostname">]><project top="&top;"/>'
    found = read(write(tmp_path, {**WHOLE, "net_prj/hls.app": app}))
    assert found.problems == (
        f"{tmp_path}/net_prj/hls.app: report must have no DOCTYPE, not 'project'; "
        "no tool writes one, so do not trust the file",
    )
    assert found.top == "net"


def test_log_without_a_report_is_quoted(tmp_path: Path) -> None:
    log = "INFO: [HLS 200-10] Running\nERROR: [HLS 207-2988] unknown type name\nINFO: [HLS 200-112] Total\n"
    found = read(write(tmp_path / "failed", {**PROJECT, "vitis_hls.log": log}))
    assert found.problems == (
        f"{tmp_path}/failed/vitis_hls.log: C synthesis must leave a report, not a log alone; "
        "the log says: ERROR: [HLS 207-2988] unknown type name",
    )
    found = read(write(tmp_path / "killed", {**PROJECT, "vivado_hls.log": "INFO: Running\nINFO: Scheduling\n\n"}))
    assert found.problems == (
        f"{tmp_path}/killed/vivado_hls.log: C synthesis must leave a report, not a log alone; "
        "the log says: INFO: Scheduling",
    )


def test_log_beside_a_report_is_no_problem(tmp_path: Path) -> None:
    assert read(write(tmp_path, {**WHOLE, "vitis_hls.log": "ERROR: of an earlier run\n"})).problems == ()


def test_project_without_any_report_is_named(tmp_path: Path) -> None:
    assert read(write(tmp_path, PROJECT)).problems == (
        f"{tmp_path}: project must hold a report, not only sources; run C synthesis first (its build_prj.tcl)",
    )


def test_folder_that_is_no_project_is_refused(tmp_path: Path) -> None:
    message = (
        f"{tmp_path}: folder must be an hls4ml project, not one without project.tcl and reports; "
        "name the project's own folder, or a run that holds hls/"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_project(tmp_path)
    (tmp_path / "file").touch()
    message = f"{tmp_path}/file: project must be a folder, not a file; name an hls4ml project, or a run that holds hls/"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_project(tmp_path / "file")


def test_simulation_that_failed_is_noted(tmp_path: Path) -> None:
    found = read(write(tmp_path / "na", {**WHOLE, f"{SIM}/net_cosim.rpt": cosim_rpt(verilog=NOT_RUN)}))
    assert found.notes == ("co-simulation: status is NA, not Pass; it printed NA for every figure",)
    wrong = cosim_rpt(verilog=("Fail", "12", "13", "15", "4", "4", "5"))
    found = read(write(tmp_path / "fail", {**WHOLE, f"{SIM}/net_cosim.rpt": wrong}))
    assert found.notes == ("co-simulation (verilog): status is Fail, not Pass; its figures are of a wrong result",)


def test_figures_that_do_not_fit_together_are_noted(tmp_path: Path) -> None:
    old = cosim_rpt(verilog=("Pass", "12", "12", "99", "4", "4", "4"), date="Mon Jan  1 08:00:00 CET 2024")
    files = {f"{SIM}/net_cosim.rpt": old, "timing.rpt": timing_rpt(), "vivado_synth.rpt": utilization_rpt(lut=60000)}
    assert read(write(tmp_path, {**WHOLE, **files})).notes == (
        "co-simulation (verilog) of 2024-01-01T08:00:00 is older than the C synthesis of 2024-03-06T13:58:01: "
        "it may be of another design",
        "co-simulation (verilog): the report says 99 cycles of latency, its transactions 15; both are given",
        "logic synthesis: 60000 LUT are more than the part's 53200",
        "place-and-route: the clock is missed by 0.25 ns",
    )


REPORTS = (
    csynth_xml("2024.1", modules=MODULES),
    csynth_rpt(),
    cosim_rpt(),
    utilization_rpt(),
    hierarchy_rpt(),
    timing_rpt(),
    power_rpt(),
)


HOSTILE = {
    "a.rpt": "|" + " " * 200_000 + "\n" + utilization_rpt(),
    "b.rpt": timing_rpt() + "x " * 100_000 + "{" * 100_000 + "1" * 100_000,
    f"{SYN}/net_csynth.xml": "<a>" * 100_000 + "</a>" * 100_000,
    f"{SIM}/net_cosim.rpt": "Simulation tool : " + " ." * 100_000 + "\n" * 100_000 + cosim_rpt(),
    f"{SOLUTION}/sim/verilog/net.performance.result.transaction.xml": "\n" * 100_000 + "transaction 0:" + " " * 100_000,
}


@pytest.mark.timeout(20)
def test_nothing_in_a_report_takes_long(tmp_path: Path) -> None:
    assert read(write(tmp_path, {**PROJECT, **HOSTILE})).problems == (
        f"{tmp_path}/{SYN}/net_csynth.xml: report must hold UserAssignments/TargetClockPeriod, not leave it out; "
        "the file is of another kind",
    )


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    os.mkfifo(write(tmp_path, WHOLE) / "pipe.rpt")
    (tmp_path / "folder.rpt").mkdir()
    assert read(tmp_path).problems == ()


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(REPORTS), st.data())
def test_no_damage_ends_in_anything_but_one_line(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 200)))
    damaged = text[:start] + data.draw(st.text("|+-<>&;0123.x\n\0 ", max_size=8)) + text[stop:]
    readers = (
        lambda: parse_csynth(damaged.encode(), "a"),
        lambda: parse_instances(damaged, "a"),
        lambda: parse_cosim(damaged, "a"),
        lambda: parse_vivado(damaged, "a"),
    )
    for reader in readers:
        try:
            reader()
        except ValueError as error:
            assert re.match(r"^a: .* must .*, not .*; .*$", str(error)), error  # noqa: PT017 - it may also succeed
