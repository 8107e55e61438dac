"""Layers that learn whether they are there: what a gate mixes, which layers leave, and what is left."""

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from float_networks import images
from learning import EXAMPLE, begun, output, swept
from quick_export import quick_exports
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.calibration.costs import costs
from bitwright.calibration.learned_cost import CostMeter
from bitwright.calibration.learned_gate import Gate
from bitwright.calibration.learned_network import LearnedNetwork, fixed
from bitwright.calibration.learned_widths import first_cost
from bitwright.cli.search_lowering import check
from bitwright.models.checkpoint import NetworkDescription, load, save
from bitwright.models.settings import ModelSettings
from bitwright.quant.recipe import LEFT_OUT, Recipe, Scale

DIGITS = NetworkDescription(ModelSettings(hidden=(64, 32, 32)), Recipe.floating(), (1, 8, 8), 4)
"""The shape of the digits' perceptron: its first and its last hidden layer may leave."""

WHOLE = (64 * 64 + 64 * 32 + 32 * 32 + 32 * 4) * 7 * 8.0


class Values(NamedTuple):
    """What passes between layers, as far as a gate looks at it."""

    value: Tensor
    bit_width: Tensor


def close(learned: LearnedNetwork, *names: str) -> None:
    """Let layers leave."""
    with torch.no_grad():
        for name in names:
            learned.gates[name].parameter.fill_(0.0)


def test_only_layers_with_as_many_outputs_as_inputs_have_gates(tmp_path: Path) -> None:
    learned, _ = begun(tmp_path, DIGITS)
    assert set(learned.gates) == {"fc0", "fc2"}
    assert learned.left_out() == frozenset()


@pytest.mark.parametrize("left", [("fc0",), ("fc2",), ("fc0", "fc2")])
def test_closed_gate_is_the_network_without_the_layer(left: tuple[str, ...], tmp_path: Path) -> None:
    learned, found = begun(tmp_path, DIGITS)
    inputs = images(DIGITS, 100, seed=9)
    whole = output(learned.network, inputs)
    close(learned, *left)
    assert learned.left_out() == set(left)
    network, description = fixed(learned, EXAMPLE)
    assert torch.equal(output(network, inputs), output(learned.network, inputs))
    assert not torch.equal(output(network, inputs), whole)
    own = description.recipe.layers
    assert {name for name in own if own[name].weight_bit_width == LEFT_OUT} == set(left)
    assert [hasattr(network, name) for name in left] == [False] * len(left)
    with quick_exports():
        assert check(network, (1, 8, 8), found.validation, found.input_scale).different == 0
    save(tmp_path / "fixed.safetensors", network, description)
    again, _ = load(tmp_path / "fixed.safetensors", description)
    assert torch.equal(output(again, inputs), output(network, inputs))


def test_moving_gate_mixes_what_enters_and_what_leaves() -> None:
    layer, activation = nn.Identity(), nn.Identity()
    gate = Gate(layer, activation)
    entered, left = Values(torch.rand(2, 3), torch.tensor(8.0)), Values(torch.rand(2, 3), torch.tensor(2.0))

    def passed() -> Values:
        layer(entered)
        return activation(left)  # type: ignore[no-any-return]

    assert passed() is left
    gate.moving = True
    with torch.no_grad():
        gate.parameter.fill_(0.25)
    assert torch.equal(passed().value, 0.25 * left.value + 0.75 * entered.value)
    assert float(passed().bit_width.detach()) == 0.25 * 2 + 0.75 * 8
    gate.decide()
    assert gate.closed
    assert passed() is entered


@pytest.mark.parametrize(("share", "decided"), [(-0.1, 0.0), (0.49, 0.0), (0.5, 1.0), (1.2, 1.0)])
def test_gate_is_decided_to_the_nearer_end(share: float, decided: float) -> None:
    gate = Gate(nn.Identity(), nn.Identity())
    gate.moving = True
    with torch.no_grad():
        gate.parameter.fill_(share)
    gate.clip()
    assert 0 <= float(gate.parameter.detach()) <= 1
    gate.decide()
    assert (float(gate.parameter.detach()), gate.closed) == (decided, decided == 0.0)


def test_gradients_of_loss_and_cost_reach_a_moving_gate(tmp_path: Path) -> None:
    learned, found = begun(tmp_path, DIGITS)
    meter = CostMeter("bit_operations")
    for gate in learned.gates.values():
        gate.moving = True
    inputs = torch.from_numpy(found.train.inputs[:64]).float() / 255
    with meter.watching(learned.network.train()):
        scored = learned.network(inputs)
    loss = F.cross_entropy(scored, torch.from_numpy(found.train.labels[:64]))
    gates = [gate.parameter for gate in learned.gates.values()]
    assert all(float(gradient) != 0 for gradient in torch.autograd.grad(loss, gates, retain_graph=True))
    assert all(float(gradient) > 0 for gradient in torch.autograd.grad(meter.value, gates))


def test_cost_of_a_layer_that_left_is_none(tmp_path: Path) -> None:
    learned, _ = begun(tmp_path, DIGITS)
    assert first_cost(learned, EXAMPLE, "bit_operations") == WHOLE
    close(learned, "fc0")
    assert first_cost(learned, EXAMPLE, "bit_operations") == WHOLE - 64 * 64 * 7 * 8
    assert first_cost(learned, EXAMPLE, "weight_bits") == (64 * 32 + 32 * 32 + 32 * 4) * 8
    network, _ = fixed(learned, EXAMPLE)
    assert costs(network, EXAMPLE).weight_bits == (64 * 32 + 32 * 32 + 32 * 4) * 8


@pytest.mark.parametrize("granularity", ["per_tensor", "per_channel"])
def test_layer_leaves_at_a_heavy_cost_and_none_at_a_light_one(granularity: Scale, tmp_path: Path) -> None:
    learned, found = begun(tmp_path, DIGITS, granularity)
    swept(learned, found, [0.001], whole=WHOLE)
    assert learned.left_out() == frozenset()
    assert [float(gate.parameter.detach()) for gate in learned.gates.values()] == [1.0, 1.0]
    swept(learned, found, [10.0], first=1, whole=WHOLE)
    left = learned.left_out()
    assert left
    assert all(learned.weight_widths()[name] == [LEFT_OUT] for name in left)
    network, _ = fixed(learned, EXAMPLE)
    inputs = torch.from_numpy(found.train.inputs).float() / 255
    assert torch.equal(output(network, inputs), output(learned.network, inputs))


def test_layer_that_left_stays_away_and_no_gate_is_between(tmp_path: Path) -> None:
    learned, found = begun(tmp_path, DIGITS)
    close(learned, "fc2")
    state = learned.state()
    swept(learned, found, [0.3], whole=WHOLE)
    assert "fc2" in learned.left_out()
    assert all(torch.equal(state[name], learned.state()[name]) for name in ("fc2.weight", "fc2.gate"))
    assert {float(gate.parameter.detach()) for gate in learned.gates.values()} <= {0.0, 1.0}
    resumed, _ = begun(tmp_path, DIGITS)
    resumed.restore(learned.state())
    assert resumed.left_out() == learned.left_out()
    inputs = images(DIGITS, 100, seed=9)
    assert torch.equal(output(resumed.network, inputs), output(learned.network, inputs))
