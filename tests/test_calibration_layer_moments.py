"""The error of a layer by its moments, against the layer itself."""

from typing import Any

import pytest
import torch
from float_networks import BY_NAME, float_network, images
from torch import Tensor, nn

from bitwright.calibration.layer_moments import layer_moments, rows
from bitwright.calibration.look import look_into
from bitwright.calibration.post_training import prepare, quantize
from bitwright.calibration.settings import CalibrationSettings
from bitwright.quant.recipe import Recipe


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_errors_are_those_of_the_layers_outputs_in_the_float_network(name: str, fold: bool) -> None:
    description = BY_NAME[name]
    prepared = prepare(
        float_network(description),
        description,
        images(description, 70),
        CalibrationSettings(fold=fold, correct_bias=False),
    )
    recipe = Recipe(weight_bit_width=3, activation_bit_width=3, weight_scale="per_channel")
    network: Any = quantize(prepared, recipe)[0]
    for layer in ("conv", "out") if name == "cnn" else ("fc0", "fc2", "out"):
        outputs: list[Tensor] = []

        def look(module: Any, given: Any, _: object, outputs: list[Tensor] = outputs) -> None:  # noqa: ANN401
            weight = module.quant_weight().value if hasattr(module, "quant_weight") else module.weight
            values = getattr(given[0], "value", given[0])
            if isinstance(module, nn.Linear):
                outputs.append(nn.functional.linear(values, weight).double())
            else:
                outputs.append(nn.functional.conv2d(values, weight, None, module.stride, module.padding).double())

        found: list[Tensor] = []
        for each in (prepared.network, network):
            look_into(each, [(each.get_submodule(layer), look)], prepared.inputs)
            found.append(torch.cat(outputs))
            outputs.clear()
        wanted = (found[0] - found[1]).square().transpose(0, 1).flatten(1).sum(1)
        module = network.get_submodule(layer)
        original: Any = prepared.network.get_submodule(layer).weight
        moments = layer_moments(network, module, prepared.inputs)
        torch.testing.assert_close(
            moments.errors(original, module.quant_weight().value), wanted, rtol=1e-4, atol=1e-6 * float(wanted.max())
        )


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_rows_times_weights_are_the_convolution(groups: int) -> None:
    layer = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=groups, bias=False)
    values = torch.rand(5, 4, 7, 6, generator=torch.Generator().manual_seed(1))
    weight = layer.weight.detach().reshape(groups, 8 // groups, -1)
    found = rows(layer, values) @ weight.transpose(1, 2)  # (G, rows, C / G)
    wanted = layer(values).detach()
    torch.testing.assert_close(found.permute(1, 0, 2).reshape(5, 4 * 3, 8), wanted.flatten(2).transpose(1, 2))


def test_rows_of_a_dense_layer_on_several_positions_are_all_of_them() -> None:
    values = torch.arange(24.0).reshape(2, 3, 4)
    assert torch.equal(rows(nn.Linear(4, 5), values), values.reshape(1, 6, 4))
