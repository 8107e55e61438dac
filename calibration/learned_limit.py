"""Weights within the limits of their accumulators while their widths are learned. Imports torch.

A layer's integers lie on the grid of its widest channel: those of a channel with fewer bits end in so many zeros, and
its sums in its own steps have so many bits less room.
"""

from typing import Any

import torch
from torch import Tensor, nn

from bitwright.calibration.look import Look, look_into
from bitwright.calibration.moves import NARROWEST
from bitwright.quant.accumulator_aware import INSIDE, best_scale, codes_within, limit_of, see_input
from bitwright.quant.learned_widths import learned_bit_width
from bitwright.quant.quantizer_scale import most_code, set_scale


def choose_scales(network: nn.Module, example: Tensor) -> None:
    """Choose the scales that limited layers begin with, in place, before their widths are learned.

    Args:
        network: Fixed-point, in eval mode.
        example: One input ``(1, ...)``; only its shape matters.

    Raises:
        ValueError: If no weight but zero would fit a layer's accumulator.
    """

    def look(module: Any, inputs: Any, _: object) -> None:  # noqa: ANN401 - Brevitas' own
        limit, quantizer = module.accumulator_limit, module.weight_quant
        see_input(limit, inputs[0])
        scale, most = quantizer.scale(), most_code(quantizer)
        set_scale(quantizer, best_scale(module.weight, scale, most, limit))

    _look_into_limited(network, look, example)


def hold_in_training(layer: nn.Module) -> None:
    """Let a limited layer put its weights where every sum fits, before each input that it is trained with.

    Args:
        layer: Another stays as it is.
    """

    def first(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if module.training:
            _hold(module, inputs)

    if limit_of(layer) is not None:
        layer.register_forward_pre_hook(first)


def hold_accumulators(network: nn.Module, example: Tensor) -> None:
    """Move weights and biases of limited layers, in place, as little as makes every sum fit; those that do stay.

    Args:
        network: Whose widths are learned, in eval mode.
        example: One input ``(1, ...)``; only its shape matters.

    Raises:
        ValueError: If no weight but zero would fit a layer's accumulator.
    """
    _look_into_limited(network, lambda module, inputs, _: _hold(module, inputs), example)


def drop_spare_bits(module: Any, width: nn.Parameter) -> None:  # noqa: ANN401 - Brevitas' own
    """Take bits that no weight of a limited layer uses off the width of each channel, in place; the integers stay.

    Weights that a limit brought nearer to zero leave bits behind that cost and say nothing.

    Args:
        module: The layer; one without a limit stays as it is.
        width: Of its weights: bits above the narrowest, that training learns.
    """
    if limit_of(module) is None:
        return
    with torch.no_grad():
        quantised, widths = module.quant_weight(), learned_bit_width(module.weight_quant)
        codes = (quantised.value / quantised.scale).abs()
        largest = codes.flatten(1).amax(1).reshape(widths.shape) if widths.numel() > 1 else codes.max()
        spare = torch.floor(torch.minimum(widths - 1.0 - torch.ceil(torch.log2(largest + 1.0)), width))
        living = widths > 1.0  # the others are pruned
        bits = float(spare[living].min()) if bool(living.any()) else 0.0
        if bits > 0.0:
            width.copy_((width - bits).clamp(min=0.0))
            module.weight_quant.tensor_quant.scaling_impl.value.sub_(bits)


def finer_steps(widths: Tensor) -> Tensor:
    """Return how many steps of a layer's grid one step of each channel is.

    Args:
        widths: Of the weights: ``()``, or ``(C, 1, ...)``.

    >>> finer_steps(torch.tensor([4.0, 2.0, 1.0])).tolist()
    [1.0, 4.0, 8.0]
    """
    return torch.exp2(widths.max().clamp(min=NARROWEST) - widths)


def _limited(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if limit_of(module) is not None]


def _look_into_limited(network: nn.Module, look: Look, example: Tensor) -> None:
    looks = [(module, look) for module in _limited(network)]
    if looks:
        look_into(network, looks, example)


def _hold(module: Any, inputs: tuple[Any, ...]) -> None:  # noqa: ANN401 - Brevitas' own
    """Hold the weights of one layer, at the widths that they and the input have now."""
    limit, weight = module.accumulator_limit, module.weight
    see_input(limit, inputs[0])
    with torch.no_grad():
        scale, widths = module.weight_quant.scale(), learned_bit_width(module.weight_quant)
        most = torch.exp2(widths - 1.0) - 1.0
        finer = finer_steps(widths).reshape(-1).double()
        steps = weight / scale
        clamped = torch.minimum(torch.maximum(steps, -most), most)
        lowest, highest = -torch.floor((limit.room + 1) / finer), torch.floor(limit.room / finer)
        codes = codes_within(clamped.flatten(1), int(most.max()), limit.ends, lowest, highest).reshape(weight.shape)
        inside = codes + (steps - codes).clamp(-INSIDE, INSIDE)
        weight.copy_(torch.where(codes == torch.round(clamped), weight, inside * scale))
        if module.bias is not None:
            most_bias = (1 << (limit.bias_bit_width - 1)) - 1
            largest = (torch.floor(most_bias / finer) * (inputs[0].scale * scale).reshape(-1)).to(module.bias.dtype)
            module.bias.copy_(torch.minimum(torch.maximum(module.bias, -largest), largest))
