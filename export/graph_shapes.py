"""What is wrong with a graph's types and shapes, found without computing a value of it.

onnx infers them strictly, one node after the other: so each fault has its node, and a size that a node claims is looked
at before the next node's shape is made of it. (In one go, with ``data_prop``, onnx itself takes gigabytes for a
constant of a large size.) What is inferred says how much memory a graph takes before it takes it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import onnx
from onnx import ModelProto, NodeProto, TensorProto, TypeProto, helper

from bitwright.export.graph_check import STANDARD, agree, first_line, sizes_of
from bitwright.export.graph_edges import network_inputs
from bitwright.export.graph_operators import operator_fault, quantizer_fault
from bitwright.export.graph_tensors import FIELDS, FLOAT32, LARGEST, count, shown, type_name
from bitwright.export.problems import AGAIN, Problem, at, refuse

QUANTIZERS = ("Quant", "IntQuant", "BipolarQuant", "Trunc", "FloatQuant")
"""Operators of qonnx whose result has the shape of the first input, and is float32."""

INFERRED = frozenset(
    (
        "Abs",
        "Add",
        "AveragePool",
        "BatchNormalization",
        "Cast",
        "Ceil",
        "Celu",
        "Clip",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "Conv",
        "Cos",
        "Div",
        "Dropout",
        "Elu",
        "Erf",
        "Exp",
        "Expand",
        "Flatten",
        "Floor",
        "Gather",
        "Gelu",
        "Gemm",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Log",
        "LogSoftmax",
        "MatMul",
        "Max",
        "MaxPool",
        "Min",
        "Mish",
        "Mul",
        "Neg",
        "PRelu",
        "Pad",
        "Pow",
        "Range",
        "Reciprocal",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Resize",
        "Round",
        "Selu",
        "Shape",
        "Sigmoid",
        "Sign",
        "Sin",
        "Size",
        "Slice",
        "Softmax",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Tanh",
        "ThresholdedRelu",
        "Tile",
        "Transpose",
        "Unsqueeze",
    )
)
"""Standard operators whose results are inferred: all that are lowered, and more.

onnx's inference of others ends the process (OneHot, DeformConv, GatherND, ConvTranspose) or takes all memory (Split)
where the node is malformed; that of these was tried on eighty thousand random nodes. What comes from another is
not looked at: the lowering refuses it by its name.
"""

SMALL = 1024
"""Values of a constant up to which its values are looked at, and sizes of a vector up to which it may be a shape."""

NEVER_LARGER = ("Cast", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")
"""Operators whose result takes no more memory than the input, whatever its shape will be."""

WHERE = re.compile(r"^.*?\(op_type:[^)]*\): (\[\w+\] )?")
"""What onnx says before it says what is wrong."""

RESIZE = "give the layer other sizes, and export the network again"
RESHAPE = "correct the shapes, and export the network again"


@dataclass(frozen=True)
class _Known:
    """What is known of a graph's tensors, filled node by node.

    Args:
        types: Type and shape, by name.
        declared: Those that the file gives of results.
        values: Constants that stand in the file.
        constants: Names of the tensors that depend on no input: they are computed before the network runs.
        lost: Names of what comes from a node with a fault, or is of no known type.
    """

    types: dict[str, TypeProto]
    declared: Mapping[str, TypeProto]
    values: dict[str, TensorProto]
    constants: set[str]
    lost: set[str] = field(default_factory=set)

    def elem_type(self, name: str) -> int:
        """Return a tensor's type; 0 where it is not known."""
        return int(self.types[name].tensor_type.elem_type) if name in self.types else 0

    def sizes(self, name: str) -> list[int | str] | None:
        """Return a tensor's sizes; None where its number of axes is not known."""
        kind = self.types.get(name)
        return sizes_of(kind) if kind is not None and kind.tensor_type.HasField("shape") else None


