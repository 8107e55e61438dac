"""Weights whose sums fit an accumulator, and training that keeps them there, against the exact bound of the export."""

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from quick_export import quick_exports
from road import CONFIGS, Bitwright
from torch import Tensor, nn

from bitwright.cli.search_lowering import lowered
from bitwright.export.precision import needs
from bitwright.models.checkpoint import NetworkDescription, load
from bitwright.models.settings import ModelSettings
from bitwright.quant.accumulator_aware import AccumulatorLimit, bias_bit_width, codes_within, see_input
from bitwright.quant.brevitas_layers import dense, input_quantizer
from bitwright.quant.latent_weights import clip_latent_weights, weighted_layers
from bitwright.quant.recipe import LayerRecipe, Recipe, Scale

MLP = NetworkDescription(ModelSettings(hidden=(12, 12)), Recipe(), (1, 8, 8), 10)
CNN = NetworkDescription(ModelSettings(kind="cnn"), Recipe(), (1, 8, 8), 10)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(1)
    torch.set_num_threads(1)


def accumulators(network: nn.Module, description: NetworkDescription) -> dict[str, int]:
    """The bits of every accumulator that the export proves enough and necessary, as precision.toml has them."""
    with quick_exports():
        program = lowered(network.eval(), description.input_shape).program
    return {name: roles["accumulator"].format.width for name, roles in needs(program).items() if "accumulator" in roles}


def trained(description: NetworkDescription, steps: int = 2) -> nn.Module:
    """A network after a few steps of training with the rate of the digits."""
    network = description.build().train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        x = torch.rand(32, *description.input_shape, generator=generator)
        labels = torch.randint(0, description.classes, (32,), generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        clip_latent_weights(weighted_layers(network))
    return network


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 1000),
    most=st.sampled_from([1, 3, 31, 127]),
    ends=st.sampled_from([(0, 3), (0, 255), (-1, 1), (-128, 127)]),
    room=st.integers(0, 40_000),
)
def test_sums_of_every_input_fit_and_what_fitted_is_kept(
    seed: int, most: int, ends: tuple[int, int], room: int
) -> None:
    steps = torch.randn(4, 30, generator=torch.Generator().manual_seed(seed)) * most / 2
    codes = codes_within(steps, most, ends, -room - 1, room).numpy().astype(np.int64)
    nearest = np.clip(np.rint(steps.numpy()), -most, most).astype(np.int64)

    def bounds(weights: Any) -> tuple[Any, Any]:  # noqa: ANN401 - arrays
        products = np.stack([weights * end for end in ends])
        return products.min(0).sum(1), products.max(0).sum(1)

    least, greatest = bounds(codes)
    assert (least >= -room - 1).all()
    assert (greatest <= room).all()
    assert (np.abs(codes) <= np.abs(nearest)).all()
    assert (codes * nearest >= 0).all()
    least, greatest = bounds(nearest)
    fitted = (least >= -room - 1) & (greatest <= room)
    assert (codes[fitted] == nearest[fitted]).all()


def test_no_more_is_taken_than_must_be() -> None:
    """All ties apart, one unit more would not fit."""
    steps = torch.rand(1, 200) * 6 - 3
    codes = codes_within(steps, 7, (0, 15), -1500, 1500)
    for part in (codes.clamp(min=0), -codes.clamp(max=0)):
        assert 1500 - 15 < float(part.sum()) * 15 <= 1500


@settings(max_examples=4, deadline=None)
@given(
    width=st.integers(12, 14),
    weights=st.integers(3, 8),
    activations=st.sampled_from([1, 2, 4]),
    scale=st.sampled_from(get_args(Scale)),
    description=st.sampled_from([MLP, CNN]),
)
def test_accumulators_of_a_trained_network_have_at_most_the_wanted_bits(
    width: int, weights: int, activations: int, scale: Scale, description: NetworkDescription
) -> None:
    recipe = Recipe(
        weight_bit_width=weights, activation_bit_width=activations, weight_scale=scale, accumulator_bit_width=width
    )
    limited = replace(description, recipe=recipe)
    found = accumulators(trained(limited), limited)
    assert max(found.values()) <= width
    first = next(iter(found))  # whose input has 8 bits
    free = replace(description, recipe=recipe.model_copy(update={"accumulator_bit_width": None}))
    unlimited = accumulators(trained(free), free)[first]
    assert unlimited <= width or found[first] >= width - 1


def test_limit_is_not_empty() -> None:
    recipe = Recipe(weight_bit_width=8, activation_bit_width=6, accumulator_bit_width=12)
    limited, free = (
        replace(MLP, recipe=recipe.model_copy(update={"accumulator_bit_width": each})) for each in (12, None)
    )
    assert set(accumulators(trained(limited), limited).values()) <= {11, 12}
    assert min(accumulators(trained(free), free).values()) > 12


