"""The float network in ONNX Runtime: torch's scores in float32, and in int8 the whole network."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from bitwright.cli import compare_onnxruntime
from bitwright.cli.compare_onnxruntime import float32_and_int8
from bitwright.models.checkpoint import NetworkDescription
from bitwright.models.settings import ModelSettings
from bitwright.quant.recipe import Recipe

IMAGE = (3, 32, 32)
KINDS = ("lenet5", "resnet8", "fracbnn", "mobilenet_v2")


@pytest.mark.parametrize("kind", KINDS)
def test_float_scores_are_those_of_torch_and_int8_is_the_whole_network(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    settings = ModelSettings(kind=kind, channel_multiplier=0.25, batch_norm=kind == "fracbnn")
    network = NetworkDescription(settings, Recipe.floating(), IMAGE, 10).build().eval()
    values = np.random.default_rng(1).random((8, *IMAGE), np.float32)
    graphs: list[onnx.ModelProto] = []
    session = compare_onnxruntime._session

    def kept(path: Path, threads: int) -> onnxruntime.InferenceSession:
        graphs.append(onnx.load(path))
        return session(path, threads)

    monkeypatch.setattr(compare_onnxruntime, "_session", kept)
    float32, int8 = float32_and_int8(network, values, threads=1)
    with torch.no_grad():
        wanted = network(torch.from_numpy(values)).numpy()
    span = np.ptp(wanted)
    assert np.abs(float32(values) - wanted).max() < 1e-5 * span + 1e-6  # sums in another order
    assert 0 < np.abs(int8(values) - wanted).max() < span / 2  # no rounding of 8 bits, and no other network
    weighted = [node for node in graphs[1].graph.node if node.op_type in {"Conv", "Gemm", "MatMul"}]
    assert len(weighted) == len([p for name, p in network.named_parameters() if p.dim() > 1])
    made_by = {name: node for node in graphs[1].graph.node for name in node.output}
    constants = {tensor.name: numpy_helper.to_array(tensor).dtype for tensor in graphs[1].graph.initializer}
    for node in weighted:
        values_in, weights = (made_by[name] for name in node.input[:2])
        assert values_in.op_type == weights.op_type == "DequantizeLinear"
        assert constants[weights.input[0]] == np.int8
