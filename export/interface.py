"""What stands between the chip's integers and the world: `interface.json`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.export.layout import axes_of
from bitwright.export.lower import LoweredNetwork
from bitwright.export.operations import Integers, Tensor
from bitwright.export.precision import ap_text

ROUNDS = {
    "ROUND": "round half to even",
    "HALF_EVEN": "round half to even",
    "CEIL": "round up",
    "FLOOR": "round down",
    "UP": "round away from zero",
    "DOWN": "round toward zero",
    "HALF_UP": "round half away from zero",
    "HALF_DOWN": "round half toward zero",
}
"""QONNX's rounding modes in words."""

OFF_GRID = np.iinfo(np.int64).min
"""Stands in a level's output where a float was no integer; it equals no integer of another level."""

TOLERANCE = 0.01
"""How far, in steps, a float output may lie from an integer: float32 rounding of the last affine is far below it."""

MOST_TOLERANCE = 0.5
"""The same where the network's scales are no powers of two: its float32 sums themselves are not on the grid."""


@dataclass(frozen=True)
class Port:
    """One side of the chip.

    Args:
        shape: Of one input or output, without the batch axis.
        layout: "flat", in the network's own order, or "channels_last".
        type: Of each integer on the wire; "xnor" is one bit, 0 for -1.
        scale: Worth of one step of the integer: a number, or one a channel.
        offset: Added to it: a number, or one a channel.
        network_shape: Of the network's tensor, without the batch axis.
        axes: The network's axes in the port's order: ``(1, 2, 0)`` brings ``(C, H, W)`` to ``(H, W, C)``.
        tolerance: How far, in steps, the network's float may lie from the integer that it stands for.
    """

    shape: tuple[int, ...]
    layout: str
    type: str
    scale: float | tuple[float, ...]
    offset: float | tuple[float, ...]
    network_shape: tuple[int, ...]
    axes: tuple[int, ...]
    tolerance: float = TOLERANCE


@dataclass(frozen=True)
class Interface:
    """Both ports, and what is the host's to do.

    Args:
        input: ``integer * scale + offset`` is the network's input.
        output: ``integer * scale + offset`` is the network's output, up to float32 rounding.
        host_before: Steps from raw data to the network's input, in words and numbers.
        host_after: Steps after the output.
        undecided: Share of the sums before a layer's quantiser that float32 may round either way: PyTorch's and
            onnxruntime's own order of adding decides them. None where every scale is a power of two.
        raw_shape: Of the network's own input, without the batch axis: what ``host_before`` begins with. The host may
            transpose or reshape it before the chip's.
    """

    input: Port
    output: Port
    host_before: tuple[str, ...]
    host_after: tuple[str, ...]
    undecided: Mapping[str, float]
    raw_shape: tuple[int, ...]

    def text(self) -> str:
        """Return `interface.json`."""
        return json.dumps(asdict(self), indent=2) + "\n"


def describe(network: LoweredNetwork, raw_scale: float = 1.0) -> Interface:
    """Return the interface of a lowered network whose raw data are multiplied by ``raw_scale``."""
    quantizer = network.input_quantizer
    scale = _channel_scale(network)
    before = [f"multiply raw values by {raw_scale!r}"] if raw_scale != 1.0 else []
    before += network.host.text()
    if quantizer.bipolar:
        before.append("send 1 where the value is not negative, else 0")
    else:
        lowest, highest = quantizer.range
        added = f", add {quantizer.zero_point}" if quantizer.zero_point else ""
        shown = repr(scale) if isinstance(scale, float) else "the input's scale, one a channel"
        before.append(f"divide by {shown}{added}, {ROUNDS[quantizer.rounding]}, clip to {lowest} .. {highest}")
    tolerance = min(max(TOLERANCE, network.output_noise), MOST_TOLERANCE)
    program, line, zero = network.program, network.output_line, quantizer.zero_point
    offset = -zero * scale if isinstance(scale, float) else tuple(-zero * value for value in scale)
    return Interface(
        input=_described(program.tensors[program.input.name], network.input_layout, scale, offset),
        output=_described(
            program.output, network.output_layout, _short(line.slope), _short(line.offset), tolerance=tolerance
        ),
        host_before=tuple(before),
        host_after=(network.softmax.lower(),) if network.softmax else (),
        undecided=dict(network.undecided),
        raw_shape=network.host.input[1],
    )


