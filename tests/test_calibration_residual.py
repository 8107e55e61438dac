"""Calibration of networks with shortcuts: what is carried past the layers is observed, and the result is exact."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from image_networks import BATCHES, images, trained
from levels import Case, examine
from quick_export import quick_exports
from torch import nn

from bitwright.calibration.learned_network import fixed, learnable
from bitwright.calibration.moves import uniform
from bitwright.calibration.observe import activations
from bitwright.calibration.post_training import prepare, quantize
from bitwright.calibration.settings import CalibrationSettings
from bitwright.export.qonnx_file import load
from bitwright.export.torch_export import write_qonnx
from bitwright.export.torch_level import run_torch
from bitwright.models import mobilenet_v2
from bitwright.models.checkpoint import NetworkDescription, save
from bitwright.models.network import layer_names, unactivated_layers
from bitwright.models.settings import Kind, ModelSettings
from bitwright.quant.recipe import LayerRecipe, Recipe

SHAPE = (3, 8, 8)
MULTIPLIERS: dict[Kind, float] = {"resnet8": 0.25, "mobilenet_v2": 0.25}


@pytest.fixture(autouse=True)
def few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mobilenet_v2, "STAGES", ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 1, 2)))


def float_network(kind: Kind) -> tuple[nn.Module, NetworkDescription]:
    settings = ModelSettings(kind=kind, channel_multiplier=MULTIPLIERS[kind])
    return trained(settings, Recipe.floating(), SHAPE), NetworkDescription(settings, Recipe.floating(), SHAPE, 10)


@pytest.mark.parametrize("kind", MULTIPLIERS)
def test_calibrated_network_with_shortcuts_is_exact(kind: Kind, tmp_path: Path) -> None:
    network, description = float_network(kind)
    observed = prepare(network, description, torch.from_numpy(images(32, SHAPE, 5)), CalibrationSettings())
    calibrated, _ = quantize(observed, Recipe(weight_bit_width=6, activation_bit_width=6, bias_bit_width=20))
    with quick_exports():
        write_qonnx(calibrated, SHAPE, tmp_path / "model.onnx")
    values = images(8, SHAPE, 99)
    outputs = run_torch(calibrated, values)
    verdict = examine(Case(kind, load(tmp_path / "model.onnx"), values, outputs, exact=True), None, tmp_path)
    assert (verdict.result, verdict.detail) == ("equal", "")


def test_both_branches_of_a_sum_are_observed_together() -> None:
    network, description = float_network("resnet8")
    inputs = torch.from_numpy(images(32, SHAPE, 5))
    seen: list[float] = []
    observed = prepare(network, description, inputs, replace(CalibrationSettings(), method="min_max"))
    folded: Any = observed.network
    handle = folded.block0_join2.register_forward_hook(lambda _, __, out: seen.append(float(out.abs().max())))
    with torch.no_grad():
        folded(inputs)
    handle.remove()
    grid = observed.ranges["block0_join2"].grid(8, signed=True)
    assert len(seen) == 2
    assert float(grid.scale) * 127 >= max(seen) > float(grid.scale) / 2 * 127
    calibrated: Any = quantize(observed, Recipe(bias_bit_width=20))[0]
    assert float(calibrated.block0_join2.act_quant.scale().detach()) == float(grid.scale)


def test_float_network_is_observed_at_its_sums_and_its_average() -> None:
    names = activations(float_network("resnet8")[0])
    assert [name for name in names if "block0" in name] == ["block0_act1", "block0_join2", "block0_act2"]
    assert names[-1] == "average"


def test_search_begins_with_no_activation_behind_shortcuts() -> None:
    settings = ModelSettings(kind="resnet8")
    layers, without = (names(settings, SHAPE, 10) for names in (layer_names, unactivated_layers))
    recipe = uniform(layers, 8, 8, 8, without)
    assert {name for name, own in recipe.layers.items() if own.activation_bit_width is None} == {*without, "out"}
    assert NetworkDescription(settings, recipe, SHAPE, 10).build().eval()(torch.zeros(1, *SHAPE)).shape == (1, 10)


@pytest.mark.parametrize("kind", MULTIPLIERS)
def test_network_of_learned_widths_keeps_the_scales_of_what_it_carries(kind: Kind, tmp_path: Path) -> None:
    network, description = float_network(kind)
    save(tmp_path / "float.safetensors", network, description)
    layers, without = (names(description.model, SHAPE, 10) for names in (layer_names, unactivated_layers))
    wanted = replace(description, recipe=uniform(layers, 6, 6, 8, without))
    learned = learnable(tmp_path / "float.safetensors", wanted, "per_tensor")
    inputs = torch.from_numpy(images(8, SHAPE, 99))
    with torch.no_grad():
        for seed in range(BATCHES):
            learned.network(torch.from_numpy(images(16, SHAPE, seed)))
        whole, _ = fixed(learned, inputs[:1])
        assert torch.equal(whole(inputs), learned.network(inputs))


def test_limited_accumulator_of_a_depthwise_layer_is_refused() -> None:
    network, description = float_network("mobilenet_v2")
    observed = prepare(network, description, torch.from_numpy(images(8, SHAPE, 5)), CalibrationSettings())
    layers = {"block0_depthwise": LayerRecipe(accumulator_bit_width=12)}
    says = (
        "block0_depthwise: layer must be of one group to be calibrated to a limited accumulator, not of 8; leave "
        "recipe.accumulator_bit_width out, or train"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        quantize(observed, Recipe(bias_bit_width=20, layers=layers))


def test_network_of_trained_gates_is_refused() -> None:
    description = NetworkDescription(ModelSettings(kind="fracbnn"), Recipe.floating(), (3, 8, 8), 10)
    says = (
        "model.kind: network must be one whose activations can be calibrated, not fracbnn, whose gates are trained; "
        "train it at its widths"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        prepare(description.build(), description, torch.zeros(1, 3, 8, 8), CalibrationSettings())
