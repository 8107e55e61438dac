"""ResNet-8, ResNet-20, MobileNetV2 and VGG-small: their shapes, their shortcuts, what they refuse."""

import re
from typing import Any

import pytest
import torch
from torch import nn

from bitwright.models import mobilenet_v2
from bitwright.models.network import build, unactivated_layers
from bitwright.models.settings import Kind, ModelSettings
from bitwright.quant.carried import Carried, QuantCarried
from bitwright.quant.recipe import LayerRecipe, Recipe
from bitwright.quant.values import values

FLOAT, FIXED = Recipe.floating(), Recipe(weight_bit_width=4, activation_bit_width=4)
BINARY = Recipe(weight_bit_width=1, activation_bit_width=1)
IMAGE = (3, 32, 32)


def made(kind: Kind, recipe: Recipe, **settings: Any) -> Any:  # noqa: ANN401 - layers by their names
    return build(ModelSettings(kind=kind, **settings), recipe, IMAGE, 10)


@pytest.fixture
def few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give MobileNetV2 one block of each sort: without expansion, widened, added, with a stride."""
    monkeypatch.setattr(mobilenet_v2, "STAGES", ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 1, 2)))


def weights(network: nn.Module) -> int:
    return sum(value.numel() for name, value in network.named_parameters() if value.dim() > 1)


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """Rows, columns and channels behind every module, for one image."""
    found: dict[str, tuple[int, ...]] = {}
    for name, module in network.named_children():
        module.register_forward_hook(lambda _, __, result, name=name: found.update({name: tuple(result.shape[1:])}))
    network.eval()(torch.zeros(1, *IMAGE))
    return found


@pytest.mark.parametrize(
    ("kind", "count"),
    # Of the ResNets with 2,560 for the two shortcuts that change the shape
    [("vgg_small", 4_656_512), ("resnet8", 77_360), ("resnet20", 270_896), ("mobilenet_v2", 2_202_560)],
)
def test_network_has_the_published_weights(kind: Kind, count: int) -> None:
    assert weights(made(kind, FLOAT)) == count


def test_binary_form_has_the_weights_of_the_float_one() -> None:
    assert weights(made("resnet8", BINARY)) == 77_360


def test_vgg_small_halves_images_three_times() -> None:
    found = shapes(made("vgg_small", FLOAT))
    wanted = [(128, 32, 32), (128, 16, 16), (256, 16, 16), (256, 8, 8), (512, 8, 8), (512, 4, 4)]
    assert [found[f"norm{i}"] for i in range(6)] == wanted
    assert found["flatten"] == (8192,)


def test_stages_of_a_resnet_halve_images_twice() -> None:
    found = shapes(made("resnet20", FLOAT))
    assert [found[f"block{i}_act2"] for i in (2, 3, 5, 6, 8)] == [
        (16, 32, 32),
        (32, 16, 16),
        (32, 16, 16),
        (64, 8, 8),
        (64, 8, 8),
    ]
    assert (found["pool"], found["flatten"]) == ((64, 1, 1), (64,))


def test_mobilenet_v2_has_17_blocks_and_ends_as_4_by_4() -> None:
    found = shapes(made("mobilenet_v2", FLOAT))
    assert "block17_project" not in found
    blocks = {0: (16, 32, 32), 2: (24, 32, 32), 5: (32, 16, 16), 9: (64, 8, 8), 12: (96, 8, 8), 16: (320, 4, 4)}
    assert {i: found[f"block{i}_project"] for i in blocks} == blocks
    assert found["block3_expand"] == (144, 32, 32)
    assert (found["last"], found["pool"]) == ((1280, 4, 4), (1280, 1, 1))
    joined = [i for i in range(17) if f"block{i}_join" in found]
    assert joined == [2, 4, 5, 7, 8, 9, 11, 12, 14, 15]


def test_block_adds_its_input_before_the_activation() -> None:
    network = made("resnet8", FLOAT).eval()
    x, block = torch.randn(2, 16, 8, 8).relu(), "block0"
    y = network.block0_act1(network.block0_conv1_norm(network.block0_conv1(x)))
    wanted = (network.block0_conv2_norm(network.block0_conv2(y)) + x).relu()
    network.blocks = [block]
    assert torch.equal(network._blocks(x), wanted)


def test_binary_block_adds_around_every_convolution_and_carries_no_sign() -> None:
    network = made("resnet8", BINARY, shortcut="real").eval()
    x = torch.randn(2, 16, 8, 8)

    def signs(values: torch.Tensor) -> torch.Tensor:
        return torch.where(values < 0, -1.0, 1.0)

    middle = x + network.block0_conv1_norm(network.block0_conv1(signs(x)))
    wanted = middle + network.block0_conv2_norm(network.block0_conv2(signs(middle)))
    network.blocks = ["block0"]
    assert torch.equal(network._binary_blocks(x), wanted)


@pytest.mark.usefixtures("few_blocks")
@pytest.mark.parametrize("kind", ["resnet8", "mobilenet_v2"])
@pytest.mark.parametrize("recipe", [FIXED, BINARY], ids=["fixed", "binary"])
def test_both_branches_of_a_sum_lie_on_one_grid_of_a_power_of_two(kind: Kind, recipe: Recipe) -> None:
    settings = ModelSettings(kind=kind, shortcut_bit_width=5, channel_multiplier=0.125)
    network = build(settings, recipe, (3, 8, 8), 10)
    with torch.no_grad():
        for _ in range(17):
            network(torch.rand(4, 3, 8, 8))
    seen: dict[str, list[tuple[float, int]]] = {}
    for name, module in network.eval().named_modules():
        if isinstance(module, QuantCarried) and "join" in name:
            module.register_forward_hook(
                lambda _, __, out, name=name: seen.setdefault(name, []).append((float(out.scale), int(out.bit_width)))
            )
    with torch.no_grad():
        network(torch.rand(2, 3, 8, 8))
    assert seen
    for first, second in seen.values():
        assert first == second
        assert first[1] == 5
        assert torch.frexp(torch.tensor(first[0]))[0] == 0.5


def test_real_valued_shortcuts_and_float_networks_quantise_no_sum() -> None:
    assert not [m for m in made("resnet8", BINARY, shortcut="real").modules() if isinstance(m, Carried)]
    joins = {
        name for name, m in made("resnet8", BINARY, shortcut="real").named_modules() if isinstance(m, QuantCarried)
    }
    assert joins == {"average"}
    assert not [m for m in made("mobilenet_v2", FLOAT).modules() if isinstance(m, QuantCarried)]


@pytest.mark.usefixtures("few_blocks")
def test_depthwise_weights_have_their_own_width_unless_the_recipe_names_the_layer() -> None:
    recipe = BINARY.model_copy(update={"layers": {"block1_depthwise": LayerRecipe(weight_bit_width=3)}})
    network = made("mobilenet_v2", recipe, depthwise_bit_width=8, channel_multiplier=0.125)
    names = ("block0_depthwise", "block1_depthwise", "block2_depthwise", "block2_expand", "block2_project")
    found = [int(network.get_submodule(name).weight_quant.bit_width()) for name in names]
    assert found == [8, 3, 8, 1, 1]
    assert network.block2_depthwise.groups == network.block2_depthwise.in_channels


@pytest.mark.usefixtures("few_blocks")
def test_inputs_of_depthwise_layers_have_bits_of_their_own_but_where_the_recipe_names_them() -> None:
    recipe = BINARY.model_copy(update={"layers": {"block2_expand": LayerRecipe(activation_bit_width=3)}})
    network = made("mobilenet_v2", recipe, depthwise_input_bit_width=4, channel_multiplier=0.125)
    names = ("block1_expand", "block2_expand", "block2_depthwise")
    widths = {name: int(getattr(network, f"{name}_act").act_quant.bit_width()) for name in names}
    assert widths == {"block1_expand": 4, "block2_expand": 3, "block2_depthwise": 1}


@pytest.mark.usefixtures("few_blocks")
def test_what_leaves_a_block_has_bits_of_its_own_but_where_the_recipe_names_it() -> None:
    recipe = BINARY.model_copy(update={"layers": {"block2_project": LayerRecipe(activation_bit_width=3)}})
    network = made("mobilenet_v2", recipe, bottleneck_bit_width=4, channel_multiplier=0.125)
    names = ("block1", "block2", "block2_expand", "block2_depthwise")
    widths = {name: int(getattr(network, f"{name}_act").act_quant.bit_width()) for name in names}
    assert widths == {"block1": 4, "block2": 3, "block2_expand": 1, "block2_depthwise": 1}


@pytest.mark.usefixtures("few_blocks")
def test_gradient_passes_averages_of_signs_over_one_pixel() -> None:
    """A scale that training learns would begin with +1 saturated, and fall until -1 is, too."""
    network: Any = build(ModelSettings(kind="mobilenet_v2", channel_multiplier=0.125), BINARY, (3, 8, 8), 10).train()
    assert not list(network.average.parameters())
    signs = torch.tensor([[-1.0, 1.0]], requires_grad=True)
    values(network.average(signs)).sum().backward()  # type: ignore[no-untyped-call]
    assert signs.grad is not None
    assert signs.grad.tolist() == [[1.0, 1.0]]


@pytest.mark.usefixtures("few_blocks")
def test_depthwise_width_leaves_a_float_network_alone() -> None:
    network = made("mobilenet_v2", FLOAT, depthwise_bit_width=8, channel_multiplier=0.125)
    assert type(network.block1_depthwise) is nn.Conv2d


@pytest.mark.usefixtures("few_blocks")
def test_gradient_reaches_the_first_layer_through_binary_shortcuts() -> None:
    kinds: tuple[Kind, ...] = ("resnet8", "mobilenet_v2")
    for kind in kinds:
        network: Any = build(ModelSettings(kind=kind, channel_multiplier=0.125), BINARY, (3, 8, 8), 10)
        network(torch.rand(4, 3, 8, 8)).square().sum().backward()
        assert float(network.conv.weight.grad.abs().sum()) > 0


@pytest.mark.parametrize(("kind", "least"), [("vgg_small", 8), ("resnet8", 4), ("resnet20", 4), ("mobilenet_v2", 8)])
def test_image_smaller_than_the_network_narrows_is_refused(kind: Kind, least: int) -> None:
    says = f"model.kind: images of {kind} must be at least {least}x{least}, not {least - 1}x32; use kind = 'mlp'"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        build(ModelSettings(kind=kind), FIXED, (3, least - 1, 32), 10)


@pytest.mark.parametrize(("name", "recipe"), [("block1_shortcut", FIXED), ("block2_conv2", BINARY)])
def test_activation_of_a_layer_that_is_only_added_is_refused(name: str, recipe: Recipe) -> None:
    says = (
        f"recipe.layers.{name}.activation_bit_width: key must be of a layer with an activation behind it, not of one "
        "whose output is only added to another's; delete it"
    )
    wrong = recipe.model_copy(update={"layers": {name: LayerRecipe(activation_bit_width=3)}})
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        made("resnet8", wrong)


def test_shortcuts_with_weights_have_no_activation() -> None:
    found = unactivated_layers(ModelSettings(kind="resnet20"), IMAGE, 10)
    assert found == ("block3_shortcut", "block6_shortcut")
    assert not unactivated_layers(ModelSettings(kind="mobilenet_v2"), IMAGE, 10)
