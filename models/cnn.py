"""A small convolutional network for images of any size: one 3x3 convolution, max pooling, one dense layer."""

from torch import Tensor, nn

from bitwright.models.batch_norm import BatchNorm
from bitwright.models.order import in_order
from bitwright.models.settings import ModelSettings
from bitwright.quant.brevitas_layers import activation_of, conv2d, dense, input_quantizer
from bitwright.quant.recipe import Recipe

KERNEL = 3
POOL = 2


class CNN(nn.Module):
    """Small enough to be unrolled into logic that takes an image every clock, where the images are small.

    As in `LeNet5`, pooling stands before batch norm and activation, unless the settings say another order.

    Args:
        image: Channels, height and width of the input.
        classes: Scores.
        recipe: Widths of input, weights and activations.
        settings: Gives ``channel_multiplier``, ``widths``, ``batch_norm``: whether one stands at the activation, and
            the ``order`` of the two. With it the convolution has no bias.

    Raises:
        ValueError: If the image is smaller than 4x4.

    >>> import torch
    >>> CNN((1, 8, 8), 10, Recipe(), ModelSettings(kind="cnn")).eval()(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(self, image: tuple[int, int, int], classes: int, recipe: Recipe, settings: ModelSettings) -> None:
        super().__init__()
        inputs, height, width = image
        channels, batch_norm, self.order = (
            settings.width("conv", settings.channels(8)),
            settings.batch_norm,
            settings.order_or_own(),
        )
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
        unbiased = out.weight_bit_width == 1 or settings.norm_is_last  # a bias needs codes before
        self.out = dense(out, channels * rows * columns, classes, bias=not unbiased)
        self.out_norm = BatchNorm(classes) if unbiased and batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to scores ``(N, classes)``."""
        x = self.conv(self.input(x))
        x = in_order(self.order, x, norm=self.norm, activation=self.act, pool=self.pool)
        return self.out_norm(self.out(self.flatten(x)))  # type: ignore[no-any-return]
