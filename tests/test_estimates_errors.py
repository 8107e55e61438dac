"""The errors that are printed are those that were measured."""

from bitwright.estimates.errors import WHOLE, hls_ratios, measured, spreads
from bitwright.estimates.reported import PROJECTS


def test_stored_errors_are_those_of_the_present_estimate() -> None:
    assert measured().hls == hls_ratios(), "run `make bench-estimate`"


def test_stored_errors_know_alkaid_and_yosys() -> None:
    tools = {one.tool.split()[0] for one in measured().unrolled}
    assert tools == {"alkaid", "Yosys"}


def test_every_figure_of_every_report_is_compared() -> None:
    places = {(one.design, one.layer) for one in hls_ratios()}
    assert places == {(project.name, name) for project in PROJECTS for name in (*project.reported, WHOLE)}
    assert len(hls_ratios()) == 6 * len(places)


def test_estimates_are_within_a_factor_of_two_of_the_reports() -> None:
    for one in spreads(hls_ratios()):
        assert 0.5 < one.lowest <= one.highest < 2, one


def test_products_that_take_a_dsp_are_those_of_the_report_whose_weights_are_known() -> None:
    found = {(one.layer, one.figure): one for one in hls_ratios() if one.tool == "Vitis HLS 2024.1"}
    assert found["dense", "dsp"].estimated == found["dense", "dsp"].found == 91
