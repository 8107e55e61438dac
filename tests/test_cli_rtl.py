"""The command `rtl`: from a lowered network to the level `rtl` of its verdict."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from networks import graph
from road import Bitwright

from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_export import run_level, save_array, write_lowered
from bitwright.cli.stage_hls import judge
from bitwright.cli.stage_rtl import refuse_large
from bitwright.export.interface import input_codes
from bitwright.export.lower import lower
from bitwright.export.operations import Dense, Input
from bitwright.export.program import Program
from bitwright.export.qonnx_file import save
from bitwright.quant.fixed_point import FixedPoint
from bitwright.rtl.folded_size import folded_lut_estimates

BODY = (
    "[in] q = Quant (x, half, zero, four) [w] v = Quant (w, half, zero, three) [fc] m = MatMul (q, v) "
    "[act] a = BipolarQuant (m, one) [w2] u = BipolarQuant (k, one) [out] y = MatMul (a, u)"
)
WEIGHTS = np.random.default_rng(5).normal(0, 2, (6, 9)).astype(np.float32)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A lowered network with its test inputs and the outputs of the program."""
    model = graph(BODY, (1, 6), (1, 3), w=WEIGHTS, k=WEIGHTS[:3].T - 0.1)
    network = lower(model, "model.onnx")
    folder = RunFolder(tmp_path / "net")
    folder.create()
    save(model, folder.qonnx)
    write_lowered(network, folder)
    codes = input_codes(network, np.random.default_rng(6).uniform(-5, 5, (120, 6)).astype(np.float32))
    save_array(folder.inputs, codes.astype(np.int32))
    run_level(folder, "program", folder.lowered, lambda _: network.program(codes))
    return folder


def test_design_is_simulated_and_joins_the_verdict(run: RunFolder, bitwright: Bitwright) -> None:
    outcome = bitwright("rtl", run.path)
    assert outcome.status == 0, outcome.err
    levels = json.loads(run.verification.read_text())["levels"]
    assert {name: (level["compared"], level["different"]) for name, level in levels.items()} == {
        "program": (360, 0),
        "rtl": (360, 0),
    }
    assert (np.load(run.output("rtl")) == np.load(run.output("program"))).all()
    design = json.loads((run.rtl / "design.json").read_text())
    assert (design["input"]["values"], design["input"]["width"], design["output"]["values"]) == (6, 4, 3)
    assert design["latency_cycles"] == len(re.findall("<=", (run.rtl / "src" / "network.v").read_text()))

    again = bitwright("rtl", run.path)
    assert again.status == 0
    said = f"rtl: {run.rtl} is up to date\nrtl: {run.output('rtl')} is up to date\n"
    assert again.err.startswith(said)

    (run.rtl / "design.json").write_text('{"language": "veri')
    assert bitwright("rtl", run.path).status == 0
    assert json.loads((run.rtl / "design.json").read_text()) == design

    # Whatever lies there is what is simulated
    wrapper = run.rtl / "src" / "network_wrapper.v"
    inverted = re.sub(r"(assign model_out\[.*?\] = )", r"\1~", wrapper.read_text(), count=1)
    wrapper.write_text(inverted)
    changed = bitwright("rtl", run.path)
    assert changed.status == 1
    assert json.loads(run.verification.read_text())["levels"]["rtl"]["different"] > 0

    # And nobody's change is lost
    assert bitwright("rtl", run.path, "--latency-cutoff", "3").status == 0
    assert (run.path / "rtl.edited.2" / "src" / "network_wrapper.v").read_text() == inverted


def test_logic_used_clock_after_clock_joins_the_verdict(run: RunFolder, bitwright: Bitwright) -> None:
    outcome = bitwright("rtl", run.path, "--reuse-factor", "3")
    assert outcome.status == 0, outcome.err
    assert re.search(r"initiation interval +│ 3 cycles", outcome.out)
    level = json.loads(run.verification.read_text())["levels"]["rtl"]
    assert (level["compared"], level["different"]) == (360, 0)
    design = json.loads((run.rtl / "design.json").read_text())
    assert design["initiation_interval"] == 3

    assert bitwright("rtl", run.path).status == 0
    assert json.loads((run.rtl / "design.json").read_text())["initiation_interval"] == 1


def test_outputs_of_another_programs_design_are_left_out(run: RunFolder) -> None:
    outputs = np.load(run.output("program"))
    save_array(run.output("rtl"), outputs + 1)
    verdict = judge(run)
    assert (verdict.exact, set(verdict.levels)) == (True, {"program"})
    assert not run.output("rtl").exists()


def test_network_that_is_too_large_is_refused_with_its_estimate(run: RunFolder, bitwright: Bitwright) -> None:
    outcome = bitwright("rtl", run.path, "--most-lut", "100")
    assert outcome.status == 2
    total = re.search(r"estimated ([\d,]+) ", outcome.err)
    assert total is not None
    number = int(total[1].replace(",", ""))
    named = re.search(r"\((.*?)\); let", outcome.err)
    assert named is not None
    assert outcome.err == (
        f"{run.lowered}: network must take at most 100 LUT as unrolled logic, not an estimated {number:,} "
        f"({named[1]}); let hls4ml reuse its multipliers (`bitwright hls`), take fewer bits, or allow it with "
        f"--most-lut {number}\n"
    )
    assert [part.split()[0] for part in named[1].split(", ")] == ["fc", "act", "out"]
    assert not run.rtl.exists()


def test_reuse_factor_that_fits_is_offered() -> None:
    weight = np.random.default_rng(1).integers(-31, 32, (24, 16))
    code = FixedPoint(6, 6)
    program = Program((Input("x", "", (24,), code), Dense("fc", "x", weight, code, None)))
    unrolled, again = (folded_lut_estimates(program, factor) for factor in (1, 2))
    total, less = (round(sum(estimates.values())) for estimates in (unrolled, again))
    with pytest.raises(ValueError, match="must take at most") as refusal:
        refuse_large(Path("net"), program, less)
    assert str(refusal.value) == (
        f"net: network must take at most {less:,} LUT as unrolled logic, not an estimated {total:,} (fc {total:,}); "
        f"take an input every 2 clocks (--reuse-factor 2: {less:,}), let hls4ml reuse its multipliers "
        f"(`bitwright hls`), take fewer bits, or allow it with --most-lut {total}"
    )
    refuse_large(Path("net"), program, less, reuse_factor=2)


def test_pipeline_of_no_delay_is_refused(run: RunFolder, bitwright: Bitwright) -> None:
    outcome = bitwright("rtl", run.path, "--latency-cutoff", "0")
    assert (outcome.status, outcome.err) == (
        2,
        "rtl: latency_cutoff must be above 0 and finite, not 0.0; 5 is a start\n",
    )


def test_missing_ghdl_is_named(run: RunFolder, bitwright: Bitwright, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None if name == "ghdl" else f"/bin/{name}")
    outcome = bitwright("rtl", run.path, "--language", "vhdl")
    assert outcome.status == 2
    assert outcome.err.endswith(
        "rtl: reader of VHDL must be ghdl on the PATH, not missing; install it (Debian: apt-get install ghdl), or take "
        "--language verilog\n"
    )


def test_folder_without_a_program_is_refused(tmp_path: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("rtl", tmp_path)
    assert (outcome.status, outcome.err) == (
        2,
        f"{tmp_path}: run must be a folder with experiment.toml, not another; give an experiment's TOML file\n",
    )
