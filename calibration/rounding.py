"""What Brevitas does to make up for rounding: equalisation, GPTQ, GPFQ, bias correction. Imports torch."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn

with warnings.catch_warnings():  # an optional kernel that this project has no use for, and of Brevitas to itself
    warnings.filterwarnings("ignore", message="fast_hadamard_transform package not found")
    warnings.filterwarnings("ignore", message="brevitas.fx is deprecated")
    from brevitas.graph.calibrate import bias_correction_mode
    from brevitas.graph.equalize import EqualizeGraph
    from brevitas.graph.gpfq import gpfq_mode
    from brevitas.graph.gptq import gptq_mode

from bitwright.calibration.fold import Weighted, traced
from bitwright.calibration.look import BATCH, look_into
from bitwright.calibration.settings import Rounding

MODES: dict[str, Any] = {"gptq": gptq_mode, "gpfq": gpfq_mode}


def equalize(network: nn.Module, example: Tensor) -> nn.Module:
    """Scale the channels between neighbouring layers so that their weights' ranges are alike, in place.

    Source: Nagel et al., Data-free quantization through weight equalization and bias correction, arXiv:1906.04721.

    Args:
        network: Float, without batch norms.
        example: One input ``(1, ...)``.
    """
    graph = traced(network)
    with torch.no_grad():
        graph(example)
        EqualizeGraph(iterations=20).apply(graph)
    return network


def round_weights(network: nn.Module, inputs: Tensor, rounding: Rounding) -> None:
    """Round the weights of each layer together, in place, so that its outputs on the inputs change least."""
    run_mode(MODES[rounding], network, inputs)


def run_mode(mode_of: Any, network: nn.Module, inputs: Tensor) -> None:  # noqa: ANN401 - of Brevitas, untyped
    """Let one of Brevitas' modes look at the inputs of each layer, and round its weights, in place."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Brevitas to itself
        with mode_of(network) as mode:
            for _ in range(mode.num_layers):
                for batch in torch.split(inputs, BATCH):
                    mode.model(batch)
                mode.update()


def forget_original_weights(network: nn.Module) -> None:
    """Drop the weights that Brevitas keeps from before it rounded them: the bias correction compares with them."""
    for module in network.modules():
        if hasattr(module, "weight_orig"):
            del module.weight_orig


def correct_bias(network: nn.Module, inputs: Tensor) -> None:
    """Take the mean error that rounded weights make in each channel off its bias, in place; layers without one stay.

    Source: Nagel et al., arXiv:1906.04721, section 4.2.
    """
    with torch.no_grad(), bias_correction_mode(network, skip_if_no_bias=True):
        for batch in torch.split(inputs, BATCH):
            network(batch)


def bias_width(network: nn.Module, example: Tensor) -> int:
    """Return the bits of the widest bias, each on the grid of the accumulator that it joins.

    Args:
        network: Fixed-point, in eval mode.
        example: One input ``(1, ...)``.
    """
    needed = [2]

    def look(module: Any, inputs: Any, _: object) -> None:  # noqa: ANN401 - Brevitas' own
        if module.bias is not None:
            scale = (inputs[0].scale * module.quant_weight().scale).reshape(-1).double()
            needed.append(int(torch.round(module.bias.double() / scale).abs().max()).bit_length() + 1)

    look_into(network, [(module, look) for module in network.modules() if isinstance(module, Weighted)], example)
    return max(needed)
