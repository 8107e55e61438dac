"""Names for operations: those that the network's author gave to its modules, as far as the file tells."""

import ast
import re

from onnx import NodeProto

SCOPES = "pkg.torch.onnx.name_scopes"
# Names that would clash with the types that hls4ml writes: `<name>_t`
RESERVED = {
    "input",
    "output",
    "result",
    "weight",
    "bias",
    "scale",
    "accum",
    "table",
    "data",
    "model_default",
    "threshold",
}


KEYWORDS = frozenset(
    """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t class compl
    const const_cast constexpr continue decltype default delete do double dynamic_cast else enum explicit export
    extern false float for friend goto if inline int long main mutable namespace new noexcept not not_eq nullptr
    operator or or_eq private protected public register reinterpret_cast return short signed sizeof static
    static_assert static_cast std struct switch template this thread_local throw true try typedef typeid typename
    union unsigned using virtual void volatile wchar_t while xor xor_eq
    """.split()  # noqa: SIM905 - a list of eighty strings reads worse
)
"""Words of C++ (ISO/IEC 14882:2017, table 5), and two names that nothing else may have."""


def layer_name(node: NodeProto, taken: set[str]) -> str:
    """Return a unique C++ identifier for a node: its module's name in PyTorch, or else its operator's.

    >>> from onnx import helper
    >>> layer_name(helper.make_node("MaxPool", ["x"], ["y"]), {"maxpool"})
    'maxpool_1'
    """
    name = _module(node) or node.name or node.op_type.lower()
    name = re.sub(r"\W", "_", name, flags=re.ASCII)
    if not name[0].isalpha():
        name = f"layer_{name}"
    return unique_name(f"{name}_layer" if name in RESERVED | KEYWORDS else name, taken)


def unique_name(name: str, taken: set[str]) -> str:
    """Return a name with a number where it is taken, and take it.

    >>> unique_name("act", {"act"})
    'act_1'
    """
    unique, count = name, 0
    while unique in taken:
        count += 1
        unique = f"{name}_{count}"
    taken.add(unique)
    return unique


def _module(node: NodeProto) -> str:
    for entry in node.metadata_props:
        if entry.key == SCOPES:
            try:
                scopes = ast.literal_eval(entry.value)
            except (ValueError, SyntaxError):
                return ""
            modules = [str(scope) for scope in scopes[:-1] if scope]
            return re.split(r"\.(?:act|weight|bias|input|output)_quant", modules[-1])[0] if modules else ""
    return ""
