"""LeNet-5: two 5x5 convolutions of 6 and 16 channels, max pooling, dense 120, 84 and 10.

Reference: LeCun et al., Gradient-based learning applied to document recognition, 1998. As is usual today, pooling
takes the maximum, the second convolution sees all six channels, and the first one pads 28x28 images to 32x32.
"""

from torch import Tensor, nn

from bitwright.models.batch_norm import BatchNorm
from bitwright.models.order import in_order
from bitwright.models.settings import ModelSettings
from bitwright.quant.brevitas_layers import activation_of, conv2d, dense, input_quantizer
from bitwright.quant.recipe import Recipe


class LeNet5(nn.Module):
    """LeNet-5 for square images of 28 or 32 pixels.

    Unless the settings say another order, pooling stands before batch norm and activation: the maximum of whole numbers
    loses nothing in a binary network, where the maximum of signs would.

    Args:
        image: Channels, height and width of the input.
        classes: Scores.
        recipe: Widths of input, weights and activations; float, fixed point and binary are the same network.
        settings: Gives ``channel_multiplier``, the factor on 6 and 16, ``widths``: of single layers, ``batch_norm``:
            whether one stands at each activation, and the ``order`` of the two. With it the hidden layers have no
            bias.

    Raises:
        ValueError: If the image is not 28x28 or 32x32.

    >>> import torch
    >>> LeNet5((1, 28, 28), 10, Recipe(), ModelSettings(kind="lenet5")).eval()(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(self, image: tuple[int, int, int], classes: int, recipe: Recipe, settings: ModelSettings) -> None:
        super().__init__()
        batch_norm = settings.batch_norm
        channels, height, width = image
        if (height, width) not in ((28, 28), (32, 32)):
            raise ValueError(
                f"model.kind: images of lenet5 must be 28x28 or 32x32, not {height}x{width}; use kind = 'mlp'"
            )
        first, second = settings.width("conv1", settings.channels(6)), settings.width("conv2", settings.channels(16))
        third, fourth = settings.width("fc1", 120), settings.width("fc2", 84)
        bias = not batch_norm
        self.order = settings.order_or_own()

        def norm(n: int) -> nn.Module:
            return BatchNorm(n) if batch_norm else nn.Identity()

        conv1, fc1, fc2 = recipe.layer("conv1", "first"), recipe.layer("fc1", "middle"), recipe.layer("fc2", "middle")
        conv2, out = recipe.layer("conv2", "middle"), recipe.layer("out", "last")
        self.input = input_quantizer(recipe, 0.0, 1.0)
        self.conv1 = conv2d(conv1, channels, first, 5, padding=(32 - height) // 2, bias=bias)
        self.pool1, self.norm1, self.act1 = nn.MaxPool2d(2), norm(first), activation_of(conv1)
        self.conv2 = conv2d(conv2, first, second, 5, bias=bias)
        self.pool2, self.norm2, self.act2 = nn.MaxPool2d(2), norm(second), activation_of(conv2)
        self.flatten = nn.Flatten()
        self.fc1 = dense(fc1, second * 25, third, bias=bias)
        self.norm3, self.act3 = norm(third), activation_of(fc1)
        self.fc2 = dense(fc2, third, fourth, bias=bias)
        self.norm4, self.act4 = norm(fourth), activation_of(fc2)
        unbiased = out.weight_bit_width == 1 or settings.norm_is_last  # a bias needs codes before
        self.out = dense(out, fourth, classes, bias=not unbiased)
        self.out_norm = BatchNorm(classes) if unbiased and batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)`` to scores ``(N, classes)``."""
        order, x = self.order, self.conv1(self.input(x))
        x = in_order(order, x, norm=self.norm1, activation=self.act1, pool=self.pool1)  # (N, 6, 14, 14)
        x = in_order(order, self.conv2(x), norm=self.norm2, activation=self.act2, pool=self.pool2)  # (N, 16, 5, 5)
        x = self.flatten(x)  # (N, 400)
        x = in_order(order, self.fc1(x), norm=self.norm3, activation=self.act3)  # (N, 120)
        x = in_order(order, self.fc2(x), norm=self.norm4, activation=self.act4)  # (N, 84)
        return self.out_norm(self.out(x))  # type: ignore[no-any-return]
