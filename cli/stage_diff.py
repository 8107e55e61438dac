"""The command `diff`: the first layer whose integers differ, and why."""

from bitwright.cli.console import out, progress_bar
from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_export import load_array, load_program
from bitwright.cli.stage_hls import differing_inputs
from bitwright.hls.csim import Simulation
from bitwright.hls.csim_build import build_library
from bitwright.hls.difference import first_difference


def diff(run: RunFolder, most: int) -> bool:
    """Trace up to ``most`` test inputs through the C simulation and the program; return whether all layers agree."""
    program = load_program(run)
    codes = load_array(run.inputs)
    if run.output("csim").is_file():
        codes = codes[differing_inputs(run, most)]
    codes = codes[:most]
    with progress_bar("compiling the C simulation", 1) as count:
        library = build_library(run.project, run.csim)
        count(1)
    found = first_difference(program, Simulation(library, run.project, program).trace(codes), codes)
    if found is None:
        out.print(f"{run.path.name}: every integer of every layer is the same on {len(codes)} inputs")
        return True
    out.print(f"{run.path.name}: {found.line()}", markup=False)
    return False
