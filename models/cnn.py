"""A small convolutional network for images of any size: one 3x3 convolution, max pooling, one dense layer."""

from torch import Tensor, nn

from bitwright.models.batch_norm import BatchNorm
from bitwright.models.settings import ModelSettings
from bitwright.quant.brevitas_layers import activation_of, conv2d, dense, input_quantizer
from bitwright.quant.recipe import Recipe

KERNEL = 3
POOL = 2


class CNN(nn.Module):
    """Small enough to be unrolled into logic that takes an image every clock, where the images are small.

    As in `LeNet5`, pooling stands before batch norm and activation.

    Args:
        image: Channels, height and width of the input.
        classes: Scores.
        recipe: Widths of input, weights and activations.
        settings: Gives ``channel_multiplier``, and ``batch_norm``: whether one stands before the activation. Then the
            convolution has no bias.

    Raises:
        ValueError: If the image is smaller than 4x4.

    >>> import torch
    >>> CNN((1, 8, 8), 10, Recipe(), ModelSettings()).eval()(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(self, image: tuple[int, int, int], classes: int, recipe: Recipe, settings: ModelSettings) -> None:
        super().__init__()
        inputs, height, width = image
        channels, batch_norm = settings.channels(8), settings.batch_norm
        if min(height, width) < KERNEL - 1 + POOL:
            raise ValueError(f"model.kind: images of cnn must be at least 4x4, not {height}x{width}; use kind = 'mlp'")
        conv, out = recipe.layer("conv", "first"), recipe.layer("out", "last")
        self.input = input_quantizer(recipe, 0.0, 1.0)
        self.conv = conv2d(conv, inputs, channels, KERNEL, bias=not batch_norm)
        self.pool = nn.MaxPool2d(POOL)
        self.norm = BatchNorm(channels) if batch_norm else nn.Identity()
        self.act = activation_of(conv)
        self.flatten = nn.Flatten()
        rows, columns = ((size - KERNEL + 1) // POOL for size in (height, width))
        binary = out.weight_bit_width == 1
        self.out = dense(out, channels * rows * columns, classes, bias=not binary)
        self.out_norm = BatchNorm(classes) if binary and batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to scores ``(N, classes)``."""
        x = self.act(self.norm(self.pool(self.conv(self.input(x)))))
        return self.out_norm(self.out(self.flatten(x)))  # type: ignore[no-any-return]
