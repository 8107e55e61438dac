"""Batches, their order and their augmentation."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bitwright.models.batches import accuracy, evaluation_batches, mirrored, shifted, training_batches
from bitwright.models.dataset import Split


def numbered(samples: int) -> Split:
    """A split whose images and labels are their positions."""
    positions = np.arange(samples)
    return Split(positions.astype(np.uint8).reshape(-1, 1, 1, 1), positions.astype(np.int64))


def epoch_of(loader: Any, epoch: int = 0) -> list[list[int]]:  # noqa: ANN401 - DataLoader's sampler is of any type
    """The labels of every batch of an epoch."""
    loader.sampler.set_epoch(epoch)
    return [labels.tolist() for _, labels in loader]


@given(st.integers(1, 60), st.integers(1, 70))
def test_every_image_is_seen_once_but_those_of_the_last_smaller_batch(samples: int, batch_size: int) -> None:
    batches = epoch_of(training_batches(numbered(samples), 1.0, batch_size, seed=1))
    seen = [label for batch in batches for label in batch]
    assert {len(batch) for batch in batches} == {min(batch_size, samples)}
    assert len(set(seen)) == len(seen) == samples - samples % min(batch_size, samples)


def test_order_depends_on_seed_and_epoch_only() -> None:
    orders = {
        (seed, epoch): epoch_of(training_batches(numbered(40), 1.0, 8, seed), epoch)
        for seed in (1, 1000)
        for epoch in (0, 1)
    }
    assert len({str(order) for order in orders.values()}) == 4
    loader = training_batches(numbered(40), 1.0, 8, seed=1)
    torch.manual_seed(99)
    assert [epoch_of(loader, epoch) for epoch in (1, 0, 1)] == [orders[1, 1], orders[1, 0], orders[1, 1]]


@pytest.mark.parametrize("ranks", [2, 3])
def test_processes_share_an_epoch_without_overlap(ranks: int) -> None:
    loaders = [training_batches(numbered(43), 1.0, 4, 1, rank=rank, ranks=ranks) for rank in range(ranks)]
    shares = [[label for batch in epoch_of(loader, 5) for label in batch] for loader in loaders]
    together = [label for share in shares for label in share]
    assert len({len(share) for share in shares}) == 1
    assert len(set(together)) == len(together)


def test_evaluation_sees_every_image_in_order() -> None:
    batches = list(evaluation_batches(numbered(25), 1.0, batch_size=8))
    assert [len(labels) for _, labels in batches] == [8, 8, 8, 1]
    assert torch.cat([labels for _, labels in batches]).tolist() == list(range(25))


def test_inputs_are_scaled_as_the_host_scales_them() -> None:
    ((inputs, labels),) = evaluation_batches(numbered(17), 1 / 16)
    assert inputs.dtype == torch.float32
    assert torch.equal(inputs.view(-1), torch.arange(17) / 16)
    assert labels.dtype == torch.int64


def shifted_slowly(images: Tensor, down: list[int], right: list[int]) -> Tensor:
    """Each image moved, one pixel at a time."""
    moved = torch.zeros_like(images)
    _, _, height, width = images.shape
    for image in range(len(images)):
        for row in range(height):
            for column in range(width):
                source = (row + down[image], column + right[image])
                if 0 <= source[0] < height and 0 <= source[1] < width:
                    moved[image, :, row, column] = images[image, :, source[0], source[1]]
    return moved


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 4), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(0, 3), st.integers(0, 99)
)
def test_images_are_moved_as_by_a_slow_loop(
    batch: int, channels: int, height: int, width: int, pixels: int, seed: int
) -> None:
    images = torch.arange(1.0, 1 + batch * channels * height * width).reshape(batch, channels, height, width)
    moves = torch.randint(0, 2 * pixels + 1, (2, batch), generator=torch.Generator().manual_seed(seed)) - pixels
    expected = shifted_slowly(images, moves[0].tolist(), moves[1].tolist())
    assert torch.equal(shifted(images, pixels, torch.Generator().manual_seed(seed)), expected)


def test_every_move_within_the_limit_happens() -> None:
    corner = torch.zeros(500, 1, 5, 5)
    corner[:, :, 2, 2] = 1.0
    found = shifted(corner, 1, torch.Generator().manual_seed(1)).flatten(1).argmax(dim=1)
    assert set(found.tolist()) == {row * 5 + column for row in (1, 2, 3) for column in (1, 2, 3)}


def test_about_half_of_the_images_are_mirrored_left_to_right_whole() -> None:
    images = torch.arange(400 * 2 * 3 * 4, dtype=torch.float32).reshape(400, 2, 3, 4)
    found = mirrored(images, torch.Generator().manual_seed(1))
    same = (found == images).flatten(1).all(dim=1)
    assert torch.equal(found[~same], images[~same][..., [3, 2, 1, 0]])
    assert 150 < int(same.sum()) < 250


def test_accuracy_counts_the_first_of_equal_scores() -> None:
    scores = np.array([[2, 2, 1], [0, 3, 3], [1, 0, 0], [0, 0, 1]])
    assert accuracy(scores, np.array([0, 1, 0, 0])) == 0.75
    assert accuracy(scores, np.array([1, 2, 1, 0])) == 0.0
