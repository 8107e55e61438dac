"""`interface.json`: what the chip's integers are worth, and what is left to the host."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import executed, graph

from bitwright.export.interface import (
    MOST_TOLERANCE,
    OFF_GRID,
    TOLERANCE,
    Interface,
    Port,
    describe,
    input_codes,
    output_codes,
    output_values,
    read_interface,
)
from bitwright.export.layout import channels_last, identity
from bitwright.export.line import Line
from bitwright.export.lower import LoweredNetwork, lower
from bitwright.export.lower_host import HostSteps
from bitwright.export.operations import Dense, Input
from bitwright.export.program import Program
from bitwright.export.quantizer import Quantizer
from bitwright.quant.fixed_point import FixedPoint


def network(
    shape: tuple[int, ...] = (2,),
    *,
    slopes: float | list[float] = 0.5,
    quantizer: Quantizer | None = None,
    softmax: str | None = None,
    noise: float = 0.0,
) -> LoweredNetwork:
    """A port of the program's shape given, and behind a flat one a dense layer."""
    quantizer = quantizer or quantizer_of()
    form = quantizer.format()
    port = Input("in", "", shape, form.plain() if isinstance(form, FixedPoint) else form)
    dense = Dense("fc", "in", np.array([[1, 2], [3, -1]]), FixedPoint(4, 4), None)
    channels_first = channels_last((shape[-1], *shape[:-1])) if len(shape) > 1 else identity(shape)
    return LoweredNetwork(
        Program((port, dense) if len(shape) == 1 else (port,)),
        HostSteps((), {}, ("x", channels_first.shape), "x", 20),
        quantizer,
        input_layout=channels_first,
        output_line=Line(np.broadcast_to(slopes, (2,)).astype(np.float64), np.zeros(2)),
        output_layout=identity((2,)) if len(shape) == 1 else channels_first,
        output_noise=noise,
        softmax=softmax,
        scales={},
        undecided={},
    )


def quantizer_of(
    scale: float = 0.25, *, bipolar: bool = False, zero_point: int = 0, rounding: str = "ROUND"
) -> Quantizer:
    worth = np.array(scale, np.float32)
    return Quantizer(worth, 1 if bipolar else 4, True, False, bipolar, zero_point, rounding)  # noqa: FBT003


def port_of(channels: int, scale: float | tuple[float, ...], offset: float = 0.0, tolerance: float = TOLERANCE) -> Port:
    return Port((channels,), "flat", "ap_fixed<23,23>", scale, offset, (channels,), (0,), tolerance)


def test_interface_says_in_numbers_what_both_ports_carry() -> None:
    assert describe(network(slopes=[0.5, -0.25], softmax="LogSoftmax"), raw_scale=1 / 255) == Interface(
        input=Port((2,), "flat", "ap_fixed<4,2>", 0.25, 0.0, (2,), (0,)),
        output=Port((2,), "flat", "ap_fixed<6,4>", (0.5, -0.25), 0.0, (2,), (0,)),
        host_before=(
            "multiply raw values by 0.00392156862745098",
            "divide by 0.25, round half to even, clip to -8 .. 7",
        ),
        host_after=("logsoftmax",),
        undecided={},
        raw_shape=(2,),
    )


def test_interface_tells_zero_point_rounding_and_a_scale_that_is_no_power_of_two() -> None:
    interface = describe(network(quantizer=quantizer_of(0.3, zero_point=5, rounding="FLOOR")))
    scale = float(np.float32(0.3))
    assert interface.input == Port((2,), "flat", "ap_fixed<4,4>", scale, -5 * scale, (2,), (0,))
    assert interface.host_before == (f"divide by {scale!r}, add 5, round down, clip to -8 .. 7",)


@pytest.mark.parametrize(("noise", "tolerance"), [(0.0, TOLERANCE), (0.1, 0.1), (7.0, MOST_TOLERANCE)])
def test_tolerance_is_the_noise_of_the_output_within_bounds(noise: float, tolerance: float) -> None:
    interface = describe(network(noise=noise))
    assert (interface.input.tolerance, interface.output.tolerance) == (TOLERANCE, tolerance)


def test_interface_of_bits_says_which_bit_is_sent() -> None:
    interface = describe(network(quantizer=quantizer_of(bipolar=True)))
    assert interface.input.type == "xnor"
    assert interface.host_before == ("send 1 where the value is not negative, else 0",)
    assert interface.host_after == ()


def test_ports_of_images_are_channels_last() -> None:
    interface = describe(network((3, 4, 2)))
    assert (interface.input.layout, interface.input.shape) == ("channels_last", (3, 4, 2))
    assert (interface.output.layout, interface.output.shape) == ("channels_last", (3, 4, 2))
    for port in (interface.input, interface.output):
        assert (port.network_shape, port.axes) == ((2, 3, 4), (1, 2, 0))


@pytest.mark.parametrize("slopes", [0.5, [0.5, -0.25]])
def test_interface_that_is_read_is_what_was_written(slopes: float | list[float], tmp_path: Path) -> None:
    interface = describe(network(slopes=slopes, softmax="Softmax", noise=0.07), raw_scale=1 / 255)
    path = tmp_path / "interface.json"
    path.write_text(interface.text())
    assert read_interface(path) == interface
    assert json.loads(interface.text())["host_after"] == ["softmax"]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"input": 1, "output": 2, "host_before": [], "host_after": []}', '{"input": {"a": 1}}'],
)
def test_file_that_was_changed_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "interface.json"
    path.write_text(content)
    says = f"{path}: interface must be as `bitwright export` wrote it, not changed; export again"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        read_interface(path)