def check_shapes(model: ModelProto, file: str) -> None:
    """Refuse a model whose types or shapes contradict one another, or that would take too much memory.

    Args:
        model: One that `check_structure` let pass, with all its data.
        file: What to call it in an error.

    Raises:
        UnsupportedOperatorError: With every problem, but for those behind one.
    """
    refuse(file, _invalid(model))
    graph = model.graph
    known = _Known(
        types={port.name: port.type for port in network_inputs(graph)}
        | {tensor.name: helper.make_tensor_type_proto(tensor.data_type, tensor.dims) for tensor in graph.initializer},
        declared={port.name: port.type for port in (*graph.value_info, *graph.output)},
        values={tensor.name: tensor for tensor in graph.initializer},
        constants={tensor.name for tensor in graph.initializer},
    )
    problems = _unmade(model, known)
    for node in graph.node:
        problems += _node(model, node, known)
    refuse(file, problems)
    total = sum(_byte_count(kind) for kind in known.types.values())
    if total > LARGEST:
        wrong = f"all tensors together must take at most {LARGEST} bytes, not {total}"
        refuse(file, [Problem(graph.name, "graph", wrong, "convert a smaller network, or a smaller batch")])


def _invalid(model: ModelProto) -> list[Problem]:
    """Return what `onnx.checker` has to add."""
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        return [_of_graph(model, error)]
    return []


def _of_graph(model: ModelProto, error: Exception) -> Problem:
    wrong = f"graph must be valid ONNX, not otherwise ({first_line(error)})"
    return Problem(model.graph.name, "graph", wrong, AGAIN)


def _unmade(model: ModelProto, known: _Known) -> list[Problem]:
    """Find inputs that are too large, and declarations of tensors that there are not: they take memory as well."""
    made = {name for node in model.graph.node for name in node.output}
    kinds = {name: kind for name, kind in known.declared.items() if name not in made and name not in known.constants}
    ports = {name: kind for name, kind in known.types.items() if name not in known.constants}
    wrong = {name: fault for name, kind in (kinds | ports).items() if (fault := _too_large(kind))}
    known.lost.update(wrong)
    return [Problem(name, "input" if name in ports else "value_info", fault, AGAIN) for name, fault in wrong.items()]


def _node(model: ModelProto, node: NodeProto, known: _Known) -> list[Problem]:
    """Learn the types of a node's results; return what is wrong with them."""
    names = [name for name in node.output if name]
    if known.lost.intersection(node.input):
        known.lost.update(names)
        return []
    if node.op_type in ("Shape", "Size") or known.constants.issuperset(filter(None, node.input)):
        known.constants.update(names)
    if node.op_type == "Constant":
        known.values.update((names[0], entry.t) for entry in node.attribute if entry.name == "value")
    if node.domain in STANDARD and node.op_type not in INFERRED:
        known.lost.update(names)
        return []
    wrong = operator_fault(node, {name: known.sizes(name) for name in node.input}) if node.domain in STANDARD else ""
    if wrong:
        known.lost.update(names)
        return [at(node, wrong, RESHAPE)]
    problems = list(_quantizer_faults(node, known)) if node.op_type in QUANTIZERS else []
    try:
        found = _inferred(model, node, known)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError, TypeError) as error:
        reason = WHERE.sub("", first_line(error))
        problems.append(at(node, f"types and shapes must agree with the inputs', not contradict ({reason})", RESHAPE))
        found = {}
    for name in names:
        kind = found.get(name, known.declared.get(name) if found or node.domain not in STANDARD else None)
        fault = None if kind is None else _result(node, name, kind, known)
        if fault is not None:
            problems.append(fault)
        if kind is None or fault is not None or not kind.tensor_type.elem_type:
            known.lost.add(name)
        else:
            known.types[name] = kind
    if node.domain in STANDARD and node.op_type != "Cast" and not problems:
        inputs, results = ({known.elem_type(name) for name in ends} for ends in (node.input, node.output))
        if TensorProto.DOUBLE in inputs and TensorProto.FLOAT in results:
            problems.append(at(node, "inputs must be float32 all, not double some", FLOAT32))
    return problems


def _inferred(model: ModelProto, node: NodeProto, known: _Known) -> dict[str, TypeProto]:
    """Return the types and shapes of a node's results; a quantiser's is its input's, as float32."""
    if node.domain not in STANDARD:
        if node.op_type not in QUANTIZERS:
            return {}
        node = helper.make_node("Cast", node.input[:1], node.output[:1], to=TensorProto.FLOAT)
    names = list(dict.fromkeys(filter(None, node.input)))
    small = {name: known.values[name] for name in names if name in known.values and _is_small(known.values[name])}
    graph = helper.make_graph(
        [node],
        "node",
        [helper.make_value_info(name, _as_input(known.types[name])) for name in names if name not in small],
        [],
        initializer=[_named(tensor, name) for name, tensor in small.items()],
    )
    alone = helper.make_model(
        graph,
        ir_version=max(model.ir_version, 4),  # before, initialisers had to be inputs as well
        opset_imports=[entry for entry in model.opset_import if entry.domain in STANDARD],
    )
    result = onnx.shape_inference.infer_shapes(alone, check_type=True, strict_mode=True)
    return {port.name: port.type for port in result.graph.value_info}


