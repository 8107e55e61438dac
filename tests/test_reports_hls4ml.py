"""Beside hls4ml's own parser: the same figures where it is right, and the cases where it is wrong."""

import warnings
from pathlib import Path
from typing import Any

import pytest
from vendor_reports import (
    NOT_RUN,
    PROJECT,
    SIM,
    SOLUTION,
    SYN,
    TRANSACTIONS,
    cosim_rpt,
    csynth_xml,
    timing_rpt,
    utilization_rpt,
    write,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the many front ends that hls4ml imports
    from hls4ml.report.vivado_report import parse_vivado_report

from bitwright.reports.folder import read_project
from bitwright.reports.report import figures

FILES = {
    **PROJECT,
    f"{SYN}/net_csynth.xml": csynth_xml("2024.1", time="0.060 us"),
    f"{SIM}/net_cosim.rpt": cosim_rpt(),
    "vivado_synth.rpt": utilization_rpt(version="2024.1", ultrascale=True, tiles="12.5"),
}


def both(folder: Path) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, float]]]:
    """What hls4ml reads, and what we read, by stage."""
    (ours,) = read_project(folder)
    (folder / SOLUTION).mkdir(parents=True, exist_ok=True)
    return parse_vivado_report(str(folder)), {stage.key: figures(stage) for stage in ours.stages}


def test_c_synthesis_is_the_same(tmp_path: Path) -> None:
    theirs, ours = both(write(tmp_path, FILES))
    names = {
        "TargetClockPeriod": "clock_period_target_ns",
        "EstimatedClockPeriod": "clock_period_estimated_ns",
        "BestLatency": "latency_min_cycles",
        "WorstLatency": "latency_max_cycles",
        "IntervalMin": "initiation_interval_min_cycles",
        "IntervalMax": "initiation_interval_max_cycles",
        **{name: name.lower() for name in ("BRAM_18K", "DSP", "FF", "LUT", "URAM")},
        **{f"Available{name}": f"{name.lower()}_available" for name in ("BRAM_18K", "DSP", "FF", "LUT", "URAM")},
    }
    assert theirs["CSynthesisReport"].keys() == names.keys()
    for name, value in theirs["CSynthesisReport"].items():
        assert ours["csynth"][names[name]] == float(value), name


def test_logic_synthesis_is_the_same_but_for_block_ram(tmp_path: Path) -> None:
    theirs, ours = both(write(tmp_path, FILES))
    found, synth = theirs["VivadoSynthReport"], ours["synth"]
    names = {"LUT": "lut", "FF": "ff", "URAM": "uram", "DSP48E": "dsp"}
    assert {name: int(found[name]) for name in names} == {name: synth[ours_name] for name, ours_name in names.items()}
    assert found["BRAM_18K"] == "12.5"  # tiles of 36 kbit under the name of halves
    assert synth["bram_18k"] == 25


def test_co_simulation_is_the_same_where_its_transactions_are_not_counted(tmp_path: Path) -> None:
    theirs, ours = both(write(tmp_path, FILES))
    found, cosim = theirs["CosimReport"], ours["cosim_verilog"]
    assert [found[name] for name in ("LatencyMin", "LatencyMax", "IntervalMin", "IntervalMax")] == [
        "12",
        "15",
        "4",
        "5",
    ]
    assert [cosim["latency_min_cycles"], cosim["latency_max_cycles"]] == [12, 15]
    assert [cosim["initiation_interval_min_cycles"], cosim["initiation_interval_max_cycles"]] == [4, 5]


def test_hls4ml_puts_the_transactions_in_place_of_the_report(tmp_path: Path) -> None:
    counted = {f"{SOLUTION}/sim/verilog/net.performance.result.transaction.xml": TRANSACTIONS}
    report = {f"{SIM}/net_cosim.rpt": cosim_rpt(verilog=("Pass", "99", "99", "99", "4", "4", "5"))}
    theirs, ours = both(write(tmp_path, {**FILES, **counted, **report}))
    assert theirs["CosimReport"]["LatencyMax"] == 15
    assert ours["cosim_verilog"]["latency_max_cycles"] == 99
    assert ours["cosim_verilog"]["transaction_latency_max_cycles"] == 15


def test_hls4ml_fails_on_a_simulation_of_nothing_but_na(tmp_path: Path) -> None:
    folder = write(tmp_path, {**FILES, f"{SIM}/net_cosim.rpt": cosim_rpt(verilog=NOT_RUN)})
    with pytest.raises(KeyError, match=r"^'RTL'$"):
        parse_vivado_report(str(folder))
    (ours,) = read_project(folder)
    assert [(stage.key, figures(stage)) for stage in ours.stages if stage.key == "cosim"] == [("cosim", {})]


def test_hls4ml_leaves_out_the_time_that_is_in_us_and_the_pipeline(tmp_path: Path) -> None:
    theirs, ours = both(write(tmp_path, FILES))
    assert "0.060 us" not in theirs["CSynthesisReport"].values()
    assert "dataflow" not in theirs["CSynthesisReport"].values()
    assert ours["csynth"]["latency_max_ns"] == 60.0


def test_hls4ml_reads_nothing_without_the_projects_script(tmp_path: Path) -> None:
    files = {name: text for name, text in FILES.items() if name != "project.tcl"}
    assert parse_vivado_report(str(write(tmp_path, files))) is None
    (ours,) = read_project(tmp_path)
    assert [stage.key for stage in ours.stages] == ["csynth", "cosim_verilog", "synth"]


def test_hls4ml_leaves_out_place_and_route(tmp_path: Path) -> None:
    routed = {"routed.rpt": utilization_rpt("Routed", "2021.2"), "timing.rpt": timing_rpt()}
    theirs, ours = both(write(tmp_path, {**FILES, **routed}))
    assert theirs.keys() == {"CSynthesisReport", "VivadoSynthReport", "CosimReport"}
    assert ours["impl"]["setup_slack_worst_ns"] == -0.25
