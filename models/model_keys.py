"""Which networks look at which keys of the model; the keys that are not here are of all. Imports no torch."""

from collections.abc import Mapping

from bitwright.models.settings import NARROWABLE, OWN_ORDERS, Kind

_MLPS: tuple[Kind, ...] = ("mlp", "autoencoder")
_BRANCHED: tuple[Kind, ...] = ("resnet8", "resnet20", "fracbnn", "mobilenet_v2")

KINDS_OF: Mapping[str, tuple[Kind, ...]] = {
    "hidden": _MLPS,
    "channel_multiplier": ("cnn", "lenet5", "cnv", "vgg_small", *_BRANCHED),
    "order": tuple(OWN_ORDERS),
    "shortcut": _BRANCHED,
    "shortcut_bit_width": _BRANCHED,
    "depthwise_bit_width": ("mobilenet_v2",),
    "depthwise_input_bit_width": ("mobilenet_v2",),
    "bottleneck_bit_width": ("mobilenet_v2",),
    "widths": NARROWABLE,
    "tensor_train_rank": ("mlp",),
    "tensor_train_least": ("mlp",),
    "tensor_train_cores": ("mlp",),
    "tensor_train_bit_width": ("mlp",),
}
