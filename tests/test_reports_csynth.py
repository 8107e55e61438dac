"""C synthesis: units, pipelines and names of every version come to the same figures."""

import re

import pytest
from vendor_reports import MODULES, USED, VITIS_HLS, VIVADO_HLS, csynth_rpt, csynth_xml

from bitwright.reports.csynth import parse_csynth, pipeline_type, top_of
from bitwright.reports.instances import parse_instances
from bitwright.reports.report import Clock, Layer, Performance, Resources, Tool


def refused(text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_csynth(text.encode() if isinstance(text, str) else text, "net_csynth.xml")


@pytest.mark.parametrize(
    ("version", "tool"),
    [
        ("2019.2", "Vivado HLS"),
        ("2020.1", "Vivado HLS"),
        ("2021.2", "Vitis HLS"),
        ("2023.2", "Vitis HLS"),
        ("2024.1", "Vitis HLS"),
    ],
)
def test_every_version_gives_every_figure(version: str, tool: str) -> None:
    found = parse_csynth(csynth_xml(version).encode(), "net_csynth.xml")
    assert found.tool == Tool(tool, version)
    assert (found.key, found.part) == ("csynth", "xc7z020-clg400-1")
    assert found.performance == Performance(12, 12, 12, 60.0, 60.0, 60.0, 4, None, 4)
    assert found.clock == Clock(5.0, 0.62, 4.321)
    assert found.used == Resources(lut=2100, ff=700, dsp=12, bram_18k=3, uram=0)
    assert found.available == Resources(lut=53200, ff=106400, dsp=220, bram_18k=280, uram=0)


@pytest.mark.parametrize(
    ("text", "ns"),
    [("60.000 ns", 60.0), ("1.975 us", 1975.0), ("32.185 us", 32185.0), ("0.123 ms", 123000.0), ("1.5 sec", 1.5e9)],
)
def test_latency_is_in_ns_whatever_its_unit(text: str, ns: float) -> None:
    found = parse_csynth(csynth_xml(time=text).encode(), "net_csynth.xml")
    assert found.performance is not None
    assert found.performance.latency_max_ns == ns


def test_version_that_states_no_time_has_it_from_the_cycles() -> None:
    found = parse_csynth(csynth_xml("2018.2", time=None).encode(), "net_csynth.xml")
    assert found.performance is not None
    assert found.performance.latency_max_ns == 60.0


@pytest.mark.parametrize("word", ["undef", "?", "-"])
def test_latency_that_depends_on_data_is_left_out(word: str) -> None:
    found = parse_csynth(csynth_xml(latency=word, time=word, interval=word).encode(), "net_csynth.xml")
    assert found.performance == Performance()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("dataflow", "dataflow"),
        ("yes", "function"),
        ("function", "function"),
        ("none", "none"),
        ("no", "none"),
        ("loop auto-rewind stp(delay=0 clock cycles(s))", "loop"),
        ("of tomorrow", "of tomorrow"),
    ],
)
def test_pipeline_has_one_word_in_every_version(text: str, word: str) -> None:
    assert pipeline_type(text) == word
    assert parse_csynth(csynth_xml(pipeline=text).encode(), "net_csynth.xml").words == {"pipeline_type": word}


@pytest.mark.parametrize("unit", ["ns", "us"])
@pytest.mark.parametrize("words", [VIVADO_HLS, VITIS_HLS], ids=["vivado", "vitis"])
def test_layers_are_those_of_the_tables(words: dict[str, str], unit: str) -> None:
    assert parse_instances(csynth_rpt(words, unit=unit), "net_csynth.rpt") == (
        Layer(
            "fc1_U0",
            "fc1",
            Performance(9, None, 9, 45.0, None, 45.0, 4, None, 4),
            used=Resources(lut=1800, ff=600, dsp=12, bram_18k=3, uram=None),
            words={"pipeline_type": "function"},
        ),
        Layer(
            "act1_U0",
            "act1",
            Performance(3, None, 3, 15.0, None, 15.0, 3, None, 3),
            used=Resources(lut=256, ff=84, dsp=0, bram_18k=0, uram=0),
            words={"pipeline_type": "none"},
        ),
    )


