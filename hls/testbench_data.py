"""Inputs and outputs for the testbench of an hls4ml project: what co-simulation runs."""

from pathlib import Path

from bitwright.export.operations import Integers
from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar, Format

MOST = 100
"""Inputs: co-simulation takes seconds for each."""


def write_testbench_data(project: Path, program: Program, codes: Integers) -> None:
    """Write the first test inputs and the program's outputs where hls4ml's testbench reads them.

    Args:
        project: Its folder.
        program: What it was written from.
        codes: Input integers ``(N, *program.input.shape)``.

    Raises:
        OSError: If a file cannot be written.
    """
    given = codes[:MOST]
    folder = project / "tb_data"
    folder.mkdir(exist_ok=True)
    for name, form, integers in (
        ("tb_input_features.dat", program.input.format, given),
        ("tb_output_predictions.dat", program.output.format, program(given)),
    ):
        rows = _wires(integers.reshape(len(given), -1), form)
        (folder / name).write_text("".join(" ".join(map(repr, row)) + "\n" for row in rows))


def _wires(codes: Integers, form: Format) -> list[list[float]]:
    """Return what the ports' types are given: values, or bits."""
    return ((codes + 1) / 2 if isinstance(form, Bipolar) else codes * form.step).tolist()  # type: ignore[no-any-return]
