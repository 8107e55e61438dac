"""Reading and writing ONNX files.

Files are read and written as bytes, by Python: onnx's own functions take only ASCII paths where the locale is C.
"""

from pathlib import Path

from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto
from qonnx.core.modelwrapper import ModelWrapper

from bitwright.export.graph_check import STANDARD, check_structure, sizes_of
from bitwright.export.graph_shapes import check_shapes
from bitwright.export.graph_tensors import LARGEST, external_place, tensors_of

REMEDY = "export the network with brevitas.export.export_qonnx"

BEGINNINGS = {
    b"PK\x03\x04": "a zip archive, such as torch.save writes",
    b"\x80\x02": "a pickle, such as torch.save writes",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\x1f\x8b": "compressed with gzip",
    b"\x89HDF": "HDF5, such as Keras writes",
    b"\x93NUMPY": "a NumPy array",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG": "a PNG image",
    b"version https://git-lfs": "a Git LFS pointer: fetch it with git lfs pull",
}
"""How files begin that are taken for ONNX, and what they are."""


def load(path: Path, *, made_by: str = "") -> ModelWrapper:
    """Read an ONNX file, with the data that it keeps in files beside it; see `graph_check` for what is refused.

    The graph is as in the file, but for three things. The standard operators' domain is spelt ``""`` and comes first,
    which is where qonnx looks for its version. Results' shapes stand once, and where all sizes are numbers.
    FINN's annotations of tensors are dropped: qonnx rounds by them.

    Args:
        path: Of the file.
        made_by: Command that writes it, to be named where it is missing or damaged.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not ONNX.
        UnsupportedOperatorError: If it is not a sound graph: with every problem.
    """
    if not path.exists():
        remedy = f"run `{made_by}` first" if made_by else "check the path"
        raise FileNotFoundError(f"{path}: model must be an ONNX file, not missing; {remedy}")
    model = _parsed(path, f"run `{made_by}` again" if made_by else REMEDY)
    _spell_standard_domain(model)
    check_structure(model, str(path), path.parent)
    _take_in(model, path.parent)
    check_shapes(model, str(path))
    del model.graph.quantization_annotation[:]
    _declare_once(model)
    return ModelWrapper(model)


def save(model: ModelWrapper, path: Path) -> None:
    """Write a model; an interrupted call leaves no half file."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(model.model.SerializeToString())
    partial.replace(path)


def _parsed(path: Path, remedy: str) -> ModelProto:
    if path.is_dir():
        raise FileNotFoundError(f"{path}: model must be an ONNX file, not a folder; name the file in it")
    size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(f"{path}: model must have at most {LARGEST} bytes, not {size}; convert a smaller network")
    content = path.read_bytes()
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise _not_onnx(path, content, remedy) from error
    if not model.graph.node:
        raise _not_onnx(path, content, remedy)
    return model


def _not_onnx(path: Path, content: bytes, remedy: str) -> ValueError:
    return ValueError(
        f"{path}: model must be an ONNX file, not {len(content)} bytes of something else ({_guess(content)}); {remedy}"
    )


def _guess(content: bytes) -> str:
    """Return what a file that is not ONNX may be."""
    if not content:
        return "an empty file"
    for beginning, kind in BEGINNINGS.items():
        if content.startswith(beginning):
            return kind
    try:
        text = content[:1000].decode()
    except UnicodeDecodeError:
        text = "\0"
    if all(letter.isprintable() or letter.isspace() for letter in text):
        return "text"
    return "a graph without nodes, a damaged file, or another kind of file"


def _take_in(model: ModelProto, folder: Path) -> None:
    """Read the tensors that lie in other files; `check_structure` saw that they are there."""
    for _, _, tensor in tensors_of(model.graph):
        if tensor.data_location == TensorProto.EXTERNAL:
            location = next(entry.value for entry in reversed(tensor.external_data) if entry.key == "location")
            offset, length = external_place(tensor)
            with (folder / location).open("rb") as file:
                file.seek(offset)
                tensor.raw_data = file.read(length)
            del tensor.external_data[:]
            tensor.data_location = TensorProto.DEFAULT


def _spell_standard_domain(model: ModelProto) -> None:
    for entry in (*model.graph.node, *model.opset_import):
        if entry.domain in STANDARD:
            entry.domain = ""
    imports = sorted(model.opset_import, key=lambda entry: entry.domain != "")
    del model.opset_import[:]
    model.opset_import.extend(imports)


def _declare_once(model: ModelProto) -> None:
    seen = {port.name for port in (*model.graph.input, *model.graph.output)}
    declared = list(model.graph.value_info)
    del model.graph.value_info[:]
    for port in declared:
        known = port.type.tensor_type.HasField("shape") and all(isinstance(size, int) for size in sizes_of(port.type))
        if port.name not in seen and known:
            model.graph.value_info.append(port)
        seen.add(port.name)
