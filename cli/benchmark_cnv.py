"""`make bench-cnv`: what one experiment's road costs in seconds and memory, by default CNV's on CIFAR-10.

Every step runs in a process of its own, which imports what that step needs and no more: the peaks are of the step.
"""

import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np

from bitwright.cli.benchmark_arguments import Parser, ends_in_one_line
from bitwright.cli.console import err, note, out, progress_bar
from bitwright.cli.experiment import Experiment, read
from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_export import load_array, load_program, save_array, write_lowered
from bitwright.cli.versions import installed
from bitwright.export.interface import input_codes, output_codes, read_interface
from bitwright.export.lower import lower
from bitwright.export.operations import Linear
from bitwright.export.qonnx_file import load
from bitwright.export.qonnx_level import run_qonnx
from bitwright.hls.csim import CHECKED, Simulation, run_csim
from bitwright.hls.csim_build import Headers, build_library, compiler
from bitwright.hls.target import Target
from bitwright.hls.tool_error import ToolError

DEFAULT = Path("configs/cifar10_cnv_w2a2.toml")

P = ParamSpec("P")
R = TypeVar("R")

WHOSE = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)

STATISTICS = 20
"""Batches of training images that an untrained network's batch norms and scales are taken from."""
STATISTICS_BATCH = 32
SIMULATED = 1000
"""Test images that the C simulation runs."""
BESIDE = 8
"""Of these, images that time one core with the fast headers and with the original ones."""
QONNX = 20
"""Test images that qonnx's executor runs."""


@dataclass(frozen=True)
class Cost:
    """What a step took.

    Args:
        seconds: By the clock, in the step itself: without the start of its process.
        cpu_seconds: Of all its processes and threads; other work on the machine stretches these less.
        gibibytes: Most memory that its process, or one that it started, held at once, where known.
    """

    seconds: float
    cpu_seconds: float
    gibibytes: float | None


