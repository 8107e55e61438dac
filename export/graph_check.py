"""What is wrong with a file as a graph, found before anything is computed from it.

Every problem of the kinds below is gathered, and all are refused in one go. A later kind is looked at only where the
ones before it found nothing: a shape cannot be inferred along a circle.

1. Texts: names that are not one printable line.
2. Structure: versions, operators, domains, subgraphs, functions, ports, tensors, and who gives what to whom. Nodes must
   stand in topological order, as the standard demands and `onnx.checker` checks; they are not sorted here.
3. Types and shapes: see `graph_shapes`.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TypeProto, ValueInfoProto
from qonnx.custom_op.registry import is_custom_op

from bitwright.export.graph_edges import edge_problems, network_inputs
from bitwright.export.graph_tensors import FLOAT32, shown, tensor_problems, type_name
from bitwright.export.problems import AGAIN, Problem, at, refuse

IR_VERSIONS = range(3, 14)
"""Versions of the file format: opsets came with 3, onnxruntime 1.31 reads at most 13."""

OPSETS = range(7, 26)
"""Versions of the standard operators: onnxruntime promises 7 and later, onnx 1.20 knows those up to 25."""

STANDARD = ("", "ai.onnx")
"""The domain of the standard operators, and its other name."""

GENERAL = ("qonnx.custom_op.general", "onnx.brevitas")
"""The domain of qonnx's quantisers, and its older name."""

DOMAINS = (*STANDARD, *GENERAL, "qonnx.custom_op.channels_last")
"""qonnx imports the Python module that a domain names; so no other domain gets that far."""

QUANTIZER_INPUTS = {"Quant": 4, "IntQuant": 4, "BipolarQuant": 2}
"""Quantisers that qonnx knows and `onnx.checker` does not: the values, the scale, the zero point and the bit width."""

LINES = frozenset(("name", "op_type", "domain", "input", "output", "dim_param", "tensor_name"))
"""Fields that messages show."""

COUNTS = frozenset(("blocksize", "dilations", "group", "kernel_shape", "num_groups", "num_outputs", "strides"))
"""Attributes that count something. onnx divides by them unseen, and the process ends where they are 0."""

DISTANCES = frozenset(("output_padding", "output_shape", "pads"))
"""Attributes that are lengths, and may be 0 or less."""

AUTO_PADS = (b"NOTSET", b"SAME_UPPER", b"SAME_LOWER", b"VALID")
"""Values of `auto_pad` that ONNX has; it does not check them."""

MOST = 2**31 - 1
"""Of a count or a distance, so that 64 bits hold what onnx makes of it."""


def check_structure(model: ModelProto, file: str, folder: Path) -> None:
    """Refuse a model whose graph is none, or is of a kind that nothing after this can read.

    Args:
        model: As the file has it.
        file: What to call it in an error.
        folder: Where the file lies, and the data that it keeps outside.

    Raises:
        UnsupportedOperatorError: With every problem.
    """
    refuse(file, _texts(model))
    checks: tuple[Callable[[ModelProto], list[Problem]], ...] = (_versions, _operators, _ports, _declarations)
    problems = [problem for check in checks for problem in check(model)]
    refuse(file, problems + edge_problems(model.graph) + tensor_problems(model.graph, folder))


def _texts(model: ModelProto) -> list[Problem]:
    problems = []
    for kind, field, text in _strings(model):
        if isinstance(text, bytes) or (field in LINES and not text.isprintable()):
            wrong = f"{field} must be one line of printable text, not {text[:40]!a}"
            problems.append(Problem(kind, "file", wrong, AGAIN))
    return problems


def _strings(message: Message) -> Iterator[tuple[str, str, str | bytes]]:
    """Give every text but the comments: the message's kind, the field, and the text (bytes where it is not UTF-8)."""
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in values:
                yield from _strings(inner)
        elif field.type == FieldDescriptor.TYPE_STRING and field.name != "doc_string":
            for text in values:
                yield message.DESCRIPTOR.name, field.name, text


def _versions(model: ModelProto) -> list[Problem]:
    problems = []
    remedy = "convert it with onnx.version_converter.convert_version, or export the network again"
    if model.ir_version not in IR_VERSIONS:
        wrong = f"ir_version must be from {IR_VERSIONS[0]} to {IR_VERSIONS[-1]}, not {model.ir_version}"
        problems.append(Problem(model.graph.name, "graph", wrong, "set ir_version = 10 with onnx, and save it again"))
    domains = Counter("" if entry.domain in STANDARD else entry.domain for entry in model.opset_import)
    for domain, count in domains.items():
        if count > 1:
            wrong = f"opset of {domain or 'ai.onnx'} must be imported once, not {count} times"
            problems.append(Problem(model.graph.name, "graph", wrong, AGAIN))
    if not domains[""]:
        wrong = "opset of ai.onnx must be imported, not missing"
        problems.append(Problem(model.graph.name, "graph", wrong, AGAIN))
    for entry in model.opset_import:
        if entry.domain in STANDARD and entry.version not in OPSETS:
            wrong = f"opset of ai.onnx must be from {OPSETS[0]} to {OPSETS[-1]}, not {entry.version}"
            problems.append(Problem(model.graph.name, "graph", wrong, remedy))
        if entry.domain not in STANDARD and entry.version < 1:
            wrong = f"opset of {entry.domain} must be at least 1, not {entry.version}"
            problems.append(Problem(model.graph.name, "graph", wrong, AGAIN))
    if model.graph.sparse_initializer:
        wrong = f"initialisers must be dense, not sparse ({len(model.graph.sparse_initializer)} of them)"
        problems.append(Problem(model.graph.name, "graph", wrong, "export the network with dense weights"))
    return problems


