"""Writing QONNX from PyTorch, and PyTorch as a level."""

import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bitwright.export import torch_export
from bitwright.export.qonnx_file import load
from bitwright.export.qonnx_level import run_qonnx
from bitwright.export.torch_export import write_qonnx
from bitwright.export.torch_level import run_torch
from bitwright.quant.brevitas_activations import activation
from bitwright.quant.brevitas_layers import dense, input_quantizer
from bitwright.quant.recipe import Recipe


def network() -> nn.Module:
    torch.manual_seed(1)
    torch.set_num_threads(1)
    recipe = Recipe()
    fc = dense(Recipe(weight_bit_width=4), 4, 3, bias=True)
    return nn.Sequential(input_quantizer(recipe, 0.0, 1.0), fc, activation(3))


def test_written_graph_computes_what_the_network_does_in_eval_mode(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trained = network()
    level = logging.getLogger("torch.onnx").level
    write_qonnx(trained, (4,), tmp_path / "model.onnx")
    values = np.random.default_rng(1).uniform(-0.5, 1.5, (300, 4)).astype(np.float32)
    assert (run_qonnx(load(tmp_path / "model.onnx"), values) == run_torch(trained, values)).all()
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("torch.onnx").level == level


def test_export_that_fails_leaves_no_file_and_speaks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(torch_export, "export_qonnx", interrupted)
    with pytest.raises(OSError, match=r"^disk full$"):
        write_qonnx(network(), (4,), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
    with pytest.warns(UserWarning, match=r"^heard$"):
        warnings.warn("heard", UserWarning, stacklevel=1)
