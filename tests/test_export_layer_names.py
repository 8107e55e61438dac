"""Names of operations: those of the network's modules, made unique and legal in C++."""

import pytest
from onnx import NodeProto, helper

from bitwright.export.layer_names import RESERVED, SCOPES, layer_name


def node(name: str = "", scopes: str | None = None) -> NodeProto:
    made = helper.make_node("MaxPool", ["x"], ["y"], name=name)
    if scopes is not None:
        entry = made.metadata_props.add()
        entry.key, entry.value = SCOPES, scopes
    return made


@pytest.mark.parametrize(
    ("scopes", "name"),
    [
        ("['', 'fc1', 'linear']", "fc1"),
        ("['', 'block', 'block.0.conv', 'conv2d']", "block_0_conv"),
        ("['', 'act1', 'act1.act_quant.fused', 'quant']", "act1"),
        ("['', 'fc1', 'fc1.weight_quant.tensor_quant', 'quant']", "fc1"),
        ("['', 'fc1.bias_quant', 'quant']", "fc1"),
        ("['', 'relu.input_quant', 'quant']", "relu"),
        ("['', 'relu.output_quant', 'quant']", "relu"),
    ],
)
def test_name_is_that_of_the_innermost_module(scopes: str, name: str) -> None:
    assert layer_name(node("node", scopes), set()) == name


@pytest.mark.parametrize("scopes", [None, "['', 'linear']", "[]", "not python(", "[1, 2"])
def test_node_without_a_module_has_its_own_name(scopes: str | None) -> None:
    assert layer_name(node("node", scopes), set()) == "node"


def test_node_without_a_name_has_its_operators() -> None:
    assert layer_name(node(), set()) == "maxpool"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("a.b-c/d", "a_b_c_d"),
        ("0.conv", "layer_0_conv"),
        ("_x", "layer__x"),
        ("été", "layer__t_"),
        ("conv:1", "conv_1"),
    ],
)
def test_name_is_an_identifier_of_cpp(given: str, name: str) -> None:
    assert layer_name(node(given), set()) == name


@pytest.mark.parametrize("word", sorted(RESERVED))
def test_word_that_hls4ml_types_have_is_extended(word: str) -> None:
    assert layer_name(node(word), set()) == f"{word}_layer"


def test_names_are_unique_and_remembered() -> None:
    taken: set[str] = set()
    assert [layer_name(node("fc"), taken) for _ in range(3)] == ["fc", "fc_1", "fc_2"]
    assert layer_name(node("fc_1"), taken) == "fc_1_1"
    assert taken == {"fc", "fc_1", "fc_2", "fc_1_1"}


@pytest.mark.parametrize("word", ["int", "class", "xor", "main"])
def test_word_of_cpp_is_no_name_of_a_layer(word: str) -> None:
    assert layer_name(helper.make_node("Relu", ["x"], ["y"], name=word), set()) == f"{word}_layer"
