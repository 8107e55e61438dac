"""Dense layers and convolutions of a program, against loops and PyTorch in double precision: exact at any size."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from linear_operations import IMAGE, INT8, SEEDS, linear, shape_of
from numpy.typing import NDArray

from bitwright.export import operation_linear
from bitwright.export.operations import Conv2d, Dense, Integers, Linear
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.fixed_point import FixedPoint


def torch_conv(operation: Conv2d, codes: Integers) -> NDArray[np.float64]:
    top, left, bottom, right = operation.padding
    image = torch.from_numpy(codes.astype(np.float64)).permute(0, 3, 1, 2)
    image = torch.nn.functional.pad(image, (left, right, top, bottom))
    weight = torch.from_numpy(operation.weight.astype(np.float64)).permute(3, 2, 0, 1)
    bias = None if operation.bias is None else torch.from_numpy(operation.bias.astype(np.float64))
    result = torch.nn.functional.conv2d(image, weight, bias, stride=operation.stride)
    return result.permute(0, 2, 3, 1).numpy()


@settings(deadline=None)
@given(seed=SEEDS)
def test_dense_multiplies_every_pair_and_adds_the_bias(seed: int) -> None:
    rng = np.random.default_rng(seed)
    operation = linear("dense", rng, bias=bool(seed % 2))
    codes = rng.integers(-128, 128, (3, 5))
    bias = [0] * 3 if operation.bias is None else operation.bias.tolist()
    weight = operation.weight.tolist()
    wanted = [[sum(row[k] * weight[k][c] for k in range(5)) + bias[c] for c in range(3)] for row in codes.tolist()]
    assert operation.run(codes, INT8).tolist() == wanted
    assert operation.result_shape((5,)) == (3,)


@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (1, 3)])
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 1, 1, 1), (2, 0, 1, 3)])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 2)])
def test_conv2d_agrees_with_torch(
    stride: tuple[int, int], padding: tuple[int, int, int, int], kernel: tuple[int, int]
) -> None:
    rng = np.random.default_rng(1)
    weight = rng.integers(-9, 9, (*kernel, 2, 3))
    operation = Conv2d("conv", "x", weight, INT8, rng.integers(-9, 9, 3), stride, padding)
    codes = rng.integers(-128, 128, (4, *IMAGE))
    found = operation.run(codes, INT8)
    np.testing.assert_array_equal(found, torch_conv(operation, codes))
    assert found.shape[1:] == operation.result_shape(IMAGE)


@pytest.mark.parametrize("gathered", [1, 2 * 90 + 1, 10**6])
def test_conv2d_gathers_images_in_any_number(gathered: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    conv = Conv2d("conv", "x", rng.integers(-8, 8, (3, 2, 3, 4)), INT8, rng.integers(-9, 9, 4), (1, 1), (0, 1, 0, 0))
    codes = rng.integers(-8, 8, (5, 3, 5, 3))  # an image has 5 windows of 18 values
    expected = np.concatenate([conv.run(codes[i : i + 1], INT8) for i in range(5)])
    monkeypatch.setattr(operation_linear, "GATHERED_VALUES", gathered)
    assert np.array_equal(conv.run(codes, INT8), expected)


@pytest.mark.parametrize("kind", ["dense", "plain", "padded"])
@pytest.mark.parametrize("largest", [2**3, 2**24, 2**50])
def test_products_are_exact_at_every_magnitude(kind: str, largest: int) -> None:
    rng = np.random.default_rng(largest)
    operation, shape = linear(kind, rng, largest=largest), shape_of(kind)
    form = FixedPoint(4, 4)
    codes = rng.integers(-8, 8, (3, *shape))
    shifted = np.zeros_like(operation.run(codes, form))
    for bit in range(51):  # one bit of the weights at a time: small numbers, exact on any path
        part = (np.abs(operation.weight) >> bit & 1) * np.sign(operation.weight)
        shifted += _with(operation, part, None).run(codes, form) << bit
    assert operation.bias is not None
    assert (operation.run(codes, form) == shifted + operation.bias).all()


def _with(operation: Linear, weight: Integers, bias: Integers | None) -> Linear:
    if isinstance(operation, Conv2d):
        return Conv2d("conv", "x", weight, INT8, bias, operation.stride, operation.padding)
    return Dense("fc", "x", weight, INT8, bias)


@pytest.mark.parametrize("limit", [2**24, 2**53])
def test_sum_just_above_what_a_float_holds_is_exact(limit: int) -> None:
    bit = FixedPoint(1, 1, signed=False)
    weight = np.array([limit, 1]).reshape(2, 1)
    assert Dense("fc", "x", weight, INT8, None).run(np.array([[1, 1]]), bit).tolist() == [[limit + 1]]
    conv = Conv2d("conv", "x", weight.reshape(1, 2, 1, 1), INT8, None, (1, 1), (0, 0, 0, 0))
    assert conv.run(np.ones((1, 1, 2, 1), np.int64), bit).tolist() == [[[[limit + 1]]]]


@pytest.mark.parametrize("code", [2**24 + 1, 2**53 + 1])
def test_code_just_above_what_a_float_holds_is_kept(code: int) -> None:
    conv = Conv2d("conv", "x", np.ones((1, 1, 1, 1), np.int64), INT8, None, (1, 1), (0, 0, 0, 0))
    wide = FixedPoint(60, 60)
    assert conv.run(np.array([[[[code]]]]), wide).tolist() == [[[[code]]]]
    assert Dense("fc", "x", np.ones((1, 1), np.int64), INT8, None).run(np.array([[code]]), wide).tolist() == [[code]]


def test_magnitude_bounds_every_partial_sum() -> None:
    operation = Dense("fc", "x", np.array([[3, 1], [-4, 0]]), INT8, np.array([-5, 6]))
    assert operation.magnitude(FixedPoint(4, 4)) == 7 * 8 + 5
    assert operation.magnitude(FixedPoint(4, 4, signed=False)) == 7 * 15 + 5
    assert operation.magnitude(Bipolar()) == 7 + 5
    assert Dense("fc", "x", operation.weight, INT8, None).magnitude(FixedPoint(4, 4)) == 7 * 8
