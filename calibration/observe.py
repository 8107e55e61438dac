"""The ranges of a float network's activations on calibration data. Imports torch."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from bitwright.calibration.look import Look, look_into
from bitwright.calibration.observers import Observer
from bitwright.quant.carried import Carried


def activations(network: nn.Module) -> tuple[str, ...]:
    """Return the names of the network's ReLUs and of what it carries, in the order of their definition."""
    return tuple(name for name, module in network.named_modules() if isinstance(module, nn.ReLU | Carried))


def observe(
    network: nn.Module,
    inputs: Tensor,
    make: Callable[[], Observer],
    progress: Callable[[int], None] = lambda _: None,
) -> Mapping[str, Observer]:
    """Return what was seen behind each ReLU, and of what the network carries past its layers.

    Args:
        network: Float, in eval mode.
        inputs: ``(N, ...)`` float32, as the host sends them.
        make: Makes an observer.
        progress: Called with the number of inputs of each batch.

    Raises:
        ValueError: If there is no input, or an activation is not finite.
    """
    if not len(inputs):
        raise ValueError("calibration: data must be at least one input, not none; give more with --samples")
    observers = {name: make() for name in activations(network)}
    looks: list[tuple[nn.Module, Look]] = [
        (network.get_submodule(name), _updating(name, observer)) for name, observer in observers.items()
    ]
    look_into(network, [*looks, (network, lambda _, __, output: progress(len(output)))], inputs)
    return observers


def _updating(name: str, observer: Observer) -> Look:
    def look(_: object, __: object, output: Tensor) -> None:
        values = output.numpy()
        if not bool(torch.isfinite(output).all()):
            raise ValueError(
                f"{name}: activations must be finite on the calibration data, not NaN or infinite; "
                "train the float network again"
            )
        observer.update(values)

    return look
