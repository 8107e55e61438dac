"""Refusals: one line a problem, each naming file, node, operator, rule and remedy."""

import pickle

from bitwright.export.problems import Problem, UnsupportedOperatorError

FIRST = Problem("fc", "Gemm", "weights must be quantised, not float", "give the layer a weight_quant")
SECOND = Problem("act", "Sigmoid", "operator must be Relu, not Sigmoid", "use ReLU")


def test_problem_is_one_line() -> None:
    assert str(FIRST) == "fc (Gemm): weights must be quantised, not float; give the layer a weight_quant"


def test_error_has_a_line_for_every_problem_and_keeps_them() -> None:
    error = UnsupportedOperatorError("model.onnx", [FIRST, SECOND])
    assert str(error) == f"model.onnx: {FIRST}\nmodel.onnx: {SECOND}"
    assert error.problems == [FIRST, SECOND]
    assert isinstance(error, ValueError)


def test_error_passes_from_one_process_to_another() -> None:
    error = UnsupportedOperatorError("model.onnx", [FIRST, SECOND])
    passed = pickle.loads(pickle.dumps(error))  # noqa: S301 - as a pool of processes does
    assert (type(passed), str(passed), passed.problems) == (UnsupportedOperatorError, str(error), error.problems)
