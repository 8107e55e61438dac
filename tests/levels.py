"""One network at every level: which integers differ, between which levels, and at which layer first."""

import re
import signal
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from levels_simulation import SimulationError, simulated
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.change_batchsize import ChangeBatchSize
from qonnx.transformation.infer_shapes import InferShapes

from bitwright.export.constants import read_quantizer
from bitwright.export.interface import describe, input_codes, output_codes
from bitwright.export.layer_names import layer_name
from bitwright.export.lower import LoweredNetwork, lower
from bitwright.export.operations import Integers
from bitwright.export.passes import clean
from bitwright.export.precision import minimal
from bitwright.export.problems import UnsupportedOperatorError
from bitwright.export.program import Program
from bitwright.export.program_file import read, write
from bitwright.export.qonnx_file import load, save
from bitwright.export.qonnx_level import run_qonnx
from bitwright.hls.csim_build import build_library
from bitwright.hls.project import write_project
from bitwright.hls.target import Target

FILE = "model"
MOST_SECONDS = 60.0
"""Of the processor, that one network may take."""

PROPER = re.compile(r"^[^:\n]+: .*\bmust\b.*; .+$")
"""A line of a refusal: where, what must be, and what to do."""

UNREFINED = "see docs/limits.md"
"""The remedy of a ValueError that no rule turned into a refusal of its own."""

Result = Literal[
    "equal", "refused", "float32 decided otherwise", "torch and onnxruntime differ", "differing", "crashed"
]


@dataclass(frozen=True, eq=False)
class Case:
    """A network, and what it is asked.

    Args:
        description: In short.
        model: The graph, of batch size one.
        inputs: Float32 ``(N, ...)``.
        torch: PyTorch's outputs ``(N, values)``, where there is a network of PyTorch.
        exact: Whether float32 rounds nowhere, so that PyTorch must give onnxruntime's integers.
    """

    description: str
    model: ModelWrapper
    inputs: NDArray[np.float32]
    torch: NDArray[np.float32] | None = None
    exact: bool = False


@dataclass(frozen=True)
class Verdict:
    """What became of a case.

    Args:
        result: In one word or two.
        where: Of a difference, the two levels; of a crash, the exception and the line of the project.
        detail: Of a difference, the layer and the number of integers; of a crash, the traceback; of a refusal, its
            text.
        undecided: Whether there are sums that float32 does not decide.
        simulated: Whether the C simulation was compared.
        compared: Integers at the output of each level.
        different: Of them, those that differ from the program's.
        seconds: That the lowering took.
    """

    result: Result
    where: str = ""
    detail: str = ""
    undecided: bool = False
    simulated: bool = False
    compared: int = 0
    different: int = 0
    seconds: float = 0.0

    @property
    def is_finding(self) -> bool:
        """Whether something is wrong with the project."""
        return self.result in ("differing", "crashed")

    def reasons(self) -> list[str]:
        """Return why a network was refused, without names and numbers."""
        return [_reason(line) for line in self.detail.splitlines()]


def _reason(line: str) -> str:
    what = line.split("): ", 1)[1] if "): " in line else line.split(": ", 1)[-1]
    return re.sub(r"-?\d[\d.e+-]*", "#", what.split("; ")[0])[:160]


@dataclass
class DifferenceError(Exception):
    """Integers that differ."""

    where: str
    detail: str
    compared: int
    different: int
    result: Result = "differing"


class TooSlowError(Exception):
    """A network that takes too long."""


