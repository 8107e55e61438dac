"""The stage `hls`: from the integer program to a compiled hls4ml project, its simulation and the verdict."""

import json
import shutil
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from bitwright.cli.console import note, out, progress_bar
from bitwright.cli.experiment import Experiment, read
from bitwright.cli.run_folder import EXPERIMENT, RunFolder, digest, write_text
from bitwright.cli.stage_export import load_array, load_program, load_targets, save_array
from bitwright.cli.stage_train import store_experiment
from bitwright.cli.versions import installed
from bitwright.export.interface import read_interface
from bitwright.export.operations import Integers, Linear
from bitwright.export.precision import read_precision
from bitwright.hls.csim import check_headers, run_csim
from bitwright.hls.csim_build import Headers, build_fast_or_original, build_library, content_key, source_files
from bitwright.hls.target import Target
from bitwright.hls.testbench_data import write_testbench_data
from bitwright.hls.verification import LEVELS, LevelResult, Verification, verify
from bitwright.hls.weight_files import check_weight_files, check_weight_texts
from bitwright.models.autoencoder_settings import AUTOENCODER


def hls(
    experiment: Experiment, run: RunFolder, headers: Headers = "fast", csim_inputs: int | None = None
) -> Verification:
    """Write the run's project, compile it, simulate the test set, and compare every level.

    Args:
        experiment: Gives the target.
        run: Its folder.
        headers: That the simulation is compiled with.
        csim_inputs: Test inputs to simulate, the first so many; all, if None.

    Raises:
        ValueError: If the network was trained again, a type is too narrow, or hls4ml cannot carry the program.
        ToolError: If there is no compiler, or it fails.
        OSError: If a file cannot be read or written.
    """
    run.check_exported()
    run.lock()
    run.verification.unlink(missing_ok=True)
    write(experiment.hls, run)
    _store_target(experiment.hls, run)
    simulate(run, headers=headers, csim_inputs=csim_inputs)
    return judge(run)


def _store_target(target: Target, run: RunFolder) -> None:
    """Have the run's experiment say what its project was written for: `verify` and the page go by it."""
    path = run.path / EXPERIMENT
    own = read(path) if path.is_file() else None
    if own is not None and own.hls != target:
        store_experiment(own.model_copy(update={"hls": target}), run)


def write(target: Target, run: RunFolder) -> None:
    """Write the hls4ml project where program, types or target changed."""
    program = load_program(run)
    precision = read_precision(run.precision, program)
    key = digest(run.lowered, run.precision, target.model_dump_json(), str(installed()))
    names = file_names(run.project)
    if run.is_current("project", key, present=[run.project]) and names == run.stamp_value("project", "names"):
        note(f"hls: {run.project} is up to date")
        return
    started = time.monotonic()
    # hls4ml takes seconds to import
    from bitwright.hls.layer_list import legal_reuse_factor  # noqa: PLC0415
    from bitwright.hls.project import write_project  # noqa: PLC0415

    _set_aside(run)
    run.finish("project", "being written", 0.0)
    write_project(program, precision, target, run.project)
    write_testbench_data(run.project, program, load_array(run.inputs))
    for operation in program.operations:
        if isinstance(operation, Linear) and legal_reuse_factor(operation, target) != target.reuse_factor:
            note(
                f"hls: {operation.name} takes reuse_factor {legal_reuse_factor(operation, target)}, "
                f"the nearest legal one to {target.reuse_factor}"
            )
    content = content_key(source_files(run.project), run.project)
    names, program_key = file_names(run.project), digest(run.lowered)
    run.finish("project", key, time.monotonic() - started, content=content, names=names, program=program_key)
    note(f"hls: {run.project} written for {target.backend}, {target.io_type}, {target.part}")


def file_names(project: Path) -> str:
    """Return a digest of the names of a project's files."""
    return digest(*(str(path.relative_to(project)) for path in source_files(project)))


def _set_aside(run: RunFolder) -> None:
    """Keep a project that a person changed: a new one is about to take its place."""
    if not run.project.exists():
        return
    written = run.stamp_value("project", "content")
    if not written or written == content_key(source_files(run.project), run.project):
        return
    number = 1
    while (kept := run.project.with_name(f"hls.edited.{number}")).exists():
        number += 1
    shutil.move(run.project, kept)
    note(f"hls: your changed project lies in {kept}")


def simulate(run: RunFolder, *, again: bool = False, headers: Headers = "fast", csim_inputs: int | None = None) -> None:
    """Compile the project as it lies on disk and run the test set through it, unless that was done.

    With the fast headers the first inputs are run with the original ones too, and the integers compared.

    Args:
        run: Its folder.
        again: Whether to run what is up to date.
        headers: To compile with.
        csim_inputs: Test inputs to run, the first so many; all, if None.
    """
    program = load_program(run)
    inputs = load_array(run.inputs)
    whole, inputs = len(inputs), inputs[:csim_inputs]
    check_weight_texts(run.project)
    started = time.monotonic()
    with progress_bar("compiling the C simulation", 1) as count:
        library, taken, log = build_fast_or_original(run.project, run.csim, headers)
        count(1)
    if log is not None:
        note(f"csim: the fast headers do not compile with this project; the original ones are taken; see {log}")
    key = digest(library.name, run.inputs, run.lowered)
    path = run.output("csim")
    enough = csim_inputs_of(run) in (len(inputs), whole)
    if not again and enough and run.is_current("csim", key, unchanged=[path]):
        note(f"hls: {path} is up to date")
        return
    parts = run.csim / f"parts-{key[:16]}-{len(inputs)}"  # the last part of fewer inputs may be a short one
    if again:
        shutil.rmtree(parts, ignore_errors=True)
    if taken == "fast":
        with progress_bar("compiling against the original headers", 1) as count:
            original = build_library(run.project, run.csim)
            count(1)
        checked = check_headers(library, original, run.project, program, inputs)
        note(f"csim: fast headers; the original ones give the same integers on the first {checked} inputs")
    with progress_bar("csim level", len(inputs)) as count:
        codes = run_csim(library, run.project, program, inputs, parts, count)
    save_array(path, codes)
    run.finish("csim", key, time.monotonic() - started, unchanged=[path], inputs=str(len(inputs)))
    shutil.rmtree(parts)


