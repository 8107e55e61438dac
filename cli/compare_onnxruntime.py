"""The float network of a comparison in ONNX Runtime: in float32, and as a whole in int8."""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

from bitwright.export.quiet import quiet
from bitwright.export.torch_level import BATCH

Scores = Callable[[NDArray[np.float32]], NDArray[Any]]


class Batches(CalibrationDataReader):  # type: ignore[misc]
    """The inputs that ranges of activations are taken from.

    Args:
        name: Of the graph's input.
        values: ``(N, ...)``, float32.
    """

    def __init__(self, name: str, values: NDArray[np.float32]) -> None:
        self.batches: Iterator[dict[str, NDArray[np.float32]]] = iter([{name: batch} for batch in _batches(values)])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next batch by the input's name, None after the last."""
        return next(self.batches, None)


def float32_and_int8(network: nn.Module, values: NDArray[np.float32], threads: int) -> tuple[Scores, Scores]:
    """Return the network twice, from inputs ``(N, ...)`` to scores: in float32, and in int8.

    In int8 are the weights of dense layers and convolutions (a scale an output, by the largest), and what they work on
    (ranges seen for ``values``): ONNX Runtime's static quantisation, in its default form of pairs of QuantizeLinear
    and DequantizeLinear, which its session turns into integer kernels where it has them. Neither is Bitwright's: they
    are what a CPU does with the network otherwise.

    Args:
        network: Float, in eval mode.
        values: Inputs to take the ranges from, one or more, float32.
        threads: Of each session.

    Raises:
        OSError: If the files between cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="bitwright-int8-") as folder:
        exported, prepared, quantised = (Path(folder) / f"{name}.onnx" for name in ("float", "prepared", "int8"))
        with quiet("torch.onnx"), torch.no_grad():
            torch.onnx.export(
                network,
                (torch.from_numpy(values[:2]),),
                exported,
                dynamo=True,
                external_data=False,
                dynamic_shapes=({0: torch.export.Dim("N")},),
            )
        (entry,) = onnx.load(exported).graph.input
        with quiet("root"):
            quant_pre_process(exported, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                quantised,
                Batches(entry.name, values),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        as_float, as_int8 = (_session(path, threads) for path in (prepared, quantised))
    return partial(_scores, as_float, entry.name), partial(_scores, as_int8, entry.name)


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    options.add_session_config_entry("session.force_spinning_stop", "1")  # else its threads are in the others' way
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _scores(session: onnxruntime.InferenceSession, name: str, values: NDArray[np.float32]) -> NDArray[Any]:
    return np.concatenate([session.run(None, {name: batch})[0] for batch in _batches(values)])


def _batches(values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return as many inputs at a time as PyTorch gets."""
    return [values[start : start + BATCH] for start in range(0, len(values), BATCH)]
