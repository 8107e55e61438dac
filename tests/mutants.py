"""Sound graphs, and what remains of them after a few random changes to the file."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from networks import graph
from onnx import AttributeProto, ModelProto, TensorProto, defs, helper

WEIGHTS = np.random.default_rng(5).normal(0, 2, (4, 3)).astype(np.float32)
KERNEL = np.random.default_rng(6).normal(0, 1, (2, 1, 2, 2)).astype(np.float32)

SOUND = {
    "dense": graph(
        "[in] q = Quant (x, half, zero, four) [w] v = Quant (w, half, zero, three) [fc] m = MatMul (q, v) "
        "[scaled] s = Mul (m, c) [act] a = UnsignedQuant (s, half, zero, three) "
        "[w2] u = BipolarQuant (k, one) [out] o = MatMul (a, u) [score] y = Add (o, d)",
        (1, 4),
        (1, 2),
        w=WEIGHTS,
        c=np.array([0.3, -1.7, 0.9]),
        k=WEIGHTS[:3, :2],
        d=np.array([0.1, -2.0]),
    ),
    "convolution": graph(
        "[in] q = Quant (x, half, zero, four) [w] v = NarrowQuant (k, half, zero, three) "
        "[conv] m = Conv <pads=[1, 0, 0, 1]> (q, v) [norm] n = BatchNormalization (m, g, b, g, v1) [relu] r = Relu (n) "
        "[act] a = UnsignedQuant (r, half, zero, two) [pool] p = MaxPool <kernel_shape=[2, 2], strides=[2, 2]> (a) "
        "[flat] f = Reshape (p, fshape) [w2] u = Quant (w, half, zero, two) [bias] e = Quant (b1, half, zero, eight) "
        "[fc] o = Gemm <transB=1> (f, u, e) [soft] y = Softmax (o)",
        (1, 1, 4, 4),
        (1, 3),
        k=KERNEL,
        g=np.array([1.0, -0.5]),
        b=np.array([0.25, 3.0]),
        v1=np.array([2.0, 0.1]),
        fshape=np.array([-1, 8]),
        w=np.tile(WEIGHTS.T, 2),
        b1=np.array([0.5, -1.0, 2.0]),
    ),
    "folded": graph(
        "[c] t = Constant <value_float=0.5> () [d] z = Div (t, two) [id] i = Identity (x) "
        "[in] q = Quant (i, z, zero, four) [turn] h = Transpose <perm=[1, 0]> (w) [w] v = Quant (h, half, zero, three) "
        "[fc] m = MatMul (q, v) [tanh] s = Tanh (m) [clip] l = Clip (s, zero, one) [drop] j = Dropout (l) "
        "[act] y = Quant (j, half, zero, three)",
        (2, 3),
        (2, 4),
        w=WEIGHTS,
    ),
}
"""Graphs of nearly all that can be lowered."""

STANDARD_OPERATORS = sorted({schema.name for schema in defs.get_all_schemas() if schema.domain == ""})
NUMBERS = (-(2**63), -(2**31), -7, -1, 0, 1, 2, 3, 1000, 2**20, 2**31 - 1, 2**31, 2**40, 2**63 - 1)
FLOATS = (0.0, -1.0, 0.3, 1e-45, 3e38, float("inf"), float("nan"))
NAMES = ("", "x", "y", "q", "half", "nothing", "a\nb", "\x1b[31m", "käse", "a" * 300)


def mutant(sound: ModelProto, seed: int) -> bytes:
    """Return the file of a graph after one to three random changes; now and then damaged as a file, too."""
    chance = random.Random(seed)
    model = ModelProto()
    model.CopyFrom(sound)
    if chance.random() < 0.8:
        del model.graph.value_info[:]
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        chance.choice(MUTATIONS)(model, chance)
    content = bytearray(model.SerializeToString())
    match chance.randrange(40):
        case 0:
            del content[chance.randrange(len(content)) :]
        case 1:
            for _ in range(chance.randint(1, 4)):
                content[chance.randrange(len(content))] = chance.randrange(256)
        case 2:
            place = chance.randrange(len(content))
            del content[place : place + chance.randint(1, 8)]
    return bytes(content)


def _node(model: ModelProto, chance: random.Random) -> onnx.NodeProto:
    nodes: list[onnx.NodeProto] = list(model.graph.node) or [model.graph.node.add()]
    return chance.choice(nodes)


def _tensor(model: ModelProto, chance: random.Random) -> TensorProto:
    tensors: list[TensorProto] = list(model.graph.initializer) or [model.graph.initializer.add()]
    return chance.choice(tensors)


def _port(model: ModelProto, chance: random.Random) -> onnx.ValueInfoProto:
    ports: list[onnx.ValueInfoProto] = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    found: onnx.ValueInfoProto = chance.choice(ports or [model.graph.input.add()])
    return found


def _name(model: ModelProto, chance: random.Random) -> str:
    names: list[str] = [*NAMES, *(name for node in model.graph.node for name in (*node.input, *node.output))]
    return chance.choice(names)


def _drop(entries: Any, chance: random.Random) -> None:  # noqa: ANN401
    if entries:
        del entries[chance.randrange(len(entries))]


def _drop_node(model: ModelProto, chance: random.Random) -> None:
    _drop(model.graph.node, chance)


def _drop_initializer(model: ModelProto, chance: random.Random) -> None:
    _drop(model.graph.initializer, chance)


def _drop_node_input(model: ModelProto, chance: random.Random) -> None:
    _drop(_node(model, chance).input, chance)


def _drop_output(model: ModelProto, chance: random.Random) -> None:
    _drop(_node(model, chance).output, chance)


def _drop_attribute(model: ModelProto, chance: random.Random) -> None:
    _drop(_node(model, chance).attribute, chance)


def _drop_port(model: ModelProto, chance: random.Random) -> None:
    _drop(chance.choice([model.graph.input, model.graph.output, model.opset_import]), chance)


def _rename(model: ModelProto, chance: random.Random) -> None:
    kind = chance.randrange(5)
    if kind == 0:
        _tensor(model, chance).name = _name(model, chance)
    elif kind == 1:
        _port(model, chance).name = _name(model, chance)
    elif kind == 2:
        _node(model, chance).name = _name(model, chance)
    else:
        names = _node(model, chance).input if kind == 3 else _node(model, chance).output
        if names:
            names[chance.randrange(len(names))] = _name(model, chance)


def _swap_nodes(model: ModelProto, chance: random.Random) -> None:
    nodes = list(model.graph.node)
    chance.shuffle(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _twin(model: ModelProto, chance: random.Random) -> None:
    if chance.random() < 0.5:
        model.graph.node.append(_node(model, chance))
    else:
        model.graph.initializer.append(_tensor(model, chance))


def _self_loop(model: ModelProto, chance: random.Random) -> None:
    node = _node(model, chance)
    if node.input and node.output:
        node.input[0] = node.output[0]


def _resize_tensor(model: ModelProto, chance: random.Random) -> None:
    tensor = _tensor(model, chance)
    if tensor.dims and chance.random() < 0.6:
        tensor.dims[chance.randrange(len(tensor.dims))] = chance.choice(NUMBERS)
    else:
        tensor.dims.append(chance.choice(NUMBERS))


def _reshape_tensor(model: ModelProto, chance: random.Random) -> None:
    """Give a tensor another shape, with as many values."""
    tensor = _tensor(model, chance)
    sizes = [int(np.prod([int(size) % 100 for size in tensor.dims])), *[1] * chance.randrange(3)]
    chance.shuffle(sizes)
    tensor.dims[:] = sizes


def _retype_tensor(model: ModelProto, chance: random.Random) -> None:
    _tensor(model, chance).data_type = chance.randrange(30)


def _cast_tensor(model: ModelProto, chance: random.Random) -> None:
    """Give a tensor another type, with its values."""
    tensor = _tensor(model, chance)
    try:
        values = onnx.numpy_helper.to_array(tensor)
        kind = chance.choice([np.float16, np.float64, np.int64, np.int32, np.int8, np.bool_])
        with np.errstate(all="ignore"):
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(kind), tensor.name))
    except (ValueError, TypeError, KeyError, RuntimeError, onnx.checker.ValidationError):
        _retype_tensor(model, chance)


def _change_data(model: ModelProto, chance: random.Random) -> None:
    tensor = _tensor(model, chance)
    kind = chance.randrange(4)
    if kind == 0:
        tensor.raw_data = tensor.raw_data[: chance.randrange(len(tensor.raw_data) + 1)]
    elif kind == 1:
        tensor.raw_data += bytes(chance.randrange(9))
    elif kind == 2 and len(tensor.raw_data) >= 4:
        place = chance.randrange(len(tensor.raw_data) // 4) * 4
        value = np.float32(chance.choice(FLOATS)).tobytes()
        tensor.raw_data = tensor.raw_data[:place] + value + tensor.raw_data[place + 4 :]
    else:
        tensor.data_location = TensorProto.EXTERNAL
        location = chance.choice(["", "missing.bin", "../m.onnx", "/dev/zero", "m.onnx"])
        tensor.external_data.add(key="location", value=location)


def _change_attribute(model: ModelProto, chance: random.Random) -> None:
    entries = [entry for node in model.graph.node for entry in node.attribute]
    if not entries:
        return
    entry = chance.choice(entries)
    match chance.randrange(6):
        case 0:
            entry.type = chance.choice(list(AttributeProto.AttributeType.values()))
        case 1:
            entry.name = chance.choice(["pads", "axis", "signed", "value", "auto_pad", "group", entry.name])
        case 2:
            entry.i, entry.f, entry.s = (
                chance.choice(NUMBERS),
                chance.choice(FLOATS),
                chance.choice([b"", b"\xff", b"SAME_UPPER"]),
            )
        case 3:
            entry.ints.append(chance.choice(NUMBERS))
        case _ if entry.ints:
            entry.ints[chance.randrange(len(entry.ints))] = chance.choice(NUMBERS)
        case _:
            entry.i = chance.choice(NUMBERS)


def _add_attribute(model: ModelProto, chance: random.Random) -> None:
    values = {
        "pads": [chance.choice(NUMBERS) for _ in range(4)],
        "dilations": [2, 2],
        "strides": [chance.choice(NUMBERS)] * 2,
        "group": chance.choice(NUMBERS),
        "axis": chance.choice(NUMBERS),
        "alpha": chance.choice(FLOATS),
        "transA": 1,
        "auto_pad": "SAME_LOWER",
        "ceil_mode": 1,
        "kernel_shape": [chance.choice(NUMBERS)] * 2,
        "allowzero": 1,
        "body": model.graph if chance.random() < 0.2 else 1,
    }
    name = chance.choice(list(values))
    _node(model, chance).attribute.append(helper.make_attribute(name, values[name]))


def _change_port(model: ModelProto, chance: random.Random) -> None:
    tensor = _port(model, chance).type.tensor_type
    match chance.randrange(6):
        case 0:
            tensor.elem_type = chance.randrange(30)
        case 1:
            tensor.ClearField("shape")
        case 2:
            tensor.shape.dim.add(dim_value=chance.choice(NUMBERS))
        case 3:
            _drop(tensor.shape.dim, chance)
        case _ if tensor.shape.dim:
            dim = chance.choice(tensor.shape.dim)
            if chance.random() < 0.5:
                dim.dim_value = chance.choice(NUMBERS)
            else:
                dim.dim_param = chance.choice(["N", "H", ""])


def _declare(model: ModelProto, chance: random.Random) -> None:
    sizes = [chance.choice([1, 2, 3, 4, *NUMBERS]) for _ in range(chance.randrange(4))]
    port = helper.make_tensor_value_info(_name(model, chance), chance.choice([1, 1, 1, 10, 7, 11]), sizes)
    chance.choice([model.graph.value_info, model.graph.input, model.graph.output]).append(port)


def _change_operator(model: ModelProto, chance: random.Random) -> None:
    node = _node(model, chance)
    node.op_type = chance.choice([*STANDARD_OPERATORS, "Quant", "BipolarQuant", "Nonsense"])
    if chance.random() < 0.5:
        node.domain = ""


def _swap_operator(model: ModelProto, chance: random.Random) -> None:
    """Give a node the operator of another."""
    node, other = _node(model, chance), _node(model, chance)
    node.op_type, node.domain = other.op_type, other.domain


def _change_domain(model: ModelProto, chance: random.Random) -> None:
    domains = ["", "ai.onnx", "com.microsoft", "finn", "this", "onnx.brevitas", "qonnx.custom_op.channels_last"]
    _node(model, chance).domain = chance.choice(domains)


def _insert_node(model: ModelProto, chance: random.Random) -> None:
    """Put a node of one input between two."""
    place = chance.randrange(len(model.graph.node) + 1)
    readers = [node for node in model.graph.node[place:] if node.input]
    if not readers:
        return
    reader = chance.choice(readers)
    kind = chance.choice(["Cast", "Cast", "Transpose", "Shape", "Flatten", "Relu", "Identity", "Sigmoid", "Softmax"])
    node = helper.make_node(kind, [reader.input[0]], ["inserted"])
    if kind == "Cast":
        node.attribute.append(helper.make_attribute("to", chance.randrange(1, 17)))
    reader.input[0] = "inserted"
    model.graph.node.insert(list(model.graph.node).index(reader), node)


def _change_version(model: ModelProto, chance: random.Random) -> None:
    if chance.random() < 0.3 or not model.opset_import:
        model.ir_version = chance.choice([0, 2, 3, 13, 14, 2**40])
    else:
        chance.choice(model.opset_import).version = chance.choice(
            [-1, 0, 1, 5, 7, 9, 11, 12, 13, 14, 19, 22, 25, 26, 99, 2**40]
        )


def _add_input(model: ModelProto, chance: random.Random) -> None:
    _node(model, chance).input.append(_name(model, chance))


def _annotate(model: ModelProto, chance: random.Random) -> None:
    entry = model.graph.quantization_annotation.add(tensor_name=_name(model, chance))
    entry.quant_parameter_tensor_names.add(key="finn_datatype", value=chance.choice(["INT2", "BIPOLAR", "NONE"]))


MUTATIONS: tuple[Callable[[ModelProto, random.Random], None], ...] = (
    _drop_node,
    _drop_initializer,
    _drop_node_input,
    _drop_output,
    _drop_attribute,
    _drop_port,
    _rename,
    _rename,
    _swap_nodes,
    _twin,
    _self_loop,
    _resize_tensor,
    _reshape_tensor,
    _reshape_tensor,
    _retype_tensor,
    _cast_tensor,
    _cast_tensor,
    _change_data,
    _change_data,
    _change_attribute,
    _change_attribute,
    _change_attribute,
    _add_attribute,
    _add_attribute,
    _change_port,
    _change_port,
    _declare,
    _change_operator,
    _swap_operator,
    _swap_operator,
    _change_domain,
    _insert_node,
    _insert_node,
    _change_version,
    _add_input,
    _annotate,
)
