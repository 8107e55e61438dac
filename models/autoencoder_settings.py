"""What an autoencoder's training may say, and what only a classifier's may. Imports no torch."""

from collections.abc import Mapping
from typing import Any

from bitwright.models.settings import Kind, ModelSettings, TrainSettings

AUTOENCODER: Kind = "autoencoder"

OWN_TRAINING: Mapping[str, str] = {"loss": "squared_error", "keep": "loss"}
"""Settings of a training that are an autoencoder's where nothing else is said."""


def with_own_training(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return an experiment's settings with the training of an autoencoder, if it is one and they leave it out.

    Args:
        settings: As they stand in the file: sections of keys, or sections that were read already.

    >>> with_own_training({"model": {"kind": "autoencoder"}, "train": {"keep": "last"}})["train"]
    {'loss': 'squared_error', 'keep': 'last'}
    """
    model, train = settings.get("model"), settings.get("train", {})
    kind = model.get("kind") if isinstance(model, Mapping) else getattr(model, "kind", None)
    if kind != AUTOENCODER:
        return dict(settings)
    if isinstance(train, TrainSettings):
        train = train.model_dump(exclude_unset=True)
    return {**settings, "train": {**OWN_TRAINING, **train}} if isinstance(train, Mapping) else dict(settings)


def check_training(model: ModelSettings, train: TrainSettings) -> None:
    """Refuse a training that the network cannot have.

    Raises:
        ValueError: If a classifier is to be trained on the squared error, or an autoencoder on classes.

    >>> check_training(ModelSettings(), TrainSettings())
    """
    if model.kind != AUTOENCODER:
        if train.loss == "squared_error":
            raise ValueError(
                "train.loss: value must be 'cross_entropy' or 'squared_hinge' for "
                f"model.kind = {model.kind!r}, not 'squared_error'; that is for {AUTOENCODER}"
            )
        return
    if train.loss != "squared_error":
        raise ValueError(
            f"train.loss: value must be 'squared_error' for model.kind = {AUTOENCODER!r}, not {train.loss!r}; its "
            "outputs are no scores of classes"
        )
    if train.keep == "accuracy":
        raise ValueError(
            f"train.keep: value must be 'loss' or 'last' for model.kind = {AUTOENCODER!r}, not 'accuracy'; it names "
            "no classes"
        )
    if train.teacher:
        raise ValueError(
            f"train.teacher: value must be empty for model.kind = {AUTOENCODER!r}, not {train.teacher!r}; a student "
            "learns scores of classes"
        )
