"""The layers of a program as the page shows them: weights on their grid, values seen, bits and cost."""

from collections.abc import Mapping
from math import prod

import numpy as np

from bitwright.cli.page_facts import Accumulator, Bin, Cost, Layer, Network, Span, Values, Weights
from bitwright.cli.stage_inspect import constant_bits, realisation
from bitwright.export.operations import Affine, Integers, Linear, MultiplyAdd, Operation, Quantizing
from bitwright.export.precision import Need, Precision, ap_text, needs
from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.rtl.size import lut_estimates

MOST_BARS = 256
"""Codes of a type that get a bar each; among more, neighbours share one."""

MOST_INPUTS = 500
MOST_PRODUCTS = 4_000_000_000
MOST_VALUES = 100_000_000
"""Inputs that are run at most, and the products and the values that they may lead to: about a second."""

CHUNK_VALUES = 8_000_000
"""Values of all layers that are held at a time: 64 MB."""


def network(program: Program, precision: Precision | None, inputs: Integers | None) -> Network:
    """Return what is shown of a program.

    Args:
        program: The program.
        precision: The types that its project has; None: the narrowest.
        inputs: Some of the run's inputs ``(N, *program.input.shape)``, to see the values of every layer; or None.

    >>> from bitwright.export.operations import Dense, Input
    >>> from bitwright.quant.fixed_point import FixedPoint
    >>> code = FixedPoint(4, 4)
    >>> program = Program((Input("x", "", (2,), code), Dense("fc", "x", np.array([[1, 2], [3, -1]]), code, None)))
    >>> found = network(program, None, np.array([[1, 2], [0, 0]]))
    >>> found.multiplications, found.layers[1].values.measured
    (4, Span(lowest=0, highest=7))
    """
    wanted, estimates = needs(program), lut_estimates(program)
    given = precision or {name: {role: need.format for role, need in roles.items()} for name, roles in wanted.items()}
    spans = {} if inputs is None else _seen(program, inputs)
    layers = tuple(
        Layer(
            name=operation.name,
            kind=type(operation).__name__,
            how=realisation(operation, program),
            sources=operation.sources,
            shape=" x ".join(map(str, program.tensors[operation.name].shape)),
            size=prod(program.tensors[operation.name].shape),
            values=_values(operation, program, given[operation.name]["result"], spans),
            cost=_cost(operation, program, wanted[operation.name], estimates.get(operation.name, 0.0)),
            weights=weights(operation.weight, operation.weight_format) if isinstance(operation, Linear) else None,
            accumulator=_accumulator(wanted[operation.name], given[operation.name]),
        )
        for operation in program.operations
    )
    return Network(
        layers=layers,
        measured_inputs=0 if inputs is None else len(inputs),
        multiplications=sum(layer.cost.multiplications for layer in layers),
        weights=sum(layer.weights.count for layer in layers if layer.weights),
        weight_bits=sum(layer.cost.weight_bits for layer in layers),
        lut_estimate=sum(layer.cost.lut_estimate for layer in layers),
    )


