"""Functions that onnxruntime computes: what is claimed of them holds on dense grids of floats."""

import re
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from bitwright.export import kernel as kernel_module
from bitwright.export.elementwise import Elementwise, Pair, alone, direction_after
from bitwright.export.kernel import POSITIONAL, RISING, STEADY, Floats, Kernel
from bitwright.export.line import Line

CHANNELS = 3
OPSET = 20
FLOATS = st.floats(-4, 4, width=32)
PLAIN = sorted({*STEADY, *POSITIONAL} - {"BatchNormalization", "Clip", "PRelu"})


def kernel(kind: str, *constants: Floats, **attributes: Any) -> Kernel:  # noqa: ANN401
    names = {f"k{index}": value for index, value in enumerate(constants)}
    return Kernel(kind, helper.make_node(kind, ["a", *names], ["b"], **attributes), names, OPSET)


def norm(gamma: list[float], beta: list[float], mean: list[float], variance: list[float]) -> Kernel:
    return kernel("BatchNormalization", *(np.array(values, np.float32) for values in (gamma, beta, mean, variance)))


def grid(kind: str) -> Floats:
    """Neighbouring floats here and there, and steps between, ascending; where the function is defined."""
    runs = [np.arange(2000, dtype=np.int32) + np.float32(start).view(np.int32) for start in (1e-3, 0.3, 0.7, 1.9, 6.3)]
    positive = np.concatenate([np.concatenate(runs).astype(np.int32).view(np.float32), np.linspace(0, 20, 4001)])
    values = positive if kind in ("Log", "Sqrt") else np.concatenate([-positive, positive])
    return np.unique(values.astype(np.float32))[:, None]


