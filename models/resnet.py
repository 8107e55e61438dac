"""ResNet-8 and ResNet-20: three stages of 16, 32 and 64 channels, an average over the image, one dense layer.

References: He et al., Deep Residual Learning, arXiv:1512.03385, section 4.2 (ResNet-20: three blocks a stage); Banbury
et al., MLPerf Tiny, arXiv:2106.07597 (ResNet-8: one block). The form with 1-bit activations follows Liu et al., Bi-Real
Net, arXiv:1808.00278. Shortcuts that change the shape are 1x1 convolutions with batch norm.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from bitwright.models.batch_norm import BatchNorm
from bitwright.models.settings import Kind, ModelSettings
from bitwright.quant.brevitas_layers import activation_of, conv2d, dense, input_quantizer
from bitwright.quant.carried import added, carried
from bitwright.quant.recipe import FLOAT, Position, Recipe

STAGES = (16, 32, 64)
"""Channels. Each stage but the first begins with a stride of two."""

BLOCKS: Mapping[Kind, int] = {"resnet8": 1, "resnet20": 3}
"""Blocks of two convolutions in each stage."""

SMALLEST_SIDE = 4


class ResNet(nn.Module):
    """ResNet-8 or ResNet-20 for images of at least 4 pixels.

    In float, and with activations of 2 bits and more, a block is He's: two convolutions, each with batch norm; the
    block's input is added, and then comes the activation. With activations of 1 bit every convolution has a shortcut of
    its own, and what travels along the shortcuts is never a sign: ``x + norm(conv(sign(x)))``.

    Before branches are added, one quantiser quantises both: ``shortcut_bit_width`` bits on one power-of-two scale, so
    that the sum is one of integers. With ``shortcut = "real"`` they are added in float, as published; where sums are
    added to sums, as in the form of 1-bit activations, the lowering refuses that.

    Args:
        image: Channels, height and width of the input.
        classes: Scores.
        recipe: Widths of input, weights and activations; ``activation_bit_width`` chooses the form.
        settings: Gives ``kind``, ``channel_multiplier``, ``shortcut``, ``shortcut_bit_width``, and ``batch_norm``:
            whether one stands behind each convolution. Then the convolutions have no bias.

    Attributes:
        unactivated: Names of the layers, but the last, that have no activation behind them.

    Raises:
        ValueError: If the image is smaller than 4x4.

    >>> import torch
    >>> ResNet((3, 32, 32), 10, Recipe(), ModelSettings(kind="resnet8")).eval()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, image: tuple[int, int, int], classes: int, recipe: Recipe, settings: ModelSettings) -> None:
        super().__init__()
        colours, height, width = image
        if min(height, width) < SMALLEST_SIDE:
            raise ValueError(
                f"model.kind: images of {settings.kind} must be at least 4x4, not {height}x{width}; use kind = 'mlp'"
            )
        self.recipe, self.batch_norm, self.binary = recipe, settings.batch_norm, recipe.activation_bit_width == 1
        self.unactivated: tuple[str, ...] = ()
        self.inner_layers: dict[str, tuple[str, ...]] = {}
        sums = FLOAT if recipe.is_float else settings.shortcut_bit_width

        def join() -> nn.Module:
            return carried(sums) if settings.shortcut == "quantized" else nn.Identity()

        self.input = input_quantizer(recipe, 0.0, 1.0)
        inputs = settings.channels(STAGES[0])
        self._add_convolution("conv", colours, inputs, position="first")
        self.act = activation_of(recipe.layer("conv", "first"))
        self.blocks = [f"block{i}" for i in range(len(STAGES) * BLOCKS[settings.kind])]
        for i, block in enumerate(self.blocks):
            stage, position = divmod(i, BLOCKS[settings.kind])
            outputs, stride = settings.channels(STAGES[stage]), 2 if stage and not position else 1
            if stride > 1 or inputs != outputs:
                self._add_convolution(f"{block}_shortcut", inputs, outputs, kernel_size=1, stride=stride)
                self.unactivated += (f"{block}_shortcut",)
            inner = outputs if self.binary else settings.width(f"{block}_conv1", outputs)
            self._add_convolution(f"{block}_conv1", inputs, inner, stride=stride)
            if self.binary:
                setattr(self, f"{block}_join1", join())
            else:
                self.inner_layers[f"{block}_conv1"] = (f"{block}_conv1_norm", f"{block}_act1", f"{block}_conv2")
            setattr(self, f"{block}_act1", activation_of(recipe.layer(f"{block}_conv1", "middle")))
            self._add_convolution(f"{block}_conv2", inner, outputs)
            setattr(self, f"{block}_join2", join())
            if self.binary and i == len(self.blocks) - 1:
                self.unactivated += (f"{block}_conv2",)
            else:
                setattr(self, f"{block}_act2", activation_of(recipe.layer(f"{block}_conv2", "middle")))
            inputs = outputs
        self.pool, self.average = nn.AvgPool2d((-(-height // 4), -(-width // 4))), carried(sums)
        self.flatten = nn.Flatten()
        out = recipe.layer("out", "last")
        one_bit = out.weight_bit_width == 1
        self.out = dense(out, inputs, classes, bias=not one_bit)
        self.out_norm = BatchNorm(classes) if one_bit and self.batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to scores ``(N, classes)``."""
        x = self._convolved("conv", self.input(x))
        x = self._binary_blocks(x) if self.binary else self._blocks(self.act(x))  # (N, 64, H / 4, W / 4)
        x = self.flatten(self.average(self.pool(x)))  # (N, 64)
        return self.out_norm(self.out(x))  # type: ignore[no-any-return]

    def _blocks(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            y = getattr(self, f"{block}_act1")(self._convolved(f"{block}_conv1", x))
            y = self._convolved(f"{block}_conv2", y)
            x = added(getattr(self, f"{block}_join2"), y, self._shortcut(block, x))
            x = getattr(self, f"{block}_act2")(x)
        return x

    def _binary_blocks(self, x: Tensor) -> Tensor:
        signs = self.act(x)
        for block in self.blocks:
            y = self._convolved(f"{block}_conv1", signs)
            x = added(getattr(self, f"{block}_join1"), y, self._shortcut(block, x))
            y = self._convolved(f"{block}_conv2", getattr(self, f"{block}_act1")(x))
            x = added(getattr(self, f"{block}_join2"), y, x)
            if block != self.blocks[-1]:
                signs = getattr(self, f"{block}_act2")(x)
        return x

    def _shortcut(self, block: str, x: Tensor) -> Tensor:
        return self._convolved(f"{block}_shortcut", x) if hasattr(self, f"{block}_shortcut") else x

    def _convolved(self, name: str, x: Tensor) -> Tensor:
        return getattr(self, f"{name}_norm")(getattr(self, name)(x))  # type: ignore[no-any-return]

    def _add_convolution(
        self,
        name: str,
        inputs: int,
        outputs: int,
        *,
        kernel_size: int = 3,
        stride: int = 1,
        position: Position = "middle",
    ) -> None:
        """Add a convolution that pads as much as its kernel takes, and its batch norm."""
        layer, bias = self.recipe.layer(name, position), not self.batch_norm
        convolution = conv2d(layer, inputs, outputs, kernel_size, stride=stride, padding=kernel_size // 2, bias=bias)
        setattr(self, name, convolution)
        setattr(self, f"{name}_norm", BatchNorm(outputs) if self.batch_norm else nn.Identity())
