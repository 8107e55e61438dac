"""The command `lower`: from a QONNX file to the integer program, without a checkpoint."""

from pathlib import Path

from bitwright.cli.console import out
from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_export import weight_bits, write_lowered
from bitwright.export.lower import lower
from bitwright.export.qonnx_file import load


def lower_file(model: Path, folder: Path) -> None:
    """Write `model.lowered.onnx`, `precision.toml` and `interface.json` of a QONNX file.

    Raises:
        ValueError: If it is not ONNX, or cannot be lowered exactly.
        OSError: If a file cannot be read or written.
    """
    network = lower(load(model), str(model))
    run = RunFolder(folder)
    run.create()
    write_lowered(network, run)
    for operation in network.program.operations:
        tensor = network.program.tensors[operation.name]
        lowest, highest = tensor.interval.ends
        out.print(
            f"{operation.name:<16} {type(operation).__name__:<12} {tensor.shape!s:<16} {lowest} .. {highest}",
            markup=False,
        )
    out.print(f"{weight_bits(network.program):,} bits of weights; written to {folder}", markup=False)
