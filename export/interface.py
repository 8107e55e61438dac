"""What stands between the chip's integers and the world: `interface.json`."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.export.lower import LoweredNetwork
from bitwright.export.operations import Integers
from bitwright.export.precision import ap_text

OFF_GRID = np.iinfo(np.int64).min
"""Stands in a level's output where a float was no integer; it equals no integer of another level."""

TOLERANCE = 0.01
"""How far, in steps, a float output may lie from an integer: float32 rounding of the last affine is far below it."""


@dataclass(frozen=True)
class Port:
    """One side of the chip.

    Args:
        shape: Of one input or output, without the batch axis.
        layout: "flat", in the network's own order, or "channels_last".
        type: Of each integer on the wire; "xnor" is one bit, 0 for -1.
        scale: Worth of one step of the integer: a number, or one a channel.
        offset: Added to it: a number, or one a channel.
    """

    shape: tuple[int, ...]
    layout: str
    type: str
    scale: float | tuple[float, ...]
    offset: float | tuple[float, ...]


@dataclass(frozen=True)
class Interface:
    """Both ports, and what is the host's to do.

    Args:
        input: ``integer * scale + offset`` is the network's input.
        output: ``integer * scale + offset`` is the network's output, up to float32 rounding.
        host_before: Steps from raw data to the network's input, in words and numbers.
        host_after: Steps after the output.
    """

    input: Port
    output: Port
    host_before: tuple[str, ...]
    host_after: tuple[str, ...]

    def text(self) -> str:
        """Return `interface.json`."""
        return json.dumps(asdict(self), indent=2) + "\n"


def describe(network: LoweredNetwork, raw_scale: float = 1.0) -> Interface:
    """Return the interface of a lowered network whose raw data are multiplied by ``raw_scale``."""
    program = network.program
    shape = program.input.shape
    scale = network.input_quantizer.uniform_scale
    assert scale is not None
    before = [f"multiply raw values by {raw_scale!r}"] if raw_scale != 1.0 else []
    if network.input_quantizer.bipolar:
        before.append("send 1 where the value is not negative, else 0")
    else:
        lowest, highest = network.input_quantizer.range
        before.append(f"divide by {scale!r}, round half to even, clip to {lowest} .. {highest}")
    return Interface(
        input=Port(shape, "channels_last" if len(shape) > 1 else "flat", ap_text(program.input.format), scale, 0.0),
        output=Port(
            program.output.shape,
            "channels_last" if len(program.output.shape) > 1 else "flat",
            ap_text(program.output.format),
            _short(network.output_line.slope),
            _short(network.output_line.offset),
        ),
        host_before=tuple(before),
        host_after=(network.softmax.lower(),) if network.softmax else (),
    )


def _short(values: NDArray[np.float64]) -> float | tuple[float, ...]:
    return float(values[0]) if (values == values[0]).all() else tuple(float(v) for v in values)


def read_interface(path: Path) -> Interface:
    """Read `interface.json`.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it is not what `bitwright export` wrote.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: interface must be a JSON file, not missing; run `bitwright export` first")
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        return Interface(
            input=_port(found["input"]),
            output=_port(found["output"]),
            host_before=tuple(found["host_before"]),
            host_after=tuple(found["host_after"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: interface must be as `bitwright export` wrote it, not changed; export again"
        ) from error


def _port(found: dict[str, Any]) -> Port:
    def numbers(value: Any) -> float | tuple[float, ...]:  # noqa: ANN401 - JSON
        return tuple(float(v) for v in value) if isinstance(value, list) else float(value)

    return Port(
        shape=tuple(int(size) for size in found["shape"]),
        layout=str(found["layout"]),
        type=str(found["type"]),
        scale=numbers(found["scale"]),
        offset=numbers(found["offset"]),
    )


def input_codes(network: LoweredNetwork, values: NDArray[np.float32]) -> Integers:
    """Return the integers that the host sends.

    Args:
        network: Gives the quantiser and the shape.
        values: The network's float input, ``(N, C, H, W)`` or ``(N, F)``.

    Returns:
        ``(N, *program.input.shape)``, channels last or flat.
    """
    codes = network.input_quantizer.codes(values)
    if len(network.program.input.shape) == 1:
        return codes.reshape(len(codes), -1)
    return np.ascontiguousarray(np.moveaxis(codes, 1, -1))


def output_codes(port: Port, outputs: NDArray[np.float32]) -> Integers:
    """Return the integers behind a network's float output ``(N, values)``, an image's channel running slowest.

    They are in the order of the program's output; `OFF_GRID` where there is none.

    >>> port = Port((1,), "flat", "ap_fixed<4,2>", scale=0.25, offset=1.0)
    >>> output_codes(port, np.array([[1.5], [1.6], [np.nan]], np.float32)).tolist()
    [[2], [-9223372036854775808], [-9223372036854775808]]
    """
    if port.layout == "channels_last":
        height, width, channels = port.shape
        outputs = outputs.reshape(-1, channels, height, width).transpose(0, 2, 3, 1).reshape(len(outputs), -1)
    steps = (outputs.astype(np.float64) - np.asarray(port.offset)) / np.asarray(port.scale)
    finite = np.isfinite(steps) & (np.abs(steps) < 2.0**62)
    nearest = np.rint(np.where(finite, steps, 0.0))
    on_grid = finite & (np.abs(steps - nearest) <= TOLERANCE)
    return np.where(on_grid, nearest.astype(np.int64), OFF_GRID)


def output_values(port: Port, codes: Integers) -> NDArray[np.float64]:
    """Return the network's output behind the chip's integers ``(N, values)``."""
    return np.asarray(codes * np.asarray(port.scale) + np.asarray(port.offset))