@dataclass(eq=False)
class _Levels:
    """The levels of one case, each compared with the program."""

    case: Case
    network: LoweredNetwork
    doubtful: bool
    codes: Integers = field(init=False)
    expected: Integers = field(init=False)

    def __post_init__(self) -> None:
        self.codes = input_codes(self.network, self.case.inputs)
        self.expected = self.network.program(self.codes)

    def compare(self, level: str, found: Integers, layer: str = "", result: Result = "differing") -> None:
        different = int((found != self.expected).sum())
        if different:
            first = np.argwhere(found != self.expected)[0]
            detail = (
                f"{different} of {found.size} integers; the first at input {first[0]}, value {first[1]}: program "
                f"{self.expected[tuple(first)]}, {level} {found[tuple(first)]}"
            )
            detail += f"; first layer {layer}" if layer else ""
            raise DifferenceError(f"{level} and program", detail, found.size, different, result)

    def graph(self) -> None:
        """Compare qonnx and torch."""
        port = describe(self.network).output
        model = without_softmax(self.case.model) if self.network.softmax else self.case.model
        found = output_codes(port, run_qonnx(model, self.case.inputs))
        outputs = self.case.torch
        torch_codes = None if outputs is None or self.network.softmax else output_codes(port, outputs)
        if (found != self.expected).any():
            doubt: Result = "float32 decided otherwise" if self.doubtful else "differing"
            self.compare("qonnx", found, _first_in_graph(self.case, self.network, self.codes), doubt)
        if torch_codes is not None:
            apart: Result = "differing" if self.case.exact else "torch and onnxruntime differ"
            self.compare("torch", torch_codes, "", "float32 decided otherwise" if self.doubtful else apart)

    def file(self) -> None:
        """Compare the lowered file, executed by qonnx and read back."""
        program = self.network.program
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.lowered.onnx"
            save(write(program), path)
            again = load(path)
        tensors = dict(_file_tensors(again, program, self.codes))
        last = program.operations[-1].name
        found = tensors[last].reshape(len(self.codes), -1)
        if (found != self.expected).any():
            trace = dict(program.trace(self.codes))
            first = next(name for name in trace if name in tensors and (tensors[name] != trace[name]).any())
            self.compare("lowered file", found, first)
        self.compare("program read back", read(again)(self.codes))

    def csim(self, target: Target, folder: Path) -> None:
        """Compare the C simulation."""
        program = self.network.program
        project = folder / "hls"
        write_project(program, minimal(program), target, project)
        library = build_library(project, folder / "csim", headers="fast")
        found = simulated(library, project, program, self.codes, folder, trace=False)
        assert isinstance(found, np.ndarray)
        if (found != self.expected).any():
            layers = simulated(library, project, program, self.codes[:1], folder, trace=True)
            assert isinstance(layers, dict)
            trace = program.trace(self.codes[:1])
            first = next((name for name, want in trace if (layers.get(name, want) != want).any()), "unknown")
            self.compare("csim", found, first)


def examine(case: Case, target: Target | None, folder: Path) -> Verdict:
    """Lower a case and compare all levels.

    Args:
        case: The network.
        target: What its project is written for; None to leave the C simulation out.
        folder: For the project.
    """

    def stop(*_: object) -> None:
        raise TooSlowError(f"model: network must take at most {MOST_SECONDS:g} s, not more")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_SECONDS)
    try:
        return _examine(case, target, folder)
    except TooSlowError as error:
        return crash(error)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _examine(case: Case, target: Target | None, folder: Path) -> Verdict:
    started = time.process_time()
    try:
        model = _as_read(case.model, folder)
        network = lower(model, FILE)
    except UnsupportedOperatorError as refusal:
        return _refused(str(refusal))
    except Exception as error:  # noqa: BLE001 - a crash is what is looked for
        return crash(error)
    seconds = time.process_time() - started
    undecided = any(network.undecided.values())
    doubtful = not case.exact and (undecided or network.output_noise >= 0.5)
    compared = 0
    try:
        levels = _Levels(case, network, doubtful)
        compared = levels.expected.size
        doubt = None
        try:
            levels.graph()
        except DifferenceError as difference:
            if difference.result == "differing":
                raise
            doubt = difference
        levels.file()
        if target is not None:
            levels.csim(target, folder)
        if doubt is not None:
            raise doubt
    except DifferenceError as difference:
        return Verdict(
            difference.result,
            difference.where,
            difference.detail,
            undecided,
            target is not None,
            compared,
            difference.different,
            seconds,
        )
    except ValueError as error:
        return _refused(str(error)) if _is_proper(str(error)) else crash(error)
    except Exception as error:  # noqa: BLE001 - as above
        return crash(error)
    return Verdict("equal", undecided=undecided, simulated=target is not None, compared=compared, seconds=seconds)


