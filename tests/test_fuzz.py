"""The fuzz finds what is planted, makes it small, and saves it so that it is seen again."""

from pathlib import Path

import fuzz
import fuzz_check
import levels
import levels_simulation
import numpy as np
import pytest
from fuzz_check import TARGETS, check
from fuzz_findings import read_finding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from levels import Case, Verdict, examine
from networks import graph
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper
from random_graphs import RandomGraph, random_graphs

from bitwright.export.problems import Problem, UnsupportedOperatorError
from bitwright.export.program import Program
from bitwright.export.qonnx_level import run_qonnx
from bitwright.hls.target import Target

W = np.array([[1.0, -0.5, 0.5], [-1.5, 0.5, 1.0]])
DENSE = "[in] q = Quant (x, half, zero, four) [wq] v = Quant (w, half, zero, three) [fc] c = MatMul (q, v)"


def dense(end: str = "[act] y = Quant (c, one, zero, four)", **constants: object) -> Case:
    model = graph(f"{DENSE} {end}", (1, 2), (1, 3), w=W, **constants)
    return Case("dense", model, np.random.default_rng(1).normal(0, 2, (9, 2)).astype(np.float32))


def plant(monkeypatch: pytest.MonkeyPatch, layer: str) -> None:
    """Let qonnx give other outputs wherever a graph has a layer."""

    def wrong(model: ModelWrapper, values: NDArray[np.float32]) -> NDArray[np.float32]:
        outputs = run_qonnx(model, values)
        return outputs + 1000 if model.get_nodes_by_op_type(layer) else outputs

    monkeypatch.setattr(levels, "run_qonnx", wrong)


def test_sound_network_is_equal_at_every_level(tmp_path: Path) -> None:
    verdict = examine(dense(), TARGETS[0], tmp_path)
    assert (verdict.result, verdict.simulated, verdict.compared) == ("equal", True, 27)


def test_softmax_is_cut_off_before_the_comparison(tmp_path: Path) -> None:
    assert examine(dense("y = Softmax (c)"), None, tmp_path).result == "equal"


def test_refusal_is_told_by_its_reason(tmp_path: Path) -> None:
    verdict = examine(dense("s = Softmax (c) y = Quant (s, one, zero, four)"), None, tmp_path)
    assert (verdict.result, verdict.reasons()) == (
        "refused",
        ["operator must be one that can be lowered, not Softmax"],
    )


