"""The command `convert`: any QONNX file to a verified hls4ml project, without a checkpoint and without torch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper

from bitwright.cli.console import note
from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_export import load_program, run_level, save_array, write_lowered
from bitwright.cli.stage_hls import judge, simulate, write
from bitwright.export.interface import describe, input_codes, output_codes
from bitwright.export.lower import LoweredNetwork, lower
from bitwright.export.lower_quantize import MOST_BITS
from bitwright.export.operations import Integers
from bitwright.export.pass_input_type import quantize_input
from bitwright.export.pass_softmax import remove_final_softmax
from bitwright.export.qonnx_file import load, save
from bitwright.export.qonnx_level import run_qonnx
from bitwright.hls.csim_build import Headers
from bitwright.hls.target import Target
from bitwright.hls.verification import Verification
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.fixed_point import FixedPoint, parse_ap_fixed

SEED = 1

MOST_SHIFT = 100
"""Bits of an input's fraction, or of what is left out before the binary point: float32 divides by such steps."""


def convert(
    model: Path,
    inputs: Path | None,
    folder: Path,
    target: Target,
    samples: int,
    *,
    input_type: str | None = None,
    allow_approximate: bool = False,
    headers: Headers = "fast",
) -> tuple[RunFolder, Verification]:
    """Lower a QONNX file, write and compile its project, and compare the levels qonnx, program and csim.

    Args:
        model: The file.
        inputs: Its float inputs ``(N, ...)`` as NumPy wrote them; None: random ones over the input quantiser's range.
        folder: Where the results go, laid out as a run's folder.
        target: What the project is written for.
        samples: Number of random inputs.
        input_type: Fixed-point type of the input, for a network that does not quantise it: ``ap_ufixed<8,0>``.
        allow_approximate: Whether sums that the last bit of float32 decides may be carried, and may differ.
        headers: Of the C simulation: "fast", checked against the original ones, or "original".

    Raises:
        ValueError: If the file or the inputs are refused.
        ToolError: If there is no compiler, or it fails.
        OSError: If a file cannot be read or written.
    """
    graph = read_graph(model, input_type)
    network = lower(graph, str(model), allow_approximate=allow_approximate)
    values = random_inputs(model, network, samples) if inputs is None else read_inputs(inputs, network)
    run = RunFolder(folder)
    run.create()
    run.lock()
    save(graph, run.qonnx)
    write_lowered(network, run)
    save_array(run.inputs, input_codes(network, values).astype(np.int32))
    port = describe(network).output

    def qonnx_level(count: Callable[[int], None]) -> Integers:
        return output_codes(port, run_qonnx(remove_final_softmax(load(run.qonnx)), values, count))

    def program_level(count: Callable[[int], None]) -> Integers:
        return load_program(run)(input_codes(network, values), count)

    run_level(
        run, "qonnx", run.qonnx, qonnx_level, again=True
    )  # the floats are not in the run's folder, only the codes
    run_level(run, "program", run.lowered, program_level)
    write(target, run)
    simulate(run, headers=headers)
    return run, judge(run, approximate=allow_approximate)


def read_graph(model: Path, input_type: str | None) -> ModelWrapper:
    """Read a QONNX file, and quantise its input if a type is given.

    Raises:
        ValueError: If the file or the type is refused.
    """
    form = None if input_type is None else _input_format(input_type)
    graph = load(model)
    if form is None:
        return graph
    try:
        return quantize_input(graph, form)
    except ValueError as error:
        raise ValueError(f"{model}: {error}") from error


def _input_format(text: str) -> FixedPoint:
    try:
        form = parse_ap_fixed(text)
    except ValueError as error:
        raise _input_type_error(text) from error
    if form.width > MOST_BITS or abs(form.fractional) > MOST_SHIFT:
        raise _input_type_error(text)
    return form


def _input_type_error(text: str) -> ValueError:
    return ValueError(
        f"--input-type: type must be ap_[u]fixed<W,I> or ap_[u]int<W> of 1 to {MOST_BITS} bits, W - I from "
        f"{-MOST_SHIFT} to {MOST_SHIFT}, not {text!r}; try ap_ufixed<8,0>"
    )


def read_inputs(path: Path, network: LoweredNetwork) -> NDArray[np.float32]:
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
    shape = network.host.input[1]
    if found.shape[1:] != shape or len(found) == 0:
        raise ValueError(
            f"{path}: inputs must be of shape (N, {', '.join(map(str, shape))}), not {found.shape}; reshape them"
        )
    if not np.isfinite(found).all():
        raise ValueError(f"{path}: inputs must be finite, not NaN or infinite; remove those")
    return found.astype(np.float32)


def random_inputs(model: Path, network: LoweredNetwork, samples: int) -> NDArray[np.float32]:
    """Return inputs that lead evenly to all codes of the input quantiser, the same on every call.

    Raises:
        ValueError: If the host computes first what nobody can undo.
    """
    generator = np.random.default_rng(SEED)
    form = network.program.input.format
    codes = np.array([-1, 1]) if isinstance(form, Bipolar) else np.arange(form.lowest, form.highest + 1)
    note(f"convert: {samples} random inputs, seed {SEED}")
    drawn = generator.choice(codes, (samples, *network.input_layout.shape))
    values = network.input_quantizer.values(drawn)
    try:
        return network.host.inverse(values)
    except ValueError as error:
        raise ValueError(f"{model}: {error}") from error
