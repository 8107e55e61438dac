"""The error of weights under different kinds of scales, beside the formulas written out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from bitwright.calibration.observers import Method, observer
from bitwright.calibration.scale_errors import scale_errors

WEIGHTS = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(1, 6)),
    elements=st.floats(-4, 4, width=16),
)


def test_min_max_per_tensor_is_the_largest_weight_over_the_largest_code() -> None:
    weights = np.random.default_rng(1).normal(0, 1, (4, 3, 5, 5))
    found = {(e.per_channel, e.power_of_two): e for e in scale_errors({"conv": weights}, 4, ["min_max"])}
    free = np.abs(weights).max() / 7
    channels = np.abs(weights).max(axis=(1, 2, 3), keepdims=True) / 7
    scales = {
        (False, False): free,
        (False, True): 2 ** np.ceil(np.log2(free)),
        (True, False): channels,
        (True, True): 2 ** np.ceil(np.log2(channels)),
    }
    assert found.keys() == scales.keys()
    for kind, scale in scales.items():
        error = float(np.mean((weights - np.clip(np.rint(weights / scale), -7, 7) * scale) ** 2))
        assert found[kind].squared_error == pytest.approx(error, rel=1e-12)
        decibels = 10 * math.log10(float(np.mean(weights**2)) / error)
        assert found[kind].signal_to_noise_db == pytest.approx(decibels, rel=1e-12)


@given(WEIGHTS, st.integers(2, 8))
def test_steps_per_channel_are_no_coarser_and_no_weight_is_further_off_than_half_of_its_own(
    weights: NDArray[np.float64], bit_width: int
) -> None:
    steps = {}
    for axis in (None, 0):
        seen = observer("min_max", axis=axis)
        seen.update(weights)
        grid = seen.grid(bit_width, signed=True, symmetric=True, power_of_two=False, narrow_range=True)
        steps[axis] = np.broadcast_to(np.reshape(grid.scale, (-1, 1)), (len(weights), 1))
        off = np.abs(weights - grid.dequantize(grid.quantize(weights)))
        assert (off <= steps[axis] / 2 * (1 + 1e-9)).all()
    used = np.abs(weights).max(axis=1) > 0
    assert (steps[0] <= steps[None])[used].all()


@pytest.mark.parametrize("bit_width", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("seed", range(5))
def test_channel_by_channel_is_nearer_for_weights_that_do_not_lie_on_a_grid(bit_width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, rng.uniform(0.1, 1, (8, 1)), (8, 200))
    tensor, _, channel, _ = scale_errors({"fc": weights}, bit_width, ["min_max"])
    assert channel.squared_error < tensor.squared_error


def test_weights_on_the_common_grid_can_be_nearer_without_channels() -> None:
    tensor, _, channel, _ = scale_errors({"fc": np.array([[3.0, 0.0], [1.0, 2.0]])}, 3, ["min_max"])
    assert tensor.squared_error == 0
    assert tensor.signal_to_noise_db is None
    assert channel.squared_error > 0


@pytest.mark.parametrize("method", ["min_max", "percentile", "mse", "entropy"])
def test_every_layer_is_there_with_every_kind(method: Method) -> None:
    weights = {name: np.random.default_rng(1).normal(0, 1, (3, 20)) for name in ("a", "b")}
    found = scale_errors(weights, 4, [method])
    assert [(e.layer, e.per_channel, e.power_of_two) for e in found] == [
        (layer, per_channel, power) for layer in "ab" for per_channel in (False, True) for power in (False, True)
    ]
    assert {e.method for e in found} == {method}


def test_weight_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^calibration: values must be finite, not nan; "):
        scale_errors({"fc": np.array([[1.0, np.nan]])}, 4, ["min_max"])
