"""IDX files, and the MNIST-like sets made of them."""

import gzip
import re
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from bitwright.models import data_idx

REPLACE = "replace the file, or delete it to have it downloaded again"


def idx(array: NDArray[np.uint8]) -> bytes:
    """The IDX file of an array of unsigned bytes."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_test_part(folder: Path, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
    """Write the two gzip'd files of a test part."""
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))


@given(arrays.arrays(np.uint8, arrays.array_shapes(max_dims=4, max_side=6)), st.sampled_from([bytes, gzip.compress]))
def test_idx_round_trips(array: NDArray[np.uint8], pack: Callable[[bytes], bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "array")
        path.write_bytes(pack(idx(array)))
        np.testing.assert_array_equal(data_idx.read_idx(path), array, strict=True)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "IDX file must start with two zero bytes, a type and a number of dimensions, not ''"),
        (
            b"\xff\xd8\xff\xe0 JFIF",
            "IDX file must start with two zero bytes, a type and a number of dimensions, not 'ff d8 ff e0'",
        ),
        (b"\0\0\x0d\1" + bytes(8), "IDX type must be 0x08 (unsigned byte), not 0x0d"),
        (b"\0\0\x08\0", "IDX dimensions must be from 1 to 4, not 0"),
        (b"\0\0\x08\5" + bytes(20), "IDX dimensions must be from 1 to 4, not 5"),
        (b"\0\0\x08\3" + bytes(7), "IDX header of 3 dimensions must be 16 bytes, not 11"),
        (idx(np.zeros((3, 2), np.uint8))[:-1], "IDX data of shape (3, 2) must be 6 bytes, not 5"),
        (idx(np.zeros((3, 2), np.uint8)) + b"\0", "IDX data of shape (3, 2) must be 6 bytes, not 7"),
    ],
)
def test_file_that_is_not_idx_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {says}; {REPLACE}')}$"):
        data_idx.read_idx(path)


def test_truncated_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(np.zeros((5, 28, 28), np.uint8)))[:-9])
    says = (
        "gzip stream must be whole and sound, not 'Compressed file ended before the end-of-stream marker was reached'"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {says}; {REPLACE}')}$"):
        data_idx.read_idx(path)


def test_gzip_of_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    whole = gzip.compress(idx(np.zeros((5, 28, 28), np.uint8)))
    path.write_bytes(whole[:-8] + bytes(4) + whole[-4:])
    start = f"{path}: gzip stream must be whole and sound, not 'CRC check failed"
    with pytest.raises(ValueError, match=f"^{re.escape(start)}.*'; {REPLACE}$"):
        data_idx.read_idx(path)


@pytest.mark.parametrize("separator", ["-idx", ".idx"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_every_usual_file_name_is_read(tmp_path: Path, separator: str, suffix: str) -> None:
    pack: Callable[[bytes], bytes] = gzip.compress if suffix else bytes
    images = np.arange(2 * 784, dtype=np.uint8).reshape(2, 28, 28)
    (tmp_path / f"t10k-images{separator}3-ubyte{suffix}").write_bytes(pack(idx(images)))
    (tmp_path / f"t10k-labels{separator}1-ubyte{suffix}").write_bytes(pack(idx(np.array([7, 2], np.uint8))))
    (test,) = data_idx.read(tmp_path, data_idx.MNIST, ["test"], download=False)
    np.testing.assert_array_equal(test.inputs, images[:, np.newaxis], strict=True)
    assert test.labels.tolist() == [7, 2]


def test_arrays_can_be_written(tmp_path: Path) -> None:
    write_test_part(tmp_path, np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.uint8))
    (test,) = data_idx.read(tmp_path, data_idx.MNIST, ["test"], download=False)
    assert test.inputs.flags.writeable
    assert test.labels.flags.writeable


def test_images_of_another_shape_are_refused(tmp_path: Path) -> None:
    write_test_part(tmp_path, np.zeros((2, 27, 28), np.uint8), np.zeros(2, np.uint8))
    says = f"{tmp_path}/t10k-images-idx3-ubyte.gz: images must be of shape (N, 28, 28), not (2, 27, 28); {REPLACE}"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        data_idx.read(tmp_path, data_idx.MNIST, ["test"], download=False)


def test_labels_of_another_count_are_refused(tmp_path: Path) -> None:
    write_test_part(tmp_path, np.zeros((2, 28, 28), np.uint8), np.zeros(3, np.uint8))
    says = (
        f"{tmp_path}/t10k-labels-idx1-ubyte.gz: labels must be of shape (2,), "
        f"one for each image of t10k-images-idx3-ubyte.gz, not (3,); {REPLACE}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        data_idx.read(tmp_path, data_idx.MNIST, ["test"], download=False)


def test_label_above_9_is_refused(tmp_path: Path) -> None:
    write_test_part(tmp_path, np.zeros((2, 28, 28), np.uint8), np.array([3, 10], np.uint8))
    says = f"{tmp_path}/t10k-labels-idx1-ubyte.gz: labels must be from 0 to 9, not 10; {REPLACE}"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        data_idx.read(tmp_path, data_idx.MNIST, ["test"], download=False)


def test_only_the_files_of_the_wanted_part_are_missed(tmp_path: Path) -> None:
    write_test_part(tmp_path, np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.uint8))
    says = (
        f"{tmp_path}: folder must hold train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "
        "not ['t10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz']; downloads are off: "
        "put the missing files there, or name another data folder with --data-dir or BITWRIGHT_DATA"
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(says)}$"):
        data_idx.read(tmp_path, data_idx.MNIST, ["train", "test"], download=False)
