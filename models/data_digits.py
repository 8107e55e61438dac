"""The handwritten digits that scikit-learn carries: no download, no data folder."""

from collections.abc import Sequence

import numpy as np

from bitwright.models.data_split import Part, Split

CLASSES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
TEST_STRIDE = 5


def read(parts: Sequence[Part]) -> tuple[Split, ...]:
    """Read parts of the digits: 1,797 images, 1,437 to train and validate on and 360 to test.

    The split is fixed and stratified: of the images sorted by class, in a fixed random order within each class, every
    fifth is for the test.

    Args:
        parts: The parts to read.

    Returns:
        One split for each part: images uint8 ``(N, 1, 8, 8)`` of values 0 to 16, labels int64 ``(N,)``.

    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI; the test part of it.

    >>> (test,) = read(["test"])
    >>> test.inputs.shape, int(test.inputs.max())
    ((360, 1, 8, 8), 16)
    """
    from sklearn.datasets import load_digits  # noqa: PLC0415 - takes a second to import, and only the digits need it

    bunch = load_digits()
    labels = bunch.target.astype(np.int64)
    everything = Split(bunch.images.astype(np.uint8)[:, np.newaxis], labels)  # (N, 8, 8) -> (N, 1, 8, 8)
    order = np.random.RandomState(0).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    test = np.sort(by_class[::TEST_STRIDE]).astype(np.int64)
    indices = {"train": np.setdiff1d(np.arange(len(labels)), test), "test": test}
    return tuple(everything.take(indices[part]) for part in parts)
