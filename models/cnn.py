"""A small convolutional network for images of any size: one 3x3 convolution, max pooling, one dense layer."""

from torch import Tensor, nn

from bitwright.models.batch_norm import BatchNorm
from bitwright.quant.brevitas_layers import activation, conv2d, dense, input_quantizer
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
        batch_norm: Whether a batch norm stands before the activation. Then the convolution has no bias.
        channels: Filters of the convolution.

    Raises:
        ValueError: If the image is smaller than 4x4.

    >>> import torch
    >>> CNN((1, 8, 8), 10, Recipe(), channels=8).eval()(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self, image: tuple[int, int, int], classes: int, recipe: Recipe, *, batch_norm: bool = True, channels: int
    ) -> None:
        super().__init__()
        inputs, height, width = image
        if min(height, width) < KERNEL - 1 + POOL:
            raise ValueError(f"model.kind: images of cnn must be at least 4x4, not {height}x{width}; use kind = 'mlp'")
        conv, out = recipe.layer("conv", "first"), recipe.layer("out", "last")
        self.input = input_quantizer(recipe, 0.0, 1.0)
        self.conv = conv2d(conv, inputs, channels, KERNEL, bias=not batch_norm)
        self.pool = nn.MaxPool2d(POOL)
        self.norm = BatchNorm(channels) if batch_norm else nn.Identity()
        self.act = activation(conv.activation_bit_width)
        self.flatten = nn.Flatten()
        rows, columns = ((size - KERNEL + 1) // POOL for size in (height, width))
        binary = out.weight_bit_width == 1
        self.out = dense(out, channels * rows * columns, classes, bias=not binary)
        self.out_norm = BatchNorm(classes) if binary and batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to scores ``(N, classes)``."""
        x = self.act(self.norm(self.pool(self.conv(self.input(x)))))
        return self.out_norm(self.out(self.flatten(x)))  # type: ignore[no-any-return]
