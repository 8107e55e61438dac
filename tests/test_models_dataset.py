"""Data sets by name."""

import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bitwright.models.dataset import NAMES, data_folder, describe, load, load_test


def write_mnist(folder: Path) -> None:
    """Write a set of 20 training and 10 test images under MNIST's names."""
    folder.mkdir()
    for stem, count in (("train", 20), ("t10k", 10)):
        images, labels = bytes(count * 784), bytes(range(10)) * (count // 10)
        (folder / f"{stem}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, count, 28, 28) + images)
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + labels)


def test_digits_are_read_as_described() -> None:
    digits = load("digits", validation=0.25)
    assert [len(split) for split in (digits.train, digits.validation, digits.test)] == [1078, 359, 360]
    assert digits.train.inputs.shape[1:] == describe("digits").input_shape
    assert digits.input_scale == 1 / 16
    assert len(digits.classes) == 10


def test_loading_twice_gives_the_same_splits() -> None:
    first, second = load("digits"), load("digits")
    np.testing.assert_array_equal(first.validation.inputs, second.validation.inputs, strict=True)
    np.testing.assert_array_equal(first.train.labels, second.train.labels, strict=True)


def test_test_split_alone_is_the_one_of_the_whole_set() -> None:
    np.testing.assert_array_equal(load_test("digits").inputs, load("digits").test.inputs, strict=True)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_image_set_is_read_from_the_folder_of_its_name(tmp_path: Path, name: str) -> None:
    write_mnist(tmp_path / name)
    images = load(name, tmp_path, download=False)
    assert images.train.inputs.shape == (18, 1, 28, 28)
    assert images.validation.inputs.shape == (2, 1, 28, 28)
    assert images.test.labels.tolist() == list(range(10))
    assert images.input_scale == 1 / 256


def test_cifar10_is_read_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10/test_batch.bin").write_bytes(bytes([3]) + bytes(3072))
    assert load_test("cifar10", tmp_path, download=False).labels.tolist() == [3]


def test_jets_are_read_from_their_folder(tmp_path: Path) -> None:
    (tmp_path / "jets").mkdir()
    np.savez(tmp_path / "jets/sample.npz", X_test=np.ones((2, 16), np.float32), y_test=np.array([4, 0]))
    assert load_test("jets", tmp_path, download=False).labels.tolist() == [4, 0]


def test_unknown_name_is_refused() -> None:
    says = f"dataset: name must be one of {', '.join(NAMES)}, not 'mnits'"
    for refuse in (describe, load, load_test):
        with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
            refuse("mnits")


def test_fraction_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^validation: fraction must be above 0 and at most 0\.5, not 0\.6$"):
        load("mnist", tmp_path, validation=0.6)


def test_named_folder_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set").mkdir()
    monkeypatch.setenv("BITWRIGHT_DATA", str(tmp_path / "set"))
    assert data_folder(tmp_path) == tmp_path
    assert data_folder() == tmp_path / "set"


def test_default_folder_is_made_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BITWRIGHT_DATA", raising=False)
    monkeypatch.setattr("bitwright.models.dataset.user_cache_dir", lambda name: str(tmp_path / name))
    assert data_folder() == tmp_path / "bitwright/data"
    assert data_folder().is_dir()


def test_default_folder_that_cannot_be_made_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BITWRIGHT_DATA", raising=False)
    monkeypatch.setattr("bitwright.models.dataset.user_cache_dir", lambda name: str(tmp_path / name))
    (tmp_path / "bitwright").write_bytes(b"a file")
    says = (
        f"{tmp_path}/bitwright/data: data folder must be one that can be made, not 'Not a directory'; "
        "name another with --data-dir or BITWRIGHT_DATA"
    )
    with pytest.raises(OSError, match=f"^{re.escape(says)}$"):
        data_folder()


@pytest.mark.parametrize("name", ["missing", "file"])
def test_named_folder_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    folder = tmp_path / name
    says = f"data folder must be an existing folder, not {str(folder)!r}; make it or name another"
    with pytest.raises(NotADirectoryError, match=f"^--data-dir: {re.escape(says)}$"):
        load("mnist", folder)
    monkeypatch.setenv("BITWRIGHT_DATA", str(folder))
    with pytest.raises(NotADirectoryError, match=f"^BITWRIGHT_DATA: {re.escape(says)}$"):
        load("mnist")


def test_empty_folder_names_the_files_that_it_lacks(tmp_path: Path) -> None:
    says = (
        f"{tmp_path}/mnist: folder must hold train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "
        "t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz, not []; downloads are off: "
        "put the missing files there, or name another data folder with --data-dir or BITWRIGHT_DATA"
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(says)}$"):
        load("mnist", tmp_path, download=False)


def test_import_needs_neither_torch_nor_sklearn() -> None:
    check = "import sys, bitwright.models.dataset; sys.exit(bool({'torch', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
