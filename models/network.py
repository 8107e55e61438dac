"""The one place that turns settings into a network."""

from collections.abc import Callable, Mapping, Sequence

from torch import nn

from bitwright.models.autoencoder import Autoencoder
from bitwright.models.cnn import CNN
from bitwright.models.cnv import CNV
from bitwright.models.fracbnn import FracBNN
from bitwright.models.lenet5 import LeNet5
from bitwright.models.mlp import MLP
from bitwright.models.mobilenet_v2 import MobileNetV2
from bitwright.models.resnet import ResNet
from bitwright.models.settings import ModelSettings
from bitwright.models.tensor_train import TensorTrainRule
from bitwright.models.vgg_small import VGGSmall
from bitwright.quant.recipe import LEFT_OUT, Recipe

IMAGE_NETWORKS: Mapping[str, Callable[[tuple[int, int, int], int, Recipe, ModelSettings], nn.Module]] = {
    "cnn": CNN,
    "cnv": CNV,
    "fracbnn": FracBNN,
    "lenet5": LeNet5,
    "mobilenet_v2": MobileNetV2,
    "resnet20": ResNet,
    "resnet8": ResNet,
    "vgg_small": VGGSmall,
}
"""Networks of images ``(C, H, W)`` by their kind."""

STANDARDISED_RANGE = (-8.0, 8.0)
"""Range of standardised features: eight standard deviations; beyond it the input quantiser saturates."""