def measurable(program: Program) -> int:
    """Return how many inputs can be run in about a second."""
    values = sum(prod(tensor.shape) for tensor in program.tensors.values())
    products = sum(_multiplications(operation, program) for operation in program.operations)
    return max(1, min(MOST_INPUTS, MOST_VALUES // values, MOST_PRODUCTS // max(1, products)))


def weights(codes: Integers, form: Format) -> Weights:
    """Return a histogram of weights over the whole of their type.

    >>> from bitwright.quant.fixed_point import FixedPoint
    >>> [(found.lowest, found.count) for found in weights(np.array([-1, 0, 0, 1]), FixedPoint(2, 2)).bins]
    [(-2, 0), (-1, 1), (0, 2), (1, 1)]
    >>> [(found.lowest, found.count) for found in weights(np.array([-1, 1, 1]), Bipolar()).bins]
    [(-1, 1), (1, 2)]
    """
    pace = 2 if isinstance(form, Bipolar) else max(1, (1 << form.width) // MOST_BARS)
    wide = 1 if isinstance(form, Bipolar) else pace
    counts = np.bincount(
        ((codes - form.lowest) // pace).reshape(-1), minlength=(form.highest - form.lowest) // pace + 1
    )
    starts = [form.lowest + pace * i for i in range(len(counts))]
    ends = [min(start + wide - 1, form.highest) for start in starts]
    return Weights(
        type=ap_text(form),
        width=form.width,
        step=form.step,
        count=codes.size,
        zeros=int((codes == 0).sum()),
        lowest=int(codes.min()),
        highest=int(codes.max()),
        bins=tuple(Bin(start, end, int(count)) for start, end, count in zip(starts, ends, counts, strict=True)),
        tallest=int(counts.argmax()),
    )


def _seen(program: Program, inputs: Integers) -> Mapping[str, tuple[Span, float, float]]:
    """Return the codes of every layer's result, and the shares of them at both ends of its type."""
    size = max(1, CHUNK_VALUES // sum(prod(tensor.shape) for tensor in program.tensors.values()))
    ends: dict[str, tuple[int, int]] = {}
    hits = dict.fromkeys(program.tensors, (0, 0))
    for start in range(0, len(inputs), size):
        for name, codes in program.trace(inputs[start : start + size]):
            form, found = program.tensors[name].format, (int(codes.min()), int(codes.max()))
            low, high = ends.get(name, found)
            ends[name] = min(low, found[0]), max(high, found[1])
            at = int((codes == form.lowest).sum()), int((codes == form.highest).sum())
            hits[name] = hits[name][0] + at[0], hits[name][1] + at[1]
    seen = {}
    for name, (low, high) in hits.items():
        count = len(inputs) * prod(program.tensors[name].shape)
        seen[name] = Span(*ends[name]), low / count, high / count
    return seen


def _values(
    operation: Operation, program: Program, given: Format, spans: Mapping[str, tuple[Span, float, float]]
) -> Values:
    tensor = program.tensors[operation.name]
    span, at_lowest, at_highest = spans.get(operation.name, (None, None, None))
    saturates = isinstance(operation, Quantizing)
    return Values(
        type=ap_text(tensor.format),
        given=None if given == tensor.format else ap_text(given),
        width=tensor.format.width,
        step=tensor.format.step,
        holds=Span(tensor.format.lowest, tensor.format.highest),
        proven=Span(*tensor.interval.ends),
        measured=span,
        at_lowest=at_lowest if saturates else None,
        at_highest=at_highest if saturates else None,
    )


def _accumulator(wanted: Mapping[str, Need], given: Mapping[str, Format]) -> Accumulator | None:
    if "accumulator" not in wanted:
        return None
    need, form = wanted["accumulator"].format, given["accumulator"]
    return Accumulator(ap_text(need), need.width, ap_text(form), form.width)


def _multiplications(operation: Operation, program: Program) -> int:
    shape = program.tensors[operation.name].shape
    match operation:
        case Linear():
            return prod(shape[:-1]) * operation.weight.size
        case MultiplyAdd() | Affine():
            return prod(shape)
        case _:
            return 0


def _cost(operation: Operation, program: Program, wanted: Mapping[str, Need], lut: float) -> Cost:
    factor, weight_bits = 0, 0
    match operation:
        case Linear():
            factor = operation.weight_format.width
            weight_bits = operation.weight.size * factor
        case MultiplyAdd() | Affine():
            factor = wanted["multiplier"].format.width
    given = program.tensors[operation.sources[0]].format.width if operation.sources else 0
    return Cost(
        multiplications=_multiplications(operation, program),
        operands=f"{factor} x {given}" if factor else "",
        weight_bits=weight_bits,
        constant_bits=constant_bits(operation, program),
        lut_estimate=round(lut),
    )
