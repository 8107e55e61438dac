"""Co-simulation: what ran has figures, and what did not has none."""

import re

import pytest
from vendor_reports import NOT_RUN, TRANSACTIONS, cosim_rpt

from bitwright.reports.cosim import parse_cosim, parse_transactions
from bitwright.reports.report import Performance, Simulation, StageReport, Tool


def test_language_that_ran_has_its_figures() -> None:
    (found,) = parse_cosim(cosim_rpt(), "net_cosim.rpt", 5.0, "2020.1")
    assert (found.key, found.words, found.date) == ("cosim_verilog", {"status": "Pass"}, "2024-03-07T08:00:00")
    assert found.tool == Tool("xsim", "2020.1", inferred=True)
    assert found.performance == Performance(12, 13, 15, 60.0, 65.0, 75.0, 4, 4, 5)
    assert found.simulation is None


def test_interval_of_one_input_is_not_stated() -> None:
    (found,) = parse_cosim(cosim_rpt(verilog=("Pass", "12", "12", "12", "NA", "NA", "NA")), "net_cosim.rpt")
    assert found.performance == Performance(12, 12, 12)
    assert found.tool == Tool("xsim", None)


def test_newer_version_counts_the_whole_run() -> None:
    (found,) = parse_cosim(cosim_rpt(total="120"), "net_cosim.rpt")
    assert found.simulation == Simulation(total_execution_cycles=120)


def test_both_languages_have_columns_of_their_own() -> None:
    row = ("Pass", "12", "12", "12", "4", "4", "4")
    assert [found.key for found in parse_cosim(cosim_rpt(row, row), "net_cosim.rpt")] == ["cosim_vhdl", "cosim_verilog"]


def test_simulation_that_failed_has_its_status_alone() -> None:
    (found,) = parse_cosim(cosim_rpt(verilog=NOT_RUN), "net_cosim.rpt", 5.0)
    assert (found.key, found.words, found.performance) == ("cosim", {"status": "NA"}, None)
    (found,) = parse_cosim(cosim_rpt(verilog=("Fail", *NOT_RUN[1:])), "net_cosim.rpt", 5.0)
    assert (found.key, found.words, found.performance) == ("cosim_verilog", {"status": "Fail"}, None)
    assert isinstance(found, StageReport)


def test_report_without_a_language_is_refused() -> None:
    message = "net_cosim.rpt: report must hold a row of VHDL or Verilog, not leave it out; it is cut off"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_cosim(cosim_rpt()[:150], "net_cosim.rpt")


def test_latency_that_is_no_number_is_refused() -> None:
    message = "net_cosim.rpt: Verilog must be a number, not 'soon'; the report is damaged or of another kind"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_cosim(cosim_rpt(verilog=("Pass", "soon", "12", "12", "4", "4", "4")), "net_cosim.rpt")


def test_transactions_are_counted() -> None:
    assert parse_transactions(TRANSACTIONS, "net.xml") == Simulation(3, 12, 15)
    assert parse_transactions("", "net.xml") is None
