"""What the generators of Brevitas networks promise: networks that Brevitas exports and qonnx runs."""

import gc
from pathlib import Path

import numpy as np
import pytest
from brevitas_networks import BrevitasNetwork, brevitas_networks
from brevitas_networks_kinds import BIAS_KINDS, EXACT_KINDS, JOIN_KINDS, KINDS, LAYER_KINDS, SHAPE_KINDS
from hypothesis import HealthCheck, Phase, given, settings
from newcomer_networks import NEWCOMERS
from qonnx.core.modelwrapper import ModelWrapper
from quick_export import quick_exports
from torch.onnx._internal.exporter._registration import ONNXRegistry

from bitwright.export.qonnx_level import run_qonnx
from bitwright.export.torch_export import write_qonnx
from bitwright.export.torch_level import run_torch

FEW = settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    phases=(Phase.generate,),  # an export takes a second
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
)
SHAPED = {"linear", "conv1d", "conv2d", *SHAPE_KINDS, *JOIN_KINDS}


def scales_of(model: ModelWrapper) -> list[float]:
    quantisers = (node for node in model.graph.node if node.op_type in ("Quant", "BipolarQuant"))
    return [float(scale) for node in quantisers for scale in model.get_initializer(node.input[1]).ravel()]


@pytest.mark.parametrize("kinds", [EXACT_KINDS, SHAPED], ids=["exact", "shaped"])
def test_qonnx_computes_what_torch_does_where_scales_are_powers_of_two(kinds: frozenset[str]) -> None:
    @FEW
    @given(brevitas_networks(power_of_two=True, kinds=kinds, most_layers=3))
    def compare(network: BrevitasNetwork) -> None:
        model, values = network.qonnx(), network.inputs(30)
        expected = run_torch(network.module, values).reshape(len(values), -1)
        assert (run_qonnx(model, values) == expected).all()
        assert all(np.frexp(scale)[0] == 0.5 for scale in scales_of(model))

    compare()


@FEW
@given(brevitas_networks(most_layers=3))
def test_any_drawn_network_exports_and_runs(network: BrevitasNetwork) -> None:
    values = network.inputs(30)
    assert values.shape == (30, *network.input_shape)
    scores = run_qonnx(network.qonnx(), values)
    expected = run_torch(network.module, values).reshape(scores.shape)
    assert np.isfinite(scores).all()
    # Beyond rounding only where a value lay on a tie of a quantiser: never in most of the inputs
    assert (np.abs(scores - expected).max(axis=1) <= 1e-4 * np.abs(expected).max()).mean() > 0.7


@FEW
@given(brevitas_networks(kinds={"linear"}, most_layers=2))
def test_kinds_restrict_what_is_drawn(network: BrevitasNetwork) -> None:
    assert {type(step).__name__ for step in network.module} <= {"QuantIdentity", "QuantReLU", "QuantLinear"}
    assert all(step.bias is None for step in network.module if hasattr(step, "bias"))


def test_quick_export_writes_the_same_bytes(tmp_path: Path) -> None:
    slow, quick = tmp_path / "slow.onnx", tmp_path / "quick.onnx"

    @FEW
    @given(brevitas_networks(most_layers=4))
    def compare(network: BrevitasNetwork) -> None:
        write_qonnx(network.module, network.input_shape, slow)
        with quick_exports():
            write_qonnx(network.module, network.input_shape, quick)
        assert quick.read_bytes() == slow.read_bytes()

    compare()


def test_quick_export_hands_nothing_on_to_the_next() -> None:
    with quick_exports():
        first, second = (ONNXRegistry.from_torchlib(opset_version=18) for _ in range(2))
        assert not gc.isenabled()
    whole = ONNXRegistry.from_torchlib(opset_version=18)
    first.functions.popitem()[1].clear()
    assert second.functions.keys() == whole.functions.keys()
    assert all(second.functions.values())
    assert gc.isenabled()


def test_unknown_kind_is_refused() -> None:
    @given(brevitas_networks(kinds={"linear", "conv4d"}))
    def draw(_: BrevitasNetwork) -> None:
        pass

    with pytest.raises(ValueError, match=r"^kinds must be of \[.*\], not \['conv4d'\]\n"):  # Hypothesis adds a line
        draw()


def test_kinds_are_named_once() -> None:
    assert EXACT_KINDS < KINDS
    assert LAYER_KINDS | BIAS_KINDS | JOIN_KINDS < KINDS


@pytest.mark.parametrize("name", ["mlp", "series_cnn"])
def test_newcomers_network_learns_and_is_the_same_again(name: str) -> None:
    network, again = NEWCOMERS[name](), NEWCOMERS[name]()
    scores = run_torch(network.module, network.inputs)
    assert (scores.argmax(axis=1) == network.targets).mean() > 0.8
    assert (scores == run_torch(again.module, again.inputs)).all()
