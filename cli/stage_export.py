"""The stage `export`: from a checkpoint to QONNX, the integer program, and the outputs of the levels above the chip."""

import errno
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.cli.console import err, note, progress_bar
from bitwright.cli.experiment import Experiment
from bitwright.cli.run_folder import RunFolder, digest, write_text
from bitwright.cli.versions import installed
from bitwright.export.gates import activation_bits, gates, open_shares
from bitwright.export.interface import describe, input_codes, output_codes, read_interface
from bitwright.export.lower import LoweredNetwork, lower
from bitwright.export.operations import Integers
from bitwright.export.pass_softmax import remove_final_softmax
from bitwright.export.precision import precision_text
from bitwright.export.problems import UnsupportedOperatorError
from bitwright.export.program import Program
from bitwright.export.program_file import read as read_program
from bitwright.export.program_file import write as program_model
from bitwright.export.qonnx_file import load, save
from bitwright.export.qonnx_level import run_qonnx
from bitwright.models.autoencoder_settings import AUTOENCODER
from bitwright.models.settings import ModelSettings

Outputs = NDArray[np.float32]


def export(experiment: Experiment, run: RunFolder, data_dir: Path | None) -> None:
    """Export and lower the run's network, and run the levels torch, qonnx and program on the whole test set.

    Raises:
        ValueError: If the network cannot be lowered exactly, or a file is refused.
        OSError: If a file cannot be read or written.
    """
    if experiment.recipe.is_float:
        raise ValueError(
            "recipe.weight_bit_width: width must be 1 to 16 to export, not 32 (float); train it with --set "
            "recipe.weight_bit_width=6 and the other widths"
        )
    if not run.checkpoint.is_file():
        raise FileNotFoundError(
            f"{run.checkpoint}: checkpoint must be an existing file, not missing; run `bitwright train` first"
        )
    model = experiment.model
    if model.norm_is_last:
        raise ValueError(
            f"model.order: activation or pool must stand last to export, not the batch norm of {model.order!r}, "
            "whose results lie on no grid for the next layer; train it with 'pool_norm_activation'"
        )
    run.create()
    if (run.path / "training" / "resume.ckpt").exists():
        note("export: the training was interrupted; this is its best epoch so far")
    run.lock()
    run.verification.unlink(missing_ok=True)
    from bitwright.models import dataset  # noqa: PLC0415 - reading data needs scikit-learn, which takes a second

    facts = dataset.describe(experiment.data.name)
    _write_model(experiment, run, facts.input_scale, facts.input_shape, len(facts.classes))
    _write_inputs(experiment, run, data_dir, facts.input_scale)
    run_levels(experiment, run, data_dir)
    _write_gates(run)


def run_levels(experiment: Experiment, run: RunFolder, data_dir: Path | None, *, again: bool = False) -> None:
    """Run the levels torch, qonnx and program where their inputs changed, or all ``again``."""
    port = read_interface(run.interface).output
    values: list[Outputs] = []

    def test_values() -> Outputs:
        if not values:
            from bitwright.models import dataset  # noqa: PLC0415

            split = dataset.load_test(experiment.data.name, data_dir, console=err)
            scale = dataset.describe(experiment.data.name).input_scale
            values.append(split.inputs.astype(np.float32) * np.float32(scale))
        return values[0]

    def torch_level(count: Callable[[int], None]) -> Integers:
        # Imported late: torch takes seconds
        from bitwright.export.torch_level import run_torch  # noqa: PLC0415
        from bitwright.models.checkpoint import load as load_checkpoint  # noqa: PLC0415

        network, _ = load_checkpoint(run.checkpoint)
        return output_codes(port, run_torch(network, test_values(), count))

    def qonnx_level(count: Callable[[int], None]) -> Integers:
        graph = load(run.qonnx, made_by="bitwright export")
        return output_codes(port, run_qonnx(remove_final_softmax(graph), test_values(), count))

    def program_level(count: Callable[[int], None]) -> Integers:
        return load_program(run)(load_array(run.inputs), count)

    sources = {"torch": run.checkpoint, "qonnx": run.qonnx, "program": run.lowered}
    levels = {"torch": torch_level, "qonnx": qonnx_level, "program": program_level}
    for level, compute in levels.items():
        run_level(run, level, sources[level], compute, again=again)


def run_level(
    run: RunFolder,
    level: str,
    source: Path,
    compute: Callable[[Callable[[int], None]], Integers],
    *,
    again: bool = False,
) -> None:
    """Compute a level's output integers from its ``source`` file, unless that was done, and store them."""
    key = digest(source, run.inputs, run.interface)
    path = run.output(level)
    if not again and run.is_current(level, key, unchanged=[path]):
        return
    with progress_bar(f"{level} level", len(load_array(run.inputs))) as count:
        started = time.monotonic()
        codes = compute(count)
        seconds = time.monotonic() - started
    save_array(path, codes)
    run.finish(level, key, seconds, unchanged=[path])


