"""Bits of weights, and bit operations."""

from typing import Any

import numpy as np
import torch
from float_networks import CNN, MLP, float_network, images
from hypothesis import given
from hypothesis import strategies as st

from bitwright.calibration.costs import costs, effective_bits
from bitwright.calibration.post_training import prepare, quantize
from bitwright.calibration.settings import CalibrationSettings
from bitwright.quant.recipe import LayerRecipe, Recipe


@given(st.integers(-(2**20), 2**20))
def test_effective_bits_are_those_from_the_highest_one_to_the_lowest(code: int) -> None:
    assert effective_bits(np.array([code])).tolist() == [len(f"{abs(code):b}".strip("0"))]


def test_costs_of_a_perceptron_are_counted_weight_by_weight() -> None:
    prepared = prepare(float_network(MLP), MLP, images(MLP, 32), CalibrationSettings())
    layers = {
        "fc1": LayerRecipe(weight_bit_width=3, activation_bit_width=5),
        "fc0": LayerRecipe(activation_bit_width=7),
    }
    network: Any = quantize(prepared, Recipe(weight_bit_width=4, input_bit_width=6, layers=layers))[0]
    found = costs(network, prepared.inputs[:1])
    assert found.weight_bits == 64 * 12 * 4 + 12 * 12 * 3 + 12 * 6 * 4 + 6 * 10 * 4
    operations = 0
    for name, bits in (("fc0", 6), ("fc1", 7), ("fc2", 5), ("out", 6)):
        quantised = getattr(network, name).quant_weight()
        codes = torch.round(quantised.value / quantised.scale).flatten().tolist()
        operations += sum(len(f"{abs(int(code)):b}".strip("0")) * bits for code in codes)
    assert found.bit_operations == operations


def test_weights_of_a_convolution_are_used_at_every_position() -> None:
    prepared = prepare(float_network(CNN), CNN, images(CNN, 32), CalibrationSettings())
    network: Any = quantize(prepared, Recipe(weight_bit_width=4, activation_bit_width=4, input_bit_width=5))[0]
    found = costs(network, prepared.inputs[:1])
    conv, out = (
        sum(effective_bits(torch.round(q.value / q.scale).detach().numpy().astype(np.int64)).flatten().tolist())
        for q in (network.conv.quant_weight(), network.out.quant_weight())
    )
    assert found.bit_operations == 36 * conv * 5 + out * 4
