"""Place and route on an ECP5: a module whose registers are known by hand, inside its harness."""

import json
import re
from pathlib import Path

import pytest

from bitwright.synth import ecp5
from bitwright.synth.ecp5 import place_and_route, read_place_and_route, refuse_too_large

DESIGN = """
module network_wrapper (input clk, input [299:0] model_inp, output reg [3:0] model_out);
    always @(posedge clk) model_out <= {^model_inp[299:200], ^model_inp[199:100], ^model_inp[99:0], &model_inp[3:0]};
endmodule
"""


def test_design_with_more_wires_than_pins_is_placed_and_routed(tmp_path: Path) -> None:
    (tmp_path / "design.v").write_text(DESIGN)
    folder = tmp_path / "synth" / "ecp5-25k"
    found, new = place_and_route([tmp_path / "design.v"], "network_wrapper", (300, 4), folder, "25k")
    assert new
    assert (found.harness_ff, found.ff, found.ff_available, found.lut4_available) == (304, 304 + 4, 24_288, 24_288)
    assert (found.bram_18k, found.dsp, found.device, found.seed) == (0, 0, "LFE5U-25F", 1)
    assert found.clock_mhz is not None
    assert json.loads((folder / "nextpnr.json").read_text())["stage"] == "place-and-route (nextpnr-ecp5)"
    names = ["harness.v", "nextpnr.json", "nextpnr.log", "synth.ys", "yosys.log"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert read_place_and_route(folder) == found
    assert place_and_route([tmp_path / "design.v"], "network_wrapper", (300, 4), folder, "25k") == (found, False)
    said = re.findall(r"Max frequency for clock '.*': ([\d.]+) MHz", (folder / "nextpnr.log").read_text())
    assert found.clock_mhz == round(float(said[-1]), 1)


def test_netlist_with_more_cells_than_the_device_is_refused_before_it_is_placed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "design.v").write_text(DESIGN)
    monkeypatch.setattr(ecp5, "CELLS", {"25k": 50, "45k": 70, "85k": 10_000})
    message = r"^ecp5: LUT4 of the netlist must be at most the 50 of a 25k, not \d+; take --ecp5-device 85k$"
    with pytest.raises(ValueError, match=message):
        place_and_route([tmp_path / "design.v"], "network_wrapper", (300, 4), tmp_path / "synth", "25k")
    assert not (tmp_path / "synth").exists()


def test_device_that_no_netlist_fits_is_said() -> None:
    message = (
        r"^ecp5: flip-flops of the netlist must be at most the 83,640 of a 85k, not 90,000; "
        r"no ECP5 is larger: leave --place-and-route out$"
    )
    with pytest.raises(ValueError, match=message):
        refuse_too_large("85k", ff=90_000)