def test_one_layer_alone_may_be_limited() -> None:
    recipe = Recipe(layers={"fc0": LayerRecipe(accumulator_bit_width=12)})
    limited = replace(MLP, recipe=recipe)
    found = accumulators(trained(limited), limited)
    assert found["fc0"] == 12
    assert min(found["fc1"], found["out"]) > 12


def test_bias_is_within_the_limit_however_large() -> None:
    layer: Any = dense(Recipe(accumulator_bit_width=13), 16, 4, bias=True)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([1e6, -1e6, 3.0, 0.0]))
    network = nn.Sequential(input_quantizer(Recipe(), 0.0, 1.0), layer).train()
    network(torch.rand(8, 16))
    clip_latent_weights(weighted_layers(network))
    assert accumulators(network, NetworkDescription(MLP.model, Recipe(), (16,), 4)) == {"layer_1": 13}


def test_training_goes_on_with_the_scale_that_it_had() -> None:
    """The scale is chosen at the first input only; one that was stored stays."""
    description = replace(MLP, recipe=Recipe(accumulator_bit_width=12))
    first = trained(description)
    second = description.build().train()
    second.load_state_dict(first.state_dict(), strict=False)
    x = torch.rand(4, *description.input_shape)
    second(x)
    for name, module in first.named_modules():
        if isinstance(module, nn.Linear):
            mine, theirs = (each.get_submodule(name).weight_quant.scale() for each in (first, second))  # type: ignore[operator, union-attr]
            assert torch.equal(mine, theirs)


@pytest.mark.parametrize(("bits", "signed", "ends"), [(1, True, (-1, 1)), (4, True, (-8, 7)), (4, False, (0, 15))])
def test_ends_are_those_of_the_input(bits: int, signed: bool, ends: tuple[int, int]) -> None:
    limit = AccumulatorLimit(12, 0)
    see_input(limit, type("Quantised", (), {"bit_width": torch.tensor(float(bits)), "signed": signed}))
    assert limit.ends == ends


def test_bias_leaves_three_quarters_to_the_weights() -> None:
    for width in range(6, 33):
        bits = bias_bit_width(width, 24)
        room = AccumulatorLimit(width, bits).room
        assert room + 2 ** (bits - 1) == 2 ** (width - 1) - 1
        assert room >= 0.7 * 2 ** (width - 1)


def test_width_for_which_only_zeros_fit_is_refused() -> None:
    says = (
        r"^accumulator_bit_width: width must be at least 9 for input codes of 8 bits, not 8; no weight but zero would "
        r"fit$"
    )
    with pytest.raises(ValueError, match=says):
        trained(replace(MLP, recipe=Recipe(accumulator_bit_width=8)))


def test_float_input_of_a_limited_layer_is_refused() -> None:
    layer = dense(Recipe(accumulator_bit_width=12), 16, 4, bias=False).train()
    says = r"^accumulator_bit_width: input of a limited layer must be quantised, not float; leave it out$"
    with pytest.raises(ValueError, match=says):
        layer(Tensor(2, 16).zero_())


def test_one_bit_layer_is_refused_a_limit() -> None:
    recipe = Recipe(weight_bit_width=1, layers={"fc0": LayerRecipe(accumulator_bit_width=12)})
    says = (
        r"^recipe: accumulator_bit_width must be left out of a layer with 1-bit weights, not 12; only weights of 2 to "
        r"16 bits are limited$"
    )
    with pytest.raises(ValueError, match=says):
        replace(MLP, recipe=recipe).build()


def test_digits_are_learned_with_a_limit_as_without(bitwright: Bitwright, tmp_path: Path) -> None:
    reached = {}
    for width in (None, 12):
        name = f"limit{width}"
        limit = [] if width is None else ["--set", f"recipe.accumulator_bit_width={width}"]
        options = ["--runs-dir", tmp_path, "--set", "train.epochs=2", "--set", "model.hidden=[24, 16]", "--set"]
        experiment = tmp_path / f"{name}.toml"
        experiment.write_text((CONFIGS / "digits_mlp_w6a6.toml").read_text())
        for command in ("train", "export"):
            outcome = bitwright(command, experiment, *options, "train.batch_size=32", *limit)
            assert outcome.status == 0, outcome.err
        _, description = load(tmp_path / name / "checkpoint.safetensors")
        assert description.recipe.accumulator_bit_width == width
        reached[width] = json.loads((tmp_path / name / "metrics.json").read_text())["validation_accuracy"]
        (precision,) = (tmp_path / name).rglob("precision.toml")
        layers = tomllib.loads(precision.read_text()).values()
        types = [layer["accumulator"] for layer in layers if "accumulator" in layer]
        widths = [int(re.findall(r"\d+", kind)[0]) for kind in types]
        assert max(widths) <= 12 if width else max(widths) > 12
    assert reached[12] > reached[None] - 0.1 > 0.5
