"""Small trained networks that come with the package: every weight as an integer of its layer's width. Imports no torch.

A file is safetensors. ``<layer>.weight`` is a row of bytes, the integers of the weights packed bit by bit, and
``<layer>.weight.scale`` what one step of them is worth; all other tensors are those of the checkpoint. The metadata has
the experiment, the accuracy that it reached, and each packed tensor's width and shape.
"""

import errno
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

FORMAT = "bitwright.pretrained.1"
FOLDER = Path(__file__).parent / "pretrained"
SUFFIX = ".safetensors"
PREFIX = "pretrained:"

BEYOND = 0.25
"""Steps by which a float weight lies beyond its integer, away from zero. It is rounded to that integer all the same.
Where the scale is the power of two above the largest weight, that weight is still above the power of two below."""


@dataclass(frozen=True)
class PackedTensor:
    """How the integers of one tensor lie in their bytes.

    Args:
        bit_width: Bits of each; 1: the bit 1 is +1, the bit 0 is -1.
        shape: Of the tensor.
    """

    bit_width: int
    shape: tuple[int, ...]

    def pack(self, codes: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the bytes of integers of any shape, the highest bit of the first one first.

        >>> PackedTensor(4, (3,)).pack(np.array([-8, 0, 7]))
        array([  8, 240], dtype=uint8)
        """
        bits = (codes.reshape(-1) + 1) // 2 if self.bit_width == 1 else codes.reshape(-1) - self._lowest
        places = np.arange(self.bit_width)[::-1]
        return np.packbits(((bits[:, None] >> places) & 1).astype(np.uint8).reshape(-1))

    def unpack(self, data: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the integers of ``pack``'s bytes.

        >>> PackedTensor(1, (2, 2)).unpack(np.array([0b10010000], np.uint8)).tolist()
        [[1, -1], [-1, 1]]
        """
        count = int(np.prod(self.shape))
        bits = np.unpackbits(data, count=count * self.bit_width).reshape(count, self.bit_width).astype(np.int64)
        values = bits @ (1 << np.arange(self.bit_width, dtype=np.int64)[::-1])
        return (values * 2 - 1 if self.bit_width == 1 else values + self._lowest).reshape(self.shape)

    @property
    def _lowest(self) -> int:
        return -(1 << (self.bit_width - 1))


@dataclass(frozen=True)
class Pretrained:
    """A network of the package, read.

    Attributes:
        experiment: All its settings, as in ``experiment.toml``.
        accuracy: Shares of right answers, "validation" and "test", as they were when the file was made.
        tensors: Those of its checkpoint, float32: each weight is rounded to its integer.
        metadata: Those of its checkpoint.
    """

    experiment: Mapping[str, Any]
    accuracy: Mapping[str, float]
    tensors: Mapping[str, NDArray[Any]]
    metadata: Mapping[str, str]

    def save_checkpoint(self, path: Path) -> None:
        """Write the checkpoint that the file was made of, but for the float weights behind the integers.

        Raises:
            OSError: If it cannot be written.
        """
        tensors = {key: np.asarray(value, order="C") for key, value in self.tensors.items()}
        _save(tensors, path, dict(self.metadata))


def names() -> tuple[str, ...]:
    """Return the names of the networks that come with the package."""
    return tuple(sorted(path.name.removesuffix(SUFFIX) for path in FOLDER.glob(f"*{SUFFIX}")))


def read(name: str, folder: Path = FOLDER) -> Pretrained:
    """Read a network of the package.

    Args:
        name: One of `names`.
        folder: Where the file lies.

    Raises:
        ValueError: If there is none of this name, or its file is not what it should be.
    """
    path = folder / f"{name}{SUFFIX}"
    if not path.is_file():
        raise ValueError(f"{PREFIX}{name}: network must be one of {', '.join(names())}, not {name!r}; choose one")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise ValueError(f"{path}: file must be a network of Bitwright's, not a damaged one; install again") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{path}: format must be {FORMAT!r}, not {metadata.get('format')!r}; install the version that it came with"
        )
    for key, packing in json.loads(metadata["packed"]).items():
        codes = PackedTensor(packing["bit_width"], tuple(packing["shape"])).unpack(tensors[key])
        scale = tensors.pop(_scale_key(key)).astype(np.float64)
        tensors[key] = ((codes + BEYOND * np.sign(codes)) * scale).astype(np.float32)
    return Pretrained(
        experiment=json.loads(metadata["experiment"]),
        accuracy=json.loads(metadata["accuracy"]),
        tensors=tensors,
        metadata=json.loads(metadata["checkpoint"]),
    )


def write(
    path: Path,
    network: Pretrained,
    codes: Mapping[str, tuple[PackedTensor, NDArray[np.int64], NDArray[np.float32]]],
) -> None:
    """Write a network's file.

    Args:
        path: Where to.
        network: Its tensors of the keys of ``codes`` are not looked at.
        codes: By the key of each weight: how to pack it, its integers, and its scales, which broadcast to its shape.

    Raises:
        OSError: If it cannot be written.
    """
    tensors = {key: np.asarray(value, order="C") for key, value in network.tensors.items() if key not in codes}
    for key, (packing, integers, scale) in codes.items():
        tensors[key] = packing.pack(integers)
        tensors[_scale_key(key)] = scale
    metadata = {
        "format": FORMAT,
        "experiment": json.dumps(network.experiment),
        "accuracy": json.dumps(dict(network.accuracy)),
        "checkpoint": json.dumps(dict(network.metadata)),
        "packed": json.dumps({key: asdict(packing) for key, (packing, _, _) in codes.items()}),
    }
    _save(tensors, path, metadata)


def _save(tensors: dict[str, NDArray[Any]], path: Path, metadata: dict[str, str]) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        save_file(tensors, partial, metadata=metadata)
    except SafetensorError as error:  # which has no error number
        partial.unlink(missing_ok=True)
        raise OSError(errno.ENOSPC, str(error), str(path)) from error
    partial.replace(path)


def _scale_key(key: str) -> str:
    return f"{key}.scale"
