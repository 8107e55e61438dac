"""From a clean QONNX graph to an integer program: node by node, in the graph's order.

Scales stand in no operation: a tensor of the graph is ``code * scale``, the code is the program's, and the scale is
known here until a quantiser absorbs it or the interface hands it to the host.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper

from bitwright.export.constants import QUANTIZERS
from bitwright.export.elementwise import line_after
from bitwright.export.line import Doubles, Line
from bitwright.export.lower_elementwise import KERNELS, lower_elementwise, lower_kernel
from bitwright.export.lower_host import HostSteps, host_steps, lower_on_host
from bitwright.export.lower_linear import lower_conv, lower_gemm, lower_matmul
from bitwright.export.lower_pool import lower_average_pool, lower_global_average, lower_global_max, lower_max_pool
from bitwright.export.lower_quantize import lower_quantizer, lower_truncation
from bitwright.export.lower_shape import (
    RESHAPES,
    in_axis_order,
    lower_concat,
    lower_reshape,
    lower_resize,
    lower_transpose,
)
from bitwright.export.lower_state import LoweringState, RefusalError, channel_array
from bitwright.export.lowered import Lowered
from bitwright.export.operations import Integers, Operation
from bitwright.export.pass_constants import ConstantsError
from bitwright.export.pass_identities import NOTHING, remove_identities
from bitwright.export.pass_softmax import FINAL, final_softmax
from bitwright.export.passes import clean
from bitwright.export.problems import Problem, UnsupportedOperatorError
from bitwright.export.program import Program
from bitwright.export.quantizer import Quantizer

RULES: dict[str, Callable[[LoweringState, NodeProto], None]] = {
    **dict.fromkeys(QUANTIZERS, lower_quantizer),
    **dict.fromkeys(("Mul", "Div", "Add", "Sub", "Relu"), lower_elementwise),
    **dict.fromkeys(KERNELS, lower_kernel),
    **dict.fromkeys(RESHAPES, lower_reshape),
    "Trunc": lower_truncation,
    "Transpose": lower_transpose,
    "Gemm": lower_gemm,
    "MatMul": lower_matmul,
    "Conv": lower_conv,
    "MaxPool": lower_max_pool,
    "AveragePool": lower_average_pool,
    **dict.fromkeys(("GlobalMaxPool", "ReduceMax"), lower_global_max),
    **dict.fromkeys(("GlobalAveragePool", "ReduceMean", "ReduceSum"), lower_global_average),
    "Concat": lower_concat,
    "Resize": lower_resize,
}
"""What lowers each operator: to an operation, to a step that waits for a quantiser, or to a constant."""

REMOVED = ("Constant", *NOTHING, *FINAL)
"""Operators that the passes take away: softmax at the end only."""

REMEDIES = {
    "QuantizeLinear": "export with brevitas.export.export_qonnx instead of export_onnx_qcdq",
    "DequantizeLinear": "export with brevitas.export.export_qonnx instead of export_onnx_qcdq",
    "Softmax": "leave it out, or let the network end in it",
    "LogSoftmax": "leave it out, or let the network end in it",
}


LEGIBLE = 0.5
"""Steps by which float32 may blur the output before its nearest integer may be another."""


@dataclass(frozen=True, eq=False)
class LoweredNetwork:
    """A program, and what its integers are worth.

    Args:
        program: Integers to integers.
        host: What the host computes before it quantises.
        input_quantizer: From there to the program's integers.
        input_layout: Where the network's input values stand in the program's input.
        output_line: Float64 slope and offset a score, in the program's order: the network's output is
            ``code * slope + offset``.
        output_layout: Where the network's output values stand in the program's output.
        output_noise: How far the network's float32 output may lie from that, in steps of the integer.
        softmax: Operator left to the host, or None.
        scales: Worth of one step of each operation's integers in the network, ``()`` or one a channel, by operation.
        undecided: Share of the sums before a quantiser, by its operation, that float32 may round either way, by the
            order of adding: none where every scale is a power of two.
    """

    program: Program
    host: HostSteps
    input_quantizer: Quantizer
    input_layout: Integers
    output_line: Line
    output_layout: Integers
    output_noise: float
    softmax: str | None
    scales: Mapping[str, Doubles]
    undecided: Mapping[str, float]


def lower(model: ModelWrapper, file: str = "model", *, allow_approximate: bool = False) -> LoweredNetwork:
    """Lower a QONNX graph.

    Args:
        model: As exported; it is cleaned first, and left as it is.
        file: What to call it in an error.
        allow_approximate: Whether to carry sums that the last bit of float32 decides, too.

    Returns:
        The program and its scales.

    Raises:
        UnsupportedOperatorError: If a node cannot be lowered exactly; all are named, but for those behind one.
    """
    _refuse_unknown(file, model, REMOVED)
    inputs = [port.name for port in model.graph.input if model.get_initializer(port.name) is None]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        wrong = f"network must have one input and one output, not {len(inputs)} and {len(model.graph.output)}"
        raise UnsupportedOperatorError(file, [Problem(model.graph.name, "graph", wrong, "export one path of it")])
    softmax = final_softmax(remove_identities(ModelWrapper(model.model, make_deepcopy=True)))
    try:
        state = LoweringState(clean(model), allow_approximate, host={inputs[0]})
    except ConstantsError as error:
        wrong = f"constant expressions must be ones that onnxruntime computes, not fail ({error})"
        raise UnsupportedOperatorError(file, [Problem(model.graph.name, "graph", wrong, "export again")]) from error
    _refuse_unknown(file, state.model)
    problems = _lower_nodes(state)
    if problems:
        raise UnsupportedOperatorError(file, problems)
    try:
        return _finished(state, softmax)
    except RefusalError as refusal:
        name = state.model.graph.output[0].name
        raise UnsupportedOperatorError(file, [Problem(name, "output", str(refusal), refusal.remedy)]) from refusal


def _finished(state: LoweringState, softmax: str | None) -> LoweredNetwork:
    found = state.tensors.get(state.model.graph.output[0].name)
    if found is None or state.input_quantizer is None:
        raise RefusalError("output must come from a quantised input, not float", "add a QuantIdentity")
    final = in_axis_order(state, found)
    if final.near:
        raise RefusalError(
            "output must lie on one grid of integers, not be a sum of scales that are no multiples of each other",
            "end the network with a QuantIdentity",
        )
    program = Program(_used(state, final.operation))
    line = _output_line(final, program)
    steps = final.noise / np.abs(channel_array(final.scale, program.output.shape[-1]))
    if (steps > LEGIBLE).any():
        state.undecided.setdefault(final.operation, float(np.mean(steps > LEGIBLE)))
    return LoweredNetwork(
        program,
        host_steps(state, state.model),
        state.input_quantizer,
        next(t.layout for t in state.tensors.values() if t.operation == program.input.name),
        line,
        final.layout,
        float(steps.max()),
        softmax,
        {tensor.operation: tensor.scale for tensor in state.tensors.values()},
        state.undecided,
    )


def _used(state: LoweringState, last: str) -> tuple[Operation, ...]:
    """Return the operations that the last one needs, the last one last."""
    needed, kept = {last, state.operations[0].name}, []
    for operation in reversed(state.operations):
        if operation.name in needed:
            needed.update(operation.sources)
            kept.append(operation)
    return tuple(reversed(kept))


def _lower_nodes(state: LoweringState) -> list[Problem]:
    """Lower every node; return what is wrong. What is computed from a refused node is passed over in silence."""
    problems: list[Problem] = []
    lost: set[str] = set()
    for node in state.model.graph.node:
        if lost.intersection(node.input):
            lost.update(node.output)
            continue
        try:
            if not lower_on_host(state, node):
                RULES[node.op_type](state, node)
        except RefusalError as refusal:
            problems.append(_problem(node, str(refusal), refusal.remedy))
            lost.update(node.output)
        except ValueError as error:
            wrong, _, remedy = str(error).partition("; ")
            problems.append(_problem(node, wrong, remedy or "see docs/limits.md"))
            lost.update(node.output)
    return problems


def _problem(node: NodeProto, wrong: str, remedy: str) -> Problem:
    return Problem(node.name or node.output[0], node.op_type, wrong, remedy)


def _refuse_unknown(file: str, model: ModelWrapper, also: tuple[str, ...] = ()) -> None:
    unknown = [node for node in model.graph.node if not _is_known(node, also)]
    if unknown:
        raise UnsupportedOperatorError(file, [_unknown(node) for node in unknown])


def _is_known(node: NodeProto, also: tuple[str, ...]) -> bool:
    """Return whether there is a rule; qonnx's channels-last layers are called as the standard ones."""
    if node.domain.endswith("channels_last"):
        return False
    return node.op_type in RULES or node.op_type in also


def _unknown(node: NodeProto) -> Problem:
    known = ", ".join(sorted(RULES))
    remedy = REMEDIES.get(node.op_type, f"these can: {known}")
    wrong = f"operator must be one that can be lowered, not {node.op_type}"
    return _problem(node, wrong, remedy)


def _output_line(final: Lowered, program: Program) -> Line:
    """Return the line of every value, in the program's order."""
    *positions, channels = program.output.shape
    scale = channel_array(final.scale, channels)
    line = line_after(Line(scale, -final.zero_point * scale), final.steps)
    bent = [step.kind for step in final.steps if step.kind == "Relu"]
    if bent or not line.is_straight:
        kind = bent[0] if bent else final.steps[-1].kind
        raise RefusalError(
            f"output must be affine in the last accumulator, not bent by {kind}", "put a quantiser after it"
        )
    if not line.slope.all():
        raise RefusalError(
            f"slope of every score must be another number than 0, not 0 as of score {int((line.slope == 0).argmax())}",
            "train again; a batch norm's weight is zero",
        )
    return Line(*(np.tile(values, prod(positions)) for values in (line.slope, line.offset)))
