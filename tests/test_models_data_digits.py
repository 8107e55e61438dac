"""The bundled digits."""

import numpy as np
from sklearn.datasets import load_digits

from bitwright.models import data_digits


def test_digits_part_into_1437_and_360_images_of_8_by_8() -> None:
    train, test = data_digits.read(("train", "test"))
    assert train.inputs.shape == (1437, 1, 8, 8)
    assert test.inputs.shape == (360, 1, 8, 8)


def test_pixels_are_integers_from_0_to_16() -> None:
    for split in data_digits.read(("train", "test")):
        assert split.inputs.dtype == np.uint8
        assert (split.inputs.min(), split.inputs.max()) == (0, 16)


def test_train_and_test_together_are_the_bundled_set() -> None:
    train, test = data_digits.read(("train", "test"))
    ours = np.concatenate([train.inputs, test.inputs]).reshape(1797, 64)
    theirs = load_digits().data.astype(np.uint8)
    assert sorted(map(bytes, ours)) == sorted(map(bytes, theirs))


def test_test_split_is_stratified() -> None:
    train, test = data_digits.read(("train", "test"))
    counts = np.bincount(np.concatenate([train.labels, test.labels]))
    assert np.abs(np.bincount(test.labels) - counts / 5).max() < 1


def test_labels_belong_to_their_images() -> None:
    (test,) = data_digits.read(("test",))
    bunch = load_digits()
    label_of = {bytes(image): label for image, label in zip(bunch.data.astype(np.uint8), bunch.target, strict=True)}
    assert [label_of[image.tobytes()] for image in test.inputs] == test.labels.tolist()
