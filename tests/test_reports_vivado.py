"""Reports of Vivado: each figure has the stage of its netlist, and block RAM counts halves."""

import re

import pytest
from vendor_reports import export_xml, hierarchy_rpt, power_rpt, timing_rpt, utilization_rpt, vivado_head

from bitwright.reports.export import parse_export
from bitwright.reports.report import Clock, Layer, Power, Resources, Stage, StageReport, Timing, Tool
from bitwright.reports.vivado import parse_vivado


def parsed(text: str) -> StageReport:
    found = parse_vivado(text, "a.rpt")
    assert found is not None
    return found


def refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_vivado(text, "a.rpt")


@pytest.mark.parametrize("version", ["2019.2", "2020.1", "2022.2", "2024.1"])
def test_cells_of_a_slice_device(version: str) -> None:
    found = parsed(utilization_rpt(version=version))
    assert (found.tool, found.part, found.date) == (Tool("Vivado", version), "7z020clg400-1", "2024-03-08T07:48:36")
    assert found.used == Resources(lut=1526, ff=2428, dsp=66, bram_18k=3, uram=None)
    assert found.available == Resources(lut=53200, ff=106400, dsp=220, bram_18k=280, uram=None)


def test_cells_of_an_ultrascale_device() -> None:
    found = parsed(utilization_rpt(version="2024.1", ultrascale=True, tiles="12"))
    assert found.used == Resources(lut=1526, ff=2428, dsp=66, bram_18k=24, uram=2)
    assert found.available == Resources(lut=53200, ff=106400, dsp=220, bram_18k=280, uram=96)


@pytest.mark.parametrize(("tiles", "halves"), [("0", 0), ("0.5", 1), ("1", 2), ("12.5", 25), ("140", 280)])
def test_tile_of_block_ram_is_two_halves(tiles: str, halves: int) -> None:
    used = parsed(utilization_rpt(tiles=tiles)).used
    assert used is not None
    assert used.bram_18k == halves


@pytest.mark.parametrize(
    ("state", "key"),
    [
        ("Synthesized", "synth"),
        ("Optimized", "synth_optimized"),
        ("Fully Placed", "impl_placed"),
        ("Placed", "impl_placed"),
        ("Physopt postPlace", "impl_placed"),
        ("Routed", "impl"),
        ("Fully Routed", "impl"),
        ("Physopt postRoute", "impl"),
    ],
)
def test_stage_is_the_netlists_state(state: str, key: str) -> None:
    assert parsed(utilization_rpt(state)).key == key
    assert parsed(power_rpt(state.lower())).key == key
    assert parsed(timing_rpt(state)).key == key


def test_state_that_is_unknown_is_refused() -> None:
    refused(
        utilization_rpt("Imagined"),
        "a.rpt: Design State must be Synthesized, Optimized, Placed or Routed, not 'Imagined'; "
        "without it the stage of its figures is not known",
    )


@pytest.mark.parametrize(("nets", "key"), [("routed", "impl"), ("estimated", "impl_placed"), ("unplaced", "synth")])
def test_state_that_the_head_leaves_out_is_told_by_the_nets(nets: str, key: str) -> None:
    assert parsed(timing_rpt(None, nets=nets)).key == key


def test_slack_and_the_period_that_would_be_met() -> None:
    found = parsed(timing_rpt())
    assert found.timing == Timing(-0.25, -1.5, 0.042, 0.0, 2.225, 0.0)
    assert found.clock == Clock(5.0, clock_period_achieved_ns=5.25)


def test_slack_without_a_constraint_is_left_out() -> None:
    found = parsed(timing_rpt(worst="    NA"))
    assert found.timing == Timing(None, -1.5, 0.042, 0.0, 2.225, 0.0)
    assert found.clock == Clock(5.0)


def test_cells_of_single_layers() -> None:
    found = parsed(hierarchy_rpt())
    assert (found.key, found.used) == ("impl", Resources(lut=1400, ff=2400, dsp=66, bram_18k=3, uram=0))
    assert found.layers == (
        Layer("fc1_U0", "fc1", used=Resources(lut=1200, ff=2300, dsp=66, bram_18k=3, uram=0)),
        Layer("act1_U0", "act1", used=Resources(lut=200, ff=96, dsp=0, bram_18k=0, uram=0)),
    )


def test_power_of_the_design_and_of_single_layers() -> None:
    found = parsed(power_rpt())
    assert found.power == Power(1.25, 0.25, 1.0, 26.9)
    assert found.words == {"design": "net", "power_confidence": "Low"}
    assert found.layers == (
        Layer("fc1_U0", power=Power(power_dynamic_w=0.2)),
        Layer("act1_U0", power=Power()),  # less than the least that is shown
    )


@pytest.mark.parametrize("text", ["", "no report", vivado_head("report_clock_utilization -file a.rpt")])
def test_other_text_has_no_figures(text: str) -> None:
    assert parse_vivado(text, "a.rpt") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            vivado_head("report_utilization -file a.rpt"),
            "a.rpt: report must hold a row 'CLB LUTs' or 'Slice LUTs', not leave it out; "
            "it is cut off or of an unknown device",
        ),
        (
            vivado_head("report_utilization -hierarchical -file a.rpt"),
            "a.rpt: report must hold a row of the module '(top)', not leave it out; it is cut off",
        ),
        (
            vivado_head("report_timing_summary -file a.rpt"),
            "a.rpt: report must hold a Design Timing Summary, not leave it out; it is cut off",
        ),
        (
            vivado_head("report_power -file a.rpt"),
            "a.rpt: report must hold 'Total On-Chip Power (W)', not leave it out; it is cut off",
        ),
        (
            utilization_rpt(tiles="0.3"),
            "a.rpt: bram_18k: Used must be a whole number, not 0.6; the report is damaged or of another kind",
        ),
        (
            power_rpt().replace("1.250", "some"),
            "a.rpt: Total On-Chip Power (W) must be a number, not 'some'; the report is damaged or of another kind",
        ),
    ],
)
def test_report_that_is_damaged_is_refused(text: str, message: str) -> None:
    refused(text, message)


@pytest.mark.parametrize(
    ("name", "run", "key", "version"),
    [
        ("export_impl", "impl", "impl_export", "2022.2"),
        ("export_syn", "synth", "synth_export", "2022.2"),
        ("export_syn", None, "synth_export", None),
        ("export_impl", None, "impl_export", None),
    ],
)
def test_what_hls_had_vivado_do_is_apart(name: str, run: str | None, key: str, version: str | None) -> None:
    found = parse_export(export_xml(run).encode(), "a.xml", name)
    assert (found.key, found.tool) == (key, Tool("Vivado", version))
    assert found.used == Resources(lut=1900, ff=650, dsp=12, bram_18k=2, uram=0)
    assert found.clock == Clock(5.0, clock_period_achieved_ns=4.25)
    assert found.stage in (Stage.SYNTH, Stage.IMPL)


def test_export_that_tells_no_run_is_refused() -> None:
    message = "a.xml: RUN_TYPE must be synth or impl, not ''; without it the stage of its figures is not known"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_export(export_xml(None).encode(), "a.xml", "net_export")