def _operators(model: ModelProto) -> list[Problem]:
    context = onnx.checker.C.CheckerContext()
    context.ir_version = IR_VERSIONS[-1]
    versions = {"" if entry.domain in STANDARD else entry.domain: entry.version for entry in model.opset_import}
    opset = versions.get("", 0)
    context.opset_imports = dict.fromkeys(STANDARD, opset if opset in OPSETS else OPSETS[-1])
    functions = {(function.domain, function.name) for function in model.functions}
    problems = []
    for node in model.graph.node:
        found = _operator(node, context, functions, set(versions))
        if found:
            problems.append(at(node, *found))
    return problems


def _operator(
    node: NodeProto, context: onnx.checker.C.CheckerContext, functions: set[tuple[str, str]], imported: set[str]
) -> tuple[str, str] | None:
    """Return what is wrong with a node by itself and what to do, or None."""
    domain = "" if node.domain in STANDARD else node.domain
    if (node.domain, node.op_type) in functions or (domain, node.op_type) in functions:
        return "operator must be ONNX's or qonnx's, not a function of the file", "inline it with onnx.inliner"
    if node.domain not in DOMAINS:
        return f"domain must be one of {', '.join(DOMAINS[1:])}, not {node.domain}", "export with brevitas.export"
    if domain not in imported:
        return f"opset of {domain or 'ai.onnx'} must be imported, not missing", AGAIN
    if not node.output or not node.output[0]:
        return "node must give a result, not none", AGAIN
    for attribute in node.attribute:
        found = _attribute(attribute)
        if found:
            return found
    if domain:
        return _custom(node)
    try:
        onnx.checker.check_node(node, context)
    except onnx.checker.ValidationError as error:
        return f"node must be as ONNX defines it, not otherwise ({first_line(error)})", AGAIN
    return None


def _attribute(attribute: AttributeProto) -> tuple[str, str] | None:
    if attribute.HasField("g") or attribute.graphs:
        return (
            f"attribute {attribute.name} must be a value, not a subgraph",
            "export the network without branches and loops that depend on data",
        )
    if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
        return f"attribute {attribute.name} must be dense, not sparse", "export the network with dense weights"
    numbers = [attribute.i] if attribute.type == AttributeProto.INT else attribute.ints
    lowest = 1 if attribute.name in COUNTS else -MOST
    beyond = [number for number in numbers if not lowest <= number <= MOST]
    if attribute.name in COUNTS | DISTANCES and beyond:
        return f"attribute {attribute.name} must be from {lowest} to {MOST}, not {beyond[0]}", AGAIN
    if attribute.name == "auto_pad" and attribute.s not in AUTO_PADS:
        return f"attribute auto_pad must be one of {b', '.join(AUTO_PADS).decode()}, not {_value(attribute)}", AGAIN
    if attribute.ref_attr_name:
        return f"attribute {attribute.name} must be a value, not a reference to {attribute.ref_attr_name}", AGAIN
    return None


def _custom(node: NodeProto) -> tuple[str, str] | None:
    if not is_custom_op(node.domain, node.op_type):
        return f"operator must be one of {node.domain}, not {node.op_type}", AGAIN
    needed = QUANTIZER_INPUTS.get(node.op_type)
    if needed is None or node.domain not in GENERAL:
        return None
    if len(node.input) != needed or not all(node.input):
        return f"quantiser must have {needed} inputs, not {len([name for name in node.input if name])}", AGAIN
    if len(node.output) != 1:
        return f"quantiser must have 1 output, not {len(node.output)}", AGAIN
    names = Counter(attribute.name for attribute in node.attribute)
    for name, count in names.items():
        if count > 1:
            return f"attribute {name} must be given once, not {count} times", AGAIN
    attributes = {attribute.name: attribute for attribute in node.attribute}
    for name in ("signed", "narrow") if needed == QUANTIZER_INPUTS["Quant"] else ():
        found = attributes.get(name)
        if found is None or found.type != AttributeProto.INT or found.i not in (0, 1):
            value = "missing" if found is None else _value(found)
            return f"attribute {name} must be 0 or 1, not {value}", AGAIN
    mode = attributes.get("rounding_mode")
    if mode is not None and (mode.type != AttributeProto.STRING or not mode.s.replace(b"_", b"").isalpha()):
        return f"attribute rounding_mode must be a word, not {_value(mode)}", AGAIN
    return None


