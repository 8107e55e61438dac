"""The hls4ml project of a program: built from its layer list, audited type by type, written whole or not at all."""

import copy
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the many front ends that hls4ml imports
    import hls4ml
    from hls4ml.model.graph import ModelGraph
    from hls4ml.model.types import NamedType, UnspecifiedPrecisionType
    from hls4ml.utils.config import create_config

from bitwright.export.precision import Precision
from bitwright.export.program import Program
from bitwright.export.quiet import quiet
from bitwright.hls.extension import register
from bitwright.hls.layer_list import LayerList, layer_list
from bitwright.hls.target import Target

PROJECT = "bitwright"
"""Name of the top function and its files."""


def write_project(program: Program, precision: Precision, target: Target, folder: Path) -> None:
    """Write a program as an hls4ml project.

    Args:
        program: What it computes.
        precision: The type of every layer's every part.
        target: Back end, device, strategy.
        folder: Where it shall lie; an existing project there is replaced when the new one is whole.

    Raises:
        ValueError: If hls4ml cannot carry the program, or would have changed a type.
        OSError: If the folder cannot be written.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    register(target.backend)
    layers = layer_list(program, precision, target)
    with quiet("hls4ml"):
        model = _model(layers, target, partial)
        model.config.trace_output = True  # writes taps, silent until `bitwright diff` asks; synthesis does not see them
    _audit(model, layers, target)
    with quiet("hls4ml"):
        model.write()
    _make_relocatable(partial, folder)
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


def _model(layers: LayerList, target: Target, folder: Path) -> Any:  # noqa: ANN401
    config = create_config(
        output_dir=str(folder),
        project_name=PROJECT,
        backend=target.backend,
        io_type=target.io_type,
        part=target.part,
        clock_period=target.clock_period_ns,
        write_tar=False,
    )
    names: dict[str, dict[str, Any]] = {name: {"Precision": dict(types)} for name, types in layers.precision.items()}
    for name, settings in layers.config.items():
        names[name] |= settings
    # No default precision: a type that is missing raises instead of being made up
    config["HLSConfig"] = {
        "Model": {"ReuseFactor": target.reuse_factor, "Strategy": target.strategy, "BitExact": False},
        "LayerName": names,
    }
    return ModelGraph.from_layer_list(config, copy.deepcopy(list(layers.layers)))


def _audit(model: Any, layers: LayerList, target: Target) -> None:  # noqa: ANN401
    """Check that hls4ml has every layer, under its name, with every type as asked for, and no other."""
    backend = hls4ml.backends.get_backend(target.backend)
    present = {node.name: node for node in model.graph.values()}
    for layer in layers.layers:
        name = layer["name"]
        if name not in present:
            raise ValueError(
                f"{name}: layer must be in the hls4ml project, not removed; report this network to Bitwright"
            )
        for role, wanted in layers.precision[name].items():
            found = present[name].types.get(f"{role}_t")
            asked = backend.convert_precision_string(wanted) if isinstance(wanted, str) else wanted
            if found is not None and str(found.precision) != str(asked):
                raise ValueError(
                    f"{name}.{role}: type in the hls4ml project must be {asked}, not {found.precision}; "
                    "report this network to Bitwright"
                )
    for node in present.values():
        for role, found in node.types.items():
            _refuse_default(node.name, role, found)


def _refuse_default(name: str, role: str, found: NamedType) -> None:
    if isinstance(found.precision, UnspecifiedPrecisionType) or "default" in found.name:
        raise ValueError(f"{name}.{role}: type must be given, not hls4ml's default; report this network to Bitwright")


def _make_relocatable(partial: Path, folder: Path) -> None:
    """Let the written scripts name the project's folder as it will be, not the temporary one."""
    for path in partial.rglob("*"):
        if path.suffix in (".yml", ".tcl", ".sh", ".cpp", ".h") and path.is_file():
            text = path.read_text()
            if str(partial) in text:
                path.write_text(re.sub(re.escape(str(partial)), str(folder), text))
