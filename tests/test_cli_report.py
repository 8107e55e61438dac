"""The command `report`: every form says the same figures, and bad input ends in one line."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from road import Bitwright
from vendor_reports import PROJECT, SIM, SYN, cosim_rpt, csynth_rpt, csynth_xml, power_rpt, utilization_rpt, write

FILES = {
    **PROJECT,
    f"{SYN}/net_csynth.xml": csynth_xml("2024.1"),
    f"{SYN}/net_csynth.rpt": csynth_rpt(),
    f"{SIM}/net_cosim.rpt": cosim_rpt(),
    "vivado_synth.rpt": utilization_rpt("Synthesized", "2024.1"),
    "vivado_power.rpt": power_rpt(),
}
CSYNTH = {
    "latency_min_cycles": 12,
    "latency_avg_cycles": 12,
    "latency_max_cycles": 12,
    "latency_min_ns": 60.0,
    "latency_avg_ns": 60.0,
    "latency_max_ns": 60.0,
    "initiation_interval_min_cycles": 4,
    "initiation_interval_max_cycles": 4,
    "clock_period_target_ns": 5.0,
    "clock_uncertainty_ns": 0.62,
    "clock_period_estimated_ns": 4.321,
    "lut": 2100,
    "ff": 700,
    "dsp": 12,
    "bram_18k": 3,
    "uram": 0,
    "lut_available": 53200,
    "lut_utilization_percent": 3.947,
    "ff_available": 106400,
    "ff_utilization_percent": 0.658,
    "dsp_available": 220,
    "dsp_utilization_percent": 5.455,
    "bram_18k_available": 280,
    "bram_18k_utilization_percent": 1.071,
    "uram_available": 0,
}
UNITS = ("_cycles", "_ns", "_w", "_percent", "_available", "_count", "_c", "lut", "ff", "dsp", "bram_18k", "uram")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write(tmp_path / "net", FILES)


def test_json_is_alone_on_standard_output(project: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("report", project, "--format", "json")
    assert (outcome.status, outcome.err) == (0, "")
    (found,) = json.loads(outcome.out)["projects"]
    assert [found[name] for name in ("path", "top", "part")] == [str(project), "net", "xc7z020-clg400-1"]
    stages = {stage["stage"]: stage for stage in found["stages"]}
    assert list(stages) == ["csynth", "cosim_verilog", "synth", "impl"]
    assert stages["csynth"]["figures"] == CSYNTH
    assert stages["csynth"]["layers"][1] == {
        "name": "act1_U0",
        "module": "act1",
        "figures": {
            "latency_min_cycles": 3,
            "latency_max_cycles": 3,
            "latency_min_ns": 15.0,
            "latency_max_ns": 15.0,
            "initiation_interval_min_cycles": 3,
            "initiation_interval_max_cycles": 3,
            "lut": 256,
            "ff": 84,
            "dsp": 0,
            "bram_18k": 0,
            "uram": 0,
        },
        "words": {"pipeline_type": "none"},
    }


def test_every_figure_is_a_number_with_its_unit_stage_and_version(project: Path, bitwright: Bitwright) -> None:
    (found,) = json.loads(bitwright("report", project, "--format", "json").out)["projects"]
    for stage in found["stages"]:
        assert re.fullmatch(r"\d{4}\.\d", stage["tool_version"])
        assert stage["tool"]
        assert stage["sources"]
        for part in (stage, *stage["layers"]):
            assert all(type(value) in (int, float) and name.endswith(UNITS) for name, value in part["figures"].items())


def test_csv_keeps_stages_apart(project: Path, bitwright: Bitwright) -> None:
    rows = list(csv.DictReader(io.StringIO(bitwright("report", project, "--format", "csv").out)))
    assert [row["layer"] for row in rows] == ["", "fc1_U0", "act1_U0"]
    design, fc1, _ = rows
    assert {name: design[f"csynth_{name}"] for name in CSYNTH} == {name: str(value) for name, value in CSYNTH.items()}
    assert [design[f"{stage}_lut"] for stage in ("csynth", "synth")] == ["2100", "1526"]
    assert [design[f"{stage}_tool_version"] for stage in ("csynth", "synth", "impl")] == ["2024.1", "2024.1", "2020.1"]
    assert (design["cosim_verilog_tool"], design["cosim_verilog_tool_version_inferred"]) == ("xsim", "yes")
    assert [fc1["csynth_lut"], fc1["synth_lut"], fc1["impl_power_dynamic_w"]] == ["1800", "", "0.2"]


def test_markdown_has_a_column_for_each_stage(project: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("report", project, "--format", "md")
    assert "| figure | C synthesis | co-simulation (verilog) | logic synthesis | place-and-route |\n" in outcome.out
    assert "| tool | Vitis HLS 2024.1 | xsim, in a project of 2024.1 | Vivado 2024.1 | Vivado 2020.1 |\n" in outcome.out
    assert "| latency (cycles) | 12 | 12 .. 15 |  |  |\n" in outcome.out
    assert "| latency (ns) | 60 | 60 .. 75 |  |  |\n" in outcome.out
    assert "| LUT | 2,100 of 53,200 (3.95 %) |  | 1,526 of 53,200 (2.87 %) |  |\n" in outcome.out
    assert "| BRAM (18 kbit) | 3 of 280 (1.07 %) |  | 3 of 280 (1.07 %) |  |\n" in outcome.out
    assert "| power, total (W) |  |  |  | 1.25 |\n" in outcome.out
    assert "### Layers: C synthesis, Vitis HLS 2024.1\n" in outcome.out
    assert "| fc1\\_U0 | function | 9 | 45 | 4 | 1,800 | 600 | 12 | 3 |  |\n" in outcome.out


class Cells(HTMLParser):
    """The rows of a page's tables, and what a page of its own must not have."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open = False
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: D102 - HTMLParser tells
        self.open = tag in ("td", "th")
        if tag == "tr":
            self.rows.append([])
        if self.open:
            self.rows[-1].append("")
        if tag in ("script", "img", "link", "a", "iframe") or any(name in ("src", "href") for name, _ in attrs):
            self.foreign.append(tag)

    def handle_endtag(self, tag: str) -> None:  # noqa: D102 - HTMLParser tells
        self.open = self.open and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:  # noqa: D102 - HTMLParser tells
        if self.open:
            self.rows[-1][-1] += data


