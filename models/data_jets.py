"""LHC jets (16 high-level features, 5 classes): OpenML 42468, or a sample of its test rows."""

import math
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import HTTPError

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray
from rich.console import Console

from bitwright.models.data_split import REPLACE, Part, Split, class_indices
from bitwright.models.download import absence, failure

OPENML_ID = 42468
HOME = f"https://www.openml.org/d/{OPENML_ID}"
FULL = "lhc_jets_hlf.npz"
CLASSES = ("g", "q", "t", "w", "z")
FEATURES = (
    "zlogz",
    "c1_b0_mmdt",
    "c1_b1_mmdt",
    "c1_b2_mmdt",
    "c2_b1_mmdt",
    "c2_b2_mmdt",
    "d2_b1_mmdt",
    "d2_b2_mmdt",
    "d2_a1_b1_mmdt",
    "d2_a1_b2_mmdt",
    "m2_b1_mmdt",
    "m2_b2_mmdt",
    "n2_b1_mmdt",
    "n2_b2_mmdt",
    "mass_mmdt",
    "multiplicity",
)
TEST_FRACTION = 0.2
SPLIT_SEED = 42


def read(
    folder: Path, parts: Sequence[Part], *, download: bool = True, console: Console | None = None
) -> tuple[Split, ...]:
    """Read parts of the jets; fetch the whole set if the folder lacks them.

    A full set (``lhc_jets_hlf.npz``, or any ``*.npz`` with training rows) goes before a sample of test rows; a sample
    serves the test part only.

    Args:
        folder: Folder of the ``*.npz`` files.
        parts: The parts to read.
        download: Whether the whole set may be fetched.
        console: Where progress is shown; standard error by default.

    Returns:
        One split for each part: standardised features float32 ``(N, 16)``, labels int64 ``(N,)``.

    Raises:
        ValueError: If a file is not what its name says.
        OSError: If the rows are missing and cannot be fetched.
    """
    candidates = [folder / FULL, *sorted(folder.glob("*.npz"))]
    keys = {path: _keys(path) for path in candidates if path.is_file()}
    full = [path for path, held in keys.items() if "X_train" in held]
    usable = full or ([] if "train" in parts else list(keys))
    path = usable[0] if usable else _fetch(folder, download=download, console=console or Console(stderr=True))
    return tuple(_split(path, part) for part in parts)


