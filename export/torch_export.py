"""From a Brevitas network to a QONNX file, through Brevitas' own exporter. Imports torch."""

import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

with warnings.catch_warnings():  # of Brevitas to itself
    warnings.simplefilter("ignore")
    from brevitas.export import export_qonnx

from bitwright.export.quiet import quiet


def write_qonnx(network: nn.Module, input_shape: tuple[int, ...], path: Path) -> None:
    """Write a network in eval mode as QONNX; an interrupted call leaves no half file.

    Args:
        network: Brevitas layers; its output is a tensor of scores.
        input_shape: Of one input, without the batch axis.
        path: Where to write.

    Raises:
        OSError: If the file cannot be written.
    """
    network = network.eval()
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
        written = Path(scratch) / path.name
        with quiet("torch.onnx"):  # torch may put the weights into a file beside
            export_qonnx(network, input_t=torch.zeros(1, *input_shape), export_path=str(written))
        whole = Path(scratch) / "whole.onnx"
        onnx.save(onnx.load(written), whole)
        whole.replace(path)