def test_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "interface.json"
    says = f"{path}: interface must be a JSON file, not missing; run `bitwright export` first"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(says)}$"):
        read_interface(path)


def test_input_codes_of_images_are_channels_last_and_contiguous() -> None:
    values = (np.arange(24).reshape(1, 2, 3, 4) / 4 - 2).astype(np.float32)
    codes = input_codes(network((3, 4, 2)), values)
    wanted = [[[min(int(values[0, c, i, j] * 4), 7) for c in range(2)] for j in range(4)] for i in range(3)]
    assert codes.tolist() == [wanted]
    assert codes.flags.c_contiguous


def test_input_codes_of_a_flat_port_are_in_the_order_of_the_network() -> None:
    values = (np.arange(8).reshape(2, 4) / 4 - 1).astype(np.float32)
    assert input_codes(network((4,)), values).tolist() == [[-4, -3, -2, -1], [0, 1, 2, 3]]


def test_input_codes_are_of_what_the_host_computes_first() -> None:
    """Transposed images, scaled and rounded down onto a grid of thirds with a zero point."""
    body = (
        "t = Transpose <perm=[0, 3, 1, 2]> (x) m = Mul (t, c) "
        'q = qonnx.custom_op.general.Quant <signed=1, narrow=0, rounding_mode="FLOOR"> (m, s, z, four) '
        "v = Quant (k, half, zero, three) y = Conv (q, v)"
    )
    values = np.random.default_rng(3).normal(0, 1, (2, 3, 4, 2)).astype(np.float32)
    kernel = np.random.default_rng(1).normal(0, 1, (3, 2, 1, 2))
    lowered = lower(graph(body, values.shape, (2, 3, 3, 3), k=kernel, c=2.5, s=1 / 3, z=2.0))
    scaled = values * np.float32(2.5) / np.float32(1 / 3) + np.float32(2)
    assert lowered.host.text() == ("transpose perm [0, 3, 1, 2]", "multiply by 2.5")
    assert (input_codes(lowered, values) == np.floor(np.clip(scaled, -8, 7))).all()
    port = describe(lowered).input
    assert (port.shape, port.network_shape, port.axes) == ((3, 4, 2), (2, 3, 4), (1, 2, 0))  # of what is quantised
    assert describe(lowered).raw_shape == (3, 4, 2)


def test_raw_shape_of_an_older_file_is_that_of_the_network(tmp_path: Path) -> None:
    interface = describe(network((3, 4, 2)))
    facts = json.loads(interface.text())
    del facts["raw_shape"]
    (tmp_path / "interface.json").write_text(json.dumps(facts))
    assert read_interface(tmp_path / "interface.json") == interface


@settings(deadline=None)
@given(
    codes=st.lists(st.integers(-(2**22), 2**22), min_size=3, max_size=3),
    slopes=st.lists(st.floats(0.01, 10).map(lambda x: float(np.float32(x))), min_size=3, max_size=3),
    sign=st.sampled_from([1.0, -1.0]),
    offset=st.floats(-5, 5),
)
def test_output_codes_are_the_integers_behind_the_values(
    codes: list[int], slopes: list[float], sign: float, offset: float
) -> None:
    port = port_of(3, tuple(sign * slope for slope in slopes), offset)
    values = output_values(port, np.array([codes]))
    assert output_codes(port, values).tolist() == [codes]  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [1.02, 0.98, 1.5, np.nan, np.inf, -np.inf, 1e30])
def test_value_off_the_grid_is_no_integer(value: float) -> None:
    assert output_codes(port_of(2, 1.0), np.array([[value, 3.0]], np.float32)).tolist() == [[OFF_GRID, 3]]


def test_value_within_the_tolerance_of_the_port_is_an_integer() -> None:
    values = np.array([[1.2, 2.8], [1.26, 2.74]], np.float32)
    assert output_codes(port_of(2, 1.0, tolerance=0.25), values).tolist() == [[1, 3], [OFF_GRID, OFF_GRID]]


def test_output_codes_of_an_image_are_in_the_order_of_the_program() -> None:
    body = "q = Quant (x, half, zero, four) v = BipolarQuant (k, one) y = Conv (q, v)"
    model = graph(body, (5, 2, 3, 4), (5, 3, 3, 3), k=np.random.default_rng(1).normal(0, 1, (3, 2, 1, 2)))
    values = np.random.default_rng(2).normal(0, 3, (5, 2, 3, 4)).astype(np.float32)
    lowered = lower(model)
    found = output_codes(describe(lowered).output, executed(model, values).reshape(5, -1))
    assert (found == lowered.program(input_codes(lowered, values))).all()


def test_output_values_are_the_output_of_the_network() -> None:
    """The one place where floats are compared: the host's line is of float64, the network's of float32."""
    layer = "q = Quant (x, half, zero, four) v = NarrowQuant (w, half, zero, four) m = MatMul (q, v)"
    body = f"{layer} n = Mul (m, a) y = Add (n, b)"
    rng = np.random.default_rng(1)
    constants = {"w": rng.normal(0, 1, (6, 3)), "a": np.array([0.3, -1.7, 0.01]), "b": np.array([[0.1, 2.0, -3.0]])}
    model = graph(body, (50, 6), (50, 3), **constants)
    values = rng.normal(0, 3, (50, 6)).astype(np.float32)
    lowered = lower(model)
    found = output_values(describe(lowered).output, lowered.program(input_codes(lowered, values)))
    np.testing.assert_allclose(found, executed(model, values), rtol=1e-6, atol=1e-6)
