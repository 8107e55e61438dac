"""From a clean QONNX graph to an integer program: node by node, in the graph's order.

Scales stand in no operation: a tensor of the graph is ``code * scale``, the code is the program's, and the scale is
known here until a quantiser absorbs it or the interface hands it to the host.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np
from onnx import NodeProto, helper
from qonnx.core.modelwrapper import ModelWrapper

from bitwright.export.activation import Accumulator, lower_activation
from bitwright.export.constants import QUANTIZERS, QuantizedConstant, quantized_constant, read_quantizer
from bitwright.export.elementwise import Elementwise, Line
from bitwright.export.layer_names import layer_name
from bitwright.export.operations import Conv2d, Dense, Flatten, Input, Integers, Linear, MaxPool2d, Operation
from bitwright.export.pass_identities import NOTHING, remove_identities
from bitwright.export.pass_softmax import FINAL, final_softmax
from bitwright.export.passes import clean
from bitwright.export.problems import Problem, UnsupportedOperatorError
from bitwright.export.program import Program, Tensor
from bitwright.export.quantizer import Floats, Quantizer
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint, fractional_bits, smallest_format

EXACT_FLOAT32 = 2**24
"""Whole numbers up to here are exact in float32, whatever the order of adding."""

MOST_BITS = 16
"""Of an activation: its levels are tabulated, one threshold each."""

REMOVED = ("Constant", *NOTHING, *FINAL)
"""Operators that the passes take away: softmax at the end only."""

REMEDIES = {
    "QuantizeLinear": "export with brevitas.export.export_qonnx instead of export_onnx_qcdq",
    "DequantizeLinear": "export with brevitas.export.export_qonnx instead of export_onnx_qcdq",
    "Softmax": "leave it out, or let the network end in it",
    "LogSoftmax": "leave it out, or let the network end in it",
    "BatchNormalization": "export bitwright.models.batch_norm.BatchNorm, or two operations: Mul, Add",
}


@dataclass(frozen=True, eq=False)
class Lowered:
    """A graph's tensor as the program has it: ``steps(code * scale)``.

    Args:
        operation: Name of the operation whose result the codes are.
        scale: Worth of one code, float32, ``()`` or one a channel ``(C,)``.
        steps: Elementwise operations not yet absorbed.
        image: ``(C, H, W)`` that was flattened, if one was: the graph's order of the values, where the program's is
            ``(H, W, C)``.
    """

    operation: str
    scale: Floats
    steps: tuple[Elementwise, ...] = ()
    image: tuple[int, int, int] | None = None


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


class _RefusalError(ValueError):
    """A node that cannot be lowered: what is wrong, and what to do."""

    def __init__(self, wrong: str, remedy: str) -> None:
        super().__init__(wrong)
        self.remedy = remedy


@dataclass(eq=False)
class _State:
    model: ModelWrapper
    operations: list[Operation] = field(default_factory=list)
    tensors: dict[str, Lowered] = field(default_factory=dict)
    constants: dict[str, QuantizedConstant] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    input_quantizer: Quantizer | None = None

    def tensor(self, operation: str) -> Tensor:
        return Program(tuple(self.operations)).tensors[operation]

    def add(self, operation: Operation) -> str:
        self.operations.append(operation)
        return operation.name

    def source(self, node: NodeProto) -> Lowered:
        found = self.tensors.get(node.input[0])
        if found is None:
            raise _RefusalError(f"input {node.input[0]} must be quantised, not float", "put a quantiser before it")
        return found

    def settled(self, node: NodeProto) -> Lowered:
        """Return the source, which must have no elementwise operation waiting for a quantiser."""
        source = self.source(node)
        if source.steps:
            raise _RefusalError(
                f"input must be an accumulator or quantised, not the result of {source.steps[-1].kind}",
                "put a quantiser between, or this node before the elementwise operations",
            )
        return source


def lower(model: ModelWrapper, file: str = "model") -> LoweredNetwork:
    """Lower a QONNX graph.

    Args:
        model: As exported; it is cleaned first, and left as it is.
        file: What to call it in an error.

    Returns:
        The program and its scales.

    Raises:
        UnsupportedOperatorError: If a node cannot be lowered exactly; every such node that can be known is named.
    """
    _refuse_unknown(file, model, REMOVED)
    inputs = [port.name for port in model.graph.input if model.get_initializer(port.name) is None]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        wrong = f"network must have one input and one output, not {len(inputs)} and {len(model.graph.output)}"
        raise UnsupportedOperatorError(file, [Problem(model.graph.name, "graph", wrong, "export one path of it")])
    softmax = final_softmax(remove_identities(ModelWrapper(model.model, make_deepcopy=True)))
    state = _State(clean(model))
    _refuse_unknown(file, state.model)
    for node in state.model.graph.node:
        try:
            _RULES[node.op_type](state, node)
        except _RefusalError as refusal:
            raise UnsupportedOperatorError(
                file, [Problem(node.name or node.output[0], node.op_type, str(refusal), refusal.remedy)]
            ) from refusal
        except ValueError as error:
            wrong, _, remedy = str(error).partition("; ")
            raise UnsupportedOperatorError(
                file, [Problem(node.name or node.output[0], node.op_type, wrong, remedy or "see docs/limits.md")]
            ) from error
    output = state.model.graph.output[0].name
    final = state.tensors.get(output)
    if final is None or state.input_quantizer is None:
        raise UnsupportedOperatorError(
            file,
            [Problem(output, "output", "output must come from a quantised input, not float", "add a QuantIdentity")],
        )
    program = Program(tuple(state.operations))
    return LoweredNetwork(program, state.input_quantizer, _output_line(file, output, final, program), softmax)


def _refuse_unknown(file: str, model: ModelWrapper, also: tuple[str, ...] = ()) -> None:
    unknown = [node for node in model.graph.node if node.op_type not in _RULES and node.op_type not in also]
    if unknown:
        raise UnsupportedOperatorError(file, [_unknown(node) for node in unknown])


def _unknown(node: NodeProto) -> Problem:
    known = ", ".join(sorted(_RULES))
    remedy = REMEDIES.get(node.op_type, f"these can: {known}")
    wrong = f"operator must be one that can be lowered, not {node.op_type}"
    return Problem(node.name or node.output[0], node.op_type, wrong, remedy)


def _output_line(file: str, name: str, final: Lowered, program: Program) -> Line:
    """Return the line of every value, in the program's order."""

    def refused(wrong: str, remedy: str) -> UnsupportedOperatorError:
        return UnsupportedOperatorError(file, [Problem(name, "output", wrong, remedy)])

    if final.image is not None and final.image[0] > 1 and prod(final.image[1:]) > 1:
        raise refused(f"output must keep its axes, not be a flattened image of {final.image}", "end before the Flatten")
    *positions, channels = program.output.shape
    line = Line(np.broadcast_to(final.scale.astype(np.float64), (channels,)), np.zeros(channels))
    for step in final.steps:
        if step.kind == "Relu":
            raise refused("output must be affine in the last accumulator, not bent by Relu", "put a quantiser after it")
        line = line.then(step)
    if not line.slope.all():
        raise refused(
            f"slope of every score must not be 0, as that of score {int((line.slope == 0).argmax())} is",
            "train again; a batch norm's weight is zero",
        )
    return Line(*(np.tile(values, prod(positions)) for values in (line.slope, line.offset)))


