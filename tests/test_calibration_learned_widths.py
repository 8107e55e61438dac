"""Bit widths learned by gradient: where the gradient goes, which bits go first, and what the fixed network computes."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from float_networks import images
from learning import CNN, EXAMPLE, MLP, SETTINGS, WITH_BIAS, begun, output, swept
from torch import nn

from bitwright.calibration.costs import costs
from bitwright.calibration.evaluate import scores
from bitwright.calibration.learned_cost import CostMeter, LearnedCost
from bitwright.calibration.learned_network import ZERO, fixed, weighted
from bitwright.calibration.learned_widths import cost_weights, first_cost, learn
from bitwright.calibration.moves import uniform
from bitwright.cli.search_lowering import check
from bitwright.models.checkpoint import NetworkDescription, load, save
from bitwright.quant.brevitas_activations import activation
from bitwright.quant.learned_widths import learn_bit_width, learned_bit_width
from bitwright.quant.recipe import Scale


@pytest.mark.parametrize("kind", ["weight_bits", "bit_operations"])
def test_first_cost_is_that_of_the_recipe(kind: LearnedCost, tmp_path: Path) -> None:
    learned, _ = begun(tmp_path)
    sizes = (64 * 12, 12 * 8, 8 * 4)
    wanted = sum(sizes) * 8 if kind == "weight_bits" else sum(sizes) * 7 * 8
    assert first_cost(learned, EXAMPLE, kind) == wanted


def test_cost_of_a_convolution_counts_its_positions(tmp_path: Path) -> None:
    learned, _ = begun(tmp_path, CNN)
    assert first_cost(learned, EXAMPLE, "bit_operations") == (6 * 6 * 8 * 9 + 8 * 9 * 4) * 7 * 8


@pytest.mark.parametrize("granularity", ["per_tensor", "per_channel"])
def test_gradients_of_loss_and_cost_reach_every_width(granularity: Scale, tmp_path: Path) -> None:
    learned, found = begun(tmp_path, granularity=granularity)
    assert set(learned.widths) == {f"{name}.weight" for name in ("fc0", "fc1", "out")} | {
        "act0.activation",
        "act1.activation",
    }
    meter = CostMeter("bit_operations")
    inputs = torch.from_numpy(found.train.inputs[:64]).float() / 255
    with meter.watching(learned.network.train()):
        scored = learned.network(inputs)
    loss = torch.nn.functional.cross_entropy(scored, torch.from_numpy(found.train.labels[:64]))
    for value in (loss, meter.value):
        for parameter, _ in learned.widths.values():
            (gradient,) = torch.autograd.grad(value, parameter, retain_graph=True)
            assert bool((gradient != 0).any())


def test_weights_of_one_signed_bit_are_zero() -> None:
    description = NetworkDescription(MLP.model, uniform(("fc0", "fc1", "out"), 2, 2, 8), (1, 8, 8), 4)
    layer = weighted(description.build())[0][1]
    parameter = learn_bit_width(layer.weight_quant, ZERO, 12)
    with torch.no_grad():
        parameter[::2] = 0.0
    codes = layer.quant_weight().value.detach()
    assert bool((codes[::2] == 0).all())
    assert bool((codes[1::2] != 0).any(dim=1).all())


def test_learned_width_of_an_activation_is_that_of_an_ordinary_one() -> None:
    ordinary, learning = activation(3).eval(), activation(5).eval()
    parameter = learn_bit_width(learning.act_quant, narrowest=2)
    with torch.no_grad():
        parameter.fill_(1.3)
    values = torch.linspace(-0.5, 1.5, 99)
    assert int(learned_bit_width(learning.act_quant)) == 3
    assert torch.equal(learning(values).value, ordinary(values).value)


@pytest.mark.parametrize("granularity", ["per_tensor", "per_channel"])
def test_more_weight_on_the_cost_leaves_fewer_bits(granularity: Scale, tmp_path: Path) -> None:
    learned, found = begun(tmp_path, granularity=granularity)
    start = first_cost(learned, EXAMPLE, "bit_operations")
    reached = swept(learned, found, [0.01, 0.3, 5.0, 100.0])
    assert start > reached[0]
    assert all(after <= before * 1.1 for before, after in pairwise(reached))
    assert reached[-1] < reached[0] / 3
    for width, most in learned.widths.values():
        assert 0 <= float(width.detach().min()) <= float(width.detach().max()) <= most


def test_channels_that_no_score_depends_on_are_pruned_and_no_others(tmp_path: Path) -> None:
    learned, found = begun(tmp_path, granularity="per_channel")
    living = torch.ones(4, 8)
    living[:, :3] = 0.0
    out = dict(weighted(learned.network))["out"]
    with torch.no_grad():
        out.weight *= living
    out.weight.register_hook(lambda gradient: gradient * living)
    swept(learned, found, [0.01, 0.01])
    bits = learned.weight_widths()["fc1"]
    assert bits[:3] == [ZERO] * 3
    assert min(bits[3:]) > ZERO


@pytest.mark.parametrize("description", [MLP, CNN, WITH_BIAS], ids=["mlp", "cnn", "bias"])
@pytest.mark.parametrize("granularity", ["per_tensor", "per_channel"])
def test_fixed_network_computes_the_same(granularity: Scale, description: NetworkDescription, tmp_path: Path) -> None:
    learned, found = begun(tmp_path, description, granularity)
    swept(learned, found, [2.0])
    inputs = images(MLP, 100, seed=9)
    network, fixed_description = fixed(learned, EXAMPLE)
    assert torch.equal(output(network, inputs), output(learned.network, inputs))
    own = fixed_description.recipe.layers
    for name, bits in learned.weight_widths().items():
        assert own[name].weight_bit_width == max(2, *bits)
    save(tmp_path / "fixed.safetensors", network, fixed_description)
    again, _ = load(tmp_path / "fixed.safetensors", fixed_description)
    assert torch.equal(output(again, inputs), output(network, inputs))


def test_widths_of_channels_are_lowered_exactly_and_save_bit_operations(tmp_path: Path) -> None:
    learned, found = begun(tmp_path, granularity="per_channel")
    widest, _ = fixed(learned, EXAMPLE)
    parameter, _ = learned.widths["fc0.weight"]
    with torch.no_grad():
        parameter[3:9] = 2.0
        parameter[9:] = 0.0
    network, description = fixed(learned, EXAMPLE)
    assert description.recipe.layers["fc0"].weight_bit_width == 8
    assert learned.weight_widths()["fc0"] == [8] * 3 + [3] * 6 + [1] * 3
    lowering = check(network, (1, 8, 8), found.validation, found.input_scale)
    assert lowering.different == 0
    assert costs(network, EXAMPLE).bit_operations < 0.6 * costs(widest, EXAMPLE).bit_operations
    assert lowering.lut < check(widest, (1, 8, 8), found.validation, found.input_scale).lut


def test_learned_network_still_classifies(tmp_path: Path) -> None:
    learned, found = begun(tmp_path)
    swept(learned, found, [0.05, 0.2])
    network, _ = fixed(learned, EXAMPLE)
    right = scores(network, found.train, found.input_scale).argmax(axis=1) == found.train.labels
    assert right.mean() > 0.8
    weights = sum(module.weight.numel() for module in network.modules() if isinstance(module, nn.Linear))
    assert costs(network, EXAMPLE).weight_bits < 6 * weights


def test_same_seed_learns_the_same_and_a_stored_state_goes_on(tmp_path: Path) -> None:
    states = []
    for _ in range(2):
        learned, found = begun(tmp_path)
        swept(learned, found, [0.1])
        states.append(learned.state())
    swept(learned, found, [1.0], first=1)
    uninterrupted = learned.state()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    resumed, found = begun(tmp_path)
    resumed.restore(states[0])
    swept(resumed, found, [1.0], first=1)
    state = resumed.state()
    assert state.keys() == uninterrupted.keys()
    assert all(torch.equal(state[name], uninterrupted[name]) for name in state)


def test_state_of_another_network_is_refused(tmp_path: Path) -> None:
    learned, _ = begun(tmp_path)
    state = learned.state()
    del state["fc1.weight"]
    with pytest.raises(
        ValueError,
        match=r"^search: state must be of the network that learns, not of one that differs in fc1\.weight$",
    ):
        learned.restore(state)


def test_loss_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    learned, found = begun(tmp_path)
    with pytest.raises(
        ValueError,
        match=r"^search: loss of learned widths must be finite, not inf; set a lower train.learning_rate$",
    ):
        learn(learned, found, SETTINGS, weight=1.0, whole=1e-45, stop=0)


def test_sweep_begins_and_ends_at_the_bounds() -> None:
    weights = cost_weights(5)
    assert weights[0] == 0.02
    assert weights[-1] == pytest.approx(2.0)
    assert weights == sorted(weights)
    assert cost_weights(1) == [0.02]
