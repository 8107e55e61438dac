"""What a person may say about data, network and training. Imports no torch."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_serializer, model_validator

FROZEN = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]

Kind = Literal[
    "mlp", "autoencoder", "cnn", "lenet5", "cnv", "vgg_small", "resnet8", "resnet20", "fracbnn", "mobilenet_v2"
]

IMAGE_SIDES: Mapping[Kind, tuple[int, ...]] = {
    "cnn": (8, 28, 32),
    "lenet5": (28, 32),
    "cnv": (32,),
    "vgg_small": (8, 28, 32),
    "resnet8": (8, 28, 32),
    "resnet20": (8, 28, 32),
    "fracbnn": (8, 28, 32),
    "mobilenet_v2": (8, 28, 32),
}
"""Rows and columns of the images that a network takes; the kinds left out take any input."""

Order = Literal["pool_norm_activation", "norm_activation_pool", "pool_activation_norm", "activation_pool_norm"]

OWN_ORDERS: Mapping[Kind, Order] = {
    "cnn": "pool_norm_activation",
    "lenet5": "pool_norm_activation",
    "cnv": "norm_activation_pool",
}
"""Of the networks whose order can be chosen: the one that they have if none is."""

CHAINS: tuple[Kind, ...] = ("mlp", "autoencoder", "cnn", "lenet5", "cnv", "vgg_small")
"""Networks in which each layer's outputs go to the next layer alone: any of them but the last may be narrower."""

NARROWABLE: tuple[Kind, ...] = (*CHAINS, "resnet8", "resnet20", "mobilenet_v2")
"""Networks with layers that may be narrower: of those with branches, see `inner_layers`."""

BOTTLENECK = (64, 16, 64)
"""Widths of an autoencoder's hidden layers, where nothing is said."""


class DataSettings(BaseModel):
    """Which data set, and how much of its training part is held out for validation."""

    model_config = FROZEN

    name: Literal["digits", "mnist", "fashion-mnist", "cifar10", "jets"] = Field(
        "digits", description='"digits" (embedded), "mnist", "fashion-mnist", "cifar10" or "jets".'
    )
    validation_fraction: Annotated[float, Field(gt=0, le=0.5)] = Field(
        0.1,
        description="Share of the training set held out to choose the best epoch by; the test set is not used for it.",
    )