def _value(attribute: AttributeProto) -> str:
    """Return an attribute's value, short and printable, or its type."""
    match attribute.type:
        case AttributeProto.INT:
            return str(attribute.i)
        case AttributeProto.FLOAT:
            return str(attribute.f)
        case AttributeProto.STRING:
            return ascii(attribute.s[:40])
        case other:
            known = other in AttributeProto.AttributeType.values()
            return f"a value of type {AttributeProto.AttributeType.Name(other) if known else other}"


def _ports(model: ModelProto) -> list[Problem]:
    problems = []
    for port in network_inputs(model.graph):
        found = _port(port)
        if found:
            problems.append(Problem(port.name, "input", *found))
    for name, count in Counter(port.name for port in model.graph.input).items():
        if count > 1:
            problems.append(Problem(name, "input", f"input must be declared once, not {count} times", AGAIN))
    for name, count in Counter(port.name for port in model.graph.output).items():
        if count > 1:
            problems.append(Problem(name, "output", f"output must be declared once, not {count} times", AGAIN))
    for port in model.graph.output:
        if port.name in {entry.name for entry in model.graph.input}:
            wrong = "output must be a node's result, not an input as it is"
            problems.append(Problem(port.name, "output", wrong, AGAIN))
    return problems


def _port(port: ValueInfoProto) -> tuple[str, str] | None:
    """Return what is wrong with an input and what to do, or None."""
    if not port.name:
        return "input must have a name, not none", AGAIN
    kind = port.type.WhichOneof("value")
    if kind != "tensor_type":
        return f"input must be a tensor, not {kind or 'of no type'}", AGAIN
    tensor = port.type.tensor_type
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        return f"input must be float32, not {type_name(tensor.elem_type)}", FLOAT32
    remedy = "export the network with an example input of a fixed size (N, ...)"
    if not tensor.HasField("shape"):
        return "input must have a shape, not none", remedy
    sizes = sizes_of(port.type)
    if len(sizes) < 2:
        return f"input must have a batch axis and others, not the shape {shown(sizes)}", remedy
    if any(isinstance(size, int) and size < 1 for size in sizes):
        return f"sizes of the input must be at least 1, not {shown(sizes)}", remedy
    if not all(isinstance(size, int) for size in sizes[1:]):
        return f"sizes of the input must be fixed but for the batch, not {shown(sizes)}", (
            "export the network with a fixed input size (dynamic_axes for axis 0 at most)"
        )
    return None


def sizes_of(kind: TypeProto) -> list[int | str]:
    """Return a tensor's sizes; names, or "?", where they are not numbers."""
    return [
        int(dim.dim_value) if dim.WhichOneof("value") == "dim_value" else dim.dim_param or "?"
        for dim in kind.tensor_type.shape.dim
    ]


def _declarations(model: ModelProto) -> list[Problem]:
    """Find tensors that are declared in two ways."""
    graph = model.graph
    found: dict[str, tuple[int, list[int | str] | None]] = {}
    problems = []
    for name, kind, elem_type, sizes in _declared(graph):
        if not elem_type:
            problems.append(Problem(name, kind, "tensor must be of a type, not of none", AGAIN))
            continue
        first_type, first_sizes = found.setdefault(name, (elem_type, sizes))
        if elem_type != first_type:
            wrong = f"type must be one, not {type_name(first_type)} and {type_name(elem_type)}"
            problems.append(Problem(name, kind, wrong, AGAIN))
        elif sizes is not None and first_sizes is not None and not agree(sizes, first_sizes):
            wrong = f"shape must be one, not {shown(first_sizes)} and {shown(sizes)}"
            problems.append(Problem(name, kind, wrong, AGAIN))
    return problems


def _declared(graph: GraphProto) -> Iterator[tuple[str, str, int, list[int | str] | None]]:
    for tensor in graph.initializer:
        yield tensor.name, "initialiser", tensor.data_type, list(tensor.dims)
    for kind, ports in (("input", graph.input), ("output", graph.output), ("value_info", graph.value_info)):
        for port in ports:
            if port.type.WhichOneof("value") in ("tensor_type", None):
                shaped = port.type.tensor_type.HasField("shape")
                yield port.name, kind, port.type.tensor_type.elem_type, sizes_of(port.type) if shaped else None


def agree(left: list[int | str], right: list[int | str]) -> bool:
    """Return whether two shapes may be one: of as many sizes, and of the same where both are numbers."""
    return len(left) == len(right) and all(
        a == b for a, b in zip(left, right, strict=True) if isinstance(a, int) and isinstance(b, int)
    )


def first_line(error: Exception) -> str:
    """Return the first line of what a library says, for a message of one line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return "".join(letter if letter.isprintable() else " " for letter in lines[0]).strip()[:300]
