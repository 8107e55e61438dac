"""`interface.json`: what the chip's integers are worth, and what is left to the host."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import executed, graph

from bitwright.export.elementwise import Line
from bitwright.export.interface import (
    OFF_GRID,
    Interface,
    Port,
    describe,
    input_codes,
    output_codes,
    output_values,
    read_interface,
)
from bitwright.export.lower import LoweredNetwork, lower
from bitwright.export.operations import Dense, Input
from bitwright.export.program import Program
from bitwright.export.quantizer import Quantizer
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.fixed_point import FixedPoint


def network(
    shape: tuple[int, ...] = (2,),
    *,
    slopes: float | list[float] = 0.5,
    bipolar: bool = False,
    softmax: str | None = None,
) -> LoweredNetwork:
    quantizer = Quantizer(np.array(0.25, np.float32), 1 if bipolar else 4, signed=True, narrow=False, bipolar=bipolar)
    port = Input("in", "", shape, Bipolar() if bipolar else FixedPoint(4, 2))
    dense = Dense("fc", "in", np.array([[1, 2], [3, -1]]), FixedPoint(4, 4), None)
    line = Line(np.broadcast_to(slopes, (2,)).astype(np.float64), np.zeros(2))
    return LoweredNetwork(Program((port, dense) if len(shape) == 1 else (port,)), quantizer, line, softmax)


def test_interface_says_in_numbers_what_both_ports_carry() -> None:
    assert describe(network(slopes=[0.5, -0.25], softmax="LogSoftmax"), raw_scale=1 / 255) == Interface(
        input=Port((2,), "flat", "ap_fixed<4,2>", 0.25, 0.0),
        output=Port((2,), "flat", "ap_fixed<6,4>", (0.5, -0.25), 0.0),
        host_before=(
            "multiply raw values by 0.00392156862745098",
            "divide by 0.25, round half to even, clip to -8 .. 7",
        ),
        host_after=("logsoftmax",),
    )


def test_interface_of_bits_says_which_bit_is_sent() -> None:
    interface = describe(network(bipolar=True))
    assert interface.input.type == "xnor"
    assert interface.host_before == ("send 1 where the value is not negative, else 0",)
    assert interface.host_after == ()


def test_ports_of_images_are_channels_last() -> None:
    interface = describe(network((3, 4, 2)))
    assert (interface.input.layout, interface.input.shape) == ("channels_last", (3, 4, 2))
    assert (interface.output.layout, interface.output.shape) == ("channels_last", (3, 4, 2))


@pytest.mark.parametrize("slopes", [0.5, [0.5, -0.25]])
def test_interface_that_is_read_is_what_was_written(slopes: float | list[float], tmp_path: Path) -> None:
    interface = describe(network(slopes=slopes, softmax="Softmax"), raw_scale=1 / 255)
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
    values = (np.arange(8).reshape(2, 2, 1, 2) / 4 - 1).astype(np.float32)
    assert input_codes(network((4,)), values).tolist() == [[-4, -3, -2, -1], [0, 1, 2, 3]]


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
    port = Port((3,), "flat", "ap_fixed<23,23>", tuple(sign * slope for slope in slopes), offset)
    values = output_values(port, np.array([codes]))
    assert output_codes(port, values).tolist() == [codes]  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [1.02, 0.98, 1.5, np.nan, np.inf, -np.inf, 1e30])
def test_value_off_the_grid_is_no_integer(value: float) -> None:
    port = Port((2,), "flat", "ap_fixed<4,4>", 1.0, 0.0)
    assert output_codes(port, np.array([[value, 3.0]], np.float32)).tolist() == [[OFF_GRID, 3]]


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
