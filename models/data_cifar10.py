"""CIFAR-10, read from the records of its binary version: loose files, or a tar archive that is never extracted."""

import lzma
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from bitwright.models.data_split import REPLACE, Part, Split, class_indices
from bitwright.models.download import RemoteFile, fetch

HOME = RemoteFile("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530")
BATCHES: Mapping[Part, tuple[str, ...]] = {
    "train": ("data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"),
    "test": ("test_batch.bin",),
}
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGE_SHAPE = (3, 32, 32)
RECORD_BYTES = 1 + 3 * 32 * 32


def read(
    folder: Path, parts: Sequence[Part], *, download: bool = True, console: Console | None = None
) -> tuple[Split, ...]:
    """Read parts of CIFAR-10; fetch the archive if the folder lacks them.

    The batches are looked for in ``cifar-10-batches-bin/``, then in the folder itself, then in an archive there:
    ``cifar-10-binary.tar.gz``, ``cifar-10-batches-bin.tar.xz`` or any other ``*.tar.*``.

    Args:
        folder: Folder of the set.
        parts: The parts to read; only their batches are needed.
        download: Whether the archive may be fetched.
        console: Where progress is shown; standard error by default.

    Returns:
        One split for each part: images uint8 ``(N, 3, 32, 32)``, red, green, blue, and labels int64 ``(N,)``.

    Raises:
        ValueError: If a batch or the archive is not what its name says.
        OSError: If the batches are missing and cannot be fetched.
    """
    names = [name for part in parts for name in BATCHES[part]]
    loose = next((at for at in (folder / "cifar-10-batches-bin", folder) if _holds(at, names)), None)
    if loose is not None:
        batches = {name: _records(loose / name, (loose / name).read_bytes()) for name in names}
    else:
        archive = _archive(folder)
        if archive is None:
            fetch(folder, [HOME], download=download, console=console)
            archive = folder / HOME.name
        batches = read_archive(archive, names)
    return tuple(_split([batches[name] for name in BATCHES[part]]) for part in parts)


def read_archive(archive: Path, names: Sequence[str]) -> dict[str, NDArray[np.uint8]]:
    """Read batches out of a tar archive, in one pass and without writing any of it to disk.

    Args:
        archive: The archive, of any compression that `tarfile` knows.
        names: Names of the batches, whatever folder of the archive they stand in.

    Returns:
        The records of each batch, ``(N, 3073)``: a label byte, then the image's bytes.

    Raises:
        ValueError: If the archive is not whole, lacks a batch, or holds one that is not of whole records.
    """
    contents: dict[str, bytes] = {}
    try:
        with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:*") as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                stream = tar.extractfile(member) if member.isreg() and name in names else None
                if stream is not None and name not in contents:
                    contents[name] = stream.read()
            while tar.fileobj is not None and tar.fileobj.read(1 << 20):
                pass  # to the end, where the compressed stream has its checksum
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError) as cause:
        if isinstance(cause, OSError) and cause.errno is not None:  # the disk's, not the decompressor's
            raise
        first = str(cause).partition("\n")[0].rstrip(":")
        raise ValueError(f"{archive}: tar archive must be whole and sound, not {first!r}; {REPLACE}") from cause
    if len(contents) < len(names):
        raise ValueError(f"{archive}: archive must hold {', '.join(names)}, not {sorted(contents)!r}; {REPLACE}")
    return {name: _records(f"{archive}[{name}]", contents[name]) for name in names}


def _records(where: object, content: bytes) -> NDArray[np.uint8]:
    if len(content) == 0 or len(content) % RECORD_BYTES:
        raise ValueError(
            f"{where}: size must be a positive multiple of {RECORD_BYTES} bytes, not {len(content)}; {REPLACE}"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD_BYTES)
    class_indices(where, records[:, 0], len(CLASSES))
    return records


def _split(batches: Sequence[NDArray[np.uint8]]) -> Split:
    images = np.concatenate([records[:, 1:] for records in batches])  # (N, 3072)
    labels = np.concatenate([records[:, 0] for records in batches])
    return Split(images.reshape(-1, *IMAGE_SHAPE), labels.astype(np.int64))  # (N, 3, 32, 32)


def _holds(folder: Path, names: Sequence[str]) -> bool:
    return all((folder / name).is_file() for name in names)


def _archive(folder: Path) -> Path | None:
    usual = (folder / HOME.name, folder / "cifar-10-batches-bin.tar.xz")
    others = sorted(path for path in folder.glob("*.tar.*") if path.suffix != ".part")
    return next((path for path in (*usual, *others) if path.is_file()), None)