class ModelSettings(BaseModel):
    """Which network."""

    model_config = FROZEN

    kind: Kind = Field(
        "mlp",
        description='"mlp", "autoencoder", "cnn", "lenet5", "cnv", "vgg_small", "resnet8", "resnet20", "fracbnn" '
        'or "mobilenet_v2".',
    )
    hidden: Annotated[tuple[Annotated[int, Field(gt=0, le=65536)], ...], Field(strict=False, min_length=1)] = Field(
        (64, 64, 64),
        description="Widths of the hidden layers of an MLP: three of 64 are TFC, of 256 SFC, of 1024 LFC. Of an "
        "autoencoder, to its bottleneck and back: [64, 16, 64] if left out.",
    )

    @model_validator(mode="before")
    @classmethod
    def _hidden_layers_of_this_kind(cls, settings: Any) -> Any:  # noqa: ANN401 - what a file says, not yet checked
        if isinstance(settings, Mapping) and settings.get("kind") == "autoencoder":
            return {"hidden": BOTTLENECK, **settings}
        return settings

    channel_multiplier: Annotated[float, Field(gt=0, le=64)] = Field(
        1.0,
        description="Factor on the 8 channels of the small CNN, on those of LeNet-5's two convolutions, and on every "
        "width of the larger networks, rounded to whole channels.",
    )
    batch_norm: bool = Field(
        default=True,
        description=(
            "Batch normalisation before every activation, and after the last layer of a binary network and of CNV."
        ),
    )
    order: Order | None = Field(
        None,
        description='What follows the layers of "cnn", "lenet5" and "cnv", in which order; the network\'s own, if left '
        "out. Where the batch norm comes last, the next layer sees its results, and the network can be trained and "
        "studied but not exported: see docs/training.md.",
    )

    @model_validator(mode="after")
    def _order_is_of_this_kind(self) -> Self:
        if self.order is not None and self.kind not in OWN_ORDERS:
            raise ValueError(
                f"order: value must be left out for kind = {self.kind!r}, not {self.order!r}; "
                f"it is for {', '.join(OWN_ORDERS)}"
            )
        return self

    def order_or_own(self) -> Order:
        """Return the order of a network that has one.

        >>> ModelSettings(kind="cnv").order_or_own()
        'norm_activation_pool'
        """
        return self.order or OWN_ORDERS[self.kind]

    @property
    def norm_is_last(self) -> bool:
        """Whether the next layer sees a batch norm's results, which lie on no grid, instead of the activation's.

        >>> ModelSettings(kind="cnn", order="pool_activation_norm").norm_is_last
        True
        """
        return self.batch_norm and (self.order or "").endswith("_norm")

    shortcut: Literal["quantized", "real"] = Field(
        "quantized",
        description='What the residual networks add: both branches on one grid of integers ("quantized"), or in float '
        '("real"), as published for binary networks; only the former is lowered.',
    )
    shortcut_bit_width: Annotated[int, Field(ge=2, le=16)] = Field(
        8,
        description="Bits of what the residual networks add, and of their average over the image, where the recipe is "
        "not float.",
    )
    depthwise_bit_width: Annotated[int, Field(ge=1, le=16)] | None = Field(
        None,
        description="Bits of MobileNetV2's depthwise weights, where [recipe.layers] does not name the layer and the "
        "recipe is not float; those of the recipe, if left out.",
    )
    depthwise_input_bit_width: Annotated[int, Field(ge=1, le=16)] | None = Field(
        None,
        description="Bits of the activations that MobileNetV2's depthwise convolutions take from the expansion before "
        "them, where [recipe.layers] does not name it and the recipe is not float; those of the recipe, if left out.",
    )
    bottleneck_bit_width: Annotated[int, Field(ge=1, le=16)] | None = Field(
        None,
        description="Bits of the activations that leave MobileNetV2's blocks, its narrowest places, unless "
        "[recipe.layers] names the block's projection or the recipe is float; those of the recipe, if left out.",
    )
    widths: Mapping[str, Annotated[int, Field(gt=0, le=65536)]] = Field(
        {},
        description="Outputs of single layers but the last, by their names, where they are not the network's own; "
        "`bitwright prune` writes what is left of pruned channels here. Of networks with branches, layers whose "
        "outputs meet no others in a sum: the first convolution of a fixed-point ResNet's blocks; of a MobileNetV2 the "
        "first, the last and the expansions.",
    )

    @model_validator(mode="after")
    def _widths_are_of_such_a_kind(self) -> Self:
        if self.widths and self.kind not in NARROWABLE:
            raise ValueError(
                f"widths: value must be left out for kind = {self.kind!r}, not {dict(self.widths)!r}; it is for "
                f"{', '.join(NARROWABLE)}"
            )
        return self

    tensor_train_rank: Annotated[int, Field(ge=0, le=65536)] = Field(
        0,
        description="Rank of the tensor trains that take the place of an MLP's large hidden layers: fc1_core0, "
        "fc1_core1, ... instead of fc1. 0: ordinary layers.",
    )
    tensor_train_least: Annotated[int, Field(ge=4, le=65536)] = Field(
        256, description="Values that a hidden layer has on both sides to become a tensor train."
    )
    tensor_train_cores: Annotated[int, Field(ge=2, le=4)] = Field(2, description="Cores of each tensor train.")
    tensor_train_bit_width: Annotated[int, Field(ge=1, le=16)] = Field(
        8,
        description="Bits of what goes from core to core, signed, where [recipe.layers] does not name the core and the "
        "recipe is not float; 1: the sign.",
    )

    @model_validator(mode="after")
    def _tensor_trains_are_of_an_mlp(self) -> Self:
        if not self.tensor_train_rank:
            return self
        if self.kind != "mlp":
            raise ValueError(
                f"tensor_train_rank: value must be 0 for kind = {self.kind!r}, not {self.tensor_train_rank}; "
                "it is for mlp"
            )
        if not self.batch_norm:
            raise ValueError(
                f"tensor_train_rank: value must be 0 where batch_norm is false, not {self.tensor_train_rank}; tensor "
                "trains have no bias"
            )
        if self.widths:
            raise ValueError(
                f"widths: value must be left out where tensor_train_rank is set, not {dict(self.widths)!r}; set hidden"
            )
        return self

    @field_serializer("channel_multiplier")
    def _whole_as_int(self, value: float) -> float:
        """Write 2.0 as 2: finished trainings go by what is written."""
        return int(value) if value == int(value) else value

    def channels(self, ordinary: int) -> int:
        """Return the channels that a layer has where the network's ordinary form has so many.

        >>> ModelSettings(channel_multiplier=0.5).channels(6)
        3
        """
        return max(1, round(ordinary * self.channel_multiplier))

    def width(self, layer: str, ordinary: int) -> int:
        """Return the outputs of a layer that has so many where ``widths`` does not name it.

        >>> ModelSettings(widths={"fc0": 48}).width("fc0", 64), ModelSettings().width("fc0", 64)
        (48, 64)
        """
        return self.widths.get(layer, ordinary)


