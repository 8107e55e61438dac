"""The command `estimate`: the table and JSON say the same, and bad input ends in one line."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from networks import graph
from road import Bitwright

WEIGHTS = np.random.default_rng(5).normal(0, 2, (4, 3)).astype(np.float32)
BODY = (
    "[in] q = Quant (x, half, zero, four) [w] v = Quant (w, half, zero, three) [fc] m = MatMul (q, v) "
    "[act] y = UnsignedQuant (m, half, zero, three)"
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small network by hand."""
    onnx.save(graph(BODY, (1, 4), (1, 3), w=WEIGHTS).model, tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def test_table_shows_layers_totals_and_errors(model: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("estimate", model)
    assert outcome.status == 0, outcome.err
    for text in ("fc", "dense, Latency 1", "4 x 3", "xcvu13p, 5 ns, pipeline: latency", "as unrolled logic"):
        assert text in outcome.out
    assert (
        "error, LUT: 0.52 to 1.11 times what C synthesis reported (11 comparisons, layers and designs of 3 projects)"
        in outcome.out
    )


def test_json_says_every_figure_as_a_number(model: Path, bitwright: Bitwright) -> None:
    options = ("--strategy", "Resource", "--reuse-factor", "3", "--part", "xc7z020clg400-1", "--format", "json")
    found = json.loads(bitwright("estimate", model, *options).out)
    (layer,) = (each for each in found["layers"] if each["name"] == "fc")
    assert (layer["multiplications"], layer["data_bits"], layer["weight_bits"], layer["reuse_factor"]) == (12, 4, 3, 2)
    assert found["total"]["lut"] == pytest.approx(sum(each["lut"] for each in found["layers"]), abs=1)
    assert found["utilization"]["lut"] == pytest.approx(found["total"]["lut"] / 53200, abs=1e-4)
    assert [(each["value"], each["limit"]) for each in found["findings"]] == [(3, 2)]
    assert found["total"]["latency_ns"] == 5.0 * found["total"]["latency_cycles"]


def test_experiments_that_were_exported_are_read(fixed_run: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("estimate", fixed_run, "--format", "json")
    found = json.loads(outcome.out)
    assert outcome.status == (0 if found["fits"] and found["synthesizable"] else 1)
    assert [each["kind"] for each in found["layers"]][:2] == ["input", "dense"]


def test_proposal_names_its_options(model: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("estimate", model, "--fit", "--part", "xc7a35t")
    assert outcome.status == 0
    assert "proposal: --set hls.strategy=Latency --set hls.reuse_factor=1 (of `convert`: --strategy" in outcome.out


def test_network_that_synthesis_would_refuse_ends_in_status_1(tmp_path: Path, bitwright: Bitwright) -> None:
    wide = np.random.default_rng(1).normal(0, 2, (100, 50)).astype(np.float32)
    onnx.save(graph(BODY, (1, 100), (1, 50), w=wide).model, tmp_path / "wide.onnx")
    outcome = bitwright("estimate", tmp_path / "wide.onnx")
    assert outcome.status == 1
    assert (
        "fc: array mult must have at most 4096 elements to be partitioned completely, not 5000; set strategy Resource"
        in outcome.out
    )


def test_network_that_the_part_does_not_hold_ends_in_status_1(tmp_path: Path, bitwright: Bitwright) -> None:
    wide = np.random.default_rng(1).normal(0, 2, (64, 60)).astype(np.float32)
    onnx.save(graph(BODY, (1, 64), (1, 60), w=wide).model, tmp_path / "wide.onnx")
    outcome = bitwright("estimate", tmp_path / "wide.onnx", "--part", "xc7a35t")
    assert outcome.status == 1
    assert "xc7a35t: LUT must be at most 20,800, not" in outcome.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--target-rate-mhz", "0"),
            "--target-rate-mhz: rate must be above 0, not 0; 1 is a start\n",
        ),
        (
            ("--strategy", "latency"),
            "estimate: --strategy: value must be 'Latency' or 'Resource', not 'latency'\n",
        ),
    ],
)
def test_bad_options_end_in_one_line(options: tuple[str, str], message: str, model: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("estimate", model, *options)
    assert (outcome.status, outcome.err) == (2, message)


def test_missing_file_ends_in_one_line(tmp_path: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("estimate", tmp_path / "none.onnx")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
