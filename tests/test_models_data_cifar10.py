"""CIFAR-10 from loose batches and from archives."""

import io
import re
import tarfile
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from bitwright.models import data_cifar10

REPLACE = "replace the file, or delete it to have it downloaded again"


def batch(*labels: int) -> bytes:
    """Records of the given labels; the image bytes count up from the label."""
    return b"".join(bytes([label]) + bytes((label + i) % 256 for i in range(3072)) for label in labels)


def write_archive(path: Path, members: dict[str, bytes], compression: Literal["", "gz", "xz"] = "gz") -> None:
    """Write a tar archive of the given members."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz" if compression == "gz" else "w:xz" if compression else "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    path.write_bytes(packed.getvalue())


def write_batches(folder: Path) -> None:
    """Write the six batches, of one record each: labels 1 to 5 to train and 9 to test."""
    folder.mkdir(exist_ok=True)
    for label in range(1, 6):
        (folder / f"data_batch_{label}.bin").write_bytes(batch(label))
    (folder / "test_batch.bin").write_bytes(batch(9))


@pytest.mark.parametrize("folder", ["cifar-10-batches-bin", "."])
def test_batches_are_read_in_order(tmp_path: Path, folder: str) -> None:
    write_batches(tmp_path / folder)
    train, test = data_cifar10.read(tmp_path, ["train", "test"], download=False)
    assert train.labels.tolist() == [1, 2, 3, 4, 5]
    assert test.labels.tolist() == [9]
    assert train.inputs.shape == (5, 3, 32, 32)


def test_record_is_red_green_blue_rows(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    red, green, blue = image
    (tmp_path / "test_batch.bin").write_bytes(b"\6" + red.tobytes() + green.tobytes() + blue.tobytes())
    (test,) = data_cifar10.read(tmp_path, ["test"], download=False)
    np.testing.assert_array_equal(test.inputs, image[np.newaxis], strict=True)
    assert test.inputs.flags.writeable


@pytest.mark.parametrize(
    ("name", "compression"),
    [("cifar-10-binary.tar.gz", "gz"), ("cifar-10-batches-bin.tar.xz", "xz"), ("mine.tar.0", "")],
)
def test_archive_is_read_and_nothing_is_extracted(
    tmp_path: Path, name: str, compression: Literal["", "gz", "xz"]
) -> None:
    members = {"cifar-10-batches-bin/test_batch.bin": batch(4, 2), "../../escaped": b"x", "readme": b"y"}
    write_archive(tmp_path / name, members, compression)
    (test,) = data_cifar10.read(tmp_path, ["test"], download=False)
    assert test.labels.tolist() == [4, 2]
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("size", [0, 3072, 3074])
def test_batch_of_broken_records_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "test_batch.bin"
    path.write_bytes(bytes(size))
    says = f"{path}: size must be a positive multiple of 3073 bytes, not {size}; {REPLACE}"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        data_cifar10.read(tmp_path, ["test"], download=False)


def test_label_above_9_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "test_batch.bin"
    path.write_bytes(batch(0, 10))
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: labels must be from 0 to 9, not 10; {REPLACE}')}$"):
        data_cifar10.read(tmp_path, ["test"], download=False)


def test_broken_record_in_an_archive_names_both(tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-binary.tar.gz"
    write_archive(path, {"cifar-10-batches-bin/test_batch.bin": bytes(10)})
    says = f"{path}[test_batch.bin]: size must be a positive multiple of 3073 bytes, not 10; {REPLACE}"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        data_cifar10.read(tmp_path, ["test"], download=False)


def test_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(b"<html>404</html>")
    says = f"{path}: tar archive must be whole and sound, not 'file could not be opened successfully'; {REPLACE}"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        data_cifar10.read(tmp_path, ["test"], download=False)


def test_archive_whose_checksum_fails_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-binary.tar.gz"
    write_archive(path, {"test_batch.bin": batch(1)})
    whole = path.read_bytes()
    path.write_bytes(whole[:-8] + bytes(4) + whole[-4:])
    start = f"{path}: tar archive must be whole and sound, not 'CRC check failed "
    with pytest.raises(ValueError, match=f"^{re.escape(start)}.*'; {REPLACE}$"):
        data_cifar10.read(tmp_path, ["test"], download=False)


def test_archive_without_a_batch_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-python.tar.gz"
    write_archive(path, {"cifar-10-batches-py/test_batch": b"a pickle"})
    says = f"{path}: archive must hold test_batch.bin, not []; {REPLACE}"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        data_cifar10.read(tmp_path, ["test"], download=False)


def test_absent_batches_are_refused_in_one_line(tmp_path: Path) -> None:
    says = (
        f"{tmp_path}: folder must hold cifar-10-binary.tar.gz, not []; downloads are off: "
        "put the missing files there, or name another data folder with --data-dir or BITWRIGHT_DATA"
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(says)}$"):
        data_cifar10.read(tmp_path, ["test"], download=False)