class TrainSettings(BaseModel):
    """How the network is trained."""

    model_config = FROZEN

    epochs: Positive = Field(30, description="Passes over the training set.")
    batch_size: Positive = Field(64, description="Images a step.")
    optimizer: Literal["adam", "sgd"] = Field("adam", description='"adam" (AdamW where weight_decay is set) or "sgd".')
    learning_rate: Annotated[float, Field(gt=0)] = Field(0.01, description="Largest learning rate of the schedule.")
    weight_decay: NotNegative = Field(
        0.0,
        description='Decay of the weights and all that is trained beside them: of "adam" decoupled from the gradient, '
        'of "sgd" added to it, and so part of the momentum.',
    )
    schedule: Literal["one_cycle", "cosine", "constant"] = Field(
        "one_cycle", description='Learning rate over the steps: "one_cycle", "cosine" or "constant".'
    )
    loss: Literal["cross_entropy", "squared_hinge", "squared_error"] = Field(
        "cross_entropy",
        description='"cross_entropy", or "squared_hinge" as in the first binarised networks; an autoencoder\'s is '
        '"squared_error", of its outputs to its inputs, and is so if left out.',
    )
    shift_pixels: Annotated[int, Field(ge=0, le=16)] = Field(
        0, description="Augmentation: each image moved by up to so many pixels each way, filled with zeros."
    )
    flip: bool = Field(default=False, description="Augmentation: half of the images mirrored, left to right.")
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Share of each label that is spread over all classes, for cross_entropy."
    )
    start_from: str = Field(
        "",
        description="Checkpoint whose weights the training starts from, as far as the networks have the same; of a "
        "float run, say. Empty: random weights.",
    )
    keep_zeros: bool = Field(
        default=False,
        description="Whether weights that are zero in start_from's checkpoint stay zero: how a pruned network is "
        "trained further.",
    )
    batch_norm_batches: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Training batches from which the batch norms' statistics are taken anew before each validation, "
        "which steadies networks of few bits; 0: the running ones.",
    )
    average_weights: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="Validate and keep a moving average of the weights instead of the last ones: what stays of it at "
        "each step, as in 0.999; 0: no average. Its batch norms take their statistics anew, from 100 batches where "
        "batch_norm_batches is 0.",
    )
    learn_scales: bool = Field(
        default=True,
        description="Whether the scales of the quantisers are trained too. false: they stay where calibration or the "
        "first batches put them; a power of two that training moves doubles or halves at once.",
    )
    float_weights_share: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="Share of the epochs in which only the activations are quantised; the weights follow. 0: both from "
        "the start.",
    )
    teacher: str = Field(
        "", description="Checkpoint of a network whose scores this one learns too (distillation). Empty: none."
    )
    distillation_weight: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="Weight of the teacher's scores in the loss; the labels have the rest."
    )
    distillation_temperature: Annotated[float, Field(gt=0)] = Field(
        4.0, description="What both networks' scores are divided by before they are compared."
    )
    distillation_layers: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        (),
        description="Layers whose outputs are drawn to the teacher's too, such as norm3; both networks have them, and "
        "compute them once in a pass.",
    )
    distillation_feature_weight: NotNegative = Field(
        1.0, description="Weight of these layers in the loss, beside scores and labels."
    )
    keep: Literal["accuracy", "loss", "last"] = Field(
        "accuracy",
        description='Epoch whose weights are kept: that of the highest validation "accuracy" or the lowest validation '
        '"loss", the later of equal ones, or the "last". An autoencoder\'s is that of the loss if left out.',
    )
    early_stop_epochs: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Stop when validation accuracy has not risen (an autoencoder's loss not fallen) for so many "
        "epochs; 0: never.",
    )
    logger: Literal["csv", "tensorboard"] = Field("csv", description='Log of every epoch: "csv" or "tensorboard".')
    accelerator: Literal["cpu", "gpu", "auto"] = Field("cpu", description='Where to train: "cpu", "gpu" or "auto".')
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description='Of the products while training: "bfloat16" is faster where the machine has instructions for it. '
        "Weights, validation and all that follows stay in float32.",
    )
    threads: Annotated[int, Field(ge=0, le=1024)] = Field(
        0,
        description="Threads of each process on the CPU; 0: one a core. Small networks are fastest with 1.",
    )
    devices: Positive = Field(
        1, description="Devices (on the CPU: processes, one a core at most) that train side by side."
    )
    nodes: Positive = Field(1, description="Machines that train side by side (as Lightning's num_nodes).")

    @model_validator(mode="after")
    def _settings_have_an_effect(self) -> Self:
        if self.label_smoothing and self.loss != "cross_entropy":
            raise ValueError(
                f"label_smoothing: value must be 0 for loss = {self.loss!r}, not {self.label_smoothing}; it smooths "
                "cross_entropy"
            )
        for name in (
            "distillation_weight",
            "distillation_temperature",
            "distillation_layers",
            "distillation_feature_weight",
        ):
            value = getattr(self, name)
            if not self.teacher and value != type(self).model_fields[name].default:
                raise ValueError(f"{name}: value must be left out where teacher is empty, not {value!r}; name one")
        return self

    @model_validator(mode="after")
    def _zeros_come_from_somewhere(self) -> Self:
        if self.keep_zeros and not self.start_from:
            raise ValueError(
                "keep_zeros: value must be false where start_from is empty, not true; name the pruned checkpoint there"
            )
        return self
