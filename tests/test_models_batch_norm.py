"""Batch normalisation: torch's in training, two IEEE operations in eval mode."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitwright.models.batch_norm import BatchNorm

SHAPES = [(7, 3), (5, 3, 4, 6)]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(1)
    torch.set_num_threads(1)


def trained() -> BatchNorm:
    """A batch norm of three channels with statistics, scale and offset of no special values."""
    norm = BatchNorm(3)
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            assert tensor is not None
            tensor.copy_(torch.randn(3))
        assert norm.running_var is not None
        norm.running_var.copy_(torch.rand(3) * 5)
    return norm


def single(tensor: Tensor | None) -> NDArray[np.float32]:
    """The values of a tensor, in single precision."""
    assert tensor is not None
    return tensor.detach().numpy()


@pytest.mark.parametrize("shape", SHAPES)
def test_training_is_torchs_own(shape: tuple[int, ...]) -> None:
    ours = trained()
    theirs: Any = nn.BatchNorm1d(3) if len(shape) == 2 else nn.BatchNorm2d(3)
    theirs.load_state_dict(ours.state_dict())
    inputs = torch.randn(shape)
    assert torch.equal(ours(inputs), theirs(inputs))
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())


@pytest.mark.parametrize("shape", SHAPES)
def test_eval_is_one_multiplication_and_one_addition_of_single_precision(shape: tuple[int, ...]) -> None:
    norm = trained().eval()
    inputs = torch.randn(shape) * 10
    scale = single(norm.weight) / np.sqrt(single(norm.running_var) + np.float32(norm.eps))
    offset = single(norm.bias) - single(norm.running_mean) * scale
    channels = (1, 3, *[1] * (len(shape) - 2))
    expected = single(inputs) * scale.reshape(channels) + offset.reshape(channels)
    assert expected.dtype == np.float32
    np.testing.assert_array_equal(single(norm(inputs)), expected)


def test_eval_is_the_definition_within_its_six_roundings() -> None:
    norm = trained().eval()
    inputs = torch.randn(1000, 3) * 10
    weight, bias, mean, variance, x = (
        single(t).astype(np.float64) for t in (norm.weight, norm.bias, norm.running_mean, norm.running_var, inputs)
    )
    scale = weight / np.sqrt(variance + norm.eps)
    terms = np.abs(x * scale) + np.abs(mean * scale) + np.abs(bias)  # what the roundings are relative to
    error = np.abs(single(norm(inputs)) - ((x - mean) * scale + bias))
    assert (error <= 6 * 2.0**-24 * terms).all()


def test_affine_parameters_are_those_that_eval_applies() -> None:
    norm = trained().eval()
    scale, offset = norm.affine_parameters()
    assert torch.equal(norm(torch.zeros(2, 3)), offset.expand(2, 3))
    assert torch.equal(norm(torch.ones(2, 3)), (scale + offset).expand(2, 3))


def test_eval_does_not_depend_on_the_batch_and_leaves_the_statistics() -> None:
    norm = trained().eval()
    inputs = torch.randn(6, 3)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    assert torch.equal(norm(inputs)[2:3], norm(inputs[2:3]))
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