def _is_small(tensor: TensorProto) -> bool:
    return count(tensor.dims) <= SMALL


def _named(tensor: TensorProto, name: str) -> TensorProto:
    if tensor.name == name:
        return tensor
    copy = TensorProto()
    copy.CopyFrom(tensor)
    copy.name = name
    return copy


def _as_input(kind: TypeProto) -> TypeProto:
    """Return a type; a vector of integers that is too long for a shape with its length left open.

    onnx gives a result as many axes as the vector has values that it takes for a shape.
    """
    dims = kind.tensor_type.shape.dim
    if kind.tensor_type.elem_type == TensorProto.FLOAT or len(dims) != 1 or dims[0].dim_value <= SMALL:
        return kind
    return helper.make_tensor_type_proto(kind.tensor_type.elem_type, [None])


def _result(node: NodeProto, name: str, kind: TypeProto, known: _Known) -> Problem | None:
    """Return what is wrong with a result's type or size, or None."""
    variant = kind.WhichOneof("value")
    if variant not in ("tensor_type", None):
        return at(node, f"result must be a tensor, not {variant}")
    elem_type = kind.tensor_type.elem_type
    if elem_type not in (*FIELDS, 0):
        return at(node, f"result must be float32, not {type_name(elem_type)}", FLOAT32)
    wrong = _too_large(kind)
    sizes = sizes_of(kind)
    numbers = [size for size in sizes if isinstance(size, int)]
    shaped = kind.tensor_type.HasField("shape")
    if wrong:
        return at(node, wrong, RESIZE)
    if any(size < 1 for size in numbers):
        return at(node, f"result must have sizes of at least 1, not {shown(sizes)}", RESIZE)
    computed = name in known.constants and node.domain in STANDARD and node.op_type not in NEVER_LARGER
    if computed and (not shaped or len(numbers) < len(sizes)):
        return at(node, "size of a constant must be known before it is computed, not open", RESIZE)
    declared = known.declared.get(name)
    if declared is None or not declared.tensor_type.elem_type:
        return None
    if declared.tensor_type.elem_type != elem_type:
        return at(
            node,
            f"result must be {type_name(elem_type)} as its inputs are, not {type_name(declared.tensor_type.elem_type)}",
        )
    if shaped and declared.tensor_type.HasField("shape") and not agree(sizes, sizes_of(declared)):
        return at(
            node, f"result must have the shape {shown(sizes)}, not {shown(sizes_of(declared))} as declared", RESHAPE
        )
    return None


def _too_large(kind: TypeProto) -> str:
    """Say so where a tensor takes too much memory, else nothing."""
    count = _byte_count(kind)
    return (
        f"size must be at most {LARGEST} bytes, not {count} as {shown(sizes_of(kind))} takes" if count > LARGEST else ""
    )


def _byte_count(kind: TypeProto) -> int:
    """Return the bytes that a tensor takes; sizes that are open count as 1."""
    width = FIELDS.get(kind.tensor_type.elem_type, (1, ""))[0]
    return width * count(size for size in sizes_of(kind) if isinstance(size, int))


def _quantizer_faults(node: NodeProto, known: _Known) -> Iterable[Problem]:
    """Find types and shapes of which qonnx's result would not be that of float32 values of the input's shape.

    qonnx computes in double where the values or a parameter are double or integers, and so do the nodes after it.
    (What is not constant may be double: Bitwright's own lowered files have such sums.)
    """
    data = known.elem_type(node.input[0])
    if data not in (TensorProto.FLOAT, 0) and (data != TensorProto.DOUBLE or node.input[0] in known.constants):
        yield at(node, f"values must be float32, not {type_name(data)}", FLOAT32)
    sizes = known.sizes(node.input[0])
    for name in node.input[1:]:
        kind, parameter = known.elem_type(name), known.sizes(name)
        if kind not in (TensorProto.FLOAT, 0):
            yield at(node, f"parameter {name} must be float32, not {type_name(kind)}", FLOAT32)
        elif sizes is not None and parameter is not None and (wrong := quantizer_fault(name, parameter, sizes)):
            yield at(node, wrong, RESHAPE)
