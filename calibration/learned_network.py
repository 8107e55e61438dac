"""A network whose bit widths are parameters, beside its weights; and what it is once they are whole. Imports torch."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bitwright.calibration.fold import Weighted
from bitwright.calibration.learned_gate import Gate
from bitwright.calibration.learned_limit import (
    choose_scales,
    drop_spare_bits,
    finer_steps,
    hold_accumulators,
    hold_in_training,
)
from bitwright.calibration.look import Look, look_into
from bitwright.calibration.moves import NARROWEST
from bitwright.calibration.rounding import bias_width
from bitwright.models.checkpoint import NetworkDescription, start_from
from bitwright.quant.accumulator_aware import limit_of
from bitwright.quant.brevitas_activations import qnn
from bitwright.quant.carried import QuantCarried
from bitwright.quant.learned_widths import learn_bit_width, learned_bit_width
from bitwright.quant.quantizer_scale import set_scale
from bitwright.quant.recipe import LEFT_OUT, MOST_BIAS_BITS, Recipe, Scale

ZERO = 1
"""Bits of a channel whose weights are zero: their range without the most negative code is from 0 to 0."""


@dataclass(frozen=True, eq=False)
class LearnedNetwork:
    """A network that learns its bit widths.

    Args:
        network: Brevitas' layers; batch norms, where the float network has them.
        description: With the widths that it began with.
        granularity: One width for all weights of a layer, or one for each of its output channels.
        widths: The parameters: bits above the narrowest, by ``layer.weight`` and ``act.activation``; each with the most
            that it may be.
        gates: Of the layers that may leave the network, by their names.
    """

    network: nn.Module
    description: NetworkDescription
    granularity: Scale
    widths: Mapping[str, tuple[nn.Parameter, float]]
    gates: Mapping[str, Gate]

    def state(self) -> dict[str, Tensor]:
        """Return a copy of all that training changes."""
        return {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take a state of the same network, in place.

        Not by ``load_state_dict``, at which Brevitas builds every quantiser anew, with the width it had in the recipe.

        Raises:
            ValueError: If it is of another network.
        """
        own = self.network.state_dict(keep_vars=True)
        differing = sorted(own.keys() ^ state.keys())
        if differing:
            raise ValueError(
                f"search: state must be of the network that learns, not of one that differs in {differing[0]}"
            )
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(state[name])

    def clip(self) -> None:
        """Put every width back between the narrowest and its first, and every gate between 0 and 1, in place."""
        with torch.no_grad():
            for parameter, most in self.widths.values():
                parameter.clamp_(0.0, most)
        for gate in self.gates.values():
            gate.clip()

    def drop_spare_bits(self) -> None:
        """Take bits that no weight uses off the widths of limited layers, in place; the integers stay."""
        training = self.network.training
        hold_accumulators(self.network.eval(), torch.zeros(1, *self.description.input_shape))
        for name, module in weighted(self.network):
            drop_spare_bits(module, self.widths[f"{name}.weight"][0])
        self.network.train(training)

    def left_out(self) -> frozenset[str]:
        """Return the names of the layers that have left the network."""
        return frozenset(name for name, gate in self.gates.items() if gate.closed)

    def weight_widths(self) -> dict[str, list[int]]:
        """Return the bits of each layer's weights: one number, or one a channel, where 1 means that it is pruned.

        Of a layer that has left, one 0.
        """
        gone = self.left_out()
        return {
            name: [LEFT_OUT] if name in gone else _whole(learned_bit_width(module.weight_quant))
            for name, module in weighted(self.network)
        }

    def recipe(self) -> Recipe:
        """Return the widths as they are now, rounded; of a layer's channels the widest."""
        layers = dict(self.description.recipe.layers)
        for name, bits in self.weight_widths().items():
            behind = activation_behind(self.network, name)
            own = {"weight_bit_width": LEFT_OUT if bits == [LEFT_OUT] else max(NARROWEST, *bits)}
            if behind is not None:
                own["activation_bit_width"] = int(learned_bit_width(behind.act_quant).detach())
            layers[name] = layers[name].model_copy(update=own)
        return self.description.recipe.model_copy(update={"layers": layers, "weight_scale_from": "parameter"})


def weighted(network: nn.Module) -> list[tuple[str, Any]]:
    """Return the layers with weights, in their order, by their names."""
    return [(name, module) for name, module in network.named_modules() if isinstance(module, Weighted)]


def activation_behind(network: nn.Module, layer: str) -> Any:  # noqa: ANN401 - Brevitas' own
    """Return the quantised ReLU between a layer and the next; None behind the last."""
    modules = list(network.named_modules())
    names = [name for name, _ in modules]
    for _, module in modules[names.index(layer) + 1 :]:
        if isinstance(module, Weighted):
            return None
        if isinstance(module, qnn.QuantReLU):
            return module
    return None


def _whole(widths: Tensor) -> list[int]:
    return [int(bits) for bits in widths.detach().reshape(-1)]


