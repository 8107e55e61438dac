"""Learns for each weight whether it is rounded up or down: AdaRound. Imports torch.

Layer by layer, as they are computed: the outputs of a layer are to be the float network's on the calibration data,
given what comes out of the rounded layers before. A weight is its floor plus a learned share of one step, which a
penalty drives to 0 or 1 in the end. The squared error is taken of all data in each step, so that nothing is drawn: the
same data give the same weights.

Source: Nagel et al., Up or down? Adaptive rounding for post-training quantization, arXiv:2004.10568: the rectified
sigmoid and the penalty (equations 21 to 24), the asymmetric target (section 3.5). Both are Brevitas' own.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

with warnings.catch_warnings():  # of Brevitas to itself
    warnings.simplefilter("ignore")
    from brevitas.core.function_wrapper import Identity
    from brevitas.core.function_wrapper.learned_round import LearnedRoundHardSigmoid, LearnedRoundSte
    from brevitas_examples.common.learned_round.learned_round_method import (  # type: ignore[import-untyped]
        RoundRegularisationLoss,
        learned_round_value_init_non_linear,
    )

from bitwright.calibration.accumulator_room import pulled_back
from bitwright.calibration.fold import Weighted
from bitwright.calibration.layer_moments import LayerMoments, layer_moments
from bitwright.calibration.look import look_into
from bitwright.quant.accumulator_aware import limit_of
from bitwright.quant.recipe import LEFT_OUT, Recipe

STEPS = 1500
"""Of Adam, for each layer."""

LEARNING_RATE = 0.02

PENALTY = 3.0
"""Weight of the penalty beside a layer's error. The error is counted in units of what rounding each weight to the
nearest does to it, so that one number suits every layer."""

EXPONENTS = (20, 2)
"""The penalty's beta, first and last: at first it moves only shares that are nearly decided."""

FREE = 0.2
"""Share of the steps that are taken without penalty."""

SETTLED = -20.0
"""What a weight that lies on the grid learns from: a share of exactly 0, with no gradient."""


def learn_rounding(network: nn.Module, inputs: Tensor, progress: Callable[[int], None] = lambda _: None) -> None:
    """Round the weights of each layer up or down, in place, so that its outputs are nearest to the float network's.

    Each weight becomes one of the two integers next to it, times its scale; a weight that is on the grid stays. No
    output of a layer is farther off, on the given data, than with each weight rounded to the nearest. Layers with
    1-bit weights are left alone. Where a layer's accumulator is limited, weights that were rounded away from zero are
    taken back until every sum fits.

    Args:
        network: Quantised, in eval mode, with its scales set; within `binarised`, if there are 1-bit weights.
        inputs: Calibration data ``(N, ...)``.
        progress: Called with the number of steps taken.

    Raises:
        ValueError: If a weight is not finite.
    """
    for name, layer in _in_order(network, inputs[:1]):
        if not bool(torch.isfinite(layer.weight).all()):
            raise ValueError(
                f"{name}.weight: weights must be finite to be rounded, not NaN or infinite; train the float network "
                "again"
            )
        layer.register_buffer("weight_orig", layer.weight.detach().clone())
        _learn(layer, layer_moments(network, layer, inputs), progress)


def steps_to_take(network: nn.Module, recipe: Recipe) -> int:
    """Return how many steps `learn_rounding` takes for a recipe.

    Args:
        network: The float one.
        recipe: Of the quantised one: its layers of 1 bit, and those left out, are not learned.

    >>> steps_to_take(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)), Recipe()) == 2 * STEPS
    True
    """
    names = [name for name, module in network.named_modules() if isinstance(module, Weighted)]
    own = [recipe.layers[name].weight_bit_width if name in recipe.layers else None for name in names]
    return STEPS * sum(width not in (LEFT_OUT, 1) for width in own)


def _in_order(network: nn.Module, example: Tensor) -> list[tuple[str, Any]]:
    """Return the layers to learn, as they are computed."""
    names = {
        module: name
        for name, module in network.named_modules()
        if isinstance(module, Weighted) and module.weight_quant.is_quant_enabled  # type: ignore[union-attr]
    }
    found: list[tuple[str, Any]] = []
    look_into(network, [(each, lambda module, _, __: found.append((names[module], module))) for each in names], example)
    return found


def _learn(layer: Any, moments: LayerMoments, progress: Callable[[int], None]) -> None:  # noqa: ANN401 - Brevitas' own
    """Round one layer's weights."""
    weight, scale = layer.weight.detach().clone(), layer.quant_weight().scale.detach()
    nearest = layer.quant_weight().value.detach()
    learned = _learned(layer, moments, nearest, progress)
    limit = limit_of(layer)
    if limit is not None:
        codes = pulled_back((learned / scale).round().flatten(1), (weight / scale).flatten(1), limit)
        learned = codes.reshape(weight.shape) * scale
    better = moments.errors(weight, learned) < moments.errors(weight, nearest)
    layer.weight.data = torch.where(better.reshape(-1, *[1] * (weight.dim() - 1)), learned, nearest)


def _learned(layer: Any, moments: LayerMoments, nearest: Tensor, progress: Callable[[int], None]) -> Tensor:  # noqa: ANN401
    """Return the weights, rounded up or down ``(C, ...)``."""
    weight = layer.weight.detach()
    products, pull = moments.quantised, moments.pull(weight)
    start = moments.grouped(nearest) - moments.grouped(weight)
    usual = (start * (start @ products)).sum(-1, keepdim=True)  # what rounding does to each output: (G, C / G, 1)
    unit = 1 / torch.where(usual > 0, usual, 1) * (usual > 0) * weight[0].numel()
    products, pull, unit = products.float(), pull.float(), unit.float()
    with _learnable(layer) as rounding:
        optimizer = torch.optim.Adam([rounding.value], lr=LEARNING_RATE)
        penalty = RoundRegularisationLoss(layer, weight=PENALTY, max_count=STEPS, b_range=EXPONENTS, warmup=FREE)
        for _ in range(STEPS):
            moved = (layer.quant_weight().value - weight).reshape(pull.shape)
            error = (unit * moved * (moved @ products - 2 * pull)).sum()
            (rounding.value.grad,) = torch.autograd.grad(error + penalty(error, error), [rounding.value])
            optimizer.step()
            progress(1)
        rounding.eval()
        return layer.quant_weight().value.detach()  # type: ignore[no-any-return]


@contextmanager
def _learnable(layer: Any) -> Iterator[Any]:  # noqa: ANN401 - Brevitas' own
    """Let a layer's quantiser round by learned shares for a while; they begin where each weight is what it is."""
    quantizer = layer.weight_quant.tensor_quant.int_quant
    start = learned_round_value_init_non_linear(layer)
    steps = layer.weight.detach() / layer.quant_weight().scale
    start = torch.where(steps == steps.floor(), SETTLED, start)
    before = quantizer.float_to_int_impl
    # Both in training mode whatever the network's: in eval mode Brevitas' shares are 0 or 1 and have no gradient
    quantizer.float_to_int_impl = LearnedRoundSte(LearnedRoundHardSigmoid(), start.detach(), Identity()).train()
    try:
        with torch.enable_grad():
            yield quantizer.float_to_int_impl
    finally:
        quantizer.float_to_int_impl = before
