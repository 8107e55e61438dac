"""The command `diff`: the first layer whose integers differ, and why."""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from bitwright.cli.console import out, progress_bar
from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_export import load_array, load_program
from bitwright.cli.stage_hls import differing_inputs
from bitwright.hls.csim import Simulation
from bitwright.hls.csim_build import build_library
from bitwright.hls.difference import first_difference
from bitwright.hls.weight_files import check_weight_texts


def diff(run: RunFolder, most: int) -> bool:
    """Trace up to ``most`` test inputs through the C simulation and the program; return whether all layers agree.

    Raises:
        ValueError: If the network was trained again after the export, or a file is refused.
        ToolError: If there is no compiler, or it fails.
        OSError: If a file cannot be read or written.
    """
    run.check_exported()
    run.lock()
    agree = compare_levels(run)
    program = load_program(run)
    codes = load_array(run.inputs)
    positions = np.arange(len(codes))[:most]
    if run.output("csim").is_file():
        positions = differing_inputs(run, most)
    codes = codes[positions]
    check_weight_texts(run.project)
    with progress_bar("compiling the C simulation", 1) as count:
        library = build_library(run.project, run.csim)
        count(1)
    found = first_difference(program, Simulation(library, run.project, program).trace(codes), codes)
    if found is None:
        layers = "every integer of every layer is the same on"
        out.print(f"{run.path.name}: {layers} {len(codes)} inputs" + ("" if agree else " in the program and csim"))
        return agree
    found = replace(found, image=int(positions[found.image]))
    out.print(f"{run.path.name}: {found.line()}", markup=False)
    return False


def compare_levels(run: RunFolder) -> bool:
    """Compare the outputs of the levels above the chip; name the first pair that differs, and where."""
    levels = [level for level in ("torch", "qonnx", "program") if run.output(level).is_file()]
    for upper, lower in pairwise(levels):
        first, second = (load_array(run.output(level)) for level in (upper, lower))
        if first.shape != second.shape:
            raise ValueError(
                f"{run.output(lower)}: integers must be of shape {first.shape}, not {second.shape}; "
                "run `bitwright verify`"
            )
        different = np.argwhere(first != second)
        if len(different):
            image, value = different[0]
            out.print(
                f"{run.path.name}: {upper} and {lower} differ in {len(different)} of {first.size} outputs, first in "
                f"input {image}, value {value}: {first[image, value]} and {second[image, value]}; see bitwright verify",
                markup=False,
            )
            return False
    return True