def standardised(features: NDArray[np.float64], labels: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Part all rows into training and test rows, and standardise both by the training rows.

    The parts are those of hls4ml's examples, ``train_test_split(test_size=0.2, random_state=42)`` of scikit-learn, and
    so are mean and scale: a published sample of test rows holds none of these training rows.

    Args:
        features: All rows, ``(N, 16)``.
        labels: Class indices, ``(N,)``.

    Returns:
        ``X_train``, ``X_test`` (float32), ``y_train``, ``y_test`` (int64), ``scaler_mean`` and ``scaler_scale``
        (float64, ``(16,)``).
    """
    order = np.random.RandomState(SPLIT_SEED).permutation(len(labels))
    test, train = np.split(order, [math.ceil(len(labels) * TEST_FRACTION)])
    mean, scale = features[train].mean(axis=0), features[train].std(axis=0)
    scale[scale == 0] = 1.0  # a constant feature becomes 0
    return {
        "X_train": ((features[train] - mean) / scale).astype(np.float32),
        "y_train": labels[train],
        "X_test": ((features[test] - mean) / scale).astype(np.float32),
        "y_test": labels[test],
        "scaler_mean": mean,
        "scaler_scale": scale,
    }


def _fetch(folder: Path, *, download: bool, console: Console) -> Path:
    if not download:
        raise FileNotFoundError(absence(folder, [FULL], "downloads are off"))
    size = "830,000 rows of 16 features, minutes"
    console.print(f"Fetching {FULL} from {HOME} ({size}) to {folder}", markup=False, highlight=False, soft_wrap=True)
    try:
        with console.status(f"fetching {FULL}"):
            features, labels = _fetch_openml(folder.parent)
    except (OSError, HTTPException, ValueError) as cause:
        if isinstance(cause, HTTPError):
            cause.close()
        raise ConnectionError(absence(folder, [FULL], f"{HOME} could not be fetched ({failure(cause)})")) from cause
    part = folder / f"{FULL}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            np.savez(file, allow_pickle=False, **standardised(features, labels))
        return part.replace(folder / FULL)
    except OSError as cause:
        raise OSError(
            f"{part}: file must be one that can be written, not {cause.strerror!r}; "
            "name another data folder with --data-dir or BITWRIGHT_DATA"
        ) from cause


def _fetch_openml(scratch: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    from sklearn.datasets import fetch_openml  # noqa: PLC0415 - takes a second to import, and only a download needs it

    # A cache of its own: without one scikit-learn downloads twice, once for the checksum and once for the rows
    with TemporaryDirectory(prefix="openml-", dir=scratch) as home, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its retries; the last failure is raised
        # liac-arff: the other parser needs pandas
        bunch = fetch_openml(data_id=OPENML_ID, data_home=home, as_frame=False, parser="liac-arff")
    names = tuple(bunch.feature_names)
    if names != FEATURES:
        raise ValueError(f"{HOME}: features must be {', '.join(FEATURES)}, not {names!r}")
    unknown = set(bunch.target) - set(CLASSES)
    if unknown:
        raise ValueError(f"{HOME}: classes must be {', '.join(CLASSES)}, not {sorted(unknown)!r}")
    labels = np.searchsorted(np.asarray(CLASSES), np.asarray(bunch.target, dtype=str)).astype(np.int64)
    return np.asarray(bunch.data, dtype=np.float64), labels


def _keys(path: Path) -> tuple[str, ...]:
    with _opened(path) as npz:
        keys = tuple(npz.files)
    if not {"X_test", "y_test"} <= set(keys) or ("X_train" in keys) != ("y_train" in keys):
        raise ValueError(
            f"{path}: arrays must be X_test and y_test, in a full set X_train and y_train too, "
            f"not {sorted(keys)!r}; {REPLACE}"
        )
    return keys


@contextmanager
def _opened(path: Path) -> Iterator[NpzFile]:
    unsound = (ValueError, OSError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error, struct.error)
    with path.open("rb") as file:
        try:
            npz = np.load(file, allow_pickle=False)
            if not isinstance(npz, NpzFile):
                raise ValueError("a single array")
            with npz:
                yield npz
        except unsound as cause:
            raise ValueError(
                f"{path}: npz file must be whole and of plain arrays, not {failure(cause)!r}; {REPLACE}"
            ) from cause


def _split(path: Path, part: Part) -> Split:
    with _opened(path) as npz:
        inputs, labels = np.asarray(npz[f"X_{part}"]), np.asarray(npz[f"y_{part}"])
    if inputs.dtype.kind != "f" or inputs.shape[1:] != (len(FEATURES),):
        raise ValueError(
            f"{path}: X_{part} must be floats of shape (N, {len(FEATURES)}), "
            f"not {inputs.dtype} of shape {inputs.shape}; {REPLACE}"
        )
    if labels.dtype.kind not in "iu" or labels.shape != inputs.shape[:1]:
        raise ValueError(
            f"{path}: y_{part} must be integers of shape ({len(inputs)},), one for each row of X_{part}, "
            f"not {labels.dtype} of shape {labels.shape}; {REPLACE}"
        )
    finite = np.isfinite(inputs)
    if not finite.all():
        raise ValueError(f"{path}: X_{part} must be finite, not {float(inputs[~finite][0])!r}; {REPLACE}")
    return Split(inputs.astype(np.float32), class_indices(path, labels, len(CLASSES)))
