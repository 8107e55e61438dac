"""Settings that a training would not look at: they are refused, since whoever set them wanted something."""

import math

from pydantic import BaseModel

from bitwright.cli.experiment import Experiment
from bitwright.models.model_keys import KINDS_OF


def check_effect(experiment: Experiment) -> None:
    """Refuse what would be ignored.

    Args:
        experiment: To be trained; experiments that are only read are not looked at, whatever an earlier version took.

    Raises:
        ValueError: Naming the setting.
    """
    model, recipe, train = experiment.model, experiment.recipe, experiment.train
    for key, kinds in KINDS_OF.items():
        if model.kind not in kinds:
            _refuse(model, "model", key, f"for model.kind = {model.kind!r}", f"it is for {', '.join(kinds)}")
    if not model.tensor_train_rank:
        for key in ("tensor_train_least", "tensor_train_cores", "tensor_train_bit_width"):
            _refuse(model, "model", key, "where model.tensor_train_rank is 0", "set the rank, too")
    widths = recipe.widths() | {
        "depthwise_weight_bit_width": model.depthwise_bit_width,
        "depthwise_input_bit_width": model.depthwise_input_bit_width,
        "bottleneck_bit_width": model.bottleneck_bit_width,
        "tensor_train_bit_width": model.tensor_train_bit_width,
    }
    if 1 not in widths.values() and model.kind != "fracbnn":  # whose gates have signs of their own
        _refuse(recipe, "recipe", "sign_gradient", "where no width of recipe is 1", "only signs have one")
    if not any(width == 1 for name, width in widths.items() if name.endswith("weight_bit_width")):
        _refuse(recipe, "recipe", "binary_weight_scale", "where no weights have 1 bit", "set a weight_bit_width to 1")
    if recipe.is_float:
        _refuse(train, "train", "float_weights_share", "where recipe is float", "all weights are")
    if train.float_weights_share and math.ceil(train.float_weights_share * train.epochs) >= train.epochs:
        raise ValueError(
            f"train.float_weights_share: value must leave an epoch of {train.epochs} to quantised weights, not be "
            f"{train.float_weights_share}; lower it, or train longer"
        )
    if not train.distillation_layers:
        missing = "where train.distillation_layers is empty"
        _refuse(train, "train", "distillation_feature_weight", missing, "name layers there")


def _refuse(settings: BaseModel, section: str, key: str, where: str, remedy: str) -> None:
    """Refuse a setting that is not its default."""
    value = getattr(settings, key)
    own = type(settings).model_fields[key].default
    if value != own:
        shown = list(value) if isinstance(value, tuple) else value
        raise ValueError(f"{section}.{key}: value must be left out {where}, not {shown!r}; {remedy}")
