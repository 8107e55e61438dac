"""Accumulators of networks whose widths are learned, against the exact bound of the export."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from float_networks import images
from learning import CNN, EXAMPLE, MLP, WITH_BIAS, begun, output, swept
from quick_export import quick_exports

from bitwright.calibration import learned_limit
from bitwright.calibration.learned_limit import drop_spare_bits, hold_accumulators
from bitwright.calibration.learned_network import LearnedNetwork, fixed, weighted
from bitwright.calibration.moves import NARROWEST, uniform
from bitwright.cli.search_lowering import Lowering, accumulator_bits, check
from bitwright.models.checkpoint import NetworkDescription
from bitwright.models.dataset import DataSet
from bitwright.quant.learned_widths import learn_bit_width, learned_bit_width
from bitwright.quant.recipe import LayerRecipe, Recipe, Scale

LIMIT = 13


def lowered(learned: LearnedNetwork, found: DataSet) -> Lowering:
    """The network as it is now, as integers that were compared."""
    network, description = fixed(learned, EXAMPLE)
    with quick_exports():
        return check(network, description.input_shape, found.validation, found.input_scale)


@pytest.mark.parametrize(
    ("description", "granularity"),
    [(MLP, "per_tensor"), (CNN, "per_channel"), (WITH_BIAS, "per_channel")],
    ids=["mlp", "cnn", "bias"],
)
def test_accumulators_of_learned_widths_have_at_most_the_wanted_bits(
    description: NetworkDescription, granularity: Scale, tmp_path: Path
) -> None:
    bits = {}
    for limit in (LIMIT, None):
        learned, found = begun(tmp_path, description, granularity, limit)
        swept(learned, found, [0.02])
        lowering = lowered(learned, found)
        assert lowering.different == 0
        assert lowering.integers == 256 * 4
        bits[limit] = accumulator_bits(lowering.program, Recipe())
    assert bits[LIMIT] <= LIMIT < bits[None]


@pytest.mark.parametrize("description", [MLP, WITH_BIAS], ids=["mlp", "bias"])
@pytest.mark.parametrize("granularity", ["per_tensor", "per_channel"])
def test_fixed_network_of_a_limit_computes_the_same(
    granularity: Scale, description: NetworkDescription, tmp_path: Path
) -> None:
    learned, found = begun(tmp_path, description, granularity, LIMIT)
    swept(learned, found, [0.05])
    inputs = images(MLP, 100, seed=9)
    network, _ = fixed(learned, EXAMPLE)
    assert torch.equal(output(network, inputs), output(learned.network, inputs))
    assert len(output(network, inputs).unique(dim=0)) > 10  # type: ignore[no-untyped-call]


def test_coarser_channels_have_the_room_of_their_layers_grid(tmp_path: Path) -> None:
    """A channel of 2 bits beside one of 8: its sums are 64 times as large on the grid that both share."""
    learned, found = begun(tmp_path, WITH_BIAS, "per_channel", LIMIT)
    layers: dict[str, Any] = dict(weighted(learned.network))
    parameter, _ = learned.widths["fc1.weight"]
    with torch.no_grad():
        parameter[1:] = 1.0
        layers["fc1"].weight.fill_(10.0)
        layers["fc1"].bias.fill_(1e3)
    assert accumulator_bits(lowered(learned, found).program, Recipe(accumulator_bit_width=LIMIT)) == LIMIT


def test_weights_that_fit_are_not_moved(tmp_path: Path) -> None:
    learned, found = begun(tmp_path, WITH_BIAS, "per_channel", LIMIT)
    swept(learned, found, [0.5])
    hold_accumulators(learned.network.eval(), EXAMPLE)
    state = learned.state()
    hold_accumulators(learned.network, EXAMPLE)
    assert all(torch.equal(value, state[name]) for name, value in learned.state().items())


def test_limited_network_still_classifies(tmp_path: Path) -> None:
    learned, found = begun(tmp_path, accumulator_bits=LIMIT)
    swept(learned, found, [0.05, 0.2])
    network, _ = fixed(learned, EXAMPLE)
    inputs = torch.from_numpy(found.train.inputs).float() / 255
    right = output(network, inputs).argmax(dim=1) == torch.from_numpy(found.train.labels)
    assert right.float().mean() > 0.8


def test_width_for_which_only_zeros_fit_is_refused(tmp_path: Path) -> None:
    says = (
        r"^accumulator_bit_width: width must be at least 9 for input codes of 8 bits, not 8; no weight but zero would "
        r"fit$"
    )
    with pytest.raises(ValueError, match=says):
        begun(tmp_path, accumulator_bits=8)


def test_accumulator_that_is_too_wide_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that are not held do not stay within the limit."""
    monkeypatch.setattr(learned_limit, "_hold", lambda *_: None)
    learned, found = begun(tmp_path, granularity="per_channel", accumulator_bits=LIMIT)
    swept(learned, found, [0.02])
    program = lowered(learned, found).program
    says = (
        r"^search: accumulator of fc0 must have at most 13 bits, not \d\d; search without --learn, or with a wider "
        r"--max-accumulator-bits$"
    )
    for recipe in (
        Recipe(accumulator_bit_width=LIMIT),
        Recipe(layers={"fc0": LayerRecipe(accumulator_bit_width=LIMIT)}),
    ):
        with pytest.raises(ValueError, match=says):
            accumulator_bits(program, recipe)


@pytest.mark.parametrize("granularity", ["per_tensor", "per_channel"])
def test_bits_that_no_weight_uses_are_dropped_and_the_integers_stay(granularity: Scale) -> None:
    recipe = uniform(("fc0", "fc1", "out"), 8, 8, 8)  # the scale of the weights is a parameter
    description = replace(MLP, recipe=recipe.model_copy(update={"accumulator_bit_width": 16}))
    layer = weighted(description.build())[0][1]
    width = learn_bit_width(layer.weight_quant, NARROWEST, 12 if granularity == "per_channel" else None)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        codes = layer.quant_weight().value / layer.quant_weight().scale
        layer.weight.mul_(5.0 / 128.0)  # which takes 4 of 8 bits
        before = layer.quant_weight()
        drop_spare_bits(layer, width)
    after = layer.quant_weight()
    assert int(codes.max()) == 127
    assert set(learned_bit_width(layer.weight_quant).flatten().tolist()) == {4.0}
    assert torch.equal(before.value, after.value)
    assert set((after.value / after.scale).flatten().tolist()) == {5.0}
