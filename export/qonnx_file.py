"""Reading and writing ONNX files."""

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from qonnx.core.modelwrapper import ModelWrapper


def load(path: Path) -> ModelWrapper:
    """Read an ONNX file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not ONNX, or not a valid graph.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: model must be an ONNX file, not missing; run `bitwright export` first")
    try:
        model = onnx.load(path, format="protobuf")
        if not model.graph.node:
            raise ValueError("a graph without nodes")
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{path}: model must be an ONNX file, not {path.stat().st_size} bytes of something else ({reason})"
        ) from error
    return ModelWrapper(model)


def save(model: ModelWrapper, path: Path) -> None:
    """Write a model; an interrupted call leaves no half file."""
    partial = path.with_name(f".{path.name}.partial")
    onnx.save(model.model, partial)
    partial.replace(path)
