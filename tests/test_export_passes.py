"""The passes that clean a graph: before and after compute the same, and nothing is left that they remove."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import executed, graph
from qonnx.core.modelwrapper import ModelWrapper

from bitwright.export.pass_constants import fold_constants
from bitwright.export.pass_identities import remove_identities
from bitwright.export.pass_softmax import final_softmax, remove_final_softmax
from bitwright.export.passes import PASSES, clean

SHAPE = (3, 4)
VALUES = np.random.default_rng(1).normal(0, 3, SHAPE).astype(np.float32)
WEIGHT = np.arange(16).reshape(4, 4) / 8 - 1
BODIES = {
    "identity first": "i = Identity (x) y = Quant (i, half, zero, four)",
    "identity last": "q = Quant (x, half, zero, four) y = Identity (q)",
    "identities": "i = Identity (x) j = Identity (i) q = Quant (j, half, zero, four) k = Identity (q) y = Dropout (k)",
    "dropout": "q = Quant (x, half, zero, four) d = Dropout (q, half) y = Relu (d)",
    "identity of a fork": "q = Quant (x, half, zero, four) i = Identity (q) r = Relu (q) y = Add (i, r)",
    "scale of constants": "s = Mul (half, two) t = Div (s, four) y = Quant (x, t, zero, four)",
    "constant node": "s = Constant <value_float=0.5> () y = Quant (x, s, zero, four)",
    "transposed weights": "t = Transpose (w) v = Quant (t, half, zero, four) y = MatMul (x, v)",
    "quantised weights": "v = Quant (w, half, zero, three) t = Transpose (v) y = MatMul (x, t)",
    "unused": "q = Quant (x, half, zero, four) y = Relu (q) z = Sigmoid (q) e = Relu (z)",
}


def model_of(body: str) -> ModelWrapper:
    return graph(body, SHAPE, SHAPE, w=WEIGHT)


def op_types(model: ModelWrapper) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("run", [*PASSES, clean], ids=lambda run: run.__name__)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_pass_changes_no_output(body: str, run: Callable[[ModelWrapper], ModelWrapper]) -> None:
    before = executed(model_of(body), VALUES)
    assert (executed(run(model_of(body)), VALUES) == before).all()


@settings(deadline=None, max_examples=30)
@given(kinds=st.lists(st.sampled_from(["Identity", "Dropout", "Relu", "Neg", "Mul", "Quant"]), min_size=1, max_size=8))
def test_cleaning_a_random_chain_changes_no_output_and_leaves_nothing_idle(kinds: list[str]) -> None:
    rest = {"Mul": ", w0", "Quant": ", half, zero, four"}
    names = ["x", *(f"t{i}" for i in range(len(kinds)))]
    chain = [f"{names[i + 1]} = {kind} ({names[i]}{rest.get(kind, '')})" for i, kind in enumerate(kinds)]
    body = " ".join([*chain, f"y = Relu ({names[-1]})"])
    model = graph(body, SHAPE, SHAPE, w0=WEIGHT[0])
    cleaned = clean(model)
    assert (executed(cleaned, VALUES) == executed(model, VALUES)).all()
    assert op_types(cleaned) == [kind for kind in [*kinds, "Relu"] if kind not in ("Identity", "Dropout")]


def test_constants_are_folded_and_their_quantisers_stay() -> None:
    model = fold_constants(
        model_of("s = Mul (half, two) t = Transpose (w) v = Quant (t, s, zero, four) y = MatMul (x, v)")
    )
    assert op_types(model) == ["Quant", "MatMul"]
    quant = model.graph.node[0]
    assert (model.get_initializer(quant.input[0]) == WEIGHT.T).all()
    assert model.get_initializer(quant.input[1]) == 1.0


def test_names_are_given_only_to_nodes_without_one() -> None:
    model = fold_constants(model_of("[fc] m = MatMul (x, w) r = Relu (m) [out] y = Relu (r)"))
    first, second, third = (node.name for node in model.graph.node)
    assert (first, third) == ("fc", "out")
    assert second


def test_nodes_are_sorted_and_those_without_a_reader_dropped() -> None:
    model = model_of("a = Relu (x) b = Neg (a) y = Relu (b) z = Sigmoid (a)")
    last = model.graph.node[2]
    model.graph.node.insert(0, last)
    del model.graph.node[3]
    assert op_types(model) == ["Relu", "Relu", "Neg", "Sigmoid"]
    sorted_model = fold_constants(model)
    assert op_types(sorted_model) == ["Relu", "Neg", "Relu"]
    assert (
        executed(sorted_model, VALUES).tolist()
        == executed(model_of("a = Relu (x) b = Neg (a) y = Relu (b)"), VALUES).tolist()
    )


def test_initialisers_are_no_inputs() -> None:
    model = model_of("y = MatMul (x, w)")
    port = model.graph.input.add()
    port.CopyFrom(model.graph.input[0])
    port.name = "w"
    port.type.tensor_type.shape.dim[0].dim_value = 4
    del model.graph.value_info[:]
    assert [port.name for port in fold_constants(model).graph.input] == ["x"]


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
def test_final_softmax_is_removed_and_named(kind: str) -> None:
    model = model_of(f"m = MatMul (x, w) y = {kind} (m)")
    scores = executed(model_of("y = MatMul (x, w)"), VALUES)
    assert final_softmax(model) == f"{kind.lower()} over axis -1"
    removed = remove_final_softmax(model)
    assert op_types(removed) == ["MatMul"]
    assert (executed(removed, VALUES) == scores).all()
    assert final_softmax(removed) is None


def test_softmax_inside_stays() -> None:
    model = model_of("s = Softmax (x) y = Relu (s)")
    assert final_softmax(model) is None
    assert op_types(remove_final_softmax(model)) == ["Softmax", "Relu"]


def test_graph_of_identities_has_its_input_as_output() -> None:
    model = remove_identities(model_of("i = Identity (x) y = Dropout (i)"))
    assert not model.graph.node
    assert model.graph.output[0].name == "x"


def test_cleaning_leaves_its_argument_as_it_is() -> None:
    model = model_of("i = Identity (x) s = Mul (half, two) q = Quant (i, s, zero, four) y = Softmax (q)")
    before = model.model.SerializeToString()
    assert op_types(clean(model)) == ["Quant"]
    assert model.model.SerializeToString() == before


def test_order_of_the_passes_is_visible() -> None:
    assert (fold_constants, remove_identities, remove_final_softmax) == PASSES