def measured(step: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> tuple[R, Cost]:
    """Run a step in a process of its own; return its result and its cost."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_timed, partial(step, *args, **kwargs)).result()


def _timed(step: Callable[[], R]) -> tuple[R, Cost]:
    started, used = time.perf_counter(), _cpu_seconds()
    result = step()
    seconds, used = time.perf_counter() - started, _cpu_seconds() - used
    peak = max(resource.getrusage(who).ru_maxrss for who in WHOSE)
    return result, Cost(seconds, used, peak / 1024**2)


def _cpu_seconds() -> float:
    """Return what this process and those that it waited for have used."""
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, WHOSE))


def export_network(experiment: Experiment, checkpoint: Path | None, data_dir: Path | None, run: RunFolder) -> None:
    """Write the graph of a checkpoint, or of the seeded network with the statistics of training images."""
    # torch takes seconds to import, and its memory is none of the other steps'
    import torch  # noqa: PLC0415

    from bitwright.export.torch_export import write_qonnx  # noqa: PLC0415
    from bitwright.models import dataset  # noqa: PLC0415
    from bitwright.models.checkpoint import NetworkDescription  # noqa: PLC0415
    from bitwright.models.checkpoint import load as load_checkpoint  # noqa: PLC0415

    facts = dataset.describe(experiment.data.name)
    description = NetworkDescription(experiment.model, experiment.recipe, facts.input_shape, len(facts.classes))
    if checkpoint is not None:
        network, _ = load_checkpoint(checkpoint, description)
    else:
        torch.manual_seed(experiment.seed)
        network = description.build().train()
        data = dataset.load(experiment.data.name, data_dir, console=err)
        taken = np.random.default_rng(experiment.seed).permutation(len(data.train))[: STATISTICS * STATISTICS_BATCH]
        inputs = torch.from_numpy(data.train.inputs[taken]).float() * facts.input_scale
        with torch.no_grad(), progress_bar("statistics of training images", len(inputs)) as count:
            for batch in torch.split(inputs, STATISTICS_BATCH):
                network(batch)
                count(len(batch))
    write_qonnx(network, facts.input_shape, run.qonnx)


def lower_network(raw_scale: float, run: RunFolder) -> int:
    """Write the integer program; return the number of its weights."""
    network = lower(load(run.qonnx), str(run.qonnx))
    write_lowered(network, run, raw_scale)
    operations = network.program.operations
    return sum(operation.weight.size for operation in operations if isinstance(operation, Linear))


def write_inputs(experiment: Experiment, data_dir: Path | None, run: RunFolder) -> int:
    """Write the test set's integers; return their number."""
    from bitwright.models import dataset  # noqa: PLC0415 - scikit-learn takes a second

    split = dataset.load_test(experiment.data.name, data_dir, console=err)
    scale = dataset.describe(experiment.data.name).input_scale
    codes = input_codes(lower(load(run.qonnx)), split.inputs.astype(np.float32) * np.float32(scale))
    save_array(run.inputs, codes.astype(np.int32))
    return len(codes)


def write_project(target: Target, run: RunFolder) -> None:
    """Write the hls4ml project with the minimal types."""
    # hls4ml takes seconds to import
    from bitwright.export.precision import minimal  # noqa: PLC0415
    from bitwright.hls.project import write_project as write  # noqa: PLC0415

    program = load_program(run)
    write(program, minimal(program), target, run.project)


def compile_as_hls4ml(run: RunFolder) -> None:
    """Run the script that hls4ml wrote into the project, in a copy.

    Raises:
        ToolError: If it fails.
    """
    with tempfile.TemporaryDirectory(dir=run.path) as folder:
        copy = Path(folder) / "hls"
        shutil.copytree(run.project, copy)
        command = ["bash", "build_lib.sh"]
        result = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
        if result.returncode:
            log = run.path / "build_lib.log"
            log.write_text(result.stderr)
            said = f"not exit with status {result.returncode}; see {log}"
            raise ToolError(f"hls4ml: build_lib.sh must succeed, {said}", command, result.returncode, log)


def run_program(run: RunFolder) -> None:
    """Run the integer executor on the whole test set."""
    program, inputs = load_program(run), load_array(run.inputs)
    with progress_bar("integer executor", len(inputs)) as count:
        save_array(run.output("program"), program(inputs, count))


def seconds_an_image(library: Path, run: RunFolder) -> float:
    """Return the CPU seconds of an image in a compiled project, of the first few, once its weights are read."""
    simulation, codes = Simulation(library, run.project, load_program(run)), load_array(run.inputs)[:BESIDE]
    simulation(codes[:1])
    started = time.process_time()
    simulation(codes)
    return (time.process_time() - started) / len(codes)


def beside_qonnx(experiment: Experiment, data_dir: Path | None, run: RunFolder) -> tuple[bool, dict[str, float]]:
    """Run the first images at both levels; return whether the integers are equal, and the seconds."""
    from bitwright.models import dataset  # noqa: PLC0415

    scale = dataset.describe(experiment.data.name).input_scale
    raw = dataset.load_test(experiment.data.name, data_dir, console=err).inputs[:QONNX]
    values = raw.astype(np.float32) * np.float32(scale)
    model, program, codes = load(run.qonnx), load_program(run), load_array(run.inputs)[: len(values)]
    program(codes[:1])  # threads and caches warm, as qonnx's after its first image
    run_qonnx(model, values[:1], batch=1)
    seconds = {}
    with progress_bar("qonnx's executor", 2 * len(values)) as count:
        started = time.perf_counter()
        expected = run_qonnx(model, values, count, batch=1)
        seconds["image by image"] = time.perf_counter() - started
        started = time.perf_counter()
        run_qonnx(model, values, count, batch=len(values))
        seconds["in one batch"] = time.perf_counter() - started
    started = time.perf_counter()
    found = program(codes)
    seconds["integer executor"] = time.perf_counter() - started
    port = read_interface(run.interface).output
    return bool((found == output_codes(port, expected)).all()), seconds


@dataclass(frozen=True)
class Bench:
    """One experiment's road, step by step, each with its line of the report.

    Args:
        experiment: The network, its data and the target.
        checkpoint: Its weights; None: seeded ones.
        data_dir: The data folder, if not the usual one.
        run: Where everything is written: a new folder, for what lay there would not be made again.
    """

    experiment: Experiment
    checkpoint: Path | None
    data_dir: Path | None
    run: RunFolder

    def measure(self) -> bool:
        """Print what every step costs; return whether all integers agree."""
        from bitwright.models import dataset  # noqa: PLC0415 - scikit-learn takes a second

        experiment, data_dir, run = self.experiment, self.data_dir, self.run
        run.create()
        self._print_head()
        _step("export to QONNX, torch included", export_network, experiment, self.checkpoint, data_dir, run)
        scale = dataset.describe(experiment.data.name).input_scale
        weights = _step("lowering, checks and files included", lower_network, scale, run)
        images = _step("test set as integers", write_inputs, experiment, data_dir, run)
        _step("writing the hls4ml project", write_project, experiment.hls, run)
        _print(f"{weights:,} weights, {images:,} test images")
        libraries: dict[Headers, Path] = {
            headers: _step(f"compiling, {headers} headers", build_library, run.project, run.csim, headers)
            for headers in ("fast", "original")
        }
        _step("compiling, hls4ml's own build_lib.sh", compile_as_hls4ml, run)
        _step(f"integer executor, {images:,} images", run_program, run)
        return all([self._simulation(libraries), self._executors()])

    def _print_head(self) -> None:
        versions = ", ".join(f"{part} {version}" for part, version in installed().items())
        gcc = subprocess.run([compiler(), "-dumpfullversion"], capture_output=True, text=True, check=False).stdout
        taken = f"seeded weights, statistics of {STATISTICS * STATISTICS_BATCH} training images"
        out.print(f"{versions}, g++ {gcc.strip()}", markup=False)
        out.print(
            f"{self.experiment.name}: {self.checkpoint or taken}; seed {self.experiment.seed}; {os.cpu_count()} cores",
            markup=False,
        )

    def _simulation(self, libraries: dict[Headers, Path]) -> bool:
        """Run the images with the fast headers, and the first of them with the original ones too."""
        fast = self._different(libraries["fast"], "fast", SIMULATED)
        original = self._different(libraries["original"], "original", CHECKED)
        seconds = {}
        for headers, library in libraries.items():
            note(f"csim, {headers} headers, one core ...")
            seconds[headers], _ = measured(seconds_an_image, library, self.run)
        times = seconds["original"] / seconds["fast"]
        _print(
            f"CPU seconds an image: {seconds['fast']:.3f} with the fast headers, "
            f"{seconds['original']:.3f} with the original ones, {times:.1f} x"
        )
        return fast == original == 0

    def _different(self, library: Path, headers: Headers, images: int) -> int:
        """Simulate the first images; return how many integers are not the program's."""
        run = self.run
        codes, expected = load_array(run.inputs)[:images], load_array(run.output("program"))[:images]
        started, used = time.perf_counter(), _cpu_seconds()
        with progress_bar(f"csim, {headers} headers", len(codes)) as count:
            found = run_csim(library, run.project, load_program(run), codes, run.csim / f"parts-{headers}", count)
        _print_cost(
            f"csim, {headers} headers, {len(codes):,} images",
            Cost(time.perf_counter() - started, _cpu_seconds() - used, None),
        )
        different = int((found != expected).sum())
        _print(f"{found.size:,} integers, {different:,} different from the program's")
        return different

    def _executors(self) -> bool:
        note("qonnx's executor ...")
        (same, seconds), _ = measured(beside_qonnx, self.experiment, self.data_dir, self.run)
        own = seconds.pop("integer executor")
        for name, value in seconds.items():
            _print(f"qonnx's executor, {QONNX} images {name}: {value / own:.1f} x the integer executor's time")
        _print(f"integers {'equal' if same else 'DIFFERENT'}")
        return same


def _step(name: str, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    note(f"{name} ...")
    result, cost = measured(work, *args, **kwargs)
    _print_cost(name, cost)
    return result


def _print_cost(name: str, cost: Cost) -> None:
    memory = "" if cost.gibibytes is None else f" {cost.gibibytes:7.2f} GiB"
    _print(f"{name:<40} {cost.seconds:8.2f} s {cost.cpu_seconds:8.2f} s CPU{memory}")


def _print(text: str) -> None:
    out.print(f"  {text}", markup=False)


@ends_in_one_line
def main(arguments: Sequence[str]) -> int:
    """Measure one experiment's road: export, lowering, project, compilers, simulation, executors."""
    parser = Parser(__file__, __doc__)
    parser.add_argument(
        "experiment", nargs="?", type=Path, metavar="EXPERIMENT", default=DEFAULT, help="an experiment's TOML file"
    )
    parser.add_argument("--checkpoint", type=Path, help="its weights; without it, seeded ones")
    parser.add_argument("--data-dir", type=Path, help="folder of the data sets")
    options = parser.read(arguments)
    settings = read(options.experiment)
    with tempfile.TemporaryDirectory(prefix="bitwright-bench-") as scratch:
        bench = Bench(settings, options.checkpoint, options.data_dir, RunFolder(Path(scratch)))
        return 0 if bench.measure() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
