"""`bitwright study int8`: PyTorch's int8 dynamic quantisation as the software baseline."""

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table
from threadpoolctl import threadpool_limits
from torch import nn

from bitwright.calibration.fold import Weighted
from bitwright.calibration.post_training import quantize
from bitwright.cli.compare_size import packed
from bitwright.cli.console import out
from bitwright.cli.search_lowering import lowered
from bitwright.cli.study_chart import ratios_chart
from bitwright.cli.study_source import Source
from bitwright.cli.study_store import Result, Setting
from bitwright.export.interface import describe, input_codes, output_codes
from bitwright.export.lower import LoweredNetwork
from bitwright.export.operations import Integers
from bitwright.export.program import CHUNK_VALUES, Program
from bitwright.export.torch_level import run_torch
from bitwright.models.batches import accuracy
from bitwright.quant.recipe import Recipe

THREADS = 1
BIT_WIDTH = 8
FLOAT, DYNAMIC, INTEGERS = "float", "int8 dynamic, PyTorch", "8-bit integers, Bitwright"


@dataclass(frozen=True)
class Int8Plan:
    """How to measure.

    Args:
        repeats: Times that each network runs over the test set, in turn.
    """

    repeats: int


def int8(source: Source, plan: Int8Plan) -> None:
    """Compare the three, write figures, table and plot, and print them.

    Raises:
        ValueError: If the network cannot be calibrated or lowered.
        OSError: If a file cannot be read or written.
    """
    store = source.store("int8")
    calibration = source.calibration()
    recipe = source.recipe(weight_bit_width=BIT_WIDTH, activation_bit_width=BIT_WIDTH, input_bit_width=8)
    setting = {
        **asdict(plan),
        "threads": THREADS,
        "recipe": recipe.model_dump(),
        "calibration": asdict(calibration),
        "seed": source.run.experiment.seed,
    }

    def compute(setting: Setting) -> Result:
        observed = source.observed(calibration, source.run.experiment.seed)
        return _measured(source, quantize(observed, Recipe.model_validate(setting["recipe"]))[0], plan.repeats)

    (found,) = store.results([setting], compute, lambda _, __: "measured")
    rows = [{"network": name, **figures} for name, figures in found["networks"].items()]
    store.finish(asdict(plan), {"": rows})
    titles = {"bytes_of_float": "size on disk, float = 1", "seconds_of_float": "seconds, float = 1"}
    ratios_chart(
        store.path.with_suffix(".svg"),
        {title: {row["network"]: row[key] for row in rows} for key, title in titles.items()},
    )
    _show(found, rows)
    out.print(
        f"written  {store.path.with_suffix('')}.json, .csv and .svg; the files in {_folder(source)}", markup=False
    )


