"""MNIST and Fashion-MNIST, read from their IDX files."""

import gzip
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from bitwright.models.data_split import REPLACE, Part, Split, class_indices
from bitwright.models.download import RemoteFile, fetch

UNSIGNED_BYTE = 0x08
MAX_DIMENSIONS = 4
IMAGE_SHAPE = (28, 28)
STEMS: Mapping[Part, str] = {"train": "train", "test": "t10k"}


@dataclass(frozen=True)
class IdxSet:
    """A data set of four IDX files under MNIST's names.

    Attributes:
        home: Address of the folder that holds the gzip'd files, with the slash at its end.
        md5: Checksums of the gzip'd files by file name, without ``.gz``.
        classes: Names of the labels 0 to 9.
    """

    home: str
    md5: Mapping[str, str]
    classes: tuple[str, ...]


MNIST = IdxSet(
    home="https://ossci-datasets.s3.amazonaws.com/mnist/",
    md5={
        "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
    },
    classes=("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"),
)
FASHION_MNIST = IdxSet(
    home="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    md5={
        "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
    },
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
)


def read(
    folder: Path, idx_set: IdxSet, parts: Sequence[Part], *, download: bool = True, console: Console | None = None
) -> tuple[Split, ...]:
    """Read parts of an IDX data set; fetch the files that the folder lacks.

    Each file may be gzip'd or not, and named ``train-images-idx3-ubyte`` or, as of old, ``train-images.idx3-ubyte``.

    Args:
        folder: Folder of the files.
        idx_set: Which data set stands there.
        parts: The parts to read; only their files are needed.
        download: Whether missing files may be fetched.
        console: Where progress is shown; standard error by default.

    Returns:
        One split for each part: images uint8 ``(N, 1, 28, 28)``, labels int64 ``(N,)``.

    Raises:
        ValueError: If a file is not what its name says.
        OSError: If a file is missing and cannot be fetched.
    """
    names = [f"{STEMS[part]}-{kind}" for part in parts for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    missing = [name for name in names if _find(folder, name) is None]
    remotes = [RemoteFile(f"{idx_set.home}{name}.gz", idx_set.md5[name]) for name in missing]
    fetch(folder, remotes, download=download, console=console)
    paths = [_find(folder, name) or folder / f"{name}.gz" for name in names]
    return tuple(_read_split(*pair, len(idx_set.classes)) for pair in zip(paths[::2], paths[1::2], strict=True))


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes, gzip'd or not (its first bytes tell).

    Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database", section "File formats".

    Args:
        path: The file.

    Returns:
        Its array, of the shape that its header states: 1 to 4 dimensions.

    Raises:
        ValueError: If the file is not IDX, not of unsigned bytes, or not of the size that its header states.
    """
    content = _content(path)
    if len(content) < 4 or content[:2] != b"\0\0":
        raise ValueError(
            f"{path}: IDX file must start with two zero bytes, a type and a number of dimensions, "
            f"not {content[:4].hex(' ')!r}; {REPLACE}"
        )
    element, dimensions = content[2], content[3]
    if element != UNSIGNED_BYTE:
        raise ValueError(f"{path}: IDX type must be 0x08 (unsigned byte), not {element:#04x}; {REPLACE}")
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise ValueError(f"{path}: IDX dimensions must be from 1 to {MAX_DIMENSIONS}, not {dimensions}; {REPLACE}")
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise ValueError(
            f"{path}: IDX header of {dimensions} dimensions must be {start} bytes, not {len(content)}; {REPLACE}"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    size = math.prod(shape)
    if len(content) - start != size:
        raise ValueError(
            f"{path}: IDX data of shape {shape} must be {size} bytes, not {len(content) - start}; {REPLACE}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as cause:
        raise ValueError(f"{path}: gzip stream must be whole and sound, not {str(cause)!r}; {REPLACE}") from cause


def _read_split(images_path: Path, labels_path: Path, classes: int) -> Split:
    images = read_idx(images_path)
    if images.shape[1:] != IMAGE_SHAPE:
        raise ValueError(f"{images_path}: images must be of shape (N, 28, 28), not {images.shape}; {REPLACE}")
    labels = read_idx(labels_path)
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"{labels_path}: labels must be of shape ({len(images)},), one for each image of {images_path.name}, "
            f"not {labels.shape}; {REPLACE}"
        )
    return Split(images[:, np.newaxis], class_indices(labels_path, labels, classes))  # (N, 28, 28) -> (N, 1, 28, 28)


def _find(folder: Path, name: str) -> Path | None:
    dotted = name.replace("-idx", ".idx")
    candidates = (folder / candidate for candidate in (name, f"{name}.gz", dotted, f"{dotted}.gz"))
    return next((path for path in candidates if path.is_file()), None)
