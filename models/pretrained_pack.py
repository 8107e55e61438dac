"""Packing a trained network for the package: integers for its weights, proven to be the same network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import nn

from bitwright.models.checkpoint import load
from bitwright.models.pretrained_file import PackedTensor, Pretrained, read, write


def pack(checkpoint: Path, experiment: dict[str, Any], accuracy: Mapping[str, float], path: Path) -> int:
    """Write a trained network as a file of the package, and read it back: every integer must be the same.

    Args:
        checkpoint: Of the network, whose weights are all quantised.
        experiment: Its settings.
        accuracy: Its shares of right answers, "validation" and "test".
        path: Of the file to write, ``<name>.safetensors``.

    Returns:
        Bytes of the file.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        ValueError: If a layer has float weights, or the network that is read back is another.
        OSError: If the file cannot be written.
    """
    network, _ = load(checkpoint)
    with safe_open(checkpoint, framework="numpy") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    codes = {}
    for name, layer in _layers(network):
        weight = layer.quant_weight()
        packing = PackedTensor(int(weight.bit_width), tuple(weight.value.shape))
        integers = np.rint((weight.value / weight.scale).detach().numpy().astype(np.float64)).astype(np.int64)
        codes[f"{name}.weight"] = (packing, integers, weight.scale.detach().numpy().astype(np.float32))
    write(path, Pretrained(experiment, accuracy, tensors, metadata), codes)
    _check(path, network)
    return path.stat().st_size


def _layers(network: nn.Module) -> list[tuple[str, Any]]:
    """Return the layers with weights by their names; all must be quantised."""
    found: list[tuple[str, Any]] = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            quantizer: Any = getattr(module, "weight_quant", None)
            if quantizer is None or not quantizer.is_quant_enabled:
                raise ValueError(f"pretrained: weights of {name} must be quantised, not float; pack another network")
            found.append((name, module))
    return found


def _check(path: Path, network: nn.Module) -> None:
    """Refuse a file that does not give the same integers, scales and other numbers."""
    checkpoint = path.with_name(f".{path.name}.checked")
    try:
        read(path.stem, path.parent).save_checkpoint(checkpoint)
        again, _ = load(checkpoint)
    finally:
        checkpoint.unlink(missing_ok=True)
    for (name, one), (_, other) in zip(_layers(network), _layers(again), strict=True):
        ours, theirs = one.quant_weight(), other.quant_weight()
        if not (torch.equal(ours.value, theirs.value) and torch.equal(ours.scale, theirs.scale)):
            path.unlink()
            raise ValueError(
                f"{path}: weights of {name} must be the same integers and scales as before they were packed, not "
                'others; train with recipe.weight_scale_from = "parameter"'
            )
    packed = {f"{name}.weight" for name, _ in _layers(network)}
    before, after = (dict(net.state_dict()) for net in (network, again))
    assert all(torch.equal(before[key], after[key]) for key in before if key not in packed)
    assert before.keys() == after.keys()
