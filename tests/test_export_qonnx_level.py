"""The level `qonnx`: the graph of one input, executed on many."""

from collections.abc import Callable

import numpy as np
import pytest
from networks import executed, graph

from bitwright.export.qonnx_level import run_qonnx

WEIGHT = np.random.default_rng(1).integers(-8, 9, (18, 3)) / 8  # exact in any order of adding
BODY = "q = Quant (x, half, zero, four) p = MaxPool <kernel_shape=[2, 2]> (q) f = Flatten (p) y = MatMul (f, w)"
SHAPE = (2, 4, 4)


@pytest.mark.parametrize("batch", [1, 3, 7, 100])
def test_every_batch_size_gives_the_outputs_of_single_inputs(batch: int) -> None:
    model = graph(BODY, (1, *SHAPE), (1, 3), w=WEIGHT)
    values = np.random.default_rng(2).normal(0, 3, (7, *SHAPE)).astype(np.float32)
    done: list[int] = []
    count: Callable[[int], None] = done.append
    found = run_qonnx(model, values, count, batch)
    singles = np.concatenate([executed(model, value[None]) for value in values])
    assert (found == singles).all()
    assert sum(done) == 7
    assert max(done) <= batch


def test_graph_is_left_as_it_is_and_outputs_are_flat() -> None:
    model = graph("y = Quant (x, half, zero, four)", (1, *SHAPE), (1, *SHAPE))
    before = model.model.SerializeToString()
    values = np.random.default_rng(2).normal(0, 3, (5, *SHAPE)).astype(np.float32)
    assert run_qonnx(model, values).shape == (5, 32)
    assert model.model.SerializeToString() == before
