"""C simulation: the compiled project run on integers, on all cores, resumable. Nothing here imports hls4ml."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitwright.export.interface import OFF_GRID
from bitwright.export.operations import Integers
from bitwright.export.program import Program
from bitwright.hls.csim_build import WEIGHTS_VARIABLE
from bitwright.hls.tool_error import ToolError
from bitwright.quant.bipolar import Bipolar, Format

CHUNK = 100
CHECKED = 16
"""Inputs on which the fast headers are compared with the original ones."""
PATIENCE = 20.0
"""Seconds that the original headers may take for them; one input is simulated whatever it takes."""
TOP = "bitwright"
_Doubles = np.ctypeslib.ndpointer(np.float64, flags="C_CONTIGUOUS")


class Simulation:
    """A compiled project, loaded into this process.

    Args:
        library: The shared library.
        project: The project that it was compiled from; its weights are read when the first input runs.
        program: The program that the project was written from: shapes and formats of ports and layers.
    """

    def __init__(self, library: Path, project: Path, program: Program) -> None:
        self.program = program
        self.weights = str((project / "firmware" / "weights").resolve())
        self.library = ctypes.CDLL(str(library))
        self.top = getattr(self.library, f"{TOP}_double")
        self.top.argtypes = [_Doubles, _Doubles]
        self.top.restype = None

    def __call__(self, codes: Integers) -> Integers:
        """Return the output integers ``(N, values)`` for input integers ``(N, *shape)``."""
        inputs = to_wires(codes, self.program.input.format).reshape(len(codes), -1)
        outputs = np.zeros((len(codes), prod(self.program.output.shape)))
        os.environ[WEIGHTS_VARIABLE] = self.weights
        for row, result in zip(inputs, outputs, strict=True):
            self.top(np.ascontiguousarray(row), result)
        return from_wires(outputs, self.program.output.format)

    def trace(self, codes: Integers) -> dict[str, Integers]:
        """Return every layer's integers ``(N, *shape)``, as the project's own taps report them."""

        class Tap(ctypes.Structure):
            _fields_ = [("name", ctypes.c_char_p), ("data", ctypes.c_void_p)]

        names = [operation.name for operation in self.program.operations[1:]]
        taps = (Tap * (len(names) + 8))()
        self.library.allocate_trace_storage.argtypes = [ctypes.c_size_t]
        self.library.allocate_trace_storage(ctypes.sizeof(ctypes.c_double))
        layers: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
        inputs = to_wires(codes, self.program.input.format).reshape(len(codes), -1)
        result = np.zeros(prod(self.program.output.shape))
        os.environ[WEIGHTS_VARIABLE] = self.weights
        try:
            for row in inputs:
                self.top(np.ascontiguousarray(row), result)
                self.library.collect_trace_output(taps)
                for tap in taps:
                    name = (tap.name or b"").decode()
                    if name in layers:
                        size = prod(self.program.tensors[name].shape)
                        values = ctypes.cast(tap.data, ctypes.POINTER(ctypes.c_double * size)).contents
                        layers[name].append(np.array(values))
        finally:
            self.library.free_trace_storage()
        tensors = self.program.tensors
        return {
            name: from_wires(np.stack(rows), tensors[name].format).reshape(len(codes), *tensors[name].shape)
            for name, rows in layers.items()
            if rows
        }


def to_wires(codes: Integers, form: Format) -> NDArray[np.float64]:
    """Return the values that C++ converts to the port's type: 0 and 1 for one bit, else codes times step."""
    if isinstance(form, Bipolar):
        return form.bits(codes).astype(np.float64)
    return codes.astype(np.float64) * form.step


def from_wires(values: NDArray[np.float64], form: Format) -> Integers:
    """Return the codes behind values that came out of C++; `OFF_GRID` where a value is no whole number of steps."""
    codes = 2 * values - 1 if isinstance(form, Bipolar) else values / form.step
    whole = np.rint(codes)
    return np.where(codes == whole, whole, OFF_GRID).astype(np.int64)


