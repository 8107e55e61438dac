"""The weights of a network on disk: safetensors, with the settings that rebuild it."""

import errno
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from bitwright.models.network import build
from bitwright.models.settings import ModelSettings
from bitwright.quant.recipe import Recipe

SCALE = ".scaling_impl.value"
"""End of the name of a scale that Brevitas learns; a new network has it only after its first input."""


@dataclass(frozen=True)
class NetworkDescription:
    """All that is needed to build a network, but the weights.

    Args:
        model: Which network.
        recipe: Widths of input, weights and activations.
        input_shape: Of one input, ``(C, H, W)`` or ``(F,)``.
        classes: Scores.
    """

    model: ModelSettings
    recipe: Recipe
    input_shape: tuple[int, ...]
    classes: int

    def __post_init__(self) -> None:
        """Drop what the recipe says for people only: the weights do not depend on it."""
        object.__setattr__(self, "recipe", self.recipe.without_reasons())

    def build(self) -> nn.Module:
        """Return the network with random weights."""
        return build(self.model, self.recipe, self.input_shape, self.classes)


def save(path: Path, network: nn.Module, description: NetworkDescription) -> None:
    """Write the weights and their description; an interrupted call leaves no half file.

    Raises:
        OSError: If the file cannot be written.
    """
    metadata = {
        "format": "bitwright.checkpoint.1",
        "model": description.model.model_dump_json(),
        "recipe": description.recipe.model_dump_json(),
        "input_shape": json.dumps(description.input_shape),
        "classes": str(description.classes),
    }
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()}
    partial = path.with_name(f".{path.name}.partial")
    try:
        save_file(tensors, partial, metadata=metadata)
    except SafetensorError as error:  # which has no error number
        partial.unlink(missing_ok=True)
        raise OSError(errno.ENOSPC, str(error), str(path)) from error
    partial.replace(path)


def load(
    path: Path, expected: NetworkDescription | None = None, *, key: str = ""
) -> tuple[nn.Module, NetworkDescription]:
    """Read a network back, in eval mode.

    Args:
        path: A file that `save` wrote.
        expected: The network that the caller wants; any, if None.
        key: Of the setting by which the user named the file; none, if it is the run's own.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint, is of another network, or holds a weight that is not finite.
    """
    tensors, metadata = _read(path, key)
    description = _description(path, metadata)
    if expected is not None and description != expected:
        raise ValueError(
            f"{path}: checkpoint must be of {_difference(expected, description)}; train this experiment again"
        )
    network = description.build()
    _check_tensors(path, network, tensors)
    differing = network.load_state_dict(tensors, strict=False)  # knows the scales that a new network has not yet
    for has, names in (("without", differing.missing_keys), ("with", differing.unexpected_keys)):
        if names:
            raise ValueError(
                f"{path}: checkpoint must be of the same network, not one {has} {names[0]}; train it again"
            )
    return network.eval(), description


def start_from(path: Path, network: nn.Module) -> tuple[str, ...]:
    """Copy the weights of another network into this one, where both have one of the same name and shape.

    Args:
        path: A file that `save` wrote, of a float network or of another recipe.
        network: Changed in place.

    Returns:
        Names of the weights that the file does not have: they are as they were.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint, holds a value that is not finite, or fits nowhere.
    """
    tensors, _ = _read(path, "train.start_from")
    own = network.state_dict()
    fitting = {name: value for name, value in tensors.items() if name in own and own[name].shape == value.shape}
    weights = [name for name, value in fitting.items() if value.dim() >= 2]
    if not weights:
        raise ValueError(
            f"{path}: checkpoint must have a layer of the network that it starts, not none; name another in "
            "train.start_from"
        )
    scales = {name: value for name, value in tensors.items() if name.endswith(SCALE) and name not in own}
    _check_tensors(path, network, fitting | scales)
    try:
        network.load_state_dict(fitting | scales, strict=False)
    except RuntimeError:  # one scale a tensor here, one a channel there
        network.load_state_dict(fitting, strict=False)
    return tuple(name for name, value in own.items() if value.dim() >= 2 and name not in fitting)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return a checkpoint's tensors by their names.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint.
    """
    return _read(path)[0]


def _read(path: Path, key: str = "") -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return a checkpoint's tensors and metadata; the key is of the setting that names it, if one does."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: checkpoint must be an existing file, not missing; run `bitwright train` first"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        remedy = f"name another in {key}" if key else "delete it and run `bitwright train` again"
        raise ValueError(
            f"{path}: checkpoint must be a safetensors file, not {path.stat().st_size} bytes of something else; "
            f"{remedy}"
        ) from error


def _description(path: Path, metadata: dict[str, str]) -> NetworkDescription:
    try:
        return NetworkDescription(
            model=ModelSettings.model_validate_json(metadata["model"]),
            recipe=Recipe.model_validate_json(metadata["recipe"]),
            input_shape=tuple(int(n) for n in json.loads(metadata["input_shape"])),
            classes=int(metadata["classes"]),
        )
    except (KeyError, ValueError, TypeError, ValidationError) as error:
        raise ValueError(
            f"{path}: checkpoint must be one that `bitwright train` wrote, not a safetensors file without its settings"
        ) from error


def _difference(expected: NetworkDescription, found: NetworkDescription) -> str:
    """Name the first setting in which two descriptions differ."""
    for part in ("model", "recipe"):
        wanted, has = getattr(expected, part).model_dump(), getattr(found, part).model_dump()
        for key, value in wanted.items():
            if has[key] != value:
                return f"{part}.{key} = {value!r}, not {has[key]!r}"
    if expected.input_shape != found.input_shape:
        return f"inputs {expected.input_shape}, not {found.input_shape}"
    return f"{expected.classes} classes, not {found.classes}"


def _check_tensors(path: Path, network: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    wanted = network.state_dict()
    for name in sorted(tensors):
        if name in wanted and tensors[name].shape != wanted[name].shape:
            raise ValueError(
                f"{path}: {name} must be of shape {tuple(wanted[name].shape)}, not {tuple(tensors[name].shape)}; "
                "train it again"
            )
        if not tensors[name].isfinite().all():
            raise ValueError(
                f"{path}: {name} must be finite, not NaN or infinite; train again with a lower learning_rate"
            )