def build(settings: ModelSettings, recipe: Recipe, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return a network with random weights.

    Args:
        settings: Which network.
        recipe: Widths of input, weights and activations.
        input_shape: Of one input: ``(C, H, W)`` for images, which lie in [0, 1], or ``(F,)`` for standardised features.
        classes: Scores.

    Raises:
        ValueError: If the network cannot take such an input, has 1-bit weights without batch norm, or has no layer
            that the recipe names.

    >>> type(build(ModelSettings(hidden=(8,)), Recipe(), (16,), 5)).__name__
    'MLP'
    """
    if not settings.batch_norm and 1 in recipe.widths().values():
        raise ValueError(
            "model.batch_norm: value must be true where a width is 1 bit, not False; binary layers have no bias"
        )
    if recipe.layers:
        _check_layers(settings, recipe, input_shape, classes)
    network = _build(settings, recipe, input_shape, classes)
    if settings.widths:
        _check_widths(settings, network, layer_names(settings, input_shape, classes)[:-1])
    for name in _unactivated(network):
        if name in recipe.layers and recipe.layers[name].activation_bit_width is not None:
            raise ValueError(
                f"recipe.layers.{name}.activation_bit_width: key must be of a layer with an activation behind it, "
                "not of one whose output is only added to another's; delete it"
            )
    return network


def layer_names(settings: ModelSettings, input_shape: tuple[int, ...], classes: int) -> tuple[str, ...]:
    """Return the names of the layers with weights, in their order: what a recipe may say more of.

    >>> layer_names(ModelSettings(kind="lenet5"), (1, 28, 28), 10)
    ('conv1', 'conv2', 'fc1', 'fc2', 'out')
    """
    network = _build(settings, Recipe.floating(), input_shape, classes)
    return tuple(name for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d))


def unactivated_layers(settings: ModelSettings, input_shape: tuple[int, ...], classes: int) -> tuple[str, ...]:
    """Return the names of the layers of a float or fixed-point network, but the last, that no activation follows.

    >>> unactivated_layers(ModelSettings(kind="resnet8"), (3, 32, 32), 10)
    ('block1_shortcut', 'block2_shortcut')
    """
    return _unactivated(_build(settings, Recipe.floating(), input_shape, classes))


def inner_layers(network: nn.Module) -> Mapping[str, tuple[str, ...]] | None:
    """Return the layers of a network with branches whose outputs meet no others in a sum, and which may be narrower.

    Returns:
        By the layer's name, the parts behind it that have one value a channel, and last the layer that takes them;
        None for a chain, where that is true of every layer but the last.

    >>> recipe, settings = Recipe(), ModelSettings(kind="resnet8")
    >>> inner_layers(build(settings, recipe, (3, 32, 32), 10))["block0_conv1"]
    ('block0_conv1_norm', 'block0_act1', 'block0_conv2')
    """
    found: Mapping[str, tuple[str, ...]] | None = getattr(network, "inner_layers", None)
    return found


def removable_layers(settings: ModelSettings, input_shape: tuple[int, ...], classes: int) -> tuple[str, ...]:
    """Return the names of the layers that a recipe may leave out.

    >>> removable_layers(ModelSettings(hidden=(8, 8, 4)), (16,), 5)
    ('fc1',)
    """
    if settings.kind != "mlp":
        return ()
    network = _build(settings, Recipe.floating(), input_shape, classes)
    layers = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    cores: tuple[str, ...] = getattr(network, "cores", ())
    return tuple(name for name, layer in layers[:-1] if layer.in_features == layer.out_features and name not in cores)


def _unactivated(network: nn.Module) -> tuple[str, ...]:
    return getattr(network, "unactivated", ())


def _check_layers(settings: ModelSettings, recipe: Recipe, input_shape: tuple[int, ...], classes: int) -> None:
    names = layer_names(settings, input_shape, classes)
    for name, own in recipe.layers.items():
        if name not in names:
            raise ValueError(f"recipe.layers: layer must be one of {', '.join(names)}, not {name!r}; rename it")
        if name == names[-1] and own.activation_bit_width is not None:
            raise ValueError(
                f"recipe.layers.{name}.activation_bit_width: key must be of a layer with an activation behind it, "
                "not of the last one; delete it"
            )
        if own.weight_bit_width == LEFT_OUT and (settings.kind != "mlp" or name == names[-1]):
            raise ValueError(
                f"recipe.layers.{name}.weight_bit_width: width must be 1 to 16, not 0; only hidden layers of an MLP "
                "can be left out"
            )


def _check_widths(settings: ModelSettings, network: nn.Module, names: Sequence[str]) -> None:
    inner = inner_layers(network)
    for name in settings.widths:
        if inner is not None and not inner:
            raise ValueError(
                f"model.widths: value must be left out for a binary {settings.kind}, not name {name!r}; delete "
                "it (every convolution's outputs meet others in a sum)"
            )
        if name not in (names if inner is None else inner):
            one = "value of the input" if settings.kind == "autoencoder" else "class"
            remedy = f"the last layer has one output a {one}"
            if inner is not None:
                remedy += ", and the outputs of the others meet in sums"
            raise ValueError(
                f"model.widths: layer must be one of {', '.join(names if inner is None else inner)}, not {name!r}; "
                f"rename it ({remedy})"
            )


def _build(settings: ModelSettings, recipe: Recipe, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    images = len(input_shape) == 3
    if settings.kind in IMAGE_NETWORKS:
        if not images:
            raise ValueError(
                f"model.kind: input of {settings.kind} must be images (C, H, W), not {input_shape!r}; use kind = 'mlp'"
            )
        channels, height, width = input_shape
        return IMAGE_NETWORKS[settings.kind]((channels, height, width), classes, recipe, settings)
    features = 1
    for size in input_shape:
        features *= size
    input_range = (0.0, 1.0) if images else STANDARDISED_RANGE
    if settings.kind == "autoencoder":
        return Autoencoder(
            features,
            settings.hidden,
            recipe,
            batch_norm=settings.batch_norm,
            own_widths=settings.widths,
            input_range=input_range,
        )
    return MLP(
        features,
        settings.hidden,
        classes,
        recipe,
        batch_norm=settings.batch_norm,
        own_widths=settings.widths,
        input_range=input_range,
        tensor_trains=TensorTrainRule(
            settings.tensor_train_rank,
            settings.tensor_train_cores,
            settings.tensor_train_least,
            settings.tensor_train_bit_width,
        ),
    )
