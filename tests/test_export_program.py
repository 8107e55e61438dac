"""The integer program: in chunks and threads as in one piece, and only on integers that its port carries."""

import re

import numpy as np
import pytest

from bitwright.export import program as program_module
from bitwright.export.operations import Conv2d, Dense, Flatten, Input, MaxPool2d, Operation, Requantize, Threshold
from bitwright.export.program import Program
from bitwright.quant.bipolar import Bipolar
from bitwright.quant.fixed_point import FixedPoint, format_of

CODE = FixedPoint(4, 4)
RNG = np.random.default_rng(1)


def convolutional() -> Program:
    return Program(
        (
            Input("x", "", (4, 5, 2), CODE),
            Conv2d("conv", "x", RNG.integers(-8, 8, (2, 2, 2, 3)), CODE, RNG.integers(-9, 9, 3), (1, 1), (1, 0, 0, 0)),
            MaxPool2d("pool", "conv", (2, 2), (2, 2)),
            Requantize("act", "pool", format_of(16.0, 3, signed=True)),
            Flatten("flatten", "act"),
            Dense("fc", "flatten", RNG.integers(-8, 8, (12, 5)), CODE, None),
        )
    )


def codes_of(program: Program, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.random.default_rng(2).integers(-8, 8, (count, *program.input.shape))


@pytest.mark.parametrize("chunk_values", [1, 100, 10**9])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_chunks_in_threads_give_what_the_trace_gives(
    chunk_values: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_module, "CHUNK_VALUES", chunk_values)
    program = convolutional()
    codes, done = codes_of(program, count), list[int]()
    *_, (name, last) = program.trace(codes)
    result = program(codes, done.append)
    assert name == "fc"
    assert result.dtype == np.int64
    assert result.shape == (count, 5)
    assert (result == last).all()
    assert sum(done) == count


def test_chunk_holds_so_many_inputs_that_its_largest_tensor_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_module, "CHUNK_VALUES", 3 * 60 + 59)  # conv gives 4 * 4 * 3 values, the input 40
    sizes: list[int] = []
    program = convolutional()
    program(codes_of(program, 11), sizes.append)
    assert sizes == [4, 4, 3]
    assert max(np.prod(tensor.shape) for tensor in program.tensors.values()) == 48


def test_trace_gives_every_operation_its_result_by_hand() -> None:
    dense = Dense("fc", "x", np.array([[1, 2], [3, -1]]), CODE, np.array([0, 5]))
    sign = Threshold("sign", "fc", np.array([[5], [6]]), np.array([True, False]), Bipolar())
    trace = dict(Program((Input("x", "", (2,), CODE), dense, sign)).trace(np.array([[1, 2], [-1, 0]])))
    assert {name: codes.tolist() for name, codes in trace.items()} == {
        "x": [[1, 2], [-1, 0]],
        "fc": [[7, 5], [-1, 3]],
        "sign": [[1, 1], [-1, 1]],
    }


def test_tensors_have_shape_format_and_interval_of_each_result() -> None:
    tensors = convolutional().tensors
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "x": (4, 5, 2),
        "conv": (4, 4, 3),
        "pool": (2, 2, 3),
        "act": (2, 2, 3),
        "flatten": (12,),
        "fc": (5,),
    }
    assert tensors["x"].interval.ends == (-8, 7)
    assert tensors["pool"].format == tensors["conv"].format
    assert tensors["flatten"].interval.ends == tensors["act"].interval.ends == (-4, 3)
    assert convolutional().output.shape == (5,)


def test_result_that_two_operations_read_is_kept_for_both() -> None:
    weight = np.array([[1], [2]])
    program = Program(
        (Input("x", "", (2,), CODE), Dense("a", "x", weight, CODE, None), Dense("b", "x", -weight, CODE, None))
    )
    assert program(np.array([[1, 2]])).tolist() == [[-5]]


def test_operation_without_input_first_is_a_mistake() -> None:
    with pytest.raises(AssertionError):
        _ = Program((Operation("x"),)).input


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.uint8, np.int32])
def test_narrow_integers_are_computed_in_full_width(kind: type[np.signedinteger]) -> None:
    program = Program(
        (
            Input("x", "", (2,), FixedPoint(7, 7, signed=False)),
            Dense("fc", "x", np.full((2, 1), 99), FixedPoint(8, 8), None),
        )
    )
    assert program(np.array([[127, 127]], kind)).tolist() == [[2 * 99 * 127]]


@pytest.mark.parametrize("shape", [(3,), (3, 3), (2, 2, 1), (0, 1)])
def test_shape_other_than_the_inputs_is_refused(shape: tuple[int, ...]) -> None:
    program = Program((Input("x", "", (2,), CODE),))
    says = f"program: input must be of shape (N, 2), not {shape}"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        program(np.zeros(shape, np.int64))


@pytest.mark.parametrize(
    ("form", "code"),
    [(CODE, 8), (CODE, -9), (FixedPoint(4, 4, signed=False), -1), *((Bipolar(), code) for code in (0, 2, -2))],
)
def test_code_that_the_port_cannot_carry_is_refused(form: FixedPoint | Bipolar, code: int) -> None:
    program = Program((Input("x", "", (2,), form),))
    ends = "-1 or 1" if isinstance(form, Bipolar) else f"from {form.lowest} to {form.highest}"
    says = f"program: input must be integers {ends}, not {code}; quantise it as interface.json says"
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        program(np.array([[1, 1], [1, code]]))
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        list(program.trace(np.array([[1, 1], [1, code]])))


@pytest.mark.parametrize("kind", [np.float32, np.bool_])
def test_values_that_are_no_integers_are_refused(kind: type[np.generic]) -> None:
    says = f"program: input must be integers, not {np.dtype(kind)}; quantise it as interface.json says"
    with pytest.raises(TypeError, match=f"^{re.escape(says)}$"):
        Program((Input("x", "", (2,), CODE),))(np.zeros((1, 2), kind))
