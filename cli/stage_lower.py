"""The command `lower`: from a QONNX file to the integer program, without a checkpoint."""

from pathlib import Path

from bitwright.cli.console import out
from bitwright.cli.run_folder import RunFolder
from bitwright.cli.stage_convert import read_graph
from bitwright.cli.stage_export import write_lowered
from bitwright.export.lower import lower


def lower_file(model: Path, folder: Path, *, input_type: str | None = None, allow_approximate: bool = False) -> None:
    """Write `model.lowered.onnx`, `precision.toml` and `interface.json` of a QONNX file.

    Args:
        model: The file.
        folder: Where the results go.
        input_type: Fixed-point type of the input, for a network that does not quantise it.
        allow_approximate: Whether sums that the last bit of float32 decides may be carried.

    Raises:
        ValueError: If it is not ONNX, or cannot be lowered exactly.
        OSError: If a file cannot be read or written.
    """
    network = lower(read_graph(model, input_type), str(model), allow_approximate=allow_approximate)
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
    out.print(f"{network.program.weight_bits:,} bits of weights; written to {folder}", markup=False)