def run_csim(
    library: Path,
    project: Path,
    program: Program,
    codes: Integers,
    parts: Path,
    progress: Callable[[int], None] = lambda _: None,
    processes: int | None = None,
) -> Integers:
    """Simulate every input, in as many processes as there are cores.

    Finished chunks lie in ``parts`` until the whole is done: a run that was killed goes on where it was.

    Args:
        library: The compiled project.
        project: Where the project lies.
        program: The program that it was written from.
        codes: Input integers ``(N, *shape)``.
        parts: Folder of the finished chunks; it must belong to this library and these inputs alone.
        progress: Called with the number of inputs done since the last call.
        processes: Side by side; by default as many as there are cores.

    Returns:
        Output integers ``(N, values)``.

    Raises:
        ToolError: If the simulation dies.
    """
    parts.mkdir(parents=True, exist_ok=True)
    starts = list(range(0, len(codes), CHUNK))
    finished = {start: parts / f"{start:09d}.npy" for start in starts}
    todo = [start for start in starts if not finished[start].exists()]
    progress(len(codes) - sum(len(codes[start : start + CHUNK]) for start in todo))
    if todo:
        with _workers(min(processes or os.cpu_count() or 1, len(todo)), library, project, program) as pool:
            try:
                with _without_main():
                    waiting = {pool.submit(_simulate, codes[s : s + CHUNK], finished[s]) for s in todo}
                while waiting:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in done:
                        progress(future.result())
            except BrokenProcessPool as error:
                raise _death(library) from error
            except KeyboardInterrupt:
                pool.shutdown(wait=True, cancel_futures=True)  # what runs is finished and kept
                raise
    return np.concatenate([np.load(finished[start]) for start in starts])


def check_headers(fast: Path, original: Path, project: Path, program: Program, codes: Integers) -> int:
    """Compare two libraries of one project on the first inputs: the fast headers must give the original ones' integers.

    Args:
        fast: The project compiled against the fast headers.
        original: The project compiled against those that hls4ml ships.
        project: Where the project lies.
        program: The program that it was written from.
        codes: Input integers ``(N, *shape)``; the first `CHECKED` are taken, fewer where one input takes long.

    Returns:
        The number of inputs compared.

    Raises:
        ToolError: If an integer differs, or a simulation dies.
    """
    expected = _run_some(original, project, program, codes[:CHECKED], PATIENCE)
    found = _run_some(fast, project, program, codes[: len(expected)], None)
    different = np.argwhere(found != expected)
    if len(different):
        image, value = different[0]
        raise ToolError(
            f"csim: fast headers must give the integers of the original ones, not other ones at input {image}, value "
            f"{value}; run with --csim-headers original and report this network to Bitwright"
        )
    return len(expected)


def _run_some(library: Path, project: Path, program: Program, codes: Integers, seconds: float | None) -> Integers:
    """Simulate inputs in a process of their own, at least one, and no further one once the seconds are over."""
    with _workers(1, library, project, program) as pool:
        try:
            with _without_main():
                simulated = pool.submit(_simulate_some, codes, seconds)
            return simulated.result()
        except BrokenProcessPool as error:
            raise _death(library) from error


@contextmanager
def _without_main() -> Iterator[None]:
    """Let processes start without the user's script: spawned ones would run it again, where it guards itself not."""
    main = sys.modules["__main__"]
    file, spec = getattr(main, "__file__", None), main.__spec__
    main.__file__, main.__spec__ = None, None
    try:
        yield
    finally:
        main.__file__, main.__spec__ = file, spec


def _workers(count: int, library: Path, project: Path, program: Program) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        max_workers=count,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_load,
        initargs=(library, project, program),
    )


def _death(library: Path) -> ToolError:
    return ToolError(f"csim: simulation must run to its end, not die; see what {library.name} prints with one process")


_simulation: Simulation


def _load(library: Path, project: Path, program: Program) -> None:
    global _simulation
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process tells its workers to stop
    threading.Thread(target=_die_with_parent, args=(os.getppid(),), daemon=True).start()
    _simulation = Simulation(library, project, program)


def _die_with_parent(parent: int) -> None:
    """End this process when the one that started it is gone: killed, it tells nobody."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _simulate(codes: Integers, path: Path) -> int:
    result = _simulation(codes)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial.npy")
    np.save(partial, result)
    partial.replace(path)
    return len(codes)


def _simulate_some(codes: Integers, seconds: float | None) -> Integers:
    started = time.monotonic()
    results = []
    for start in range(len(codes)):
        results.append(_simulation(codes[start : start + 1]))
        if seconds is not None and time.monotonic() - started > seconds:
            break
    return np.concatenate(results)