@pytest.mark.parametrize(
    ("remedy", "result"), [("train again", "refused"), ("see docs/limits.md", "crashed")], ids=["own", "no rule's own"]
)
def test_refusal_that_no_rule_wrote_is_a_crash(
    remedy: str, result: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise UnsupportedOperatorError("model", [Problem("q", "Quant", "scale must be positive, not 0", remedy)])

    monkeypatch.setattr(levels, "lower", refuse)
    assert examine(dense(), None, tmp_path).result == result


def test_exception_is_a_crash_at_a_line_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Program, "check_input", lambda *_: 1 // 0)
    verdict = examine(dense(), None, tmp_path)
    assert verdict.where.startswith("ZeroDivisionError at program.py:")
    assert "Traceback" in verdict.detail


def test_first_layer_of_a_wrong_simulation_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulated = levels_simulation.simulated

    def wrong(*arguments: object, trace: bool) -> object:
        found = simulated(*arguments, trace=trace)  # type: ignore[arg-type]
        if isinstance(found, dict):
            return {name: codes + (name == "act") for name, codes in found.items()}
        return found + 1

    monkeypatch.setattr(levels, "simulated", wrong)
    verdict = examine(dense(), TARGETS[1], tmp_path)
    assert (verdict.result, verdict.where) == ("differing", "csim and program")
    assert verdict.detail.endswith("first layer act")


@pytest.mark.parametrize("how", ["die", "hang"])
def test_simulation_that_does_not_end_well_is_a_crash(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        if how == "die":
            raise SystemExit(3)
        while True:
            pass

    monkeypatch.setattr(levels_simulation, "PATIENCE", 0.5)
    monkeypatch.setattr(levels_simulation, "_simulate", fail)
    verdict = examine(dense(), TARGETS[0], tmp_path)
    ended = {"die": "run to its end, not die with 3", "hang": "end within 0.5 s, not hang"}[how]
    assert f"csim: simulation must {ended}" in verdict.detail
    assert verdict.result == "crashed"


def test_network_that_takes_too_long_is_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object) -> None:
        while True:
            pass

    monkeypatch.setattr(levels, "MOST_SECONDS", 0.2)
    monkeypatch.setattr(levels, "lower", hang)
    verdict = examine(dense(), None, tmp_path)
    assert (verdict.result, verdict.where) == ("crashed", "network must take at most # s, not more")


@pytest.mark.parametrize(
    ("exact", "result"), [(True, "differing"), (False, "torch and onnxruntime differ")], ids=["exact", "rounded"]
)
def test_torch_may_differ_only_where_float32_rounds(exact: bool, result: str, tmp_path: Path) -> None:
    case = dense()
    case = Case("dense", case.model, case.inputs, run_qonnx(case.model, case.inputs) + 1, exact)
    verdict = examine(case, None, tmp_path)
    assert (verdict.result, verdict.where) == (result, "torch and program")


def test_finding_is_made_small_saved_and_seen_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(monkeypatch, "Gemm")
    monkeypatch.setattr(fuzz, "SMALLEST_SECONDS", 10.0)
    arguments = ["--graphs", "--power-of-two", "--count", "20", "--csim", "0", "--out", str(tmp_path / "out")]
    assert fuzz.main(arguments) == 1
    (place,) = (tmp_path / "out").iterdir()
    assert "findings: " in capsys.readouterr().out
    case, target = read_finding(place)
    kinds = [node.op_type for node in case.model.graph.node]
    assert kinds.count("Gemm") == 1
    assert len(kinds) <= 5
    assert target is None
    assert f"make fuzz FUZZ='--again {place}'" in (place / "README.md").read_text()
    assert fuzz.main(["--again", str(place)]) == 1
    monkeypatch.undo()
    assert fuzz.main(["--again", str(place)]) == 0


def test_run_ends_with_its_time_and_says_what_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fuzz, "look_at", lambda *_: (None, Verdict("equal", compared=7)))
    assert fuzz.main(["--graphs", "--seconds", "1", "--csim", "1", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert " QONNX: equal" in said
    assert "of which float32 decided otherwise 0 (0)" in said
    assert not (tmp_path / "out").exists()


def test_interrupt_ends_with_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fuzz, "look_at", interrupt)
    assert fuzz.main(["--graphs", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("interrupted\nnetworks: 0\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--csim", "2"], "--csim must be from 0 to 1, not 2"),
        (["--kinds", "linear", "conv4d"], "not conv4d"),
        (["--kinds", "add"], "--kinds must have linear, conv1d or conv2d, not none of them"),
    ],
)
def test_wrong_option_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fuzz.main(arguments)
    assert message in capsys.readouterr().err


def test_help_tells_what_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        fuzz.main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for option in ("--count", "--seconds", "--seed", "--csim", "--kinds", "--again", "--out", "batch_norm"):
        assert option in said


def test_check_counts_networks_that_are_not_refused_and_draws_them_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def look(drawn: RandomGraph, *_: object) -> tuple[None, Verdict]:
        seen.append(repr(drawn))
        return None, Verdict("refused" if len(seen) % 3 else "equal", compared=1)

    monkeypatch.setattr(fuzz_check, "look_at", look)
    tally = check(random_graphs(), 20, seed=5)
    assert (tally.lowered, tally.networks, len(seen)) == (20, 60, 60)
    first, seen[:] = list(seen), []
    check(random_graphs(), 20, seed=5)
    assert seen == first
    seen.clear()
    check(random_graphs(), 20, seed=6)
    assert seen != first


def test_check_refuses_to_compare_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_check, "look_at", lambda *_: (None, Verdict("equal", compared=1)))
    with pytest.raises(AssertionError, match=r"^3 networks must be compared, not 2"):
        check(st.booleans(), 3)  # type: ignore[arg-type]  # there are two


def test_check_keeps_to_the_target_that_showed_the_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, Target]] = []

    def look(drawn: RandomGraph, target: Target, *_: object) -> tuple[None, Verdict]:
        wrong = "Conv" in repr(drawn) and target.io_type == "io_stream"
        seen.append((wrong, target))
        return None, Verdict("differing" if wrong else "equal", "csim and program")

    monkeypatch.setattr(fuzz_check, "look_at", look)
    with pytest.raises(AssertionError, match="differing: csim and program"):
        check(random_graphs(), 50, targets=TARGETS)
    first = [wrong for wrong, _ in seen].index(True)
    assert {target for _, target in seen[:first]} == set(TARGETS)
    assert {target for _, target in seen[first:]} == {seen[first][1]}


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(random_graphs(), st.integers(1, 5))
def test_inputs_of_a_graph_are_the_same_again(drawn: RandomGraph, count: int) -> None:
    assert drawn.inputs(count).shape == (count, *drawn.input_shape)
    assert (drawn.inputs(count) == drawn.inputs(count)).all()
