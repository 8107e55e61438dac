"""What is wrong with a file's tensors, found before a byte of them is believed: types, sizes, data in other files."""

from collections.abc import Iterable, Iterator, Sequence
from math import prod
from pathlib import Path, PureWindowsPath

from onnx import GraphProto, TensorProto

from bitwright.export.problems import AGAIN, Problem

LARGEST = 2**31 - 1
"""Bytes that a tensor may take, and all of them together: what protobuf can carry in one message."""

FLOAT32 = "export the network in float32 (network.float())"

FIELDS: dict[int, tuple[int, str]] = {
    TensorProto.FLOAT: (4, "float_data"),
    TensorProto.DOUBLE: (8, "double_data"),
    TensorProto.INT8: (1, "int32_data"),
    TensorProto.INT16: (2, "int32_data"),
    TensorProto.INT32: (4, "int32_data"),
    TensorProto.INT64: (8, "int64_data"),
    TensorProto.UINT8: (1, "int32_data"),
    TensorProto.UINT16: (2, "int32_data"),
    TensorProto.UINT32: (4, "uint64_data"),
    TensorProto.UINT64: (8, "uint64_data"),
    TensorProto.BOOL: (1, "int32_data"),
}
"""The types that are read: bytes a value, and the field that holds the values where ``raw_data`` does not."""

DATA_FIELDS = sorted({"string_data", *(field for _, field in FIELDS.values())})


def type_name(elem_type: int) -> str:
    """Return how messages call a type.

    >>> type_name(TensorProto.FLOAT), type_name(TensorProto.BFLOAT16), type_name(99)
    ('float32', 'bfloat16', 'type 99')
    """
    if elem_type == TensorProto.FLOAT:
        return "float32"
    known = elem_type in TensorProto.DataType.values()
    return TensorProto.DataType.Name(elem_type).lower() if known else f"type {elem_type}"


def tensors_of(graph: GraphProto) -> Iterator[tuple[str, str, TensorProto]]:
    """Give every tensor that the file holds: what messages call it, of what kind it is, and the tensor."""
    for tensor in graph.initializer:
        yield tensor.name, "initialiser", tensor
    for node in graph.node:
        for attribute in node.attribute:
            for tensor in [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]:
                yield node.name or (node.output[0] if node.output else ""), node.op_type, tensor


def tensor_problems(graph: GraphProto, folder: Path) -> list[Problem]:
    """Return what is wrong with a graph's tensors; their data may lie in files of ``folder``."""
    problems = []
    total = 0
    for name, kind, tensor in tensors_of(graph):
        found = _fault(tensor, folder)
        if found:
            problems.append(Problem(name, kind, *found))
        else:
            total += byte_count(tensor)
    if total > LARGEST:
        wrong = f"all tensors together must take at most {LARGEST} bytes, not {total}"
        problems.append(Problem(graph.name, "graph", wrong, "convert a smaller network"))
    return problems


def byte_count(tensor: TensorProto) -> int:
    """Return the bytes that a tensor's values take."""
    return FIELDS[tensor.data_type][0] * count(tensor.dims)


def _fault(tensor: TensorProto, folder: Path) -> tuple[str, str] | None:
    """Return what is wrong with a tensor and what to do, or None."""
    if tensor.data_type not in FIELDS:
        return f"values must be float32, not {type_name(tensor.data_type)}", FLOAT32
    shape = shown(tensor.dims)
    if any(size < 0 for size in tensor.dims):
        return f"shape must be of sizes of at least 0, not {shape}", AGAIN
    if byte_count(tensor) > LARGEST:
        return f"shape must take at most {LARGEST} bytes, not {byte_count(tensor)} as {shape} does", AGAIN
    if tensor.HasField("segment"):
        return "values must be whole, not a segment", AGAIN
    if tensor.data_location == TensorProto.EXTERNAL:
        return _external_fault(tensor, folder)
    return _data_fault(tensor, shape)


def _data_fault(tensor: TensorProto, shape: str) -> tuple[str, str] | None:
    width, field = FIELDS[tensor.data_type]
    filled = [name for name in DATA_FIELDS if len(getattr(tensor, name))]
    if tensor.HasField("raw_data"):
        if filled:
            return f"values must stand in one field, not in raw_data and {filled[0]}", AGAIN
        if len(tensor.raw_data) != count(tensor.dims) * width:
            needed = count(tensor.dims) * width
            return f"data must be the {needed} bytes of the shape {shape}, not {len(tensor.raw_data)}", AGAIN
        return None
    if [name for name in filled if name != field]:
        return f"values must stand in {field}, not in {', '.join(filled)}", AGAIN
    if len(getattr(tensor, field)) != count(tensor.dims):
        return (
            f"data must be the {count(tensor.dims)} values of the shape {shape}, not {len(getattr(tensor, field))}",
            (AGAIN),
        )
    return None


def _external_fault(tensor: TensorProto, folder: Path) -> tuple[str, str] | None:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    remedy = "keep the data beside the model, or save it in one file with onnx.save"
    if not location.isprintable() or not location:
        return f"location of the data must be a file's name, not {location!a}", remedy
    if ".." in PureWindowsPath(location).parts or PureWindowsPath(location).anchor:
        return f"location of the data must be within the model's folder, not {location}", remedy
    path = folder / location
    if not path.is_file():
        return f"file of the data must be there, not missing ({location})", remedy
    if not path.resolve().is_relative_to(folder.resolve()):
        return f"location of the data must be within the model's folder, not {path.resolve()} by a link", remedy
    for key in ("offset", "length"):
        if not entries.get(key, "0").isdecimal() or len(entries.get(key, "0")) > len(str(2**63)):
            return f"{key} of the data must be a whole number, not {entries[key]!a}", remedy
    offset, needed = external_place(tensor)
    if "length" in entries and int(entries["length"]) != needed:
        return f"data must be the {needed} bytes of the shape {shown(tensor.dims)}, not {entries['length']}", AGAIN
    if path.stat().st_size < offset + needed:
        return f"{location} must have {offset + needed} bytes, not {path.stat().st_size}", "copy the file again"
    return None


def external_place(tensor: TensorProto) -> tuple[int, int]:
    """Return where a tensor's data begins in its file, and its length in bytes."""
    offset = next((int(entry.value) for entry in tensor.external_data if entry.key == "offset"), 0)
    return offset, byte_count(tensor)


def count(sizes: Iterable[int]) -> int:
    """Return how many values a shape has."""
    return prod(int(size) for size in sizes)


def shown(sizes: Sequence[int | str]) -> str:
    """Return a shape as messages show it.

    >>> shown(["N", 3, 4])
    '(N, 3, 4)'
    """
    return f"({', '.join(map(str, sizes))})"
