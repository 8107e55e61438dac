"""The one-bit format."""

import numpy as np
import pytest

from bitwright.quant.bipolar import Bipolar


def test_bit_of_plus_one_is_one_and_of_minus_one_zero() -> None:
    assert Bipolar().bits(np.array([[1, -1], [-1, 1]])).tolist() == [[1, 0], [0, 1]]


def test_product_of_values_is_xnor_of_bits() -> None:
    left, right = np.array([-1, -1, 1, 1]), np.array([-1, 1, -1, 1])
    format_ = Bipolar()
    xnor = 1 - (format_.bits(left) ^ format_.bits(right))
    assert format_.bits(left * right).tolist() == xnor.tolist()


@pytest.mark.parametrize(("lowest", "highest"), [(-1, 1), (-1, -1), (1, 1)])
def test_interval_of_signs_is_held(lowest: int, highest: int) -> None:
    assert Bipolar().holds(lowest, highest)


@pytest.mark.parametrize(("lowest", "highest"), [(-3, 1), (-1, 3), (-2, 2)])
def test_interval_beyond_the_signs_is_not_held(lowest: int, highest: int) -> None:
    assert not Bipolar().holds(lowest, highest)


def test_one_wire_carries_steps_of_one() -> None:
    format_ = Bipolar()
    assert (format_.width, format_.fractional, format_.step) == (1, 0, 1.0)
    assert (format_.lowest, format_.highest) == (-1, 1)
