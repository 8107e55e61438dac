"""The function from an accumulator's codes to a quantiser's levels, and where it takes them."""

from collections.abc import Callable

import numpy as np

from bitwright.export.accumulator import Accumulator
from bitwright.export.operation import Integers
from bitwright.export.quantizer import ActivationQuantizer
from bitwright.export.step_function import StepFunction, tabulate


def levels_of(source: Accumulator, quantizer: ActivationQuantizer) -> tuple[Callable[..., Integers], int]:
    """Return the function from codes to levels, counted from 0, and how many there are."""
    lowest_code, highest_code = quantizer.range
    spacing = 2 if quantizer.bipolar else 1

    def level(codes: Integers, source: Accumulator = source, off: float = 0.0, *, at_the_end: bool = False) -> Integers:
        values = source.values(codes, off, at_the_end=at_the_end)
        return (quantizer.codes(values) - lowest_code) // spacing

    return level, (highest_code - lowest_code) // spacing + 1


def tabulated(level: Callable[..., Integers], source: Accumulator, levels: int, off: float = 0.0) -> StepFunction:
    """Find the steps; of one channel for all where all have the same function."""
    equal = off == 0 or bool((source.noise == source.noise.flat[0]).all())  # noise too is one for all channels
    one = source.hull() if equal and source.is_uniform and same_levels(level, source) else None
    subject = one or source

    def of_subject(codes: Integers) -> Integers:
        found = level(codes, subject, off)
        if subject.is_positional and (found != level(codes, subject, off, at_the_end=True)).any():
            raise ValueError(positional(source))
        return found

    steps = tabulate(of_subject, subject.interval, levels, monotone=source.monotone)
    if one is None:
        return steps
    interval = source.interval
    lowest, highest = interval.lowest[:, None], interval.highest[:, None]
    first = lowest - (lowest - steps.thresholds) // interval.stride * interval.stride  # that occurs in the channel
    thresholds = np.clip(first, lowest, highest + 1)
    return StepFunction(thresholds, np.repeat(steps.rising, source.channels), interval)


def same_levels(level: Callable[..., Integers], source: Accumulator) -> bool:
    """Return whether the quantiser has one scale for all channels: it answers for one channel with one."""
    return level(np.array([[source.interval.ends[0]]]), source.hull()).shape == (1, 1)


def positional(source: Accumulator) -> str:
    """Return why a function that depends on the position is refused."""
    kinds = ", ".join(str(step.kind) for step in source.steps)
    return (
        f"quantised values must not depend on where in a tensor onnxruntime computes {kinds}, as they do; "
        "use Relu, LeakyRelu, Sigmoid or Tanh"
    )
