"""QONNX files without a checkpoint: `convert` and `inspect`."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from networks import graph
from road import Bitwright

WEIGHTS = np.random.default_rng(5).normal(0, 2, (4, 3)).astype(np.float32)
BODY = (
    "[in] q = Quant (x, half, zero, four) [w] v = Quant (w, half, zero, three) [fc] m = MatMul (q, v) "
    "[scaled] s = Mul (m, c) [act] a = UnsignedQuant (s, half, zero, three) "
    "[w2] u = BipolarQuant (k, one) [out] o = MatMul (a, u) [score] y = Add (o, d)"
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small network by hand, with float factors and offsets a channel."""
    constants = {"c": np.array([0.3, -1.7, 0.9]), "k": WEIGHTS[:3, :2], "d": np.array([0.1, -2.0])}
    built = graph(BODY, (1, 4), (1, 2), w=WEIGHTS, **constants)
    onnx.save(built.model, tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
def test_converted_file_gives_the_integers_of_qonnx(
    io_type: str, model: Path, tmp_path: Path, bitwright: Bitwright
) -> None:
    values = np.random.default_rng(6).uniform(-5, 5, (150, 4))
    np.save(tmp_path / "x.npy", values)
    out = tmp_path / "out"
    outcome = bitwright("convert", model, "--inputs", tmp_path / "x.npy", "--out", out, "--io-type", io_type)
    assert outcome.status == 0, outcome.err
    verdict = json.loads((out / "verification.json").read_text())
    assert verdict["exact"] is True
    assert verdict["test_set"] == 150
    assert {name: level["compared"] for name, level in verdict["levels"].items()} == {
        "qonnx": 300,
        "program": 300,
        "csim": 300,
    }
    outputs = [np.load(out / "outputs" / f"{level}.npy") for level in verdict["levels"]]
    assert all((output == outputs[0]).all() for output in outputs)
    assert len(np.unique(outputs[0])) > 5
    assert bitwright("diff", out).out == "out: every integer of every layer is the same on 48 inputs\n"


def test_normalisation_and_softmax_are_the_hosts(tmp_path: Path, bitwright: Bitwright) -> None:
    body = (
        "a = Sub (x, c) b = Div (a, d) v = Quant (w, half, zero, four) m = MatMul (b, v) r = Relu (m) "
        "p = UnsignedQuant (r, half, zero, four) u = Quant (k, half, zero, four) o = MatMul (p, u) "
        "y = Softmax <axis=1> (o)"
    )
    rng = np.random.default_rng(8)
    built = graph(
        body,
        (1, 3),
        (1, 2),
        w=rng.normal(0, 1, (3, 4)),
        k=rng.normal(0, 1, (4, 2)),
        c=np.array([0.5, 1.0, -1.0]),
        d=1.7,
    )
    path, out = tmp_path / "m.onnx", tmp_path / "out"
    onnx.save(built.model, path)
    assert bitwright("convert", path, "--out", out).status == 2  # the input is not quantised
    outcome = bitwright("convert", path, "--out", out, "--samples", "40", "--input-type", "ap_fixed<6,3>")
    assert outcome.status == 0, outcome.err
    verdict = json.loads((out / "verification.json").read_text())
    assert (verdict["exact"], verdict["test_set"]) == (True, 40)
    interface = json.loads((out / "interface.json").read_text())
    assert interface["host_before"][:2] == ["subtract [0.5, 1.0, -1.0], of shape [3]", "divide by 1.7000000476837158"]
    assert interface["host_after"] == ["softmax over axis 1"]


def test_conversion_needs_no_torch(model: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from bitwright.cli.main import run\n"
        f"sys.argv = ['bitwright', 'convert', {str(model)!r}, '--out', {str(tmp_path / 'out')!r}, '--samples', '20']\n"
        "try:\n    run()\nfinally:\n    assert not {'torch', 'brevitas', 'lightning'} & set(sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "out" / "verification.json").read_text())["exact"] is True


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((3, 5)), "inputs must be of shape (N, 4), not (3, 5); reshape them"),
        (np.zeros((0, 4)), "inputs must be of shape (N, 4), not (0, 4); reshape them"),
        (np.full((3, 4), np.nan), "inputs must be finite, not NaN or infinite; remove those"),
        (np.array(["a"]), "inputs must be one array of numbers, not another kind; write it with numpy.save"),
        (np.array([{}]), "inputs must be an array as numpy.save writes it, not damaged; write it again"),
    ],
)
def test_bad_inputs_are_refused(
    values: np.ndarray[tuple[int, ...], np.dtype[np.generic]],
    message: str,
    model: Path,
    tmp_path: Path,
    bitwright: Bitwright,
) -> None:
    np.save(tmp_path / "x.npy", values)
    outcome = bitwright("convert", model, "--inputs", tmp_path / "x.npy", "--out", tmp_path / "out")
    assert (outcome.status, outcome.err) == (2, f"{tmp_path / 'x.npy'}: {message}\n")
    assert not (tmp_path / "out").exists()


