"""The project's data sets by name, each as training, validation and test splits."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_dir
from rich.console import Console

from bitwright.models import data_cifar10, data_digits, data_idx, data_jets
from bitwright.models.data_split import Part, check_fraction, hold_out
from bitwright.models.data_split import Split as Split

DATA_VARIABLE = "BITWRIGHT_DATA"


@dataclass(frozen=True)
class Description:
    """What is known of a data set before any of it is read.

    Attributes:
        input_shape: Shape of one raw input, ``(C, H, W)`` or ``(F,)``.
        input_scale: The real input is the raw input times this; the host applies it.
        classes: Names of the labels 0, 1, ...
    """

    input_shape: tuple[int, ...]
    input_scale: float
    classes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set, read.

    Attributes:
        name: One of `NAMES`.
        train: What a network is trained on.
        validation: Held out of the training set, to choose by.
        test: The set's own test part, to report on.
        input_scale: The real input is the raw input times this; the host applies it.
        classes: Names of the labels 0, 1, ...
    """

    name: str
    train: Split
    validation: Split
    test: Split
    input_scale: float
    classes: tuple[str, ...]


_DESCRIPTIONS = {
    "digits": Description((1, 8, 8), 1 / 16, data_digits.CLASSES),
    "mnist": Description((1, *data_idx.IMAGE_SHAPE), 1 / 256, data_idx.MNIST.classes),
    "fashion-mnist": Description((1, *data_idx.IMAGE_SHAPE), 1 / 256, data_idx.FASHION_MNIST.classes),
    "cifar10": Description(data_cifar10.IMAGE_SHAPE, 1 / 256, data_cifar10.CLASSES),
    "jets": Description((len(data_jets.FEATURES),), 1.0, data_jets.CLASSES),
}
NAMES: tuple[str, ...] = tuple(_DESCRIPTIONS)


def describe(name: str) -> Description:
    """Return what is known of a data set without reading it.

    Raises:
        ValueError: If no data set has this name.

    >>> describe("mnist").input_shape
    (1, 28, 28)
    """
    if name not in _DESCRIPTIONS:
        raise ValueError(f"dataset: name must be one of {', '.join(NAMES)}, not {name!r}")
    return _DESCRIPTIONS[name]


def load(
    name: str,
    data_dir: Path | None = None,
    *,
    validation: float = 0.1,
    download: bool = True,
    console: Console | None = None,
) -> DataSet:
    """Read a data set; fetch what its folder lacks.

    The set stands in a folder of its own name in the data folder (see `data_folder`); the digits need none.

    Args:
        name: One of `NAMES`.
        data_dir: The data folder, if not the usual one.
        validation: Share of the training set that is held out, above 0 and at most 0.5. Which samples is fixed.
        download: Whether missing files may be fetched.
        console: Where progress is shown; standard error by default.

    Returns:
        The set: images are uint8 ``(N, C, H, W)``, the jets' features float32 ``(N, F)``, labels int64 ``(N,)``.

    Raises:
        ValueError: If an argument is out of range, or a file is not what its name says.
        OSError: If files are missing and cannot be fetched, or the data folder is none.

    >>> digits = load("digits")
    >>> digits.train.inputs.shape, digits.validation.inputs.shape, digits.test.inputs.shape
    ((1293, 1, 8, 8), (144, 1, 8, 8), (360, 1, 8, 8))
    """
    description = describe(name)
    check_fraction(validation)  # before minutes of download
    everything, test = _read(name, ("train", "test"), data_dir, download=download, console=console)
    train, held = hold_out(everything, validation)
    return DataSet(name, train, held, test, description.input_scale, description.classes)


def load_test(
    name: str, data_dir: Path | None = None, *, download: bool = True, console: Console | None = None
) -> Split:
    """Read the test split of a data set and nothing else; a sample of the jets is enough.

    Args:
        name: One of `NAMES`.
        data_dir: The data folder, if not the usual one.
        download: Whether missing files may be fetched.
        console: Where progress is shown; standard error by default.

    Returns:
        The split that `load` returns as ``test``.

    Raises:
        ValueError: If the name is none of `NAMES`, or a file is not what its name says.
        OSError: If files are missing and cannot be fetched, or the data folder is none.

    >>> len(load_test("digits"))
    360
    """
    describe(name)
    (test,) = _read(name, ("test",), data_dir, download=download, console=console)
    return test


def data_folder(data_dir: Path | None = None) -> Path:
    """Return the folder that holds one folder for each data set.

    It is ``data_dir``, else the environment's ``BITWRIGHT_DATA``, else ``bitwright/data`` in the user's cache folder,
    which is made if it is not there.

    Args:
        data_dir: A folder that the user named, or None.

    Raises:
        NotADirectoryError: If the user named a folder that does not exist.
        OSError: If the folder in the user's cache cannot be made.
    """
    named = data_dir or os.environ.get(DATA_VARIABLE)
    if named:
        folder = Path(named).expanduser()
        if not folder.is_dir():
            where = "--data-dir" if data_dir else DATA_VARIABLE
            raise NotADirectoryError(
                f"{where}: data folder must be an existing folder, not {str(folder)!r}; make it or name another"
            )
        return folder
    folder = Path(user_cache_dir("bitwright")) / "data"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise OSError(
            f"{folder}: data folder must be one that can be made, not {cause.strerror!r}; "
            f"name another with --data-dir or {DATA_VARIABLE}"
        ) from cause
    return folder


def _read(
    name: str, parts: Sequence[Part], data_dir: Path | None, *, download: bool, console: Console | None
) -> tuple[Split, ...]:
    if name == "digits":
        return data_digits.read(parts)
    folder = data_folder(data_dir) / name
    match name:
        case "mnist":
            return data_idx.read(folder, data_idx.MNIST, parts, download=download, console=console)
        case "fashion-mnist":
            return data_idx.read(folder, data_idx.FASHION_MNIST, parts, download=download, console=console)
        case "cifar10":
            return data_cifar10.read(folder, parts, download=download, console=console)
        case "jets":
            return data_jets.read(folder, parts, download=download, console=console)
        case _:
            raise AssertionError(f"{name} is described and has no reader")