def _channel_scale(network: LoweredNetwork) -> float | tuple[float, ...]:
    """Return the input's scale: a number, or one a channel of the port."""
    quantizer, shape = network.input_quantizer, network.program.input.shape
    if quantizer.uniform_scale is not None:
        return quantizer.uniform_scale
    placed = np.broadcast_to(quantizer.scale, (1, *network.input_layout.shape)).reshape(-1)
    ordered = np.empty(placed.size)
    ordered[network.input_layout.reshape(-1)] = placed
    return tuple(ordered.reshape(-1, shape[-1])[0].tolist())


def _described(
    tensor: Tensor,
    layout: Integers,
    scale: float | tuple[float, ...],
    offset: float | tuple[float, ...],
    *,
    tolerance: float = TOLERANCE,
) -> Port:
    axes = axes_of(layout)
    assert axes is not None
    kind = "channels_last" if len(tensor.shape) > 1 else "flat"
    return Port(tensor.shape, kind, ap_text(tensor.format), scale, offset, layout.shape, axes, tolerance)


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
            undecided={str(name): float(share) for name, share in found["undecided"].items()},
            # Files of older versions do not say it
            raw_shape=tuple(int(size) for size in found.get("raw_shape", found["input"]["network_shape"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
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
        network_shape=tuple(int(size) for size in found["network_shape"]),
        axes=tuple(int(axis) for axis in found["axes"]),
        tolerance=float(found["tolerance"]),
    )


def input_codes(network: LoweredNetwork, values: NDArray[np.float32]) -> Integers:
    """Return the integers that the host sends.

    Args:
        network: Gives the host's steps, the quantiser and the order.
        values: The network's float input, ``(N, C, H, W)`` or ``(N, F)``.

    Returns:
        ``(N, *program.input.shape)``, channels last or flat.
    """
    codes = network.input_quantizer.codes(network.host(values))
    ordered = np.empty((len(codes), network.input_layout.size), np.int64)
    ordered[:, network.input_layout.reshape(-1)] = codes.reshape(len(codes), -1)
    return ordered.reshape(len(codes), *network.program.input.shape)


def output_codes(port: Port, outputs: NDArray[np.float32]) -> Integers:
    """Return the integers behind a network's float output ``(N, values)`` in the network's order.

    They are in the order of the program's output; `OFF_GRID` where there is none.

    >>> port = Port((1,), "flat", "ap_fixed<4,2>", scale=0.25, offset=1.0, network_shape=(1,), axes=(0,))
    >>> output_codes(port, np.array([[1.5], [1.6], [np.nan]], np.float32)).tolist()
    [[2], [-9223372036854775808], [-9223372036854775808]]
    """
    outputs = in_port_order(port, outputs)
    steps = (outputs.astype(np.float64) - np.asarray(port.offset)) / np.asarray(port.scale)
    finite = np.isfinite(steps) & (np.abs(steps) < 2.0**62)
    nearest = np.rint(np.where(finite, steps, 0.0))
    on_grid = finite & (np.abs(steps - nearest) <= port.tolerance)
    return np.where(on_grid, nearest.astype(np.int64), OFF_GRID)


def in_port_order(port: Port, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return values of the network's tensor ``(N, ...)`` in the order of the port's integers, ``(N, values)``."""
    axes = (0, *(axis + 1 for axis in port.axes))
    return values.reshape(-1, *port.network_shape).transpose(axes).reshape(len(values), -1)


def output_values(port: Port, codes: Integers) -> NDArray[np.float64]:
    """Return the network's output behind the chip's integers ``(N, values)``."""
    return np.asarray(codes * np.asarray(port.scale) + np.asarray(port.offset))
