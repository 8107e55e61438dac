"""Which function calls which in the C++ that HLS reads, as GCC sees it: no clang, no vendor's tool."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bitwright.hls.csim_build import compiler
from bitwright.hls.tool_error import ToolError
from bitwright.synth.run_logged import run_logged

FLAGS = ("-std=c++14", "-O0", "-w", "-fno-stack-protector", "-fcallgraph-info=su,da", "-S")
"""Without optimisation no call vanishes. GCC 10 or later."""

NODE = re.compile(r'^node: \{ title: "(?P<title>[^"]*)" label: "(?P<label>[^"]*)"(?P<shape> shape : ellipse)? \}', re.M)
EDGE = re.compile(r'^edge: \{ sourcename: "([^"]*)" targetname: "([^"]*)"(?: label: "([^"]*)")? \}', re.M)


@dataclass(frozen=True)
class Function:
    """A node of the graph.

    Args:
        symbol: Its mangled name.
        name: As in C++, without arguments and template arguments.
        file: Where it is defined; "" of a built-in.
        defined: Whether its body is in what was compiled.
        variable_arrays: Whether it has arrays whose length is known only at run time.
        calls: Titles of those it calls, each with the place of its first call.
    """

    symbol: str
    name: str
    file: str
    defined: bool
    variable_arrays: bool
    calls: Mapping[str, str]


def call_graph(project: Path, top: str) -> dict[str, Function]:
    """Compile a project's top file as HLS sees it, and return its functions by title.

    Headers of ap_types and the weights are read as a simulation reads them; `__SYNTHESIS__` is defined after them.

    Args:
        project: An hls4ml project.
        top: Name of its top function and file.

    Raises:
        ToolError: If there is no g++, or it fails.
        OSError: If a file cannot be read.
    """
    firmware = (project / "firmware").resolve()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "before.h").write_text(_before(firmware))
        include = [part for path in (firmware, firmware / "ap_types") for part in ("-I", str(path))]
        files = ["-include", "before.h", str(firmware / f"{top}.cpp"), "-o", "top.s"]
        command = [compiler(), *FLAGS, *include, *files]
        status = run_logged(command, folder, folder / "log")
        if status:
            lines = (folder / "log").read_text().splitlines()
            quoted = next((line for line in lines if "error:" in line), f"exit status {status}")
            raise ToolError(
                f"{project}: C++ must compile with __SYNTHESIS__ defined, not fail ({quoted}); write the project again",
                command,
                status,
            )
        return parse((folder / "top.ci").read_text())


def _before(firmware: Path) -> str:
    """Return the headers that are not synthesised as they stand: a vendor's tool has its own types."""
    types = [name for name in ("ap_int.h", "ap_fixed.h", "hls_stream.h") if (firmware / "ap_types" / name).exists()]
    known = [*types, *(name for name in ("defines.h",) if (firmware / name).exists())]
    weights = [f"weights/{path.name}" for path in sorted((firmware / "weights").glob("*.h"))]
    return "".join(f'#include "{name}"\n' for name in [*known, *weights]) + "#define __SYNTHESIS__\n"


def parse(text: str) -> dict[str, Function]:
    """Return the functions of a call graph as `g++ -fcallgraph-info` writes it."""
    titles = {node["title"] for node in NODE.finditer(text)}
    whole = {_any_variant(title): title for title in titles}
    calls: dict[str, dict[str, str]] = {}
    for source, target, place in EDGE.findall(text):
        known = target if target in titles else whole.get(_any_variant(target))
        if known is not None:
            calls.setdefault(source, {}).setdefault(known, place)
    return {
        node["title"]: Function(
            symbol=_symbol(node["title"]),
            name=_name(node["title"], node["label"].split(r"\n")[0]),
            file=_file(node["label"]),
            defined=node["shape"] is None,
            variable_arrays=bool(re.search(r"\\n[1-9]\d* dynamic objects", node["label"])),
            calls=calls.get(node["title"], {}),
        )
        for node in NODE.finditer(text)
    }


def _any_variant(title: str) -> str:
    """Return a name that a constructor's or destructor's variants share: calls may go by an alias without a node."""
    return re.sub(r"([CD])[0-5](?=[EI])", r"\1", title)


def _symbol(title: str) -> str:
    return title.rpartition(":")[2]


def _file(label: str) -> str:
    """Return the file of a label's second line, ``file:line:column``."""
    lines = label.split(r"\n")
    return re.sub(r":\d+:\d+$", "", lines[1]) if len(lines) > 1 and lines[1] != "<built-in>" else ""


def _name(title: str, signature: str) -> str:
    """Return a function's name out of its signature.

    >>> _name("_Z1f", "static res_T nnet::dense<T>::cast<a, b>(data_T, int) [with res_T = ap_int<3>]")
    'nnet::dense::cast'
    """
    symbol = _symbol(title)
    if symbol == "__indirect_call":
        return "a pointer"
    if operator := re.match(r"_Z([nd])[awl]", symbol):
        return "operator new" if operator[1] == "n" else "operator delete"
    text = signature.partition(" [with ")[0]
    while (shorter := re.sub(r"<[^<>]*>", "", text)) != text:
        text = shorter
    found = re.search(r"([\w:~]+(?:operator\W+)?)\(", text)
    return found[1] if found and not found[1].startswith("__builtin_") else symbol
