"""`make bench-packed`: 1-bit networks as integers, packed and with BLAS, beside float32 and int8."""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from rich.table import Table
from torch import nn

from bitwright.cli.benchmark_arguments import Parser, ends_in_one_line, one_of, whole
from bitwright.cli.compare_onnxruntime import float32_and_int8
from bitwright.cli.console import note, out
from bitwright.cli.versions import installed
from bitwright.export.interface import describe, input_codes, output_codes
from bitwright.export.lower import lower
from bitwright.export.native import library
from bitwright.export.operations import Conv2d, Dense, Integers, Operation
from bitwright.export.program import Program, threads
from bitwright.export.qonnx_file import load
from bitwright.export.torch_export import write_qonnx
from bitwright.models.checkpoint import NetworkDescription
from bitwright.models.settings import ModelSettings
from bitwright.quant.bipolar import Format
from bitwright.quant.recipe import Recipe

MNIST, CIFAR10 = (1, 28, 28), (3, 32, 32)

NETWORKS: Mapping[str, tuple[ModelSettings, tuple[int, ...]]] = {
    "TFC": (ModelSettings(hidden=(64, 64, 64)), MNIST),
    "SFC": (ModelSettings(hidden=(256, 256, 256)), MNIST),
    "LFC": (ModelSettings(hidden=(1024, 1024, 1024)), MNIST),
    "LeNet-5": (ModelSettings(kind="lenet5"), MNIST),
    "CNV": (ModelSettings(kind="cnv"), CIFAR10),
}
"""The published binary networks of MNIST and CIFAR-10, by name, and the shape of their images."""
BATCHES = (1, 1000)
CALLS = 50
"""Calls of a batch of one that are timed together."""
SEED = 1

FLOAT, BREVITAS, BLAS, PACKED = "PyTorch float32", "Brevitas", "integers, BLAS", "integers, packed"
RUNTIME_FLOAT, RUNTIME_INT8 = "ONNX Runtime float32", "ONNX Runtime int8"


