"""Batches of a data set for training: the order and the augmentation of every epoch follow from the seed alone."""

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, DistributedSampler, SequentialSampler

from bitwright.models.dataset import Split


class SplitBatches(Dataset[tuple[Tensor, Tensor]]):
    """A split whose items are whole batches: indexing one image at a time would cost more than the training step.

    An index is a list of positions; an item is ``(inputs (B, ...) float32 as the host sends them, labels (B,) int64)``.
    """

    def __init__(self, split: Split, input_scale: float) -> None:
        self.inputs = torch.from_numpy(split.inputs)
        self.labels = torch.from_numpy(split.labels)
        self.input_scale = input_scale

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, positions: list[int]) -> tuple[Tensor, Tensor]:
        return self.inputs[positions].float() * self.input_scale, self.labels[positions]


def training_batches(
    split: Split, input_scale: float, batch_size: int, seed: int, *, rank: int = 0, ranks: int = 1
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Return the shuffled batches of one process of ``ranks``; the last, smaller batch is left out.

    The sampler's order depends on the seed and the epoch, which Lightning tells it: a resumed training goes on with the
    very batches that the uninterrupted one would have seen.
    """
    dataset = SplitBatches(split, input_scale)
    sampler: DistributedSampler[int] = DistributedSampler(
        dataset, num_replicas=ranks, rank=rank, shuffle=True, seed=seed, drop_last=ranks > 1
    )
    batch_size = min(batch_size, len(sampler))
    return DataLoader(dataset, sampler=_EpochBatches(sampler, batch_size), batch_size=None)


def evaluation_batches(split: Split, input_scale: float, batch_size: int = 512) -> DataLoader[tuple[Tensor, Tensor]]:
    """Return every input of a split, in order."""
    dataset = SplitBatches(split, input_scale)
    order: SequentialSampler = SequentialSampler(range(len(dataset)))
    return DataLoader(dataset, sampler=BatchSampler(order, batch_size, drop_last=False), batch_size=None)


class _EpochBatches(BatchSampler):
    """Batches of positions that pass the epoch on to the sampler under them."""

    def __init__(self, sampler: DistributedSampler[int], batch_size: int) -> None:
        super().__init__(sampler, batch_size, drop_last=True)
        self.set_epoch = sampler.set_epoch


def shifted(images: Tensor, shift_pixels: int, generator: torch.Generator) -> Tensor:
    """Move each image ``(B, C, H, W)`` by up to ``shift_pixels`` each way, filling with zeros.

    >>> shifted(torch.ones(1, 1, 4, 4), 0, torch.Generator()).sum()
    tensor(16.)
    """
    if shift_pixels == 0:
        return images
    batch, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, [shift_pixels] * 4)
    moves = torch.randint(0, 2 * shift_pixels + 1, (2, batch), generator=generator)
    rows = (moves[0, :, None] + torch.arange(height))[:, :, None]  # (B, H, 1)
    columns = (moves[1, :, None] + torch.arange(width))[:, None, :]  # (B, 1, W)
    which = torch.arange(batch)[:, None, None]
    return padded.permute(0, 2, 3, 1)[which, rows, columns].permute(0, 3, 1, 2).contiguous()


def mirrored(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image ``(B, C, H, W)`` left to right, or not, with equal chance.

    >>> mirrored(torch.ones(1, 1, 4, 4), torch.Generator()).sum()
    tensor(16.)
    """
    chosen = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


def accuracy(scores: NDArray, labels: NDArray) -> float:  # type: ignore[type-arg]  # any numeric type
    """Return the share of rows ``(N, classes)`` whose largest score is the label's; the first of equal ones counts.

    >>> import numpy as np
    >>> accuracy(np.array([[1, 3], [5, 2]]), np.array([1, 1]))
    0.5
    """
    return float((scores.argmax(axis=1) == labels).mean())
