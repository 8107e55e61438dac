"""MobileNetV2 for images of 32 pixels: inverted residuals with depthwise convolutions.

Reference: Sandler et al., MobileNetV2, arXiv:1801.04381, table 2. As is usual for small images, the first convolution
and the first stage of 24 channels have a stride of 1: 32x32 pixels end as 4x4. ReLU stands for ReLU6: a quantised
activation saturates anyway.
"""

from torch import Tensor, nn

from bitwright.models.batch_norm import BatchNorm
from bitwright.models.settings import ModelSettings
from bitwright.quant.brevitas_layers import activation_of, conv2d, dense, input_quantizer
from bitwright.quant.carried import added, averaged_signs, carried, signed_activation_of
from bitwright.quant.recipe import FLOAT, Position, Recipe

FIRST, LAST = 32, 1280
"""Channels of the first and the last convolution."""

STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks, and stride of the first block."""

SMALLEST_SIDE = 8


class MobileNetV2(nn.Module):
    """MobileNetV2 for images of at least 8 pixels.

    A block is a pointwise convolution to more channels (``expand``), a depthwise one, and a pointwise one back
    (``project``) that has no ReLU behind it: what enters the next block is quantised with its sign. Where a block keeps
    the shape, its input is added; before that one quantiser quantises both branches to ``shortcut_bit_width`` bits on
    one power-of-two scale, so that the sum is one of integers (``shortcut = "real"``: in float).

    Args:
        image: Channels, height and width of the input.
        classes: Scores.
        recipe: Widths of input, weights and activations; float, fixed point and binary are the same network.
        settings: Gives ``channel_multiplier``, ``shortcut``, ``shortcut_bit_width``, ``depthwise_bit_width``,
            ``depthwise_input_bit_width`` and ``bottleneck_bit_width`` (of the depthwise weights, of what they take from
            an expansion and of what leaves a block, where the recipe does not name the layers), and ``batch_norm``:
            whether one stands behind each convolution. Then the convolutions have no bias.

    Raises:
        ValueError: If the image is smaller than 8x8.

    >>> import torch
    >>> settings = ModelSettings(kind="mobilenet_v2", channel_multiplier=0.25)
    >>> MobileNetV2((3, 32, 32), 10, Recipe(), settings).eval()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, image: tuple[int, int, int], classes: int, recipe: Recipe, settings: ModelSettings) -> None:
        super().__init__()
        colours, height, width = image
        if min(height, width) < SMALLEST_SIDE:
            raise ValueError(
                f"model.kind: images of mobilenet_v2 must be at least 8x8, not {height}x{width}; use kind = 'mlp'"
            )
        self.recipe, self.settings = recipe, settings
        into_first = ("depthwise", "depthwise_norm", "depthwise_act", "project")
        self.inner_layers = {"conv": ("conv_norm", "act", *(f"block0_{name}" for name in into_first))}
        sums = FLOAT if recipe.is_float else settings.shortcut_bit_width
        self.input = input_quantizer(recipe, 0.0, 1.0)
        inputs = settings.width("conv", settings.channels(FIRST))
        self._add_convolution("conv", colours, inputs, 3, position="first")
        self.act = activation_of(recipe.layer("conv", "first"))
        self.blocks: list[str] = []
        for expansion, ordinary, blocks, first_stride in STAGES:
            outputs = settings.channels(ordinary)
            for i in range(blocks):
                stride = 1 if i else first_stride
                block = f"block{len(self.blocks)}"
                self.blocks.append(block)
                height, width = -(-height // stride), -(-width // stride)
                self._add_block(block, inputs, outputs, expansion, stride)
                if stride == 1 and inputs == outputs and len(self.blocks) > 1:
                    setattr(self, f"{block}_join", carried(sums) if settings.shortcut == "quantized" else nn.Identity())
                setattr(
                    self,
                    f"{block}_act",
                    signed_activation_of(self._own(f"{block}_project", settings.bottleneck_bit_width)),
                )
                inputs = outputs
        features = settings.width("last", settings.channels(LAST))
        self.inner_layers["last"] = ("last_norm", "last_act", "out")
        self._add_convolution("last", inputs, features, 1)
        last = recipe.layer("last", "middle")
        self.last_act = activation_of(last)
        self.pool = nn.AvgPool2d((height, width))
        self.average = averaged_signs(sums) if last.activation_bit_width == 1 else carried(sums)
        self.flatten = nn.Flatten()
        out = recipe.layer("out", "last")
        one_bit = out.weight_bit_width == 1
        self.out = dense(out, features, classes, bias=not one_bit)
        self.out_norm = BatchNorm(classes) if one_bit and settings.batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to scores ``(N, classes)``."""
        x = self.act(self._convolved("conv", self.input(x)))
        before = x
        for block in self.blocks:
            if hasattr(self, f"{block}_expand"):
                x = getattr(self, f"{block}_expand_act")(self._convolved(f"{block}_expand", x))
            x = getattr(self, f"{block}_depthwise_act")(self._convolved(f"{block}_depthwise", x))
            x = self._convolved(f"{block}_project", x)
            if hasattr(self, f"{block}_join"):
                x = added(getattr(self, f"{block}_join"), x, before)
            before, x = x, getattr(self, f"{block}_act")(x)
        x = self.last_act(self._convolved("last", x))  # (N, 1280, H / 8, W / 8)
        x = self.flatten(self.average(self.pool(x)))  # (N, 1280)
        return self.out_norm(self.out(x))  # type: ignore[no-any-return]

    def _add_block(self, block: str, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        wide = inputs * expansion
        if expansion > 1:
            wide = self.settings.width(f"{block}_expand", wide)
            names = ("expand_norm", "expand_act", "depthwise", "depthwise_norm", "depthwise_act", "project")
            self.inner_layers[f"{block}_expand"] = tuple(f"{block}_{name}" for name in names)
            self._add_convolution(f"{block}_expand", inputs, wide, 1)
            setattr(
                self,
                f"{block}_expand_act",
                activation_of(self._own(f"{block}_expand", self.settings.depthwise_input_bit_width)),
            )
        self._add_convolution(f"{block}_depthwise", wide, wide, 3, stride=stride, depthwise=True)
        setattr(self, f"{block}_depthwise_act", activation_of(self.recipe.layer(f"{block}_depthwise", "middle")))
        self._add_convolution(f"{block}_project", wide, outputs, 1)

    def _own(self, name: str, bits: int | None) -> Recipe:
        """Return the recipe of a convolution whose activation has so many bits, if any, unless the recipe says more."""
        layer, own = self.recipe.layer(name, "middle"), self.recipe.layers.get(name)
        if bits is None or self.recipe.is_float or (own is not None and own.activation_bit_width is not None):
            return layer
        return layer.model_copy(update={"activation_bit_width": bits})

    def _add_convolution(
        self,
        name: str,
        inputs: int,
        outputs: int,
        kernel_size: int,
        *,
        stride: int = 1,
        depthwise: bool = False,
        position: Position = "middle",
    ) -> None:
        """Add a convolution that pads as much as its kernel takes, and its batch norm."""
        layer, batch_norm = self.recipe.layer(name, position), self.settings.batch_norm
        own = self.recipe.layers.get(name)
        bits = self.settings.depthwise_bit_width
        if depthwise and bits is not None and not layer.is_float and (own is None or own.weight_bit_width is None):
            layer = layer.model_copy(update={"weight_bit_width": bits})
        window = {"stride": stride, "padding": kernel_size // 2, "groups": inputs if depthwise else 1}
        setattr(self, name, conv2d(layer, inputs, outputs, kernel_size, **window, bias=not batch_norm))
        setattr(self, f"{name}_norm", BatchNorm(outputs) if batch_norm else nn.Identity())

    def _convolved(self, name: str, x: Tensor) -> Tensor:
        return getattr(self, f"{name}_norm")(getattr(self, name)(x))  # type: ignore[no-any-return]
