"""`make bench`: the integer executor beside qonnx's executor, on the same images of LeNet-5, in one run."""

import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from bitwright.cli.benchmark_arguments import Parser, ends_in_one_line
from bitwright.cli.console import out
from bitwright.cli.versions import installed
from bitwright.export.interface import describe, input_codes, output_codes
from bitwright.export.lower import lower
from bitwright.export.qonnx_file import load
from bitwright.export.qonnx_level import run_qonnx
from bitwright.export.torch_export import write_qonnx
from bitwright.models.network import build
from bitwright.models.settings import ModelSettings
from bitwright.quant.recipe import Recipe

SUBSET = 300
WHOLE = 10_000
SEED = 1


def measure(bit_width: int) -> bool:
    """Print the times of LeNet-5 of a width with random weights, on random 28x28 images; return whether all agree."""
    torch.manual_seed(SEED)
    recipe = Recipe(weight_bit_width=bit_width, activation_bit_width=bit_width)
    network = build(ModelSettings(kind="lenet5"), recipe, (1, 28, 28), 10)
    with torch.no_grad():
        for _ in range(20):  # statistics for batch norms and scales
            network.train()(torch.rand(64, 1, 28, 28))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lenet5.onnx"
        write_qonnx(network, (1, 28, 28), path)
        model = load(path)
    lowered = lower(model)
    values = np.random.default_rng(SEED).integers(0, 256, (WHOLE, 1, 28, 28)).astype(np.float32) / np.float32(256)
    codes = input_codes(lowered, values)
    lowered.program(codes[:SUBSET])  # threads and caches warm, as qonnx's after its first image
    run_qonnx(model, values[:1], batch=1)
    seconds = {}
    started = time.perf_counter()
    expected = run_qonnx(model, values[:SUBSET], batch=1)
    seconds["qonnx's executor, the graph as exported"] = time.perf_counter() - started
    started = time.perf_counter()
    run_qonnx(model, values[:SUBSET], batch=SUBSET)
    seconds[f"qonnx's executor, batches of {SUBSET}"] = time.perf_counter() - started
    started = time.perf_counter()
    found = lowered.program(codes[:SUBSET])
    own = seconds["integer executor"] = time.perf_counter() - started
    same = bool((found == output_codes(describe(lowered).output, expected)).all())
    out.print(f"LeNet-5, {bit_width} bit, {SUBSET} images, integers {'equal' if same else 'DIFFERENT'}:")
    for name, value in seconds.items():
        out.print(f"  {name:<42} {value:8.3f} s  {value / own:8.1f} x the integer executor's")
    started = time.perf_counter()
    lowered.program(codes)
    out.print(f"  integer executor, {WHOLE:,} images             {time.perf_counter() - started:8.3f} s")
    return same


@ends_in_one_line
def main(arguments: Sequence[str]) -> int:
    """Measure the fixed-point and the binary network."""
    Parser(__file__, __doc__).read(arguments)
    versions = ", ".join(f"{part} {version}" for part, version in installed().items())
    out.print(f"{versions}; seed {SEED}; {torch.get_num_threads()} threads")
    same = all([measure(6), measure(1)])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    out.print(f"peak memory of all this, torch included: {peak:.1f} GiB")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