def _attributes(node: NodeProto) -> dict[str, object]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _quantize(state: _State, node: NodeProto) -> None:
    """1. Of a constant. 2. Of the network's input. 3. Of an accumulator and what follows it."""
    constant = quantized_constant(state.model, node)
    if constant is not None:
        state.constants[node.output[0]] = constant
        return
    quantizer = read_quantizer(state.model, node)
    _check_scale("a quantiser", quantizer.scale)
    if quantizer.bit_width > MOST_BITS:
        raise _RefusalError(
            f"bit width of an activation must be at most {MOST_BITS}, not {quantizer.bit_width}", "change the recipe"
        )
    uniform = quantizer.uniform_scale
    name = layer_name(node, state.names)
    if node.input[0] == state.model.graph.input[0].name:
        if uniform is None:
            raise _RefusalError(
                "scale of the input must be one for all channels, not one each", "use a per-tensor quantiser"
            )
        shape = tuple(state.model.get_tensor_shape(node.input[0]))[1:]
        flat = _is_flattened_next(state.model, node)
        shape = (prod(shape),) if flat or len(shape) == 1 else (*shape[1:], shape[0])
        state.input_quantizer = quantizer
        form = quantizer.format()
        # The host rounds and saturates; the port is plain
        state.add(Input(name, "", shape, form.plain() if isinstance(form, FixedPoint) else form))
    else:
        source = state.source(node)
        tensor = state.tensor(source.operation)
        if uniform is None:
            quantizer = replace(quantizer, scale=_per_channel(state, source, quantizer.scale, "scale"))
        accumulator = Accumulator(source.operation, tensor.format, tensor.interval, source.scale, source.steps)
        state.add(lower_activation(name, accumulator, quantizer))
    image = None if node.input[0] not in state.tensors else state.tensors[node.input[0]].image
    # A bipolar code is worth its scale, like any other
    scale = quantizer.scale if uniform is None else np.asarray(uniform, np.float32)
    state.tensors[node.output[0]] = Lowered(name, scale, image=image)


