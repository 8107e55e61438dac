"""Orders, names and grids, lowered, in one graph each: the program's integers are those of qonnx's executor."""

from typing import Any

import numpy as np
import pytest
from networks import executed, graph, program_integers, score_integers
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper

from bitwright.export.lower import LoweredNetwork, lower
from bitwright.export.operations import Dense, Linear
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.fixed_point import FixedPoint, format_of

DENSE = "[in] q = Quant (x, half, zero, four) [wq] v = Quant (w, half, zero, three)"
CONV = "[in] q = Quant (x, half, zero, four) [wq] v = Quant (k, half, zero, three)"
W = np.array([[1.0, -0.5, 0.5], [-1.5, 0.5, 1.0]])
K = np.arange(16).reshape(2, 2, 2, 2) % 7 / 2 - 1.5


def agrees(model: ModelWrapper) -> LoweredNetwork:
    """Compare program and qonnx on random inputs of the graph's shape."""
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    values = np.random.default_rng(1).normal(0, 3, shape).astype(np.float32)
    lowered = lower(model)
    found = program_integers(lowered, values)
    assert (found == score_integers(lowered, executed(model, values).reshape(len(values), -1))).all()
    return lowered


def test_rows_after_a_flattened_image_are_put_channels_last() -> None:
    weight = np.random.default_rng(2).integers(-3, 4, (18, 4)) / 2
    body = f"{CONV} c = Conv (q, v) a = Quant (c, one, zero, four) f = Flatten (a) [wf] u = Quant (w, half, zero, four)"
    lowered = agrees(graph(f"{body} y = MatMul (f, u)", (9, 2, 4, 4), (9, 4), k=K, w=weight))
    dense_layer = lowered.program.operations[-1]
    assert isinstance(dense_layer, Dense)
    rows = [c * 9 + i * 3 + j for i in range(3) for j in range(3) for c in range(2)]
    assert (dense_layer.weight == weight[rows] * 2).all()


@pytest.mark.parametrize("quantise", ["s = Quant (m, scales, zero, four)", "s = Quant (m, one, zero, four)"])
def test_constants_after_a_flattened_image_are_put_channels_last(quantise: str) -> None:
    rng = np.random.default_rng(2)
    tail = "t = Mul (s, ones) e = Quant (t, one, zero, eight) [wf] u = Quant (w, half, zero, four) y = MatMul (e, u)"
    body = f"{CONV} c = Conv (q, v) a = Quant (c, one, zero, eight) f = Flatten (a) m = Mul (f, many) {quantise} {tail}"
    many, scales, weight = rng.normal(0, 1, 18), np.exp2(rng.integers(-2, 2, (1, 18))), rng.integers(-3, 4, (18, 4)) / 2
    agrees(graph(body, (9, 2, 4, 4), (9, 4), k=K, w=weight, many=many, scales=scales, ones=np.ones(1)))


def test_scales_a_channel_are_repeated_for_every_value_of_a_flattened_image() -> None:
    weight, scales = np.random.default_rng(2).integers(-3, 4, (18, 4)) / 2, np.array([0.125, 0.5]).reshape(2, 1, 1, 1)
    body = "[in] q = Quant (x, half, zero, four) [wq] v = Quant (k, s, zero, four) c = Conv (q, v) f = Flatten (c)"
    tail = "e = Quant (f, one, zero, four) [wf] u = Quant (w, half, zero, four) y = MatMul (e, u)"
    agrees(graph(f"{body} {tail}", (9, 2, 4, 4), (9, 4), k=K, w=weight, s=scales))


def test_port_neither_rounds_nor_saturates() -> None:
    program = lower(graph(f"{DENSE} y = MatMul (q, v)", (1, 2), (1, 3), w=W)).program
    assert program.input.format == FixedPoint(4, 3)


def test_image_that_is_flattened_at_once_is_taken_flat_in_the_order_of_the_network() -> None:
    body = (
        "[in] q = Quant (x, half, zero, four) f = Flatten (q) [wq] v = Quant (w, half, zero, three) y = MatMul (f, v)"
    )
    weight = np.random.default_rng(2).integers(-3, 4, (12, 3)) / 2
    lowered = agrees(graph(body, (9, 2, 3, 2), (9, 3), w=weight))
    assert [type(operation).__name__ for operation in lowered.program.operations] == ["Input", "Dense"]
    assert lowered.program.input.shape == (12,)


@pytest.mark.parametrize("scale", [1.0, 2.0, 0.125, 0.3, np.array([[0.5, 4.0, 1.0]])])
def test_one_bit_weights_are_bipolar_whatever_their_scale(scale: Any) -> None:  # noqa: ANN401 - one or many
    body = "[in] q = BipolarQuant (x, one) [wq] v = BipolarQuant (w, s) y = MatMul (q, v)"
    lowered = agrees(graph(body, (9, 2), (9, 3), w=W, s=scale))
    operation = lowered.program.operations[-1]
    assert isinstance(operation, Linear)
    assert operation.weight_format == Bipolar()
    assert np.array_equal(
        np.broadcast_to(lowered.output_line.slope, (3,)), np.broadcast_to(np.float32(scale), (1, 3))[0]
    )


