"""VGG-small: six padded 3x3 convolutions of 128, 128, 256, 256, 512 and 512 channels, then one dense layer.

Reference: Zhang et al., LQ-Nets, arXiv:1807.10029, section 5.1, which took it from Cai et al., HWGQ, arXiv:1702.00953:
2x128C3-MP2-2x256C3-MP2-2x512C3-MP2-dense. Binary networks on CIFAR-10 are compared on it.
"""

from torch import Tensor, nn

from bitwright.models.batch_norm import BatchNorm
from bitwright.models.settings import ModelSettings
from bitwright.quant.brevitas_layers import activation_of, conv2d, dense, input_quantizer
from bitwright.quant.recipe import Recipe

WIDTHS = (128, 128, 256, 256, 512, 512)
"""Channels of the convolutions. The second of each width is pooled."""

SMALLEST_SIDE = 8


class VGGSmall(nn.Module):
    """VGG-small for images of at least 8 pixels: 4,656,512 weights for RGB of 32 pixels and ten classes.

    As in `LeNet5`, pooling stands before batch norm and activation: the maximum of signs would be +1 nearly everywhere.
    Padding is zero, which is no sign: behind a binary activation the convolution's data are -1, 0 and +1.

    Args:
        image: Channels, height and width of the input.
        classes: Scores.
        recipe: Widths of input, weights and activations; float, fixed point and binary are the same network.
        settings: Gives ``channel_multiplier``, ``widths``, and ``batch_norm``: whether one stands before each
            activation. Then the convolutions have no bias.

    Raises:
        ValueError: If the image is smaller than 8x8.

    >>> import torch
    >>> network = VGGSmall((3, 32, 32), 10, Recipe(), ModelSettings(channel_multiplier=0.125))
    >>> network.eval()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, image: tuple[int, int, int], classes: int, recipe: Recipe, settings: ModelSettings) -> None:
        super().__init__()
        colours, height, width = image
        if min(height, width) < SMALLEST_SIDE:
            raise ValueError(
                f"model.kind: images of vgg_small must be at least 8x8, not {height}x{width}; use kind = 'mlp'"
            )
        batch_norm = settings.batch_norm
        self.input = input_quantizer(recipe, 0.0, 1.0)
        inputs = colours
        for i, ordinary in enumerate(WIDTHS):
            name = f"conv{i}"
            conv, outputs = (
                recipe.layer(name, "middle" if i else "first"),
                settings.width(name, settings.channels(ordinary)),
            )
            setattr(self, name, conv2d(conv, inputs, outputs, 3, padding=1, bias=not batch_norm))
            if i % 2:
                setattr(self, f"pool{i}", nn.MaxPool2d(2))
            setattr(self, f"norm{i}", BatchNorm(outputs) if batch_norm else nn.Identity())
            setattr(self, f"act{i}", activation_of(conv))
            inputs = outputs
        self.flatten = nn.Flatten()
        out = recipe.layer("out", "last")
        binary = out.weight_bit_width == 1
        self.out = dense(out, inputs * (height // 8) * (width // 8), classes, bias=not binary)
        self.out_norm = BatchNorm(classes) if binary and batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to scores ``(N, classes)``."""
        x = self.input(x)
        for i in range(len(WIDTHS)):
            x = getattr(self, f"conv{i}")(x)
            if i % 2:
                x = getattr(self, f"pool{i}")(x)  # 32 -> 16 -> 8 -> 4 rows and columns
            x = getattr(self, f"act{i}")(getattr(self, f"norm{i}")(x))
        return self.out_norm(self.out(self.flatten(x)))  # type: ignore[no-any-return]
