"""C++ that compiles for the simulation and that HLS would refuse, found before hours are spent on it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bitwright.synth.call_graph import Function, call_graph
from bitwright.synth.hls_project import read_hls_project

ALLOCATIONS = re.compile(
    r"(malloc|calloc|realloc|free|aligned_alloc|posix_memalign|strdup|__cxa_throw_bad_array_new_length|_Zn[wa]\w+|_Zd[la]\w+)$"
)
EXCEPTIONS = re.compile(r"(__cxa_(allocate_exception|throw\w*|rethrow)|_ZSt\d+__throw_\w+)$")

MATH = (
    "acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs fdim floor fma "
    "fmax fmin fmod frexp hypot ilogb ldexp lgamma llrint llround log log10 log1p log2 logb lrint lround modf "
    "nearbyint nextafter pow remainder rint round scalbn sin sinh sqrt tan tanh tgamma trunc"
)
HELD = re.compile(
    rf"(({MATH.replace(' ', '|')})[fl]?|abs|labs|memcpy|memset|memmove|memcmp"
    r"|__assert_fail|__cxa_guard_\w+|__cxa_atexit|__cxa_begin_catch|__cxa_end_catch|_Unwind_Resume|_ZSt9terminatev)$"
)
"""Functions of libraries that HLS holds, or leaves out. Source: UG1399, "HLS Math Library" and "Unsupported C/C++"."""

OWN_TYPES = re.compile(r"\b(hls::stream|ap_shift_reg)\s*<")
"""Types whose objects HLS makes in its own way: those of the simulation take a name, or have a virtual destructor."""

OF_OWN_TYPES = re.compile(r"(__indirect_call|_ZNSaIcE[CD]\w+|_ZNSt7__cxx1112basic_string\w+E[CD]\w+)$")
"""What making such an object calls in the simulation."""


@dataclass(frozen=True)
class Refusal:
    """Something that HLS would refuse.

    Args:
        rule: What it is: "dynamic memory", "recursion", ...
        chain: Functions from the top to the one that does it; the last is what is called.
        place: File and line of the last call that stands in the project, below its folder.
    """

    rule: str
    chain: tuple[str, ...]
    place: str

    def __str__(self) -> str:
        """Return one line.

        >>> str(Refusal("dynamic memory", ("myproject", "nnet::dense", "malloc"), "firmware/nnet.h:12"))
        'dynamic memory: myproject -> nnet::dense -> malloc (firmware/nnet.h:12)'
        """
        return f"{self.rule}: {' -> '.join(self.chain)}" + (f" ({self.place})" if self.place else "")


def refused_cpp(project: Path) -> tuple[Refusal, ...]:
    """Return all that HLS would refuse of a project, each once, by the first way to it.

    Bodies of ap_types are not looked into: the vendor's tool has its own types of these names.

    Args:
        project: An hls4ml project of the Vivado or Vitis back end.

    Raises:
        FileNotFoundError: If the folder is no such project.
        ValueError: If the top function is not in its file.
        ToolError: If there is no g++, or it fails.
    """
    top = read_hls_project(project).name
    functions = call_graph(project, top)
    starts = [title for title, node in functions.items() if node.defined and re.fullmatch(rf"(\w+::)*{top}", node.name)]
    if not starts:
        raise ValueError(f"{project}: top function must be {top} in firmware/{top}.cpp, not missing; write it again")
    found = dict[tuple[str, ...], Refusal]()
    for refusal in _walk(functions, starts[0], f"{project.resolve()}/"):
        found.setdefault((refusal.rule, refusal.place, *refusal.chain[:-1]), refusal)
    return tuple(found.values())


def _walk(functions: Mapping[str, Function], start: str, root: str) -> Iterator[Refusal]:
    """Go through all that is reachable, depth first and without recursion of our own: chains of templates are deep."""
    path, places = [start], [""]
    waiting = [iter(functions[start].calls.items())]
    done = set[str]()

    def refusal(rule: str, called: str, place: str) -> Refusal:
        """Name the functions of the project, the first one outside, and what it comes to in the end."""
        names = [functions[title].name for title in [*path, called]]
        inside = next((n for n, title in enumerate(path) if not functions[title].file.startswith(root)), len(path))
        chain = names[: inside + 1] + (["..."] if inside + 1 < len(path) else []) + names[max(inside + 1, len(path)) :]
        known = next((at for at in reversed([*places, place]) if at.startswith(root)), "")
        return Refusal(rule, tuple(chain), re.sub(r":\d+$", "", known.removeprefix(root)))

    while path:
        called, place = next(waiting[-1], ("", ""))
        if not called:
            done.add(path.pop())
            places.pop()
            waiting.pop()
            continue
        node = functions[called]
        if called in path:
            yield refusal("recursion", called, place)
        elif called in done or _is_held(node, place):
            continue
        elif not node.defined:
            if (rule := _rule(node.symbol, within=functions[path[-1]].file.startswith(root))) is not None:
                yield refusal(rule, called, place)
        else:
            if node.variable_arrays:
                yield refusal("array whose length is known only at run time", called, place)
            path.append(called)
            places.append(place)
            waiting.append(iter(node.calls.items()))


def _is_held(node: Function, place: str) -> bool:
    if "/ap_types/" in node.file:
        return True
    if place and OF_OWN_TYPES.match(node.symbol):
        file, line, _ = place.rsplit(":", 2)
        return OWN_TYPES.search(Path(file).read_text(errors="replace").splitlines()[int(line) - 1]) is not None
    return not node.defined and HELD.match(node.symbol) is not None


def _rule(symbol: str, *, within: bool) -> str | None:
    if ALLOCATIONS.match(symbol):
        return "dynamic memory"
    if EXCEPTIONS.match(symbol):
        return "exception" if within else None  # of a container that takes memory, which is refused by that name
    return "call through a pointer" if symbol == "__indirect_call" else "library or system call"
