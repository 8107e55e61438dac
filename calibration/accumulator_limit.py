"""Calibrates layers whose accumulators are limited, without training. Imports torch.

A limited layer gets the weights, and the scale, that change its outputs on the calibration data least among all that
fit: a convex problem, solved by projected gradients. They are rounded with what Brevitas calls AXE, which knows the
limit too, and at last put where the exact bound holds.

Source: Colbert et al., Accumulator-aware post-training quantization, arXiv:2409.17092 (AXE).
"""

import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

with warnings.catch_warnings():  # of Brevitas to itself
    warnings.simplefilter("ignore")
    from brevitas_examples.common.axe import (  # type: ignore[import-untyped]  # it ships no types
        a2gpfq_mode,
        a2gptq_mode,
    )

from bitwright.calibration.look import look_into
from bitwright.calibration.rounding import run_mode
from bitwright.calibration.settings import Rounding
from bitwright.quant.accumulator_aware import AccumulatorLimit, limit_of, limited, projected, see_input
from bitwright.quant.latent_weights import limit_accumulators, weighted_layers
from bitwright.quant.quantizer_scale import most_code, set_scale

STEPS = 25
"""Projected gradients of one layer at one scale."""

DAMPING = 0.01
"""Of the mean of the inputs' second moments, added to each: weights of inputs that are always zero stay finite."""

SCALES = 5
"""Powers of two tried, from the scale of an unlimited layer on, while the error becomes less."""


def is_limited(network: nn.Module) -> bool:
    """Return whether the accumulator of any layer is limited."""
    return any(limit_of(module) is not None for module in network.modules())


def fit_accumulators(network: nn.Module, inputs: Tensor) -> None:
    """Choose weights and scales, in place, with which the accumulators hold every sum; layers that do stay.

    Args:
        network: Fixed-point, in eval mode, with its scales set.
        inputs: Calibration data ``(N, ...)``.

    Raises:
        ValueError: If no weight but zero would fit a layer's accumulator, or a layer is of several groups.
    """
    for name, module in network.named_modules():
        limit = limit_of(module)
        if limit is not None:
            if getattr(module, "groups", 1) > 1:
                raise ValueError(
                    f"{name}: layer must be of one group to be calibrated to a limited accumulator, not of "
                    f"{module.groups}; leave recipe.accumulator_bit_width out, or train"
                )
            _fit(module, limit, _second_moments(network, module, limit, inputs))
    limit_accumulators(weighted_layers(network))


def round_limited(network: nn.Module, inputs: Tensor, rounding: Rounding) -> None:
    """Round the weights of each layer together, in place, within the limits of their accumulators."""
    modes: dict[Rounding, Any] = {"gptq": _LimitedGptq, "gpfq": _LimitedGpfq}
    run_mode(modes[rounding], network, inputs)
    with torch.no_grad():
        limit_accumulators(weighted_layers(network))


def clip_biases(network: nn.Module, example: Tensor) -> None:
    """Clip the biases of limited layers, in place, to what their quantiser holds.

    Args:
        network: Fixed-point, in eval mode.
        example: One input ``(1, ...)``.
    """

    def clip(module: Any, inputs: Any, _: object) -> None:  # noqa: ANN401 - Brevitas' own
        if module.bias is not None:
            most = (1 << (module.accumulator_limit.bias_bit_width - 1)) - 1
            largest = most * (inputs[0].scale * module.weight_quant.scale()).reshape(-1)
            module.bias.copy_(torch.minimum(torch.maximum(module.bias, -largest), largest))

    look_into(network, [(module, clip) for module in network.modules() if limit_of(module) is not None], example)


def _second_moments(network: nn.Module, layer: nn.Module, limit: AccumulatorLimit, inputs: Tensor) -> Tensor:
    """Return the mean products of a layer's inputs ``(K, K)``, and let its limit see their ends."""
    sums: list[Tensor] = []

    def look(module: Any, given: Any, _: object) -> None:  # noqa: ANN401 - Brevitas' own
        see_input(limit, given[0])
        values = given[0].value
        if isinstance(module, nn.Conv2d):  # of one group: see `fit_accumulators`
            windows = F.unfold(values, module.kernel_size, module.dilation, module.padding, module.stride)  # type: ignore[arg-type]
            values = windows.transpose(1, 2)  # (N, H' * W', K)
        values = values.flatten(0, -2)
        sums.append(values.T @ values)

    look_into(network, [(layer, look)], inputs)
    moments = torch.stack(sums).sum(0) / len(inputs)
    return moments + (DAMPING * moments.diagonal().mean() + 1e-12) * torch.eye(len(moments))


def _fit(module: Any, limit: AccumulatorLimit, moments: Tensor) -> None:  # noqa: ANN401 - Brevitas' own
    """Choose the weights of one layer, and their scale."""
    quantizer, weight = module.weight_quant, module.weight
    most, base, wanted = most_code(quantizer), quantizer.scale().clone(), weight.detach().flatten(1).clone()
    nearest = torch.round(weight / base).clamp(-most, most)
    if torch.equal(nearest, limited(weight, base, most, limit)):
        return
    step = 1 / torch.linalg.eigvalsh(moments)[-1]
    least, found, found_scale = math.inf, wanted, base
    for exponent in range(SCALES):
        scale = base * 2.0**exponent
        each = scale.reshape(-1, 1) if scale.numel() > 1 else scale
        weights = _least_squares(wanted / each, moments, step, most, limit) * each
        change = limited(weights, each, most, limit) * each - wanted
        error = float((change @ moments * change).sum())
        if error >= least:
            break
        least, found, found_scale = error, weights, scale
    set_scale(quantizer, found_scale)
    weight.copy_(found.reshape(weight.shape))


def _least_squares(wanted: Tensor, moments: Tensor, step: Tensor, most: int, limit: AccumulatorLimit) -> Tensor:
    """Return the weights ``(C, K)`` in steps, not rounded, that fit and change the outputs least.

    Source: Beck and Teboulle, A fast iterative shrinkage-thresholding algorithm, 2009 (with its momentum).
    """
    weights = projected(wanted, most, limit)
    ahead, momentum = weights, 1.0
    for _ in range(STEPS):
        following = projected(ahead - step * ((ahead - wanted) @ moments), most, limit)
        faster = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = following + (momentum - 1) / faster * (following - weights)
        weights, momentum = following, faster
    return weights


class _Limited:
    """What the limited modes share: each layer's own limit, in the terms of Brevitas: bits, of sums alike both ways."""

    def is_valid_a2q_layer(self, layer: nn.Module) -> bool:
        return limit_of(layer) is not None

    def initialize_module_optimizer(self, layer: nn.Module, name: str, **settings: Any) -> Any:  # noqa: ANN401
        limit = limit_of(layer)
        if limit is not None:
            self.max_accumulator_bit_width = torch.tensor(math.log2(limit.room + 1) + 1)
        return super().initialize_module_optimizer(layer, name, **settings)  # type: ignore[misc]


class _LimitedGptq(_Limited, a2gptq_mode):  # type: ignore[misc]
    """GPTQ within limits."""


class _LimitedGpfq(_Limited, a2gpfq_mode):  # type: ignore[misc]
    """GPFQ within limits."""