def _as_read(model: ModelWrapper, folder: Path) -> ModelWrapper:
    """Return a model that was written and read: with all that a file is checked for."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{FILE}.onnx"
    save(model, path)
    return load(path)


def _is_proper(text: str) -> bool:
    return all(PROPER.match(line) and not line.endswith(UNREFINED) for line in text.splitlines())


def _refused(text: str) -> Verdict:
    if _is_proper(text):
        return Verdict("refused", detail=text)
    return Verdict("crashed", "refusal without a rule or a remedy: " + _reason(text.splitlines()[0]), text)


def crash(error: Exception) -> Verdict:
    """Return the verdict on an exception that nobody should see."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "/tests/" not in f.filename and "site-packages" not in f.filename] or list(frames)
    place = f"{type(error).__name__} at {Path(own[-1].filename).name}:{own[-1].lineno}"
    where = _reason(str(error)) if isinstance(error, SimulationError | TooSlowError) else place
    return Verdict("crashed", where, "".join(traceback.format_exception(error)))


def without_softmax(model: ModelWrapper) -> ModelWrapper:
    """Return the graph without the softmax at its end."""
    copy = ModelWrapper(model.model, make_deepcopy=True)
    output = copy.graph.output[0]
    while True:
        node = copy.find_producer(output.name)
        if node is None or node.op_type not in ("Softmax", "LogSoftmax", "Identity"):
            return copy
        before = node.input[0]
        copy.graph.node.remove(node)
        for port in [port for port in copy.graph.value_info if port.name == before]:
            copy.graph.value_info.remove(port)
        output.name = before


def _first_in_graph(case: Case, network: LoweredNetwork, codes: Integers) -> str:
    """Return the first quantiser whose integers are not those of the operation of its name; "" if none is found."""
    model = clean(case.model)
    for node in model.graph.node:  # each quantiser's result must be looked up by its own name
        node.name = node.name or node.output[0]
    resized = _resized(model, len(codes))
    context = execute_onnx(resized, {resized.graph.input[0].name: case.inputs}, return_full_exec_context=True)
    trace = dict(network.program.trace(codes))
    for node in model.graph.node:
        name = layer_name(node, set())
        if node.op_type != "Quant" or name not in trace:
            continue
        quantizer = read_quantizer(model, node)
        values = np.asarray(context[node.output[0]], np.float64)
        found = np.rint(values / quantizer.scale + quantizer.zero_point)
        found = np.moveaxis(found, 1, -1).reshape(len(codes), -1)
        expected = trace[name].reshape(len(codes), -1)
        if found.shape == expected.shape and (np.sort(found) != np.sort(expected)).any():
            return f"{name} (at the latest)"
    return ""


def _resized(model: ModelWrapper, batch: int) -> ModelWrapper:
    copy = ModelWrapper(model.model, make_deepcopy=True)
    return copy.transform(ChangeBatchSize(batch)).transform(InferShapes())


def _file_tensors(model: ModelWrapper, program: Program, codes: Integers) -> Iterator[tuple[str, Integers]]:
    """Yield every operation's integers as qonnx computes them from the lowered file."""
    resized = ModelWrapper(model.model, make_deepcopy=True)
    for port in [*resized.graph.input, *resized.graph.output, *resized.graph.value_info]:
        if not port.name.endswith(".weight_quant") and resized.get_initializer(port.name) is None:
            port.type.tensor_type.shape.dim[0].dim_value = len(codes)
    values = (codes * program.input.format.step).astype(np.float32)
    context = execute_onnx(resized, {resized.graph.input[0].name: values}, return_full_exec_context=True)
    for name, tensor in program.tensors.items():
        if name in context:
            steps = np.asarray(context[name], np.float64) / tensor.format.step
            whole = np.where(steps == np.rint(steps), steps, np.iinfo(np.int32).min)
            yield name, whole.astype(np.int64).reshape(len(codes), *tensor.shape)