def test_missing_inputs_and_bad_options_are_refused(model: Path, tmp_path: Path, bitwright: Bitwright) -> None:
    missing = tmp_path / "none.npy"
    outcome = bitwright("convert", model, "--inputs", missing, "--out", tmp_path / "out")
    says = f"{missing}: inputs must be a .npy file, not missing; leave --inputs out for random ones\n"
    assert (outcome.status, outcome.err) == (2, says)
    outcome = bitwright("convert", model, "--out", tmp_path / "out", "--io-type", "io_strm")
    says = "convert: --io-type: value must be 'io_parallel' or 'io_stream', not 'io_strm'\n"
    assert (outcome.status, outcome.err) == (2, says)
    assert not (tmp_path / "out").exists()


def test_inspect_shows_every_layer_and_builds_nothing(model: Path, bitwright: Bitwright) -> None:
    before = list(model.parent.iterdir())
    outcome = bitwright("inspect", model)
    assert outcome.status == 0
    for row in (
        r"in +│ Input +│ 4 +│ ap_fixed<4,3> +│ 2\*\*-1 +│ -8 \.\. 7",
        r"fc +│ Dense, weights ap_fixed<3,2> +│ 3 +│ ap_fixed<\d,\d>",
        r"act +│ multiply and add, \d+ fraction bits +│ 3 +│ ap_ufixed<3,2,AP_RND_CONV,AP_SAT> +│ 2\*\*-1 +│ 0 \.\. 7",
        r"out +│ Dense, weights xnor +│ 2 +│ ap_fixed<\d,\d>",
    ):
        assert re.search(rf"│ {row}", outcome.out), row
    assert "host, before: divide by 0.5, round half to even, clip to -8 .. 7" in outcome.out
    assert list(model.parent.iterdir()) == before


def test_inspect_names_all_that_cannot_be_lowered(tmp_path: Path, bitwright: Bitwright) -> None:
    built = graph("[a] s = Hardmax (x) [b] y = Hardmax (s)", (1, 4), (1, 4))
    path = tmp_path / "m.onnx"
    onnx.save(built.model, path)
    outcome = bitwright("inspect", path)
    assert outcome.status == 2
    lines = outcome.err.splitlines()
    assert [line.split(": operator")[0] for line in lines] == [f"{path}: a (Hardmax)", f"{path}: b (Hardmax)"]


@pytest.mark.parametrize("command", ["inspect", "lower", "convert"])
def test_missing_file_is_refused(command: str, tmp_path: Path, bitwright: Bitwright) -> None:
    path = tmp_path / "none.onnx"
    outcome = bitwright(command, path, *(() if command == "inspect" else ("--out", tmp_path / "out")))
    assert (outcome.status, outcome.err) == (2, f"{path}: model must be an ONNX file, not missing; check the path\n")


@pytest.mark.parametrize(
    "text",
    ["foo", "", "ap_fixed<0,1>", "ap_fixed<17,1>", "ap_int<99>", "int99", "ap_fixed<8,200>", "ap_fixed<8,1,AP_X>"],
)
def test_input_type_that_is_none_is_refused(text: str, model: Path, bitwright: Bitwright) -> None:
    outcome = bitwright("inspect", model, "--input-type", text)
    says = (
        "--input-type: type must be ap_[u]fixed<W,I> or ap_[u]int<W> of 1 to 16 bits, W - I from -100 to 100, "
        f"not {text!r}; try ap_ufixed<8,0>\n"
    )
    assert (outcome.status, outcome.err) == (2, says)


@pytest.mark.parametrize("text", ["ap_fixed<16,-84>", "ap_fixed<8,108>", "ap_ufixed<8,0,AP_RND_CONV,AP_SAT_SYM>"])
def test_input_type_at_the_end_of_its_range_is_taken(text: str, tmp_path: Path, bitwright: Bitwright) -> None:
    built = graph("v = Quant (w, half, zero, three) y = MatMul (x, v)", (1, 4), (1, 3), w=WEIGHTS)
    onnx.save(built.model, tmp_path / "m.onnx")
    outcome = bitwright("inspect", tmp_path / "m.onnx", "--input-type", text)
    assert outcome.status == 0, outcome.err


@pytest.mark.parametrize(("step", "kind"), [("Relu (x)", "Relu"), ("Mul (x, c)", "Mul by 0")])
def test_random_inputs_of_steps_that_cannot_be_undone_are_refused(
    step: str, kind: str, tmp_path: Path, bitwright: Bitwright
) -> None:
    body = f"a = {step} q = Quant (a, half, zero, four) v = Quant (w, half, zero, three) y = MatMul (q, v)"
    path = tmp_path / "m.onnx"
    onnx.save(graph(body, (1, 4), (1, 3), w=WEIGHTS, c=np.array([1.0, 0.0, 1.0, 1.0])).model, path)
    outcome = bitwright("convert", path, "--out", tmp_path / "out")
    says = f"{path}: inputs must be given where the host computes {kind} first, not missing; give --inputs\n"
    assert (outcome.status, outcome.err) == (2, f"convert: 1000 random inputs, seed 1\n{says}")
    assert not (tmp_path / "out").exists()


def test_folder_of_a_converted_file_is_refused_as_a_run(tmp_path: Path, bitwright: Bitwright) -> None:
    (tmp_path / "model.lowered.onnx").touch()
    outcome = bitwright("verify", tmp_path)
    says = (
        f"{tmp_path}: run must be a folder with experiment.toml, not one of a QONNX file; "
        "run `bitwright convert` again, which verifies too\n"
    )
    assert (outcome.status, outcome.err) == (2, says)