def test_layers_of_a_version_without_times_have_them_from_the_cycles() -> None:
    report = "| Instance | Module | min | max | min | max | Type |\n|fc1_U0|fc1| 9| 9| 4| 4| none |\n"
    (layer,) = parse_instances(report, "net_csynth.rpt", 5.0)
    assert layer.performance == Performance(9, None, 9, 45.0, None, 45.0, 4, None, 4)


def test_layers_of_the_whole_designs_report_are_the_tops_own() -> None:
    found = parse_csynth(csynth_xml("2024.1", modules=MODULES).encode(), "csynth.xml")
    assert found.layers == (
        Layer(
            "fc1_U0",
            "fc1",
            Performance(9, None, 9, 45.0, None, 45.0, 4, None, 4),
            Clock(clock_period_estimated_ns=3.25),
            Resources(lut=1800, ff=600, dsp=12, bram_18k=3, uram=0),
            words={"pipeline_type": "loop"},
        ),
    )
    assert top_of(csynth_xml().encode(), "csynth.xml") == "net"


def test_report_that_is_cut_off_is_refused() -> None:
    text = csynth_xml()[:400]
    refused(
        text,
        f"net_csynth.xml: report must be whole XML, not {len(text)} bytes that end or break off "
        "(unclosed token: line 19, column 0); run the tool again",
    )


def test_report_that_is_a_jpeg_is_refused() -> None:
    refused(
        b"\xff\xd8\xff\xe0",
        "net_csynth.xml: report must be whole XML, not 4 bytes that end or break off "
        "(not well-formed (invalid token): line 1, column 0); run the tool again",
    )


def test_report_of_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^net_csynth\.xml: report must be whole XML, not \d+ bytes .*; run the tool"):
        parse_csynth(b'<?xml version="1.0" encoding="of-mars"?><profile/>', "net_csynth.xml")


LAUGHS = '<!DOCTYPE profile [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><profile>&b;</profile>'
OUTSIDE = '<!DOCTYPE profile [<!ENTITY a SYSTEM "file:///etc/hostname">]><profile>&a;</profile>'
REMOTE = '<!DOCTYPE profile SYSTEM "http://localhost/profile.dtd"><profile/>'


@pytest.mark.parametrize("text", [LAUGHS, OUTSIDE, REMOTE])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_report_with_a_document_type_is_refused(text: str, encoding: str) -> None:
    refused(
        text.encode(encoding),
        "net_csynth.xml: report must have no DOCTYPE, not 'profile'; no tool writes one, so do not trust the file",
    )


def test_other_xml_is_refused() -> None:
    refused(
        "<project/>",
        "net_csynth.xml: report must hold UserAssignments/TargetClockPeriod, not leave it out; "
        "the file is of another kind",
    )
    refused(
        csynth_xml().replace("Resources>", "Cells>"),
        "net_csynth.xml: report must hold AreaEstimates/Resources, not leave it out; the file is of another kind",
    )


@pytest.mark.parametrize("value", ["many", "1e99999999", "NaN", "0x10", "9" * 30])
def test_figure_that_is_no_number_is_refused(value: str) -> None:
    refused(
        csynth_xml(used={**USED, "LUT": value}),
        f"net_csynth.xml: LUT must be a number, not {value!r}; the report is damaged or of another kind",
    )


def test_part_of_a_cell_is_refused() -> None:
    refused(
        csynth_xml(used={**USED, "LUT": "1.5"}),
        "net_csynth.xml: LUT must be a whole number, not 1.5; the report is damaged or of another kind",
    )


def test_latency_of_an_unknown_unit_is_refused() -> None:
    refused(
        csynth_xml(time="3 weeks"),
        "net_csynth.xml: Best-caseRealTimeLatency must end in a unit of ps, ns, us, ms, s, sec, not 'weeks'; "
        "the report is of an unknown version",
    )


def test_row_of_layers_that_is_cut_off_is_refused() -> None:
    message = "net_csynth.rpt: fc1_U0 must be a row of 9 cells, or of 7 before 2019, not 4; the report is damaged"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_instances("| Instance | Module | min | Type |\n|fc1_U0|fc1| 9|none|\n", "net_csynth.rpt")
    message = "net_csynth.rpt: fc1_U0 must be a row of 4 cells, not 3; the report is damaged"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_instances("| Instance | Module | FF | LUT |\n|fc1_U0|fc1| 9|\n", "net_csynth.rpt")
