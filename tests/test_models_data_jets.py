"""The jets: a sample, the whole set, and its download through scikit-learn."""

import io
import pickle
import re
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import sklearn.datasets
from numpy.typing import NDArray
from rich.console import Console
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from bitwright.models import data_jets

REPLACE = "replace the file, or delete it to have it downloaded again"
QUIET = Console(file=io.StringIO())
GENERATOR = np.random.default_rng(0)


def rows(count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Rows of random features, with labels of all classes."""
    return GENERATOR.normal(size=(count, 16)).astype(np.float32), np.arange(count) % 5


def write(path: Path, **arrays: NDArray[Any]) -> None:
    """Write an npz file."""
    np.savez(path, allow_pickle=True, **arrays)


def openml(**arguments: object) -> Bunch:
    """What OpenML 42468 looks like, in 50 rows."""
    assert arguments["data_id"] == 42468
    features, labels = rows(50)
    names = np.array(data_jets.CLASSES, dtype=object)[labels]
    return Bunch(data=features * 7 + 3, target=names, feature_names=list(data_jets.FEATURES))


def no_network(**arguments: object) -> Bunch:
    """What scikit-learn does without a network."""
    raise URLError("Name or service not known")


def test_sample_serves_the_test_part(tmp_path: Path) -> None:
    features, labels = rows(10)
    write(tmp_path / "lhc_jets_hlf_1k.npz", X_test=features, y_test=labels, scaler_mean=np.zeros(16))
    (test,) = data_jets.read(tmp_path, ["test"], download=False)
    np.testing.assert_array_equal(test.inputs, features, strict=True)
    np.testing.assert_array_equal(test.labels, labels, strict=True)


def test_whole_set_goes_before_a_sample(tmp_path: Path) -> None:
    features, labels = rows(10)
    write(tmp_path / "a_sample.npz", X_test=features[:2], y_test=labels[:2])
    write(tmp_path / "lhc_jets_hlf.npz", X_train=features, y_train=labels, X_test=features[:5], y_test=labels[:5])
    train, test = data_jets.read(tmp_path, ["train", "test"], download=False)
    assert (len(train), len(test)) == (10, 5)
    assert len(data_jets.read(tmp_path, ["test"], download=False)[0]) == 5


def test_sample_alone_cannot_be_trained_on(tmp_path: Path) -> None:
    features, labels = rows(10)
    write(tmp_path / "sample.npz", X_test=features, y_test=labels)
    says = (
        f"{tmp_path}: folder must hold lhc_jets_hlf.npz, not ['sample.npz']; downloads are off: "
        "put the missing files there, or name another data folder with --data-dir or BITWRIGHT_DATA"
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(says)}$"):
        data_jets.read(tmp_path, ["train"], download=False)


def test_download_is_kept_as_the_whole_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", openml)
    train, test = data_jets.read(tmp_path / "jets", ["train", "test"], console=QUIET)
    assert (len(train), len(test)) == (40, 10)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")] == ["jets/lhc_jets_hlf.npz"]
    (again,) = data_jets.read(tmp_path / "jets", ["test"], download=False)
    np.testing.assert_array_equal(again.inputs, test.inputs, strict=True)


def test_download_without_a_network_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", no_network)
    says = (
        f"{tmp_path}/jets: folder must hold lhc_jets_hlf.npz, not []; "
        "https://www.openml.org/d/42468 could not be fetched (Name or service not known): "
        "put the missing files there, or name another data folder with --data-dir or BITWRIGHT_DATA"
    )
    with pytest.raises(ConnectionError, match=f"^{re.escape(says)}$"):
        data_jets.read(tmp_path / "jets", ["train"], console=QUIET)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"feature_names": ["a", "b"]}, f"features must be {', '.join(data_jets.FEATURES)}, not ('a', 'b')"),
        ({"target": ["g", "h"]}, "classes must be g, q, t, w, z, not ['h']"),
    ],
)
def test_another_set_in_its_place_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, list[str]], says: str
) -> None:
    monkeypatch.setattr(
        sklearn.datasets, "fetch_openml", lambda **arguments: Bunch(**{**openml(**arguments), **change})
    )
    cause = f"({data_jets.HOME}: {says})"
    with pytest.raises(ConnectionError, match=rf"^.*42468 could not be fetched {re.escape(cause)}: put the .*$"):
        data_jets.read(tmp_path / "jets", ["train"], console=QUIET)


def test_split_and_scale_are_those_of_scikit_learn() -> None:
    features, labels = GENERATOR.normal(5, 3, (101, 16)), np.arange(101) % 5
    ours = data_jets.standardised(features, labels)
    x_train, x_test, y_train, y_test = train_test_split(features, labels, test_size=0.2, random_state=42)
    scaler = StandardScaler().fit(x_train)
    np.testing.assert_array_equal(ours["y_train"], y_train)
    np.testing.assert_array_equal(ours["y_test"], y_test)
    np.testing.assert_allclose(ours["X_test"], scaler.transform(x_test), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours["X_train"], scaler.transform(x_train), rtol=1e-5, atol=1e-6)


def test_constant_feature_becomes_zero() -> None:
    ours = data_jets.standardised(np.full((10, 16), 3.0), np.zeros(10, np.int64))
    assert not ours["X_train"].any()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"y_test": None},
            "arrays must be X_test and y_test, in a full set X_train and y_train too, not ['X_test']",
        ),
        (
            {"X_train": np.zeros((2, 16))},
            "arrays must be X_test and y_test, in a full set X_train and y_train too, "
            "not ['X_test', 'X_train', 'y_test']",
        ),
        (
            {"X_test": np.zeros((4, 15))},
            "X_test must be floats of shape (N, 16), not float64 of shape (4, 15)",
        ),
        (
            {"X_test": np.zeros((4, 16), np.int32)},
            "X_test must be floats of shape (N, 16), not int32 of shape (4, 16)",
        ),
        ({"X_test": np.full((4, 16), np.nan)}, "X_test must be finite, not nan"),
        (
            {"y_test": np.zeros(3, np.int64)},
            "y_test must be integers of shape (4,), one for each row of X_test, not int64 of shape (3,)",
        ),
        (
            {"y_test": np.zeros(4)},
            "y_test must be integers of shape (4,), one for each row of X_test, not float64 of shape (4,)",
        ),
        ({"y_test": np.array([0, 1, 2, 5])}, "labels must be from 0 to 4, not 5"),
        (
            {"y_test": np.array([0, "g", None, 5], dtype=object)},
            "npz file must be whole and of plain arrays, not 'Object arrays cannot be loaded when allow_pickle=False'",
        ),
    ],
)
def test_npz_of_other_arrays_is_refused(tmp_path: Path, change: dict[str, NDArray[Any] | None], says: str) -> None:
    features, labels = rows(4)
    arrays = {"X_test": features, "y_test": labels, **change}
    path = tmp_path / "sample.npz"
    write(path, **{key: array for key, array in arrays.items() if array is not None})
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {says}; {REPLACE}')}$"):
        data_jets.read(tmp_path, ["test"], download=False)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0 JFIF", b"PK\3\4 and no more", pickle.dumps({"a": 1})])
def test_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sample.npz"
    path.write_bytes(content)
    start = f"{path}: npz file must be whole and of plain arrays, not "
    with pytest.raises(ValueError, match=rf"^{re.escape(start)}['\"].+['\"]; {REPLACE}$"):
        data_jets.read(tmp_path, ["test"], download=False)


def test_single_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sample.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros((4, 16)))
    says = f"{path}: npz file must be whole and of plain arrays, not 'a single array'; {REPLACE}"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        data_jets.read(tmp_path, ["test"], download=False)
