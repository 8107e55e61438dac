"""From a float network to a fixed-point one, without training. Imports torch."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bitwright.calibration.accumulator_limit import clip_biases, fit_accumulators, is_limited, round_limited
from bitwright.calibration.binary_weights import binarised, is_binary, renormalise
from bitwright.calibration.fold import Weighted, fold_batch_norms
from bitwright.calibration.learned_rounding import learn_rounding
from bitwright.calibration.observe import observe
from bitwright.calibration.observers import Observer, observer
from bitwright.calibration.rounding import (
    bias_width,
    correct_bias,
    equalize,
    forget_original_weights,
    round_weights,
)
from bitwright.calibration.settings import CalibrationSettings, check_trains, check_widths
from bitwright.models.batch_norm import BatchNorm
from bitwright.models.checkpoint import NetworkDescription
from bitwright.quant.carried import QuantCarried
from bitwright.quant.quantizer_scale import set_scale
from bitwright.quant.recipe import MOST_BIAS_BITS, Recipe


@dataclass(frozen=True, eq=False)
class Observed:
    """A float network, ready to be quantised at any widths.

    Args:
        network: Float, in eval mode, without batch norms if they were folded.
        description: Of it.
        inputs: The calibration data ``(N, ...)``.
        ranges: What was seen behind each ReLU, and of what the network carries past its layers.
        settings: How all this was done.
    """

    network: nn.Module
    description: NetworkDescription
    inputs: Tensor
    ranges: Mapping[str, Observer]
    settings: CalibrationSettings


def check_float(description: NetworkDescription) -> None:
    """Refuse a network that is quantised already, or whose activations are bits in every form.

    Raises:
        ValueError: If it is.
    """
    if description.model.kind == "fracbnn":
        raise ValueError(
            "model.kind: network must be one whose activations can be calibrated, not fracbnn, whose gates are "
            "trained; train it at its widths"
        )
    if not description.recipe.is_float:
        width = description.recipe.weight_bit_width
        raise ValueError(
            f"recipe.weight_bit_width: width must be 32 (float) to calibrate, not {width}; "
            "train the float network first, as configs/mnist_lenet5_float.toml does"
        )


def prepare(
    network: nn.Module,
    description: NetworkDescription,
    inputs: Tensor,
    settings: CalibrationSettings,
    progress: Callable[[int], None] = lambda _: None,
) -> Observed:
    """Fold and equalise a float network, and observe the ranges of its activations.

    Args:
        network: Float, in eval mode; it is not changed.
        description: Of it.
        inputs: Calibration data ``(N, ...)`` float32, as the host sends them.
        settings: What to do.
        progress: Called with the number of inputs of each batch.

    Raises:
        ValueError: If the network is not float, a batch norm never saw data or cannot be folded, an activation is not
            finite, or the network has tensor trains and is to be folded or equalised.
    """
    check_float(description)
    for name, module in network.named_modules():
        if isinstance(module, BatchNorm) and not int(module.num_batches_tracked or 0):
            raise ValueError(
                f"{name}: batch norm must have seen batches in training, not none; train the float network first"
            )
    check_trains(description.model.tensor_train_rank, settings)
    if description.model.batch_norm and settings.fold:
        state = fold_batch_norms(network)
        description = replace(description, model=description.model.model_copy(update={"batch_norm": False}))
        network = description.build().eval()
        network.load_state_dict(state)
    if settings.equalize:
        network = equalize(copy.deepcopy(network), inputs[:1])
    ranges = observe(network, inputs, lambda: observer(settings.method, percentile=settings.percentile), progress)
    return Observed(network, description, inputs, ranges, settings)


def binarisable(observed: Observed) -> frozenset[str]:
    """Return the layers whose weights may have one bit without training: those without bias, before a batch norm."""
    modules = observed.network.named_modules()
    return frozenset(name for name, module in modules if isinstance(module, Weighted) and module.bias is None)


def quantize(
    observed: Observed, recipe: Recipe, progress: Callable[[int], None] = lambda _: None
) -> tuple[nn.Module, NetworkDescription]:
    """Return the fixed-point network of a recipe, and its description.

    Weights of one bit are the sign and, for each output, a power of two near the mean of the magnitudes (XNOR-Net,
    arXiv:1603.05279); the batch norms take their statistics anew then.

    Args:
        observed: The float network and its ranges; not changed.
        recipe: Its widths, from 2 to 16; 1 for the weights of `binarisable` layers. The biases get more bits than it
            says where they need them.
        progress: Called with the number of steps that learned rounding has taken.

    Raises:
        ValueError: If another width is 1, or one is float.
    """
    check_widths(recipe, binarisable(observed))
    recipe = recipe.model_copy(update={"weight_scale_from": "parameter"})  # which are set here, once
    if any(own.weight_bit_width == 1 for own in recipe.layers.values()):
        recipe = recipe.model_copy(update={"binary_weight_scale": "per_channel"})
    description = replace(observed.description, recipe=recipe)
    network: Any = description.build().eval()
    network.load_state_dict(observed.network.state_dict(), strict=False)  # all but the scales
    for name, module in network.named_modules():
        if isinstance(module, Weighted):
            if is_binary(module):
                continue
            set_scale(module.weight_quant, _weight_scale(module, observed.settings))
        elif name in observed.ranges:
            bits = int(module.act_quant.bit_width())
            signed = isinstance(module, QuantCarried)
            grid = observed.ranges[name].grid(
                bits, signed=signed, symmetric=True, power_of_two=True, narrow_range=False
            )
            set_scale(module.act_quant, torch.as_tensor(grid.scale, dtype=torch.float32))
    limited = is_limited(network)
    with torch.no_grad():
        if limited:
            fit_accumulators(network, observed.inputs)
            clip_biases(network, observed.inputs[:1])
        needed = bias_width(network, observed.inputs[:1])
        if needed > recipe.bias_bit_width:  # before minutes are spent on rounding
            return quantize(observed, _with_biases(recipe, needed, folded=observed.settings.fold), progress)
        if observed.settings.rounding != "nearest":
            with binarised(network, observed.inputs):
                if observed.settings.rounding == "learned":
                    learn_rounding(network, observed.inputs, progress)
                else:
                    (round_limited if limited else round_weights)(network, observed.inputs, observed.settings.rounding)
        renormalise(network, observed.inputs)
        if observed.settings.correct_bias:
            correct_bias(network, observed.inputs)
        if limited:
            clip_biases(network, observed.inputs[:1])
        forget_original_weights(network)
    needed = bias_width(network.eval(), observed.inputs[:1])
    if needed > recipe.bias_bit_width:
        return quantize(observed, _with_biases(recipe, needed, folded=observed.settings.fold))
    return network, description


def settled(recipe: Recipe, description: NetworkDescription) -> Recipe:
    """Return a recipe with what `quantize` settled: the bits of the biases, and the scale of 1-bit weights."""
    made = description.recipe
    return recipe.model_copy(
        update={"bias_bit_width": made.bias_bit_width, "binary_weight_scale": made.binary_weight_scale}
    )


def _with_biases(recipe: Recipe, needed: int, *, folded: bool) -> Recipe:
    if needed > MOST_BIAS_BITS:
        raise ValueError(
            f"recipe.bias_bit_width: width must be at most {MOST_BIAS_BITS}, but these biases need {needed} on the "
            f"accumulators' grids; take fewer bits for weights or activations{', or calibrate with --no-fold' * folded}"
        )
    return recipe.model_copy(update={"bias_bit_width": needed})


def _weight_scale(module: Any, settings: CalibrationSettings) -> Tensor:  # noqa: ANN401 - Brevitas' own
    """Return the power of two for the weights, or one for each output ``(C, 1, ...)``."""
    weight = module.weight.detach().numpy()
    scale = module.quant_weight().scale
    axis = 0 if scale.numel() > 1 else None
    seen = observer(settings.weight_method, axis=axis, percentile=settings.percentile)
    seen.update(weight)
    grid = seen.grid(
        int(module.weight_quant.bit_width()), signed=True, symmetric=True, power_of_two=True, narrow_range=True
    )
    return torch.as_tensor(np.asarray(grid.scale, dtype=np.float32)).reshape(scale.shape)
