"""What calibration did to each layer: its ranges before and after, and the error that it makes. Imports torch."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bitwright.calibration.fold import Weighted
from bitwright.calibration.look import BATCH, Look, look_into
from bitwright.calibration.post_training import Observed


@dataclass(frozen=True)
class LayerError:
    """A tensor before and after.

    Args:
        name: Of the layer's weights, or of the activation.
        bit_width: Of its codes.
        exponent: Of its scale ``2**exponent``; None if each channel has its own.
        lowest: Smallest value in float.
        highest: Largest value in float.
        lowest_held: Smallest value that the grid holds; of several grids, of the widest.
        highest_held: Largest.
        signal_to_noise_db: Of the rounded tensor beside the one in float, in decibels.
    """

    name: str
    bit_width: int
    exponent: int | None
    lowest: float
    highest: float
    lowest_held: float
    highest_held: float
    signal_to_noise_db: float


def layer_errors(observed: Observed, network: nn.Module) -> list[LayerError]:
    """Return every layer's weights and every activation, in the order of their definition.

    The activations' errors are of the whole network: each layer gets what the rounded ones before it make.

    Args:
        observed: The float network and the calibration data.
        network: The fixed-point one, in eval mode.
    """
    names = [name for name, _ in network.named_modules() if name in observed.ranges]
    before, after = (_outputs(each, names, observed.inputs[:BATCH]) for each in (observed.network, network))
    found = []
    for name, module in network.named_modules():
        if isinstance(module, Weighted):
            with torch.no_grad():
                wanted = observed.network.get_submodule(name).weight
                quantised: Any = module.quant_weight()  # type: ignore[operator]
            assert isinstance(wanted, Tensor)
            found.append(_error(name, wanted.detach(), quantised))
        elif name in names:
            found.append(_error(name, before[name], after[name]))
    return found


def _outputs(network: nn.Module, names: list[str], inputs: Tensor) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def keeping(name: str) -> Look:
        return lambda _, __, output: found.update({name: output})

    look_into(network, [(network.get_submodule(name), keeping(name)) for name in names], inputs)
    return found


def _error(name: str, wanted: Tensor, quantised: Any) -> LayerError:  # noqa: ANN401 - a QuantTensor
    scale, bits, signed = quantised.scale, int(quantised.bit_width), bool(quantised.signed)
    largest = float(scale.max())
    highest = 2 ** (bits - signed) - 1
    lowest = -highest if signed else 0  # weights have a narrow range
    noise = float(((wanted - quantised.value) ** 2).double().sum())
    signal = float((wanted**2).double().sum())
    return LayerError(
        name=name,
        bit_width=bits,
        exponent=round(math.log2(largest)) if scale.numel() == 1 else None,
        lowest=float(wanted.min()),
        highest=float(wanted.max()),
        lowest_held=lowest * largest,
        highest_held=highest * largest,
        signal_to_noise_db=_decibels(signal, noise),
    )


def _decibels(signal: float, noise: float) -> float:
    """Return the ratio of two powers; 0 for no signal, and for no noise as much as single precision can hold."""
    if not signal:
        return 0.0
    return 10 * math.log10(signal / max(noise, signal * 2.0**-48))
