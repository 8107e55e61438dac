"""What a person may say about data, network and training. Imports no torch."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

FROZEN = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]

Kind = Literal["mlp", "cnn", "lenet5", "cnv"]

IMAGE_SIDES: Mapping[Kind, tuple[int, ...]] = {"cnn": (8, 28, 32), "lenet5": (28, 32), "cnv": (32,)}
"""Rows and columns of the images that a network takes; the kinds left out take any input."""


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

    kind: Kind = Field("mlp", description='"mlp", "cnn", "lenet5" or "cnv".')
    hidden: Annotated[tuple[Annotated[int, Field(gt=0, le=65536)], ...], Field(strict=False, min_length=1)] = Field(
        (64, 64, 64), description="Widths of the hidden layers of an MLP: three of 64 are TFC, of 256 SFC, of 1024 LFC."
    )
    channel_multiplier: Annotated[float, Field(gt=0, le=64)] = Field(
        1.0,
        description="Factor on the 8 channels of the small CNN, on those of LeNet-5's two convolutions, and on every "
        "width of CNV, rounded to whole channels.",
    )
    batch_norm: bool = Field(
        default=True,
        description=(
            "Batch normalisation before every activation, and after the last layer of a binary network and of CNV."
        ),
    )

    def channels(self, ordinary: int) -> int:
        """Return the channels that a layer has where the network's ordinary form has so many.

        >>> ModelSettings(channel_multiplier=0.5).channels(6)
        3
        """
        return max(1, round(ordinary * self.channel_multiplier))


class TrainSettings(BaseModel):
    """How the network is trained."""

    model_config = FROZEN

    epochs: Positive = Field(30, description="Passes over the training set.")
    batch_size: Positive = Field(64, description="Images a step.")
    optimizer: Literal["adam", "sgd"] = Field("adam", description='"adam" (AdamW where weight_decay is set) or "sgd".')
    learning_rate: Annotated[float, Field(gt=0)] = Field(0.01, description="Largest learning rate of the schedule.")
    weight_decay: NotNegative = Field(0.0, description="Decay of the weights, decoupled from the gradient.")
    schedule: Literal["one_cycle", "cosine", "constant"] = Field(
        "one_cycle", description='Learning rate over the steps: "one_cycle", "cosine" or "constant".'
    )
    loss: Literal["cross_entropy", "squared_hinge"] = Field(
        "cross_entropy", description='"cross_entropy", or "squared_hinge" as in the first binarised networks.'
    )
    shift_pixels: Annotated[int, Field(ge=0, le=16)] = Field(
        0, description="Augmentation: each image moved by up to so many pixels each way, filled with zeros."
    )
    start_from: str = Field(
        "",
        description="Checkpoint whose weights the training starts from, as far as the networks have the same; of a "
        "float run, say. Empty: random weights.",
    )
    early_stop_epochs: Annotated[int, Field(ge=0)] = Field(
        0, description="Stop when validation accuracy has not risen for so many epochs; 0: never."
    )
    logger: Literal["csv", "tensorboard"] = Field("csv", description='Log of every epoch: "csv" or "tensorboard".')
    accelerator: Literal["cpu", "gpu", "auto"] = Field("cpu", description='Where to train: "cpu", "gpu" or "auto".')
    threads: Annotated[int, Field(ge=0, le=1024)] = Field(
        0,
        description="Threads of each process on the CPU; 0: one a core. Small networks are fastest with 1.",
    )
    devices: Positive = Field(1, description="Devices (on the CPU: processes) that train side by side.")
    nodes: Positive = Field(1, description="Machines that train side by side (as Lightning's num_nodes).")