def test_one_bit_layer_with_a_bias_takes_wider_data_as_a_count_of_matches_has_no_place_for_it() -> None:
    body = "[in] q = BipolarQuant (x, one) [wq] v = BipolarQuant (w, one) y = Gemm (q, v, b)"
    lowered = agrees(graph(body, (9, 2), (9, 3), w=W, b=np.array([3.0, -5.0, 0.0])))
    operation = next(each for each in lowered.program.operations if isinstance(each, Linear))
    assert operation.bias is not None
    assert np.array_equal(operation.bias, [3, -5, 0])
    assert operation.weight_format == Bipolar()
    assert lowered.program.tensors[operation.source].format == format_of(1.0, 2, signed=True, narrow=True)
    none = agrees(graph(body, (9, 2), (9, 3), w=W, b=np.zeros(3)))
    assert [type(each).__name__ for each in none.program.operations] == ["Input", "Dense"]  # still XNOR


@pytest.mark.parametrize("bias_scale", [4.0, 0.25, 2.0**-9])
def test_bias_on_a_coarser_or_finer_grid_joins_the_accumulator(bias_scale: float) -> None:
    body = f"{DENSE} [bq] b = Quant (c, s, zero, eight) y = Gemm (q, v, b)"
    lowered = agrees(graph(body, (9, 2), (9, 3), w=W, c=np.array([3.0, -7.0, 0.26]) * bias_scale * 5, s=bias_scale))
    step = min(0.25, bias_scale)
    assert lowered.program.output.format.step == step


@pytest.mark.parametrize("shape", [(), (1,), (1, 3)])
def test_bias_broadcasts_as_in_gemm(shape: tuple[int, ...]) -> None:
    body = f"{DENSE} [bq] b = Quant (c, half, zero, eight) y = Gemm (q, v, b)"
    agrees(graph(body, (9, 2), (9, 3), w=W, c=np.full(shape, 1.5)))


def test_quantised_constant_may_be_an_operand() -> None:
    body = f"{DENSE} [bq] b = Quant (c, three, zero, eight) m = MatMul (q, v) y = Add (m, b)"
    assert agrees(graph(body, (9, 2), (9, 3), w=W, c=np.array([3.0, -7.0, 0.0]))).output_line.offset.tolist() == [
        3,
        -6,
        0,
    ]


def test_transposed_constant_weights_are_the_matrix_transposed() -> None:
    scales = np.array([[0.5], [0.25], [1.0]])
    body = "[in] q = Quant (x, half, zero, four) [wq] u = Quant (w, s, zero, four) v = Transpose (u) y = MatMul (q, v)"
    agrees(graph(body, (9, 2), (9, 3), w=W.T, s=scales))


def channels_last(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.moveaxis(outputs, 1, -1)


def test_network_may_end_in_an_image_channels_last() -> None:
    scales = np.array([0.25, 1.0]).reshape(2, 1, 1, 1)
    body = "[in] q = Quant (x, half, zero, four) [wq] v = Quant (k, s, zero, four) c = Conv (q, v) y = Mul (c, m)"
    model = graph(body, (9, 2, 3, 4), (9, 2, 2, 3), k=K, s=scales, m=np.array([0.3, -0.7]).reshape(2, 1, 1))
    values = np.random.default_rng(1).normal(0, 3, (9, 2, 3, 4)).astype(np.float32)
    lowered = lower(model)
    assert (program_integers(lowered, values) == score_integers(lowered, channels_last(executed(model, values)))).all()
    assert lowered.program.output.shape == (2, 3, 2)


def test_nodes_that_the_output_does_not_need_are_left_out() -> None:
    body = f"{DENSE} y = MatMul (q, v) e = Quant (y, one, zero, four) r = Relu (x)"
    assert len(agrees(graph(body, (9, 2), (9, 3), w=W)).program.operations) == 2


@pytest.mark.parametrize("tail", ["Softmax", "LogSoftmax"])
def test_final_softmax_is_left_to_the_host_even_behind_an_identity(tail: str) -> None:
    softmax = f"{tail.lower()} over axis -1"
    plain = lower(graph(f"{DENSE} y = MatMul (q, v)", (1, 2), (1, 3), w=W))
    ends = [f"y = {tail} (m)", f"s = {tail} (m) y = Identity (s)"]
    for end in ends:
        lowered = lower(graph(f"{DENSE} m = MatMul (q, v) {end}", (1, 2), (1, 3), w=W))
        assert (lowered.softmax, plain.softmax) == (softmax, None)
        assert [o.name for o in lowered.program.operations] == [o.name for o in plain.program.operations]


def test_graph_is_left_as_it_is() -> None:
    model = graph(f"{DENSE} d = Dropout (q) m = MatMul (d, v) y = Softmax (m)", (1, 2), (1, 3), w=W)
    before = model.model.SerializeToString()
    lower(model)
    assert model.model.SerializeToString() == before


def test_layers_of_one_name_are_told_apart() -> None:
    body = "[a] q = Quant (x, half, zero, four) [a] v = Quant (w, half, zero, three) [a] y = MatMul (q, v)"
    assert [o.name for o in lower(graph(body, (1, 2), (1, 3), w=W)).program.operations] == ["a", "a_1"]


def test_constant_nodes_are_folded_into_scales() -> None:
    body = f"s = Constant <value_float=2.0> () t = Div (s, four) {DENSE.replace('half', 't')} y = MatMul (q, v)"
    assert agrees(graph(body, (9, 2), (9, 3), w=W)).program.output.format.step == 0.25
