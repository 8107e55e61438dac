"""How fast a network runs on this machine's CPU: in PyTorch, in ONNX Runtime, and as the integer program."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import nn

from bitwright.cli.compare_facts import RunFacts
from bitwright.cli.compare_onnxruntime import float32_and_int8
from bitwright.cli.stage_export import load_array
from bitwright.export.interface import Port, output_values, read_interface
from bitwright.export.operations import Integers
from bitwright.export.torch_level import run_torch
from bitwright.models import dataset
from bitwright.models.checkpoint import NetworkDescription
from bitwright.quant.recipe import Recipe

FLOAT32, FLOAT32_ONNXRUNTIME, INT8, PROGRAM = "float32", "float32_onnxruntime", "int8", "program"
KINDS = (FLOAT32, FLOAT32_ONNXRUNTIME, INT8, PROGRAM)

THREADS_VARIABLE = "OMP_NUM_THREADS"
"""What the integer program's executor asks how many threads it may have."""

LEAST_ROUNDS, MOST_ROUNDS = 3, 25
ENOUGH_SECONDS = 1.5
"""After so long no further round is begun, once there were enough of them."""


@dataclass(frozen=True)
class Speed:
    """Of one network, in images (inputs) a second, and as multiples of float32's.

    Args:
        run: Name of the run that was timed.
        images: That were timed, in batches of 256 at most.
        float32: Of PyTorch, in float32, batch norms folded into the layers where the network can be without them.
        float32_onnxruntime: Of the same in ONNX Runtime.
        int8: Of the same in ONNX Runtime, all of it quantised statically to 8 bits.
        program: Of the integer program; None where there is none.
        float32_onnxruntime_of_float32: Ratio.
        int8_of_float32: Ratio.
        program_of_float32: Ratio.
    """

    run: str
    images: int
    float32: float
    float32_onnxruntime: float
    int8: float
    program: float | None
    float32_onnxruntime_of_float32: float
    int8_of_float32: float
    program_of_float32: float | None


def speed(facts: RunFacts, images: int, threads: int, data_dir: Path | None) -> Speed:
    """Time a run's network, and float32 and int8 of the same topology, in turn on the same inputs.

    Args:
        facts: The run.
        images: Inputs of the test set at most.
        threads: Of each; see `fastest`.
        data_dir: Of the data sets, for a run that was not exported.

    Raises:
        ValueError: If the inputs cannot be read, or the program does not give the integers that it gave.
        OSError: Likewise.
    """
    codes, values = _inputs(facts, images, data_dir)
    network = float_network(facts)
    float32, int8 = float32_and_int8(network, values, threads)
    calls: dict[str, Callable[[], NDArray[Any]]] = {
        FLOAT32: partial(run_torch, network, values),
        FLOAT32_ONNXRUNTIME: partial(float32, values),
        INT8: partial(int8, values),
    }
    if codes is not None and facts.program is not None:
        calls[PROGRAM] = partial(facts.program, codes)
    seconds, results = fastest(calls, threads)
    if PROGRAM in results:
        _check(facts, results[PROGRAM])
    rates = {kind: len(values) / taken for kind, taken in seconds.items()}
    ratios = {kind: round(rate / rates[FLOAT32], 3) for kind, rate in rates.items()}
    shown = {kind: round(rate, 1) for kind, rate in rates.items()}
    return Speed(
        run=facts.name,
        images=len(values),
        float32=shown[FLOAT32],
        float32_onnxruntime=shown[FLOAT32_ONNXRUNTIME],
        int8=shown[INT8],
        program=shown.get(PROGRAM),
        float32_onnxruntime_of_float32=ratios[FLOAT32_ONNXRUNTIME],
        int8_of_float32=ratios[INT8],
        program_of_float32=ratios.get(PROGRAM),
    )


