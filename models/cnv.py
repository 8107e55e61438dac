"""CNV: six unpadded 3x3 convolutions of 64, 64, 128, 128, 256 and 256 channels, then dense 512, 512 and one a class.

Reference: Umuroglu et al., FINN, arXiv:1612.07119: VGG-like, for 32x32 images. Pooling follows the second and the
fourth convolution.
"""

from torch import Tensor, nn

from bitwright.models.batch_norm import BatchNorm
from bitwright.models.order import in_order
from bitwright.models.settings import ModelSettings
from bitwright.quant.brevitas_layers import activation_of, conv2d, dense, input_quantizer
from bitwright.quant.recipe import Recipe

POOLED = (1, 3)
"""Convolutions whose activation is pooled; the others' goes on as it is."""


class CNV(nn.Module):
    """CNV for images of 32 pixels: 1,542,848 weights for RGB and ten classes.

    Unless the settings say another order, pooling stands behind batch norm and activation, as in FINN. What is pooled,
    and waits in the pool's line buffer, is then an activation of one or two bits instead of an accumulator of ten or
    more, and whatever the sign of a batch norm's weight the maximum is of codes: exact without another operation. Of
    1-bit activations it is an OR.

    Args:
        image: Channels, height and width of the input.
        classes: Scores.
        recipe: Widths of input, weights and activations; float, fixed point and binary are the same network.
        settings: Gives ``channel_multiplier``, ``widths``, ``batch_norm``: whether one stands behind each layer, the
            last one too, and the ``order`` of it and the activation. With it no layer has a bias.

    Raises:
        ValueError: If the image is not 32x32.

    >>> import torch
    >>> settings = ModelSettings(kind="cnv", channel_multiplier=0.125)
    >>> CNV((3, 32, 32), 10, Recipe(), settings).eval()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, image: tuple[int, int, int], classes: int, recipe: Recipe, settings: ModelSettings) -> None:
        super().__init__()
        channels, batch_norm = settings.channels(64), settings.batch_norm
        colours, height, width = image
        if (height, width) != (32, 32):
            raise ValueError(f"model.kind: images of cnv must be 32x32, not {height}x{width}; use kind = 'mlp'")
        bias = not batch_norm
        self.order = settings.order_or_own()

        def norm(n: int) -> nn.Module:
            return BatchNorm(n) if batch_norm else nn.Identity()

        self.input = input_quantizer(recipe, 0.0, 1.0)
        ordinary = enumerate(channels * factor for factor in (1, 1, 2, 2, 4, 4))
        widths = [colours, *(settings.width(f"conv{i}", width) for i, width in ordinary)]
        self.convolutions = len(widths) - 1
        for i in range(self.convolutions):
            conv = recipe.layer(f"conv{i}", "first" if i == 0 else "middle")
            setattr(self, f"conv{i}", conv2d(conv, widths[i], widths[i + 1], 3, bias=bias))
            setattr(self, f"norm{i}", norm(widths[i + 1]))
            setattr(self, f"act{i}", activation_of(conv))
            if i in POOLED:
                setattr(self, f"pool{i}", nn.MaxPool2d(2))
        self.flatten = nn.Flatten()
        first, second = settings.width("fc1", 8 * channels), settings.width("fc2", 8 * channels)
        fc1, fc2 = recipe.layer("fc1", "middle"), recipe.layer("fc2", "middle")
        self.fc1 = dense(fc1, widths[-1], first, bias=bias)
        self.fc1_norm, self.fc1_act = norm(first), activation_of(fc1)
        self.fc2 = dense(fc2, first, second, bias=bias)
        self.fc2_norm, self.fc2_act = norm(second), activation_of(fc2)
        self.out = dense(recipe.layer("out", "last"), second, classes, bias=bias)
        self.out_norm = norm(classes)  # on the host: see interface.json

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``(N, C, 32, 32)`` to scores ``(N, classes)``."""
        x = self.input(x)
        for i in range(self.convolutions):  # 32 -> 30 -> 28, 14 -> 12 -> 10, 5 -> 3 -> 1 rows and columns
            x = in_order(
                self.order,
                getattr(self, f"conv{i}")(x),
                norm=getattr(self, f"norm{i}"),
                activation=getattr(self, f"act{i}"),
                pool=getattr(self, f"pool{i}") if i in POOLED else None,
            )
        x = self.flatten(x)  # (N, 4 * channels)
        x = in_order(self.order, self.fc1(x), norm=self.fc1_norm, activation=self.fc1_act)  # (N, 8 * channels)
        x = in_order(self.order, self.fc2(x), norm=self.fc2_norm, activation=self.fc2_act)  # (N, 8 * channels)
        return self.out_norm(self.out(x))  # type: ignore[no-any-return]