class _BlasDense(Dense):
    def run(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Leave the bits unused."""
        return self.run_blas(codes, format)


class _BlasConv2d(Conv2d):
    def run(self, codes: Integers, format: Format) -> Integers:  # noqa: A002
        """Leave the bits unused."""
        return self.run_blas(codes, format)


def with_blas(program: Program) -> Program:
    """Return the same program with every product in floats."""
    return Program(tuple(map(_with_blas, program.operations)))


def _with_blas(operation: Operation) -> Operation:
    kinds: dict[type[Operation], type[Operation]] = {Dense: _BlasDense, Conv2d: _BlasConv2d}
    kind = kinds.get(type(operation))
    if kind is None:
        return operation
    return kind(**{field.name: getattr(operation, field.name) for field in fields(operation)})


@dataclass(frozen=True)
class Contest:
    """One network in every way that it runs.

    Args:
        ways: By name, what maps a batch of values and the same as integers to scores.
        values: Images ``(N, C, H, W)``, float32.
        codes: The same as integers.
        same: Whether the integers of all ways are equal.
    """

    ways: Mapping[str, Callable[[torch.Tensor, Integers], object]]
    values: torch.Tensor
    codes: Integers
    same: bool

    def seconds(self, batch: int, rounds: int, clock: Callable[[], float]) -> dict[str, float]:
        """Return the median time of a call of each way; every round times each once: all share a bad moment."""
        values, codes = self.values[:batch], self.codes[:batch]
        calls = max(1, CALLS // batch)
        found: dict[str, list[float]] = {name: [] for name in self.ways}
        for _ in range(rounds):
            for name, way in self.ways.items():
                way(values, codes)  # caches and threads are its own again
                started = clock()
                for _ in range(calls):
                    way(values, codes)
                found[name].append((clock() - started) / calls)
        return {name: statistics.median(times) for name, times in found.items()}


def contest(settings: ModelSettings, shape: tuple[int, ...], images: int) -> Contest:
    """Build a network with random weights in float and in one bit, lower it, and compare the integers."""
    torch.manual_seed(SEED)
    networks: dict[str, nn.Module] = {
        FLOAT: NetworkDescription(settings, Recipe.floating(), shape, 10).build(),
        BREVITAS: NetworkDescription(settings, Recipe(weight_bit_width=1, activation_bit_width=1), shape, 10).build(),
    }
    with torch.no_grad():
        for network in networks.values():
            for _ in range(20):  # statistics for batch norms and scales
                network.train()(torch.rand(64, *shape))
            network.eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        write_qonnx(networks[BREVITAS], shape, path)
        lowered = lower(load(path))
    networks[BREVITAS].eval()
    values = np.random.default_rng(SEED).integers(0, 256, (images, *shape)).astype(np.float32) / np.float32(256)
    codes, tensor = input_codes(lowered, values), torch.from_numpy(values)
    packed, blas = lowered.program, with_blas(lowered.program)
    with torch.inference_mode():
        scores = networks[BREVITAS](tensor).numpy()
    wanted = output_codes(describe(lowered).output, scores)
    same = all(bool((program(codes) == wanted).all()) for program in (packed, blas))
    float32, int8 = float32_and_int8(networks[FLOAT], values, threads())
    ways: dict[str, Callable[[torch.Tensor, Integers], object]] = {
        FLOAT: lambda values, _: networks[FLOAT](values),
        RUNTIME_FLOAT: lambda values, _: float32(values.numpy()),
        RUNTIME_INT8: lambda values, _: int8(values.numpy()),
        BREVITAS: lambda values, _: networks[BREVITAS](values),
        BLAS: lambda _, codes: blas(codes),
        PACKED: lambda _, codes: packed(codes),
    }
    return Contest(ways, tensor, codes, same)


def measure(names: Sequence[str], batches: Sequence[int], rounds: int, clock: Callable[[], float]) -> bool:
    """Print each network's times and how many times as fast the packed words are; return whether all integers agree."""
    table = Table(
        title=f"milliseconds a batch, median of {rounds} rounds; packed words are so many times as fast as ..."
    )
    others = (FLOAT, RUNTIME_FLOAT, RUNTIME_INT8, BREVITAS, BLAS)
    for column in ("network", "batch", *others, PACKED, *(f"... {name}" for name in others)):
        table.add_column(column, justify="left" if column == "network" else "right")
    same = True
    for name in names:
        note(f"{name} ...")
        one = contest(*NETWORKS[name], max(batches))
        same &= one.same
        for batch in batches:
            with torch.inference_mode():
                times = one.seconds(batch, rounds, clock)
            ratios = (f"{times[way] / times[PACKED]:.1f} x" for way in others)
            shown = (f"{1000 * times[way]:.3f}" for way in (*others, PACKED))
            table.add_row(name, f"{batch:,}", *shown, *ratios)
    out.print(table)
    out.print(f"integers {'equal' if same else 'DIFFERENT'}: Brevitas, BLAS, packed")
    return same


@ends_in_one_line
def main(arguments: Sequence[str]) -> int:
    """Measure the binary networks of MNIST and CIFAR-10 with seeded random weights, on images of random pixels."""
    parser = Parser(__file__, __doc__)
    parser.add_argument(
        "networks",
        nargs="*",
        type=one_of(NETWORKS),
        metavar="NETWORK",
        help=f"of {', '.join(NETWORKS)}; all, if left out",
    )
    parser.add_argument("--rounds", type=whole(1), default=21, help="times that each is measured")
    parser.add_argument("--cpu-time", action="store_true", help="CPU time: for one thread on a busy machine")
    options = parser.read(arguments)
    torch.set_num_threads(threads())
    versions = ", ".join(f"{part} {version}" for part, version in installed().items())
    out.print(f"{versions}; seed {SEED}; {threads()} threads", markup=False)
    if library() is None:
        note("g++ must be on the PATH, not missing: packed layers run with BLAS; install g++")
    clock = time.process_time if options.cpu_time else time.perf_counter
    return 0 if measure(options.networks or list(NETWORKS), BATCHES, options.rounds, clock) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