def float_network(facts: RunFacts) -> nn.Module:
    """Return the run's topology in float32, in eval mode: with biases where batch norms are folded into the layers.

    A FracBNN keeps its batch norms, which stand behind its shortcuts and are part of no layer. The weights are random;
    how long it takes does not depend on them.
    """
    data = dataset.describe(facts.experiment.data.name)
    model = facts.experiment.model
    model = model.model_copy(update={"batch_norm": model.kind == "fracbnn"})
    return NetworkDescription(model, Recipe.floating(), data.input_shape, len(data.classes)).build().eval()


def fastest(
    calls: Mapping[str, Callable[[], NDArray[Any]]], threads: int
) -> tuple[dict[str, float], dict[str, NDArray[Any]]]:
    """Call all in turn, round after round; return the least times in seconds, and the results.

    One thread is timed by the CPU time that it takes, which other work on the machine hardly disturbs; several by the
    clock on the wall: where they must share the cores with others, PyTorch's wait for each other most of the time.

    Args:
        calls: By name.
        threads: Of each call: PyTorch's, and the integer program's; ONNX Runtime's sessions have their own.
    """
    clock = time.process_time if threads == 1 else time.perf_counter
    seconds = dict.fromkeys(calls, float("inf"))
    results: dict[str, NDArray[Any]] = {}
    with _limited(threads):
        began = time.perf_counter()
        for number in range(MOST_ROUNDS):
            if number >= LEAST_ROUNDS and time.perf_counter() - began > ENOUGH_SECONDS:
                break
            for name, call in calls.items():
                started = clock()
                results[name] = call()
                seconds[name] = min(seconds[name], clock() - started)
    return seconds, results


@contextmanager
def _limited(threads: int) -> Iterator[None]:
    """Let PyTorch, NumPy's BLAS and the integer program have so many threads each."""
    torch_had, environment_had = torch.get_num_threads(), os.environ.get(THREADS_VARIABLE)
    try:
        torch.set_num_threads(threads)
        os.environ[THREADS_VARIABLE] = str(threads)
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(torch_had)
        del os.environ[THREADS_VARIABLE]
        if environment_had is not None:
            os.environ[THREADS_VARIABLE] = environment_had


def _inputs(facts: RunFacts, images: int, data_dir: Path | None) -> tuple[Integers | None, NDArray[np.float32]]:
    """Return test inputs as the program's integers, and as the network's floats."""
    if facts.program is not None:
        codes = load_array(facts.run.inputs)[:images]
        return codes, network_values(read_interface(facts.run.interface).input, codes)
    name = facts.experiment.data.name
    raw = dataset.load_test(name, data_dir, download=False).inputs[:images]
    return None, raw.astype(np.float32) * np.float32(dataset.describe(name).input_scale)


def network_values(port: Port, codes: Integers) -> NDArray[np.float32]:
    """Return the network's float input behind the integers of its port, ``(N, *network_shape)``.

    >>> port = Port((2, 1, 3), "channels_last", "ap_ufixed<4,4>", 0.5, 0.0, (3, 2, 1), (1, 2, 0))
    >>> network_values(port, np.arange(6).reshape(1, 2, 1, 3)).tolist()
    [[[[0.0], [1.5]], [[0.5], [2.0]], [[1.0], [2.5]]]]
    """
    ordered = output_values(port, codes).reshape(len(codes), *(port.network_shape[axis] for axis in port.axes))
    back = np.argsort(port.axes)
    return np.ascontiguousarray(ordered.transpose(0, *(int(axis) + 1 for axis in back)), np.float32)


def _check(facts: RunFacts, found: NDArray[Any]) -> None:
    """Refuse integers that are not those that the run was verified with."""
    path = facts.run.output("program")
    if path.is_file():
        different = int((load_array(path)[: len(found)] != found).sum())
        if different:
            raise ValueError(
                f"{path}: integers must be those that the program gives now, not {different} others; "
                "run `bitwright verify`"
            )
