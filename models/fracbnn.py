"""FracBNN for small images: a ResNet-20 whose input, weights and first activation bits are all signs.

Reference: Zhang et al., FracBNN, arXiv:2012.12206: the pixels as thermometer codes, shortcuts that average 2x2 pixels
and repeat the channels, a batch norm behind every sum, and activations of one and a fraction bits by precision gating.
The authors' published code has a PReLU with a slope and two offsets a channel; here it has one slope a layer, and no
offsets, for batch norms stand before it and behind the sum that it goes into.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.models.batch_norm import BatchNorm
from bitwright.models.settings import ModelSettings
from bitwright.quant.brevitas_layers import conv2d, dense, input_quantizer
from bitwright.quant.carried import carried, signed_activation_of
from bitwright.quant.precision_gate import PrecisionGate
from bitwright.quant.recipe import FLOAT, Position, Recipe
from bitwright.quant.thermometer import Thermometer
from bitwright.quant.values import values

STAGES = (16, 32, 64)
"""Channels. Each stage but the first begins with a stride of two."""

BLOCKS = 3
"""Blocks of two convolutions in each stage."""

LEVELS = 32
"""Bits of a colour."""

LEAST_INPUT_BITS = 5
"""With fewer, bits of the thermometer code would be the same."""

SMALLEST_SIDE = 4

GATED_BITS = 2
"""Width of the activations that are gated: one bit, and a second one where it pays."""


class FracBNN(nn.Module):
    """FracBNN for images whose sides are multiples of 4.

    The recipe's ``activation_bit_width`` chooses the form: 2 is FracBNN, with precision gates; 1 is its plain binary
    form; other widths quantise what enters a convolution, and in float nothing does. The input is a thermometer code in
    all of them, and the weights are the same, so that one form can start from another's checkpoint. Activations stand
    before the layers: `recipe.layers` gives the bits of what enters one.

    What goes along the shortcuts has ``shortcut_bit_width`` bits on power-of-two scales; with ``shortcut = "real"`` it
    is float, as published, and the lowering refuses that.

    Args:
        image: Channels, height and width of the input.
        classes: Scores.
        recipe: Widths of input, weights and activations.
        settings: Gives ``channel_multiplier``, ``shortcut``, ``shortcut_bit_width`` and ``batch_norm``: must be on.

    Attributes:
        unactivated: Name of the first layer, which takes the thermometer code.

    Raises:
        ValueError: If a side is no multiple of 4, the input has fewer than 5 bits, the recipe has a width for the
            activation behind the first layer, there is no batch norm, or the channels do not double from stage to
            stage.

    >>> FracBNN((3, 32, 32), 10, Recipe(), ModelSettings(kind="fracbnn")).eval()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, image: tuple[int, int, int], classes: int, recipe: Recipe, settings: ModelSettings) -> None:
        super().__init__()
        colours, height, width = image
        _check(height, width, recipe, settings)
        self.inner_layers: dict[str, tuple[str, ...]] = {}  # every layer's outputs go into a sum
        self.recipe = recipe
        sums = FLOAT if recipe.is_float else settings.shortcut_bit_width

        def carry() -> nn.Module:
            return carried(sums) if settings.shortcut == "quantized" else nn.Identity()

        self.input = input_quantizer(recipe, 0.0, 1.0)
        self.thermometer = Thermometer(colours, LEVELS)
        inputs = settings.channels(STAGES[0])
        self.conv = conv2d(recipe.layer("conv", "first"), LEVELS * colours, inputs, 3, padding=1, bias=False)
        self.conv_norm, self.conv_carry = BatchNorm(inputs), carry()
        self.unactivated = ("conv",)
        self.halves: list[str] = []
        for i in range(len(STAGES) * BLOCKS):
            stage, position = divmod(i, BLOCKS)
            outputs = settings.channels(STAGES[stage])
            for half in (1, 2):
                stride = 2 if stage and not position and half == 1 else 1
                self._add_half(f"block{i}_conv{half}", inputs, outputs, stride)
                setattr(self, f"block{i}_conv{half}_carry", carry())
                inputs = outputs
        self.pool, self.average = nn.AvgPool2d((height // 4, width // 4)), carry()
        self.flatten = nn.Flatten()
        out = recipe.layer("out", "last")
        one_bit = out.weight_bit_width == 1
        self.out = dense(out, inputs, classes, bias=not one_bit)
        self.out_norm = BatchNorm(classes) if one_bit else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to scores ``(N, classes)``."""
        x = self.conv_norm(self.conv(self.thermometer(self.input(x))))
        carry = self.conv_carry
        for name in self.halves:
            x = carry(x)
            y = getattr(self, f"{name}_norm")(self._sums(name, x))
            y = F.prelu(values(carry(y)), getattr(self, f"{name}_slope").clamp(min=0.0))
            shortcut = _shortcut(values(x), y)
            x = values(x) if shortcut is None else values(carry(shortcut))
            x = getattr(self, f"{name}_sum_norm")(values(carry(y)) + x)
            carry = getattr(self, f"{name}_carry")
        x = self.flatten(self.average(self.pool(values(carry(x)))))  # (N, 64)
        return self.out_norm(self.out(x))  # type: ignore[no-any-return]

    def _sums(self, name: str, x: Tensor) -> Tensor:
        layer, activation = getattr(self, name), getattr(self, f"{name}_act")
        if isinstance(activation, PrecisionGate):
            return activation(layer, x)  # type: ignore[no-any-return]
        return layer(activation(values(x)))  # type: ignore[no-any-return]

    def _add_half(self, name: str, inputs: int, outputs: int, stride: int) -> None:
        """Add a convolution, the activation before it, and what stands behind it."""
        position: Position = "middle"
        layer = self.recipe.layer(name, position)
        gated = layer.activation_bit_width == GATED_BITS
        gate = PrecisionGate(outputs, sign_gradient=layer.sign_gradient)
        setattr(self, f"{name}_act", gate if gated else signed_activation_of(layer))
        setattr(self, name, conv2d(layer, inputs, outputs, 3, stride=stride, padding=1, bias=False))
        setattr(self, f"{name}_norm", BatchNorm(outputs))
        setattr(self, f"{name}_slope", nn.Parameter(torch.full((1,), 0.25)))
        setattr(self, f"{name}_sum_norm", BatchNorm(outputs))
        self.halves.append(name)


def _shortcut(x: Tensor, y: Tensor) -> Tensor | None:
    """Return a shortcut in the shape of what it is added to, 2x2 pixels averaged, channels repeated; None if it is."""
    if x.shape == y.shape:
        return None
    if x.shape[2:] != y.shape[2:]:
        x = F.avg_pool2d(x, 2)
    return torch.cat([x, x], dim=1) if x.shape[1] != y.shape[1] else x


def _check(height: int, width: int, recipe: Recipe, settings: ModelSettings) -> None:
    if height % 4 or width % 4 or min(height, width) < SMALLEST_SIDE:
        raise ValueError(
            f"model.kind: sides of images of fracbnn must be multiples of 4, not {height}x{width}; "
            "use kind = 'resnet20'"
        )
    if recipe.input_bit_width < LEAST_INPUT_BITS:
        raise ValueError(
            f"recipe.input_bit_width: width must be at least {LEAST_INPUT_BITS} for fracbnn, not "
            f"{recipe.input_bit_width}; its input becomes a thermometer code of {LEVELS} bits"
        )
    if recipe.first_activation_bit_width is not None:
        raise ValueError(
            "recipe.first_activation_bit_width: value must be left out for kind = 'fracbnn', not "
            f"{recipe.first_activation_bit_width}; no activation is behind its first layer; set those before others in "
            "recipe.layers"
        )
    if not settings.batch_norm:
        raise ValueError("model.batch_norm: value must be true for kind = 'fracbnn', not false; delete the key")
    channels = [settings.channels(ordinary) for ordinary in STAGES]
    if channels != [channels[0], 2 * channels[0], 4 * channels[0]]:
        raise ValueError(
            "model.channel_multiplier: channels of fracbnn must double from stage to stage, not be "
            f"{', '.join(map(str, channels))}; take a multiple of 1/16"
        )