def test_html_says_what_markdown_says_and_needs_nothing_else(project: Path, bitwright: Bitwright) -> None:
    page = Cells()
    page.feed(bitwright("report", project, "--format", "html").out)
    lines = bitwright("report", project, "--format", "md").out.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if re.match(r"\| [^:]", line)]
    assert page.rows == [[cell.replace("\\", "") for cell in row] for row in rows]
    assert page.foreign == []


def test_table_shows_the_figures_whole_where_it_is_narrow(
    project: Path, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bitwright.cli.console.out._width", 40)
    outcome = bitwright("report", project)
    assert (outcome.status, outcome.err) == (0, "")
    assert re.search(r"│ 2,100 of 53,200 \(3\.95 %\) │ +│ +1,526 of 53,200 \(2\.87 %\) │", outcome.out)
    assert "12 .. 15" in outcome.out


def test_projects_are_compared_stage_by_stage(project: Path, tmp_path: Path, bitwright: Bitwright) -> None:
    other = write(tmp_path / "other", {**FILES, f"{SYN}/net_csynth.xml": csynth_xml("2019.2", latency="99")})
    out = bitwright("report", project, other, "--format", "md").out
    comparison = out[: out.index(f"## {project}".replace("_", r"\_"))]
    assert re.findall(r"^### (.*)$", comparison, re.MULTILINE) == [
        "C synthesis",
        r"co-simulation (verilog)",
        "logic synthesis",
        "place-and-route",
    ]
    assert (
        "| net | Vitis HLS 2024.1 | dataflow | 12 | 60 | 4 | 5 | 4.321 "
        "| 2,100 (3.95 %) | 700 (0.66 %) | 12 (5.45 %) | 3 (1.07 %) | 0 of 0 |\n"
        "| other | Vivado HLS 2019.2 | dataflow | 99 | 60 | 4 | 5 | 4.321 "
        "| 2,100 (3.95 %) | 700 (0.66 %) | 12 (5.45 %) | 3 (1.07 %) | 0 of 0 |\n"
    ) in comparison


def test_same_project_twice_is_shown_once(project: Path, bitwright: Bitwright) -> None:
    assert len(json.loads(bitwright("report", project, project, "--format", "json").out)["projects"]) == 1


NAME = "<b onmouseover=x>fc1|[red]_`\x1b[2J"


@pytest.mark.parametrize("form", ["table", "csv", "md", "html"])
def test_names_of_others_are_text(form: str, tmp_path: Path, bitwright: Bitwright) -> None:
    power = power_rpt().replace("fc1_U0", NAME.replace("|", ""))
    status = cosim_rpt(verilog=("<i>Pass", "12", "12", "12", "4", "4", "4"))
    out = bitwright(
        "report", write(tmp_path, {**PROJECT, "p.rpt": power, f"{SIM}/net_cosim.rpt": status}), "--format", form
    )
    assert out.status == 0
    assert "\x1b[2J" not in out.out
    assert "[red]" in out.out.replace("\\", "")
    assert bool(re.search(r"(?<!\\)<b onmouseover", out.out)) == (form in ("table", "csv"))
    assert bool(re.search(r"(?<!\\)<i>Pass", out.out)) == (form in ("table", "csv"))


def test_damaged_report_is_one_line_and_the_rest_is_shown(project: Path, bitwright: Bitwright) -> None:
    write(project, {f"{SYN}/net_csynth.xml": "<!DOCTYPE p [<!ENTITY a 'ha'>]><p>&a;</p>"})
    outcome = bitwright("report", project, "--format", "json")
    line = (
        f"{project}/{SYN}/net_csynth.xml: report must have no DOCTYPE, not 'p'; "
        "no tool writes one, so do not trust the file"
    )
    assert (outcome.status, outcome.err) == (1, f"{line}\n")
    (found,) = json.loads(outcome.out)["projects"]
    assert found["problems"] == [line]
    assert [stage["stage"] for stage in found["stages"]] == ["cosim_verilog", "synth", "impl"]


@pytest.mark.parametrize("form", ["table", "csv", "md", "json", "html"])
def test_project_without_a_report_is_one_line(form: str, tmp_path: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("report", write(tmp_path, PROJECT), "--format", form)
    line = f"{tmp_path}: project must hold a report, not only sources; run C synthesis first (its build_prj.tcl)\n"
    assert (outcome.status, outcome.err) == (1, line)


def test_path_that_is_no_project_is_refused_before_anything_is_shown(
    project: Path, tmp_path: Path, bitwright: Bitwright
) -> None:
    outcome = bitwright("report", project, tmp_path / "none")
    line = f"{tmp_path}/none: project must be a folder, not missing; name an hls4ml project, or a run that holds hls/\n"
    assert (outcome.status, outcome.out, outcome.err) == (2, "", line)


def test_form_that_is_unknown_is_refused(project: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("report", project, "--format", "pdf")
    says = "--format must be one of table, csv, md, json, html, not 'pdf'; see `bitwright report --help`"
    assert (outcome.status, outcome.out, outcome.err) == (2, "", f"bitwright report: {says}\n")