def dynamically_quantised(network: nn.Module) -> nn.Module:
    """Return a copy whose dense layers have int8 weights, and round their inputs to 8 bits as they come.

    torch 2.13 still has this, and says that it is to move to torchao: another package, whose kernels this one does not
    need. Convolutions stay in float: PyTorch has no dynamic quantisation of them.

    Args:
        network: Float, in eval mode.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.ao.quantization is deprecated", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="torch.quantize_per_tensor", category=UserWarning)
        found = torch.ao.quantization.quantize_dynamic(network, {nn.Linear}, dtype=torch.qint8)  # type: ignore[no-untyped-call]
    assert isinstance(found, nn.Module)
    return found


def _measured(source: Source, fixed: nn.Module, repeats: int) -> Result:
    network, description = source.loaded
    dynamic = dynamically_quantised(network)
    program = lowered(fixed, description.input_shape)
    test, scale = source.data.test, source.data.input_scale
    values = test.inputs.astype(np.float32) * np.float32(scale)
    port = describe(program).output
    runs: dict[str, Callable[[], NDArray[Any]]] = {
        FLOAT: partial(run_torch, network, values),
        DYNAMIC: partial(run_torch, dynamic, values),
        INTEGERS: partial(_run_integers, program, values),
    }
    seconds, results = _timed(runs, repeats)
    codes = results[INTEGERS]
    different = int((codes != output_codes(port, run_torch(fixed, values))).sum())
    results[INTEGERS] = codes * np.asarray(port.scale) + np.asarray(port.offset)
    sizes = _written(source, network, dynamic, program.program)
    return {
        "networks": {
            name: {
                "accuracy": accuracy(results[name], test.labels),
                "bytes": sizes[name],
                "bytes_of_float": sizes[name] / sizes[FLOAT],
                "seconds": seconds[name],
                "seconds_of_float": seconds[name] / seconds[FLOAT],
            }
            for name in runs
        },
        "threads": THREADS,
        "inputs": len(test),
        "engine": torch.backends.quantized.engine,
        "left_in_float": [name for name, module in dynamic.named_modules() if isinstance(module, Weighted)],
        "integers_compared": int(codes.size),
        "integers_different": different,
        "checkpoint_bytes": source.run.checkpoint.stat().st_size,
    }


def _timed(
    runs: Mapping[str, Callable[[], NDArray[Any]]], repeats: int
) -> tuple[dict[str, float], dict[str, NDArray[Any]]]:
    """Run all in turn, on one thread; return the fastest times in seconds, and the results."""
    seconds = dict.fromkeys(runs, float("inf"))
    results: dict[str, NDArray[Any]] = {}
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(THREADS)
        with threadpool_limits(THREADS):
            for _ in range(repeats):
                for name, run in runs.items():
                    started = time.perf_counter()
                    results[name] = run()
                    seconds[name] = min(seconds[name], time.perf_counter() - started)
    finally:
        torch.set_num_threads(before)
    return seconds, results


def _run_integers(network: LoweredNetwork, values: NDArray[np.float32]) -> Integers:
    """Run the program from floats, as the others: in pieces that it does not share out among threads."""
    largest = max(prod(tensor.shape) for tensor in network.program.tensors.values())
    codes = input_codes(network, values)
    size = max(1, CHUNK_VALUES // largest)
    return np.concatenate([network.program(codes[start : start + size]) for start in range(0, len(codes), size)])


def _written(source: Source, network: nn.Module, dynamic: nn.Module, program: Program) -> dict[str, int]:
    """Write each network's weights; return the sizes of the files."""
    folder = _folder(source)
    folder.mkdir(parents=True, exist_ok=True)
    files = {FLOAT: "float_state.pt", DYNAMIC: "int8_dynamic_state.pt", INTEGERS: "integers.bin"}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # torch's, of the tensors inside
        warnings.filterwarnings("ignore", category=UserWarning)
        for name, each in ((FLOAT, network), (DYNAMIC, dynamic)):
            torch.save(each.state_dict(), folder / files[name])
    (folder / files[INTEGERS]).write_bytes(packed(program))
    return {name: (folder / file).stat().st_size for name, file in files.items()}


def _folder(source: Source) -> Path:
    return source.folder / "int8"


def _show(found: Result, rows: list[dict[str, Any]]) -> None:
    table = Table(title=f"{found['inputs']} test inputs; {found['threads']} thread, {found['engine']} engine")
    table.add_column("network", overflow="fold")
    for column in ("accuracy", "bytes", "of float's", "seconds", "of float's"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row["network"],
            f"{row['accuracy']:.2%}",
            f"{row['bytes']:,}",
            f"{row['bytes_of_float']:.3f}",
            f"{row['seconds']:.3f}",
            f"{row['seconds_of_float']:.2f}",
        )
    out.print(table)
    left = ", ".join(found["left_in_float"]) or "no layer"
    out.print(f"left in float by PyTorch: {left}; {FLOAT} checkpoint {found['checkpoint_bytes']:,} bytes", markup=False)
    out.print(
        f"the integer executor's {found['integers_compared']:,} integers: {found['integers_different']} different from "
        "PyTorch's",
        markup=False,
    )