def _check_scale(what: str, scale: Floats) -> None:
    for value in np.unique(scale):
        try:
            fractional_bits(float(value))
        except ValueError as error:
            raise _RefusalError(
                f"scale of {what} must be a power of two, not {value!s}", "set restrict_scaling_type to POWER_OF_TWO"
            ) from error


def _is_flattened_next(model: ModelWrapper, node: NodeProto) -> bool:
    """Return whether an input is flattened at once: then the program takes it flat, in the graph's order."""
    following = model.find_consumers(node.output[0])
    return len(following) == 1 and following[0].op_type in ("Flatten", "Reshape")


def _transpose(state: _State, node: NodeProto) -> None:
    constant = state.constants.get(node.input[0])
    axes = _attributes(node).get("perm", [1, 0])
    if constant is None or constant.codes.ndim != 2 or list(axes) != [1, 0]:  # type: ignore[call-overload]
        raise _RefusalError(
            "input must be a constant matrix, not a tensor of the network", "keep the network channels-first"
        )
    state.constants[node.output[0]] = constant.transposed()


def _weights(state: _State, node: NodeProto) -> QuantizedConstant:
    constant = state.constants.get(node.input[1])
    if constant is None:
        raise _RefusalError(f"weights {node.input[1]} must be quantised, not float", "give the layer a weight_quant")
    return constant


def _linear(
    state: _State,
    node: NodeProto,
    source: Lowered,
    weights: QuantizedConstant,
    channel_axis: int,
    layout: Callable[[Integers], Integers],
    make: Callable[..., Linear],
) -> None:
    """Add a dense layer or a convolution: weights on their grid, bias on the accumulator's."""
    if source.scale.ndim and not (source.scale == source.scale.reshape(-1)[0]).all():
        raise _RefusalError(
            "input must have one scale for all channels, not one each", "use a per-tensor activation quantiser"
        )
    input_scale = np.float32(source.scale.reshape(-1)[0])
    weight_scale = weights.channel_scale(channel_axis)
    _check_scale("weights", weight_scale)
    codes = layout(weights.codes)  # output channel last
    scale = weight_scale * input_scale
    bias = None
    if len(node.input) > 2 and node.input[2]:
        codes, bias, scale = _with_bias(state, node.input[2], codes, scale)
    uniform = bool((scale == scale[0]).all())
    operation = make(
        name=layer_name(node, state.names),
        source=source.operation,
        weight=codes,
        weight_format=_weight_format(weights.quantizer, codes, float(scale[0] / input_scale) if uniform else 1.0),
        bias=bias,
    )
    form = state.tensor(source.operation).format
    if operation.magnitude(form) >= EXACT_FLOAT32:
        raise _RefusalError(
            f"accumulator must stay below 2**24, where float32 is exact, not reach {operation.magnitude(form)}",
            "use fewer bits for weights or activations",
        )
    state.add(operation)
    state.tensors[node.output[0]] = Lowered(operation.name, np.asarray(scale[0] if uniform else scale, np.float32))


def _with_bias(state: _State, name: str, codes: Integers, scale: Floats) -> tuple[Integers, Integers, Floats]:
    """Bring weights and bias onto one grid; where the bias' is finer, the weights take it."""
    constant = state.constants.get(name)
    if constant is None:
        raise _RefusalError(f"bias {name} must be quantised, not float", "give the layer bias_quant=Int16Bias")
    _check_scale("the bias", constant.scale)
    bias_scale = np.broadcast_to(constant.scale.reshape(-1), scale.shape)
    finer = np.maximum(scale / bias_scale, 1.0)
    grid = (scale / finer).astype(np.float32)
    coarser = bias_scale / grid
    for factors in (finer, coarser):
        if factors.max() >= EXACT_FLOAT32:
            raise _RefusalError(
                f"grids of bias and products must be less than 2**24 apart, not {factors.max():.0f}",
                "let the bias quantiser take the scale of the accumulator",
            )
    bias = np.broadcast_to(constant.codes.reshape(-1), scale.shape)
    return codes * finer.astype(np.int64), bias * coarser.astype(np.int64), grid


