"""Codes as plain numbers: +1 and -1 on more than one wire, zero as 0."""

from dataclasses import replace

import numpy as np

from bitwright.export.layer_names import unique_name
from bitwright.export.lower_state import LoweringState
from bitwright.export.lowered import Lowered
from bitwright.export.operations import Affine, Threshold
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.fixed_point import format_of


def widened(state: LoweringState, source: Lowered) -> Lowered:
    """Bring +1 and -1 from one bit into two, -1, 0 and +1: sums and padding know no wires."""
    tensor = state.tensor(source)
    if not isinstance(tensor.format, Bipolar):
        return source
    name = unique_name(f"{source.operation}_padded", state.names)
    channels = tensor.shape[-1]
    both = np.ones((channels, 2), np.int64)  # +1 reaches both thresholds, -1 none
    form = format_of(1.0, 2, signed=True, narrow=True)
    return replace(source, operation=state.add(Threshold(name, source.operation, both, np.ones(channels, bool), form)))


def without_zero_point(state: LoweringState, source: Lowered) -> Lowered:
    """Subtract the zero point from the codes: padding is zero."""
    if not source.zero_point:
        return source
    tensor = state.tensor(source)
    channels, name = tensor.shape[-1], unique_name(f"{source.operation}_centred", state.names)
    ones = np.ones(channels, np.int64)
    affine = Affine(name, source.operation, ones, -source.zero_point * ones, tensor.format.fractional)
    return replace(source, operation=state.add(affine), zero_point=0)
