"""The command `inspect`: what a QONNX file is made of, before anything is built."""

from math import prod
from pathlib import Path

import numpy as np
from rich.table import Table

from bitwright.cli.console import out
from bitwright.cli.stage_convert import read_graph
from bitwright.export.interface import describe
from bitwright.export.line import Doubles
from bitwright.export.lower import lower
from bitwright.export.operations import Affine, Linear, MultiplyAdd, Operation, Requantize, Threshold
from bitwright.export.operations import Table as TableOperation
from bitwright.export.precision import ap_text, is_xnor, needs
from bitwright.export.program import Program
from bitwright.export.quantizer import is_power_of_two
from bitwright.quant.fixed_point import fractional_bits

MOST_SHOWN = 100
"""Characters of a host step."""


def inspect(model: Path, *, input_type: str | None = None, allow_approximate: bool = False) -> None:
    """Print every layer's grid, interval, accumulator and constants, and what is left to the host.

    Args:
        model: A QONNX file.
        input_type: Fixed-point type of the input, for a network that does not quantise it.
        allow_approximate: Whether sums that the last bit of float32 decides may be carried.

    Raises:
        ValueError: If the file cannot be lowered: every node that cannot is named.
    """
    network = lower(read_graph(model, input_type), str(model), allow_approximate=allow_approximate)
    program = network.program
    table = Table("layer", "what", "result", "type", "scale", "interval", "bits of constants", title=str(model))
    for operation in program.operations:
        tensor = program.tensors[operation.name]
        lowest, highest = tensor.interval.ends
        shape = "x".join(map(str, tensor.shape))
        bits = constant_bits(operation, program)
        table.add_row(
            operation.name,
            realisation(operation, program),
            shape,
            ap_text(tensor.format),
            _scale_text(network.scales.get(operation.name)),
            f"{lowest} .. {highest}",
            f"{bits:,}" if bits else "",
        )
    out.print(table)
    for name, share in network.undecided.items():
        out.print(f"float32, {name}: the order of adding may decide {share:.2g} of its sums", markup=False)
    interface = describe(network)
    for step in interface.host_before:
        out.print(f"host, before: {_short(step)}", markup=False)
    scale = interface.output.scale
    shown = (
        "a scale and an offset a score"
        if isinstance(scale, tuple)
        else f"integer * {scale} + {interface.output.offset}"
    )
    out.print(f"host, after: {shown} (interface.json)", markup=False)
    for step in interface.host_after:
        out.print(f"host, after: {_short(step)}", markup=False)


def _short(text: str) -> str:
    """Return a step without most of its numbers; interface.json has all."""
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]} ... (interface.json)"


def _scale_text(scale: Doubles | None) -> str:
    """Return the worth of one step, as a power of two where it is one."""
    if scale is None:
        return ""
    values = np.unique(np.abs(scale))
    if len(values) > 1:
        return f"{values.min():.3g} .. {values.max():.3g}, one a channel"
    value = float(values[0])
    return f"2**{-fractional_bits(value)}" if is_power_of_two(value) else f"{value:.6g}"


def realisation(operation: Operation, program: Program) -> str:
    """Return how an operation is done in hardware."""
    match operation:
        case Linear() if is_xnor(operation, program):
            return f"{type(operation).__name__}, XNOR and count"
        case Linear():
            return f"{type(operation).__name__}, weights {ap_text(operation.weight_format)}"
        case Requantize():
            return "shift, round, saturate"
        case MultiplyAdd():
            return f"multiply and add, {operation.shift} fraction bits"
        case Threshold():
            count = operation.thresholds.shape[1]
            return "1 comparator" if count == 1 else f"{count} comparators"
        case TableOperation():
            return f"table of {len(operation.entries)} entries"
        case Affine():
            return "multiply and add, exact"
        case _:
            return type(operation).__name__


def constant_bits(operation: Operation, program: Program) -> int:
    """Return the bits of an operation's constants: weights and biases, multipliers and offsets, or thresholds."""
    sizes = {
        "weight": getattr(operation, "weight", None),
        "bias": getattr(operation, "bias", None),
        "multiplier": getattr(operation, "multiplier", None),
        "offset": getattr(operation, "offset", None),
        "threshold": getattr(operation, "thresholds", None),
        "table": getattr(operation, "entries", None),
    }
    roles = needs(program)[operation.name]
    return sum(roles[role].format.width * prod(values.shape) for role, values in sizes.items() if values is not None)
