"""Bit widths learned by gradient, beside the weights, for one weight of their cost after another. Imports torch.

Reference: the cost term is that of HGQ (Sun et al., arXiv:2405.00645), the parameters are Brevitas'.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from bitwright.calibration.learned_cost import CostMeter, LearnedCost
from bitwright.calibration.learned_network import LearnedNetwork
from bitwright.models.batches import shifted, training_batches
from bitwright.models.dataset import DataSet
from bitwright.quant.brevitas_activations import STATISTICS_BATCHES

LEAST_WEIGHT = 0.02
MOST_WEIGHT = 2.0

TRAVEL = 4.0
"""Bits that a width can go at one stop of the sweep, however many steps that has."""

GATE_TRAVEL = 2.0
"""How far a gate can go at one stop: from open to closed and back."""

LEARNING_SHARE = 0.6
"""Of the steps of a stop; then the gates are decided, and in the rest the weights settle at widths that stand still."""

SLOWER = 0.2
"""Learning rate of the weights, of that which the float network was trained with."""


@dataclass(frozen=True)
class LearnSettings:
    """How widths are learned.

    Args:
        cost: What is to become less.
        epochs: Passes over the training set at each stop.
        batch_size: Inputs of a step.
        learning_rate: That the float network was trained with.
        shift_pixels: Each image is moved by up to so many pixels each way.
        seed: Of order and augmentation.
    """

    cost: LearnedCost
    epochs: int
    batch_size: int
    learning_rate: float
    shift_pixels: int
    seed: int


def cost_weights(points: int) -> list[float]:
    """Return the weights of the cost for a sweep: each the same factor more than the one before.

    The cost is a share of that at the start, which the loss gets so many times.

    >>> [round(weight, 3) for weight in cost_weights(3)]
    [0.02, 0.2, 2.0]
    """
    factor = MOST_WEIGHT / LEAST_WEIGHT
    return [LEAST_WEIGHT * factor ** (point / max(points - 1, 1)) for point in range(points)]


def find_ranges(learned: LearnedNetwork, data: DataSet, settings: LearnSettings) -> None:
    """Let the activations' quantisers see batches until their scales are parameters, in place."""
    learned.network.train()
    seen = 0
    with torch.no_grad():
        while seen <= STATISTICS_BATCHES:
            for inputs, _ in training_batches(data.train, data.input_scale, settings.batch_size, settings.seed):
                learned.network(inputs)
                seen += 1


def first_cost(learned: LearnedNetwork, example: torch.Tensor, kind: LearnedCost) -> float:
    """Return the cost of a network at the widths that it has now, on one input ``(1, ...)``."""
    meter = CostMeter(kind)
    learned.network.eval()
    with torch.no_grad(), meter.watching(learned.network):
        learned.network(example)
    return float(meter.value)


def learn(
    learned: LearnedNetwork, data: DataSet, settings: LearnSettings, *, weight: float, whole: float, stop: int
) -> None:
    """Train weights and widths at one weight of the cost, in place; the loss is ``cross entropy + weight * cost``.

    The gates of layers that have not left move with the widths, and end open or closed. What has left stays away.

    Args:
        learned: As the stop before has left it, so that it only has to go on.
        data: Its training split is used.
        settings: How.
        weight: Of the cost.
        whole: The cost that counts as 1: that of the start.
        stop: Number of the stop in the sweep; with the seed it gives the order of the inputs.

    Raises:
        ValueError: If the loss is not finite.
    """
    learned.drop_spare_bits()
    network = learned.network.train()
    batches = training_batches(data.train, data.input_scale, settings.batch_size, settings.seed)
    steps = settings.epochs * len(batches)
    moving = max(1, round(LEARNING_SHARE * steps))
    widths = [parameter for parameter, _ in learned.widths.values()]
    gates = [gate for gate in learned.gates.values() if not gate.closed]
    for gate in gates:
        gate.moving = True
    own = {id(parameter) for parameter in (*widths, *(gate.parameter for gate in learned.gates.values()))}
    weights = [parameter for parameter in network.parameters() if id(parameter) not in own]
    optimizer = torch.optim.Adam(
        [
            {"params": weights, "lr": SLOWER * settings.learning_rate},
            {"params": widths, "lr": TRAVEL / moving},
            {"params": [gate.parameter for gate in gates], "lr": GATE_TRAVEL / moving},
        ]
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, [lambda step: 1.0 - step / steps, *[lambda step: float(step < moving)] * 2]
    )
    meter = CostMeter(settings.cost)
    step = stop * steps
    with meter.watching(network):
        for epoch in range(stop * settings.epochs, (stop + 1) * settings.epochs):
            batches.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
            for inputs, labels in batches:
                moved = inputs
                if inputs.dim() == 4:
                    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
                    moved = shifted(inputs, settings.shift_pixels, generator)
                loss = F.cross_entropy(network(moved), labels) + weight * meter.value / whole
                if not torch.isfinite(loss):
                    raise ValueError(
                        f"search: loss of learned widths must be finite, not {float(loss.detach())}; "
                        "set a lower train.learning_rate"
                    )
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                learned.clip()
                step += 1
                if step == stop * steps + moving:
                    learned.drop_spare_bits()
                    for gate in gates:
                        gate.decide()