def _write_model(
    experiment: Experiment, run: RunFolder, raw_scale: float, input_shape: tuple[int, ...], classes: int
) -> None:
    """Write the graph, the program, the types and the interface."""
    description = (experiment.model.model_dump_json(), experiment.recipe.model_dump_json(), str(input_shape))
    key = digest(run.checkpoint, *description, repr(raw_scale), str(installed()))
    written = [run.qonnx, run.lowered, run.interface]
    if run.is_current("export", key, unchanged=written, present=[run.precision]):
        note(f"export: {run.qonnx} is up to date")
        return
    started = time.monotonic()
    # Imported late: torch takes seconds
    from bitwright.export.torch_export import write_qonnx  # noqa: PLC0415
    from bitwright.models.checkpoint import NetworkDescription  # noqa: PLC0415
    from bitwright.models.checkpoint import load as load_checkpoint  # noqa: PLC0415

    network, _ = load_checkpoint(
        run.checkpoint, NetworkDescription(experiment.model, experiment.recipe, input_shape, classes)
    )
    with err.status("exporting QONNX"):
        write_qonnx(network, input_shape, run.qonnx)
    lowered = _lowered(experiment.model, run.qonnx)
    write_lowered(lowered, run, raw_scale)
    run.finish("export", key, time.monotonic() - started, unchanged=written, checkpoint=digest(run.checkpoint))
    program = lowered.program
    note(f"export: {run.lowered} has {len(program.operations)} layers, {program.weight_bits:,} bits of weights")


def _lowered(model: ModelSettings, path: Path) -> LoweredNetwork:
    """Lower the graph of a network of ours; name the setting, where one is known to be in the way."""
    try:
        return lower(load(path), str(path))
    except UnsupportedOperatorError as error:
        if model.shortcut != "real":
            raise
        first, *others = error.problems
        more = f", and {len(others)} more" if others else ""
        raise ValueError(
            f"model.shortcut: value must be 'quantized' to export this network, not 'real'; train it so ({first}{more})"
        ) from error


def write_lowered(lowered: LoweredNetwork, run: RunFolder, raw_scale: float = 1.0) -> None:
    """Write the program, the interface and the precision; what was computed from the ones before them goes."""
    run.forget_outputs()
    save(program_model(lowered.program), run.lowered)
    write_text(run.interface, describe(lowered, raw_scale).text())
    text = precision_text(lowered.program)
    untouched = run.precision.exists() and digest(run.precision) == run.stamp_value("precision", run.precision.name)
    if run.precision.exists() and not untouched and run.precision.read_text() != text:
        edited = run.precision.with_name("precision.edited.toml")
        run.precision.replace(edited)
        note(f"export: the network changed; your precision.toml lies in {edited}")
    write_text(run.precision, text)
    run.finish("precision", "", 0.0, unchanged=[run.precision])


def _write_inputs(experiment: Experiment, run: RunFolder, data_dir: Path | None, scale: float) -> None:
    """Write the test set as the integers that the chip gets."""
    from bitwright.models import dataset  # noqa: PLC0415

    folder = "" if experiment.data.name == "digits" else str(dataset.data_folder(data_dir))
    key = digest(run.qonnx, experiment.data.name, folder)
    gives_back = experiment.model.kind == AUTOENCODER
    written = [run.inputs, run.labels, *[run.targets] * gives_back]
    if run.is_current("inputs", key, unchanged=written):
        return

    split = dataset.load_test(experiment.data.name, data_dir, console=err)
    values = split.inputs.astype(np.float32) * np.float32(scale)
    codes = input_codes(lower(load(run.qonnx), str(run.qonnx)), values)
    save_array(run.inputs, codes.astype(np.int32))
    save_array(run.labels, split.labels)
    if gives_back:
        save_array(run.targets, values.reshape(len(values), -1))
    else:
        run.targets.unlink(missing_ok=True)
    run.finish("inputs", key, 0.0, unchanged=written)


def _write_gates(run: RunFolder) -> None:
    """Write how often each gate of the program, if it has any, is open on the test set, and say it."""
    program = load_program(run)
    if not gates(program):
        return
    key = digest(run.lowered, run.inputs)
    if not run.is_current("gates", key, unchanged=[run.gates]):
        started, codes = time.monotonic(), load_array(run.inputs)
        with progress_bar("gates", len(codes)) as count:
            shares = open_shares(program, codes, count)
        write_text(run.gates, json.dumps({"activation_bits": activation_bits(shares), "open": shares}, indent=2) + "\n")
        run.finish("gates", key, time.monotonic() - started, unchanged=[run.gates])
    bits = json.loads(run.gates.read_text())["activation_bits"]
    note(f"export: {len(gates(program))} gates let {bits - 1:.1%} of the sums pass: activations of {bits:.2f} bits")


def load_program(run: RunFolder) -> Program:
    """Read the run's integer program."""
    return read_program(load(run.lowered, made_by="bitwright export"), str(run.lowered))


def save_array(path: Path, array: Integers | NDArray[np.int32] | NDArray[np.float32]) -> None:
    """Write an array whole or not at all.

    Raises:
        OSError: If it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial.npy")
    try:
        np.save(partial, array)
    except OSError as error:  # NumPy's own has no error number where the disk is full
        partial.unlink(missing_ok=True)
        raise OSError(error.errno or errno.ENOSPC, error.strerror or os.strerror(errno.ENOSPC), str(path)) from error
    partial.replace(path)


def load_array(path: Path) -> Integers:
    """Read integers.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no array of integers.
    """
    return _loaded(path, "iu", "integers").astype(np.int64)


def load_targets(path: Path) -> NDArray[np.float32]:
    """Read what an autoencoder is to give back, ``(N, values)``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no array of finite floats.
    """
    found: NDArray[np.float32] = _loaded(path, "f", "floats").astype(np.float32)
    if not np.isfinite(found).all():
        raise ValueError(f"{path}: array must be of finite values, not NaN or infinite; delete it and export again")
    return found


def _loaded(path: Path, kinds: str, words: str) -> NDArray[Any]:
    """Read an array of some of NumPy's kinds."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: array must be an existing file, not missing; run `bitwright export` first")
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path}: file must be an array of NumPy, not damaged; delete it and export again") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in kinds:
        raise ValueError(f"{path}: array must be of {words}, not another kind; delete it and export again")
    return found