def by_itself(step: Kernel, values: Floats) -> Floats:
    """Each value in a tensor of its own, in a session of the test's own."""
    node = helper.make_node(step.kind, list(step.node.input), ["b"])
    node.attribute.extend(step.node.attribute)
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("a", [1, 1]), ("b", [1, 1]))
    ]
    constants = [numpy_helper.from_array(value, name) for name, value in step.constants.items()]
    graph = helper.make_graph([node], "g", ports[:1], ports[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.array([session.run(None, {"a": np.array([[value]])})[0][0, 0] for value in values.reshape(-1)])


def keeps_order(step: Kernel, values: Floats) -> bool:
    results = step(values)
    steps = np.diff(results, axis=0)
    return bool(((steps >= 0).all(axis=0) | (steps <= 0).all(axis=0)).all())


@settings(deadline=None, max_examples=30)
@given(
    gamma=st.lists(FLOATS, min_size=CHANNELS, max_size=CHANNELS),
    beta=st.lists(FLOATS, min_size=CHANNELS, max_size=CHANNELS),
    mean=st.lists(FLOATS, min_size=CHANNELS, max_size=CHANNELS),
    variance=st.lists(st.floats(0, 9, width=32), min_size=CHANNELS, max_size=CHANNELS),
)
def test_batch_norm_keeps_the_order_in_its_direction_to_the_last_bit(
    gamma: list[float], beta: list[float], mean: list[float], variance: list[float]
) -> None:
    step = norm(gamma, beta, mean, variance)
    assert step.monotone
    values = np.repeat(grid("BatchNormalization"), CHANNELS, axis=1)
    steps = np.diff(step(values), axis=0)
    assert (steps * step.direction >= 0).all()
    assert (steps[:, step.direction == 0] == 0).all()


@pytest.mark.parametrize("alpha", [0.0, 0.01, 0.3, 1.7, -0.2])
@pytest.mark.parametrize("kind", ["LeakyRelu", "HardSigmoid"])
def test_slopes_from_zero_on_keep_the_order(kind: str, alpha: float) -> None:
    step = kernel(kind, alpha=alpha)
    assert step.monotone is (alpha >= 0)
    if step.monotone:
        assert (np.diff(step(grid(kind)), axis=0) >= 0).all()
        assert step.direction == 1


@settings(deadline=None, max_examples=30)
@given(slopes=st.lists(FLOATS, min_size=CHANNELS, max_size=CHANNELS))
def test_prelu_is_called_monotone_where_no_slope_is_negative(slopes: list[float]) -> None:
    step = kernel("PRelu", np.array(slopes, np.float32))
    assert step.monotone is (min(slopes) >= 0)
    if step.monotone:
        assert (np.diff(step(np.repeat(grid("PRelu"), CHANNELS, axis=1)), axis=0) >= 0).all()


@pytest.mark.parametrize("kind", PLAIN)
def test_what_is_called_monotone_is(kind: str) -> None:
    step = kernel(kind)
    assert not step.monotone or keeps_order(step, grid(kind))


@pytest.mark.parametrize("kind", PLAIN)
def test_direction_is_that_of_the_function_but_for_its_last_bits(kind: str) -> None:
    step = kernel(kind)
    values = grid(kind)
    results = step(values).astype(np.float64)
    if step.direction in (1, -1):
        slack = 4 * np.spacing(np.float32(np.abs(results[np.isfinite(results)]).max()))  # units in the last place
        rising = results * int(step.direction)
        assert (rising >= np.maximum.accumulate(rising, axis=0) - slack).all()
    else:
        assert step.direction == 2


@pytest.mark.parametrize("kind", RISING)
def test_rising_functions_rise(kind: str) -> None:
    assert kernel(kind).direction == 1


@pytest.mark.parametrize("kind", [*(kind for kind in STEADY if kind in PLAIN), "Clip", "BatchNormalization"])
def test_steady_function_is_the_same_wherever_a_value_stands(kind: str) -> None:
    one = np.array(0.7, np.float32)
    steps = {
        "Clip": kernel("Clip", -one, one),
        "BatchNormalization": norm([0.3], [0.7], [1.9], [0.2]),
    }
    step = steps[kind] if kind in steps else kernel(kind)
    assert not step.positional
    values = grid(kind)[::23]
    assert (step(values)[:, 0] == by_itself(step, values)).all()
    assert (step(values[3:]) == step(values)[3:]).all()


@pytest.mark.parametrize("kind", POSITIONAL)
def test_positional_function_is_computed_in_both_ways(kind: str) -> None:
    step = kernel(kind)
    steps = alone((step,))
    assert step.positional
    assert steps is not None
    values = grid(kind)[::41]
    at_the_end = steps[0](values)
    assert at_the_end.shape == values.shape
    assert (at_the_end[:, 0] == by_itself(step, values)).all()
    np.testing.assert_allclose(step(values), at_the_end, rtol=2e-6, atol=2e-6)


def test_steps_are_the_same_object_where_no_position_matters() -> None:
    relu, swish = Elementwise("Relu"), kernel("HardSwish")
    pair = Pair("Mul", (), (relu,))
    assert alone((relu, kernel("Sigmoid"), pair)) is None
    changed = alone((relu, Pair("Mul", (swish,), ())))
    assert changed is not None
    assert changed[0] is relu
    assert isinstance(changed[1], Pair)
    assert isinstance(changed[1].left[0], Kernel)
    assert changed[1].left[0].alone


def test_too_many_values_by_themselves_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_module, "MOST_ALONE", 9)
    steps = alone((kernel("Elu"),))
    assert steps is not None
    says = (
        "reachable values must be at most 9 before Elu, which onnxruntime rounds by position, not 10; "
        "use fewer bits, or Relu, LeakyRelu, Sigmoid or Tanh"
    )
    assert steps[0](np.ones((9, 1), np.float32)).shape == (9, 1)
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        steps[0](np.ones((10, 1), np.float32))


def test_direction_of_a_chain_is_the_product_and_unknown_once_unknown() -> None:
    falling, rising, norms = kernel("Neg"), kernel("Tanh"), norm([1, -1, 0], [0] * 3, [0] * 3, [1] * 3)
    assert direction_after(()) == 1
    assert direction_after((rising, falling)) == -1
    assert direction_after((falling, norms, rising)).tolist() == [-1, 1, 0]
    assert direction_after((norms, kernel("Abs"), falling)).tolist() == [2, 2, 2]


def test_constants_a_channel_make_a_function_a_channel_and_move_with_them() -> None:
    slopes = np.array([0.1, 0.2, 0.3], np.float32)
    step, same = kernel("PRelu", slopes), kernel("PRelu", np.array(0.5, np.float32))
    assert (step.uniform, same.uniform, kernel("Tanh").uniform) == (False, True, True)
    moved = step.moved(lambda values: values[[2, 0, 1]])
    values = -np.ones((1, 3), np.float32)
    assert moved(values).tolist() == (-slopes[[2, 0, 1]])[None].tolist()
    assert same.moved(lambda values: values[[2, 0, 1]])(values).tolist() == [[-0.5] * 3]


def test_line_of_a_batch_norm_is_its_formula_and_others_have_none() -> None:
    step = norm([2.0, -1.0, 0.5], [1.0, 0.0, 3.0], [0.5, 0.0, -1.0], [4.0, 1.0, 0.25])
    line = step.line(Line(np.array([0.5, 1.0, 2.0]), np.zeros(3)))
    values = np.array([[-3.0] * 3, [0.0] * 3, [7.0] * 3])
    found = step((values * [0.5, 1.0, 2.0]).astype(np.float32))
    np.testing.assert_allclose(values * line.slope + line.offset, found, rtol=1e-5)
    assert not kernel("Tanh").line(line).is_straight
