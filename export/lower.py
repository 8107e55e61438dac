"""From a clean QONNX graph to an integer program: node by node, in the graph's order.

Scales stand in no operation: a tensor of the graph is ``code * scale``, the code is the program's, and the scale is
known here until a quantiser absorbs it or the interface hands it to the host.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
from onnx import NodeProto
from qonnx.core.modelwrapper import ModelWrapper

from bitwright.export.constants import QUANTIZERS
from bitwright.export.elementwise import Line
from bitwright.export.lower_elementwise import KERNELS, lower_elementwise, lower_kernel
from bitwright.export.lower_linear import lower_conv, lower_gemm, lower_matmul, lower_transpose
from bitwright.export.lower_quantize import lower_quantizer
from bitwright.export.lower_shape import lower_flatten, lower_max_pool
from bitwright.export.lower_state import Lowered, LoweringState, RefusalError
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
    **dict.fromkeys(("Flatten", "Reshape"), lower_flatten),
    "Transpose": lower_transpose,
    "Gemm": lower_gemm,
    "MatMul": lower_matmul,
    "Conv": lower_conv,
    "MaxPool": lower_max_pool,
}
"""What lowers each operator: to an operation, to a step that waits for a quantiser, or to a constant."""

REMOVED = ("Constant", *NOTHING, *FINAL)
"""Operators that the passes take away: softmax at the end only."""

REMEDIES = {
    "QuantizeLinear": "export with brevitas.export.export_qonnx instead of export_onnx_qcdq",
    "DequantizeLinear": "export with brevitas.export.export_qonnx instead of export_onnx_qcdq",
    **dict.fromkeys(
        ("Elu", "Selu", "Softplus"), "use Relu, LeakyRelu, Sigmoid or Tanh: onnxruntime rounds it by position"
    ),
    "Softmax": "leave it out, or let the network end in it",
    "LogSoftmax": "leave it out, or let the network end in it",
}


@dataclass(frozen=True, eq=False)
class LoweredNetwork:
    """A program, and what its integers are worth.

    Args:
        program: Integers to integers.
        input_quantizer: From the network's float input to the program's integers.
        output_line: Float64 slope and offset a score: the network's output is ``code * slope + offset``.
        softmax: Operator left to the host, or None.
    """

    program: Program
    input_quantizer: Quantizer
    output_line: Line
    softmax: str | None


def lower(model: ModelWrapper, file: str = "model") -> LoweredNetwork:
    """Lower a QONNX graph.

    Args:
        model: As exported; it is cleaned first, and left as it is.
        file: What to call it in an error.

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
    state = LoweringState(clean(model))
    _refuse_unknown(file, state.model)
    problems = _lower_nodes(state)
    if problems:
        raise UnsupportedOperatorError(file, problems)
    output = state.model.graph.output[0].name
    final = state.tensors.get(output)
    if final is None or state.input_quantizer is None:
        raise UnsupportedOperatorError(
            file,
            [Problem(output, "output", "output must come from a quantised input, not float", "add a QuantIdentity")],
        )
    program = Program(tuple(state.operations))
    return LoweredNetwork(program, state.input_quantizer, _output_line(file, output, final, program), softmax)


def _lower_nodes(state: LoweringState) -> list[Problem]:
    """Lower every node; return what is wrong. What is computed from a refused node is passed over in silence."""
    problems: list[Problem] = []
    lost: set[str] = set()
    for node in state.model.graph.node:
        if lost.intersection(node.input):
            lost.update(node.output)
            continue
        try:
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
    unknown = [node for node in model.graph.node if node.op_type not in RULES and node.op_type not in also]
    if unknown:
        raise UnsupportedOperatorError(file, [_unknown(node) for node in unknown])


def _unknown(node: NodeProto) -> Problem:
    known = ", ".join(sorted(RULES))
    remedy = REMEDIES.get(node.op_type, f"these can: {known}")
    wrong = f"operator must be one that can be lowered, not {node.op_type}"
    return _problem(node, wrong, remedy)


def _output_line(file: str, name: str, final: Lowered, program: Program) -> Line:
    """Return the line of every value, in the program's order."""

    def refused(wrong: str, remedy: str) -> UnsupportedOperatorError:
        return UnsupportedOperatorError(file, [Problem(name, "output", wrong, remedy)])

    if final.image is not None and final.image[0] > 1 and prod(final.image[1:]) > 1:
        raise refused(f"output must keep its axes, not be a flattened image of {final.image}", "end before the Flatten")
    *positions, channels = program.output.shape
    line = Line(np.broadcast_to(final.scale.astype(np.float64), (channels,)), np.zeros(channels))
    for step in final.steps:
        line = line.then(step)
        if step.kind == "Relu" or not np.isfinite(line.slope).all():
            wrong = f"output must be affine in the last accumulator, not bent by {step.kind}"
            raise refused(wrong, "put a quantiser after it")
    if not line.slope.all():
        raise refused(
            f"slope of every score must not be 0, as that of score {int((line.slope == 0).argmax())} is",
            "train again; a batch norm's weight is zero",
        )
    return Line(*(np.tile(values, prod(positions)) for values in (line.slope, line.offset)))