def _weight_format(quantizer: Quantizer, codes: Integers, scale: float) -> Format:
    """Return the format of weights: the quantiser's width, or what a finer grid needs."""
    if quantizer.bipolar and (np.abs(codes) == 1).all() and scale == 1.0:
        return Bipolar()
    lowest, highest = int(codes.min()), int(codes.max())
    fractional = fractional_bits(scale)
    declared = FixedPoint(quantizer.bit_width, quantizer.bit_width - fractional, quantizer.signed)
    if not quantizer.bipolar and declared.holds(lowest, highest):
        return declared
    return smallest_format(min(lowest, -1), highest, fractional)


def _gemm(state: _State, node: NodeProto) -> None:
    attributes = _attributes(node)
    for name, wanted in {"alpha": 1.0, "beta": 1.0, "transA": 0}.items():
        if attributes.get(name, wanted) != wanted:
            raise _RefusalError(f"{name} must be {wanted:g}, not {attributes[name]:g}", "export a plain dense layer")
    weights = _weights(state, node)
    _dense(state, node, weights.transposed() if attributes.get("transB", 0) else weights)


def _matmul(state: _State, node: NodeProto) -> None:
    _dense(state, node, _weights(state, node))


def _dense(state: _State, node: NodeProto, weights: QuantizedConstant) -> None:
    """Weights ``(K, C)``; rows are put in the program's order where an image was flattened."""
    source = state.settled(node)
    shape = state.tensor(source.operation).shape
    if len(shape) != 1 or weights.codes.ndim != 2 or weights.codes.shape[0] != shape[0]:
        raise _RefusalError(
            f"weights must be ({prod(shape)}, C) for an input of {shape}, not {weights.codes.shape}", "flatten it"
        )
    rows = np.arange(shape[0])
    if source.image is not None:
        rows = rows.reshape(source.image).transpose(1, 2, 0).reshape(-1)
    _linear(state, node, source, weights, 1, lambda codes: codes[rows], Dense)


def _conv(state: _State, node: NodeProto) -> None:
    source, weights, attributes = state.settled(node), _weights(state, node), _attributes(node)
    if weights.codes.ndim != 4:
        raise _RefusalError(
            f"weights must be (F, C, KH, KW), not of {weights.codes.ndim} axes", "use a 2-d convolution"
        )
    if attributes.get("group", 1) != 1:
        raise _RefusalError(f"group must be 1, not {attributes['group']}", "use a plain convolution")
    if list(attributes.get("dilations", [1, 1])) != [1, 1]:  # type: ignore[call-overload]
        raise _RefusalError(f"dilations must be [1, 1], not {attributes['dilations']}", "use a larger kernel")
    _refuse_auto_pad(attributes)
    padding = tuple(int(p) for p in attributes.get("pads", [0, 0, 0, 0]))  # type: ignore[attr-defined]
    if any(padding) and isinstance(state.tensor(source.operation).format, Bipolar):
        raise _RefusalError(
            f"padding of 1-bit data must be 0, not {padding}", "leave the padding out: zero is neither +1 nor -1"
        )
    stride = tuple(int(s) for s in attributes.get("strides", [1, 1]))  # type: ignore[attr-defined]
    _linear(
        state,
        node,
        source,
        weights,
        0,
        lambda codes: np.ascontiguousarray(codes.transpose(2, 3, 1, 0)),
        lambda **rest: Conv2d(stride=stride, padding=padding, **rest),  # type: ignore[arg-type]
    )


def _refuse_auto_pad(attributes: dict[str, object]) -> None:
    mode = attributes.get("auto_pad", b"NOTSET")
    if mode != b"NOTSET":
        assert isinstance(mode, bytes)
        raise _RefusalError(f"auto_pad must be NOTSET, not {mode.decode()}", "give pads")


