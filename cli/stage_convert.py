"""The command `convert`: any QONNX file to a verified hls4ml project, without a checkpoint and without torch."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitwright.cli.console import note
from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_export import load_program, run_level, save_array, write_lowered
from bitwright.cli.stage_hls import judge, simulate, write
from bitwright.export.interface import describe, input_codes, output_codes
from bitwright.export.lower import LoweredNetwork, lower
from bitwright.export.operations import Integers
from bitwright.export.qonnx_file import load
from bitwright.export.qonnx_level import run_qonnx
from bitwright.hls.target import Target
from bitwright.hls.verification import Verification
from bitwright.quant.bipolar import Bipolar

SEED = 1


def convert(
    model: Path, inputs: Path | None, folder: Path, target: Target, samples: int
) -> tuple[RunFolder, Verification]:
    """Lower a QONNX file, write and compile its project, and compare the levels qonnx, program and csim.

    Args:
        model: The file.
        inputs: Its float inputs ``(N, ...)`` as NumPy wrote them; None: random ones over the input quantiser's range.
        folder: Where the results go, laid out as a run's folder.
        target: What the project is written for.
        samples: Number of random inputs.

    Raises:
        ValueError: If the file or the inputs are refused.
        ToolError: If there is no compiler, or it fails.
        OSError: If a file cannot be read or written.
    """
    network = lower(load(model), str(model))
    values = random_inputs(network, model, samples) if inputs is None else read_inputs(inputs, network, model)
    run = RunFolder(folder)
    run.create()
    run.lock()
    if not run.qonnx.exists() or not model.samefile(run.qonnx):
        shutil.copyfile(model, run.qonnx)
    write_lowered(network, run)
    save_array(run.inputs, input_codes(network, values).astype(np.int32))
    port = describe(network).output

    def qonnx_level(count: Callable[[int], None]) -> Integers:
        return output_codes(port, run_qonnx(load(run.qonnx), values, count))

    def program_level(count: Callable[[int], None]) -> Integers:
        return load_program(run)(input_codes(network, values), count)

    run_level(
        run, "qonnx", run.qonnx, qonnx_level, again=True
    )  # the floats are not in the run's folder, only the codes
    run_level(run, "program", run.lowered, program_level)
    write(target, run)
    simulate(run)
    return run, judge(run)


def read_inputs(path: Path, network: LoweredNetwork, model: Path) -> NDArray[np.float32]:
    """Read float inputs, and refuse those that are not of the network's shape, or not finite.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such array.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: inputs must be a .npy file, not missing; leave --inputs out for random ones")
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(
            f"{path}: inputs must be an array as numpy.save writes it, not damaged; write it again"
        ) from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu":
        raise ValueError(f"{path}: inputs must be one array of numbers, not another kind; write it with numpy.save")
    shape = graph_shape(model)
    if found.shape[1:] != shape or len(found) == 0:
        raise ValueError(
            f"{path}: inputs must be of shape (N, {', '.join(map(str, shape))}), not {found.shape}; reshape them"
        )
    if not np.isfinite(found).all():
        raise ValueError(f"{path}: inputs must be finite, not NaN or infinite; remove those")
    return found.astype(np.float32)


def random_inputs(network: LoweredNetwork, model: Path, samples: int) -> NDArray[np.float32]:
    """Return inputs drawn evenly from all codes of the input quantiser, the same on every call."""
    generator = np.random.default_rng(SEED)
    form = network.program.input.format
    values = np.array([-1, 1]) if isinstance(form, Bipolar) else np.arange(form.lowest, form.highest + 1)
    scale = network.input_quantizer.uniform_scale
    assert scale is not None
    note(f"convert: {samples} random inputs, seed {SEED}")
    return (generator.choice(values, (samples, *graph_shape(model))) * scale).astype(np.float32)


def graph_shape(model: Path) -> tuple[int, ...]:
    """Return the shape of one input as the graph declares it."""
    return tuple(load(model).get_tensor_shape(load(model).graph.input[0].name))[1:]