def csim_inputs_of(run: RunFolder) -> int:
    """Return how many test inputs the last C simulation of a run was asked to run."""
    noted = run.stamp_value("csim", "inputs")
    return int(noted) if noted.isdecimal() else len(load_array(run.inputs))


def judge(run: RunFolder, *, approximate: bool = False) -> Verification:
    """Compare the outputs of every level that there is, and write `verification.json`.

    Args:
        run: Its folder.
        approximate: Whether the network's own float32 may differ where it decides by the order of adding.
    """
    if rtl_is_stale(run):
        run.output("rtl").unlink(missing_ok=True)
    outputs = {level: load_array(run.output(level)) for level in LEVELS if run.output(level).is_file()}
    if not outputs:
        raise FileNotFoundError(
            f"{run.path / 'outputs'}: outputs must be there to compare, not missing; run `bitwright export` first"
        )
    interface = read_interface(run.interface)
    labels, targets = _wanted(run)
    seconds = {level: run.seconds(level) for level in outputs}
    first = {"csim": csim_inputs_of(run)} if "csim" in outputs else {}
    verdict = verify(outputs, labels, interface, seconds, approximate=approximate, targets=targets, first=first)
    write_text(run.verification, verdict.text())
    if verdict.exact and run.project.exists():
        check_weight_files(run.project)
    return verdict


def _wanted(run: RunFolder) -> tuple[Integers | None, NDArray[np.float32] | None]:
    """Return the labels of a classifier's test set, or what an autoencoder is to give back."""
    path = run.path / EXPERIMENT
    if path.exists() and read(path).model.kind == AUTOENCODER:
        return None, load_targets(run.targets)
    return (load_array(run.labels) if run.labels.exists() or path.exists() else None), None


def rtl_is_stale(run: RunFolder) -> bool:
    """Return whether the design of `bitwright rtl` is of another program than the run's."""
    return not run.lowered.is_file() or run.stamp_value("rtl_design", "program") != digest(run.lowered)


def was_approximate(run: RunFolder) -> bool:
    """Return whether the last verdict allowed the network's own float32 to differ."""
    try:
        found = json.loads(run.verification.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("approximate") is True


def show(run: RunFolder, verdict: Verification) -> None:
    """Print the closing table."""
    title = f"{run.path.name}: {'exact' if verdict.exact else 'NOT EXACT'} on {verdict.test_set} test inputs"
    table = Table(title=", ".join([title, *(f"{level} on the first {few}" for level, few in verdict.fewer.items())]))
    squared = any(level.mean_squared_error is not None for level in verdict.levels.values())
    figure = "mean squared error" if squared else "accuracy"
    for heading in ("level", figure, "integers compared", "different", "seconds"):
        table.add_column(heading, justify="left" if heading == "level" else "right")
    for name, level in verdict.levels.items():
        style = "red" if level.different else ""
        table.add_row(
            name,
            _figure(level),
            f"{level.compared:,}",
            f"{level.different:,}",
            f"{level.seconds:.1f}",
            style=style,
        )
    out.print(table)
    program = load_program(run)
    out.print(f"weights  {program.weights:,} in {program.weight_bits:,} bits")
    if run.project.exists():
        out.print(f"project  {run.project}", markup=False)
    out.print(f"report   {run.verification}", markup=False)
    if verdict.undecided:
        _show_doubts(verdict)
    if not verdict.chip_exact or (not verdict.exact and not verdict.undecided):
        out.print(f"next     bitwright diff {run.path}", markup=False)


def _figure(level: LevelResult) -> str:
    """Return how good a level's outputs are, in words; "-" where nobody knows."""
    if level.mean_squared_error is not None:
        return f"{level.mean_squared_error:.4g}"
    return "-" if level.accuracy is None else f"{level.accuracy:.2%}"


def _show_doubts(verdict: Verification) -> None:
    """Say what float32 leaves to the order of adding, and what came of it."""
    layers = [name for name, _ in sorted(verdict.undecided.items(), key=lambda entry: -entry[1])]
    named = ", ".join(layers[:3]) + (f" and {len(layers) - 3} more" if len(layers) > 3 else "")
    out.print(
        f"float32  scales that are no powers of two: PyTorch's own sums before {named} are rounded, and the order of "
        f"adding decides up to {max(verdict.undecided.values()):.2g} of them",
        markup=False,
    )
    if verdict.exact:
        out.print("         none of these inputs shows it; others may", markup=False)
    elif verdict.chip_exact:
        out.print(
            f"         program and chip agree; they differ from the network by up to {verdict.largest_error:.3g}; "
            "train with power-of-two scales, or accept it with --allow-approximate",
            markup=False,
        )


def differing_inputs(run: RunFolder, most: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return positions of inputs whose csim output differs from the program's, then others, ``most`` in all."""
    program, csim = (load_array(run.output(level)) for level in ("program", "csim"))
    program = program[: csim_inputs_of(run)]
    if program.shape != csim.shape:
        raise ValueError(
            f"{run.output('csim')}: integers must be of shape {program.shape}, not {csim.shape}; run `bitwright verify`"
        )
    different = (program != csim).any(axis=1)
    order = np.argsort(~different, kind="stable")
    return order[:most]