def _max_pool(state: _State, node: NodeProto) -> None:
    source, attributes = state.settled(node), _attributes(node)
    shape = state.tensor(source.operation).shape
    if len(shape) != 3:
        raise _RefusalError(f"input must be (H, W, C), not {shape}", "pool before flattening")
    _refuse_auto_pad(attributes)
    plain = {"pads": [0, 0, 0, 0], "dilations": [1, 1], "ceil_mode": 0}
    for name, wanted in plain.items():
        value = attributes.get(name, wanted)
        if (list(value) if isinstance(wanted, list) else value) != wanted:  # type: ignore[call-overload]
            raise _RefusalError(f"{name} must be {wanted}, not {value}", "pool without it")
    kernel = tuple(int(k) for k in attributes["kernel_shape"])  # type: ignore[attr-defined]
    stride = tuple(int(s) for s in attributes.get("strides", [1, 1]))  # type: ignore[attr-defined]
    name = state.add(MaxPool2d(layer_name(node, state.names), source.operation, kernel, stride))  # type: ignore[arg-type]
    state.tensors[node.output[0]] = replace(source, operation=name)


def _flatten(state: _State, node: NodeProto) -> None:
    source = state.settled(node)
    shape = state.tensor(source.operation).shape
    result = tuple(state.model.get_tensor_shape(node.output[0]) or ())
    if len(result) != 2 or result[1] != prod(shape):
        raise _RefusalError(f"result must be (N, {prod(shape)}), not {result}", "reshape to a flat vector only")
    if len(shape) == 1:
        state.tensors[node.output[0]] = source
        return
    name = state.add(Flatten(layer_name(node, state.names), source.operation))
    scale = np.tile(source.scale, prod(shape[:-1])) if source.scale.ndim else source.scale
    state.tensors[node.output[0]] = Lowered(name, scale, image=(shape[2], shape[0], shape[1]))


def _elementwise(state: _State, node: NodeProto) -> None:
    """A constant a channel, on either side; or none (`Relu`)."""
    if node.op_type == "Relu":
        step = Elementwise("Relu")
        source = state.source(node)
    else:
        left, right = (_constant(state, name) for name in node.input)
        if right is None and left is None:
            raise _RefusalError(
                "one operand must be a constant, not both computed", "residual joins are not lowered yet"
            )
        swapped = right is None
        source = state.tensors.get(node.input[1] if swapped else node.input[0])  # type: ignore[assignment]
        if source is None:
            raise _RefusalError("input must be quantised first, not float", "apply it on the host, before the network")
        constant = _per_channel(state, source, left if swapped else right)
        if not np.isfinite(constant).all():
            raise _RefusalError(
                "constant must be finite, not NaN or infinite", "train again; a batch norm's variance may be zero"
            )
        if swapped and node.op_type == "Div":
            raise _RefusalError("constant must be the divisor, not the dividend", "multiply by it instead")
        if node.op_type == "Div" and not constant.all():
            raise _RefusalError("divisor must not be 0, as it is", "train again; a scale has vanished")
        kind = "RSub" if swapped and node.op_type == "Sub" else node.op_type
        step = Elementwise(kind, constant)  # type: ignore[arg-type]
    state.tensors[node.output[0]] = replace(source, steps=(*source.steps, step))


def _constant(state: _State, name: str) -> Floats | None:
    """Return a constant's values, quantised or not; None for what the network computes."""
    quantised = state.constants.get(name)
    if quantised is not None:
        return quantised.codes.astype(np.float32) * quantised.scale
    return state.model.get_initializer(name)  # type: ignore[no-any-return]


def _per_channel(state: _State, source: Lowered, constant: Floats | None, what: str = "constant") -> Floats:
    """Return a constant ``(1, C)``, ``(1, C, 1, 1)``, ``(C, 1, 1)`` or of one value, as ``(C,)``."""
    shape = state.tensor(source.operation).shape
    values = np.asarray(constant, np.float32)
    if values.size == 1:
        return values.reshape(())
    axes = [axis for axis, size in enumerate(values.shape) if size > 1]
    channel_axis = values.ndim - (1 if len(shape) == 1 else 3)
    if axes != [channel_axis] or values.size != shape[-1]:
        raise _RefusalError(
            f"{what} must have one value, or one a channel ({shape[-1]}), not the shape {values.shape}",
            "let it vary along the channels only",
        )
    if source.image is not None and len(shape) == 1:
        channels, height, width = source.image
        return values.reshape(channels, height, width).transpose(1, 2, 0).reshape(-1)
    return values.reshape(-1)


_RULES: dict[str, Callable[[_State, NodeProto], None]] = {
    **dict.fromkeys(QUANTIZERS, _quantize),
    **dict.fromkeys(("Mul", "Div", "Add", "Sub", "Relu"), _elementwise),
    **dict.fromkeys(("Flatten", "Reshape"), _flatten),
    "Transpose": _transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Conv": _conv,
    "MaxPool": _max_pool,
}