def learnable(
    checkpoint: Path, description: NetworkDescription, granularity: Scale, removable: Collection[str] = ()
) -> LearnedNetwork:
    """Return the network of a description, with the weights of a float one and widths that can be learned.

    Args:
        checkpoint: Of the float network.
        description: Of the new one; its recipe names every layer, from 2 to 16 bits.
        granularity: Of the weights' widths. Channels can be pruned, but no width leads to the network without a layer:
            without weights a layer blocks what a layer left out would let pass. That is what the gates are for.
        removable: Layers that may leave the network, each with a gate (see `Gate`).

    Raises:
        ValueError: If the checkpoint fits nowhere, or no weight but zero would fit a limited accumulator.
        OSError: If it cannot be read.
    """
    recipe = description.recipe.model_copy(update={"weight_scale_from": "statistics"})
    network = replace(description, recipe=recipe).build()
    start_from(checkpoint, network)
    choose_scales(network.eval(), torch.zeros(1, *description.input_shape))
    widths = {}
    for name, module in weighted(network):
        per_channel = granularity == "per_channel"
        narrowest = ZERO if per_channel else NARROWEST
        parameter = learn_bit_width(module.weight_quant, narrowest, len(module.weight) if per_channel else None)
        widths[f"{name}.weight"] = (parameter, float(parameter.detach().max()))
        hold_in_training(module)
    for name, module in network.named_modules():
        if isinstance(module, qnn.QuantReLU):
            parameter = learn_bit_width(module.act_quant, NARROWEST)
            widths[f"{name}.activation"] = (parameter, float(parameter.detach()))
    gates = {
        name: Gate(module, activation_behind(network, name)) for name, module in weighted(network) if name in removable
    }
    return LearnedNetwork(network, description, granularity, widths, gates)


def fixed(learned: LearnedNetwork, example: Tensor) -> tuple[nn.Module, NetworkDescription]:
    """Return the ordinary fixed-point network that computes the same integers, and its description.

    Neither QONNX' `Quant` as the lowering reads it nor hls4ml has more than one width for the weights of a layer. A
    channel with fewer bits than its layer's widest keeps its coarser grid there: its codes end in zeros, and those of a
    pruned channel are zero. Unrolled logic is the smaller for it, weights in memory are not. A layer that has left is
    left out.

    Args:
        learned: Changed only where a limited accumulator would not hold every sum.
        example: One input ``(1, ...)``; only its shape matters.

    Raises:
        ValueError: If a bias needs too many bits on the finer grid.
    """
    hold_accumulators(learned.network.eval(), example)
    found = _quantised(learned.network, learned.description.recipe.bias_bit_width, example)
    recipe = learned.recipe()
    network, description = _with(learned, recipe, found)
    needed = bias_width(network, example)
    if needed > recipe.bias_bit_width:
        if needed > MOST_BIAS_BITS:
            raise ValueError(
                f"recipe.bias_bit_width: width must be at most {MOST_BIAS_BITS}, but the biases of the learned widths "
                f"need {needed}; begin with fewer bits"
            )
        recipe = recipe.model_copy(update={"bias_bit_width": needed})
        network, description = _with(learned, recipe, found)
    return network, description


@dataclass(frozen=True, eq=False)
class _Layer:
    """Values of a layer on their grids: weights ``(C, ...)``, the weights' finest scale, the bias ``(C,)``."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None


def _quantised(network: nn.Module, bias_bits: int, example: Tensor) -> dict[str, _Layer]:
    found = {}

    def looking(name: str) -> Look:
        def look(module: Any, inputs: Any, _: object) -> None:  # noqa: ANN401 - Brevitas' own
            quantised = module.quant_weight()
            widths = learned_bit_width(module.weight_quant)
            bias = module.bias
            if bias is not None:
                grid = (inputs[0].scale * quantised.scale).reshape(-1)
                limit = limit_of(module)
                most = 2.0 ** ((bias_bits if limit is None else limit.bias_bit_width) - 1)
                bias = torch.clamp(torch.round(bias / grid), -most, most - 1) * grid
            found[name] = _Layer(quantised.value, quantised.scale / finer_steps(widths), bias)

        return look

    look_into(network, [(module, looking(name)) for name, module in weighted(network)], example)
    return found


def _with(
    learned: LearnedNetwork, recipe: Recipe, layers: Mapping[str, _Layer]
) -> tuple[nn.Module, NetworkDescription]:
    description = replace(learned.description, recipe=recipe)
    network: Any = description.build().eval()
    state = {name: value for name, value in learned.network.state_dict().items() if ".tensor_quant." not in name}
    network.load_state_dict(state, strict=False)  # all but the scales
    with torch.no_grad():
        for name, module in weighted(network):
            module.weight.copy_(layers[name].weight)
            if module.bias is not None:
                module.bias.copy_(layers[name].bias)
            like = module.quant_weight().scale
            scale = layers[name].scale
            set_scale(module.weight_quant, (scale if like.numel() > 1 else scale.reshape(-1)[0]).reshape(like.shape))
        for name, module in network.named_modules():
            if isinstance(module, qnn.QuantReLU | QuantCarried):
                own = learned.network.get_submodule(name)
                set_scale(module.act_quant, own.act_quant.scale().detach())  # type: ignore[union-attr, operator]
    return network, description
