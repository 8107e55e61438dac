"""The level `torch`: the network in eval mode, in batches."""

import numpy as np
import torch
from torch import nn

from bitwright.export.torch_level import BATCH, run_torch
from bitwright.quant.brevitas_activations import activation


def test_network_runs_in_eval_mode_on_every_input() -> None:
    network = nn.Sequential(nn.Dropout(0.9), nn.Flatten()).train()
    values = np.random.default_rng(1).normal(0, 1, (2 * BATCH + 3, 2, 2)).astype(np.float32)
    done: list[int] = []
    found = run_torch(network, values, done.append)
    assert (found == values.reshape(len(values), -1)).all()
    assert done == [BATCH, BATCH, 3]


def test_output_of_a_quantiser_is_its_value() -> None:
    network = activation(3)
    network(torch.full((1, 2), 3.5))
    found = run_torch(network, np.array([[-1.0, 99.0]], np.float32))
    assert isinstance(found, np.ndarray)
    assert found[0, 0] == 0.0
    assert found[0, 1] == 3.5
