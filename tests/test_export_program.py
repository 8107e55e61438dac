"""The integer program: in chunks and threads as in one piece, and only on integers that its port carries."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import ThreadpoolController

from bitwright.export import program as program_module
from bitwright.export.operations import (
    Add,
    Affine,
    Concat,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    Flatten,
    Input,
    MaxPool2d,
    Multiply,
    MultiplyAdd,
    Operation,
    Requantize,
    Reshape,
    Table,
    Tensor,
    Threshold,
    Transpose,
    Upsample,
)
from bitwright.export.program import Program, result_of
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


@pytest.mark.parametrize(("count", "threads"), [(1, 2), (11, 1)])
def test_chunks_side_by_side_leave_blas_one_thread_each(
    count: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_module, "CHUNK_VALUES", 4 * 48)
    program, blas = convolutional(), ThreadpoolController()
    seen: set[int] = set()
    with blas.limit(limits=2, user_api="blas"):
        program(codes_of(program, count), lambda _: seen.update(threads_of(blas)))
        assert (seen, threads_of(blas)) == ({threads}, {2})


@pytest.mark.parametrize(("said", "wanted"), [("1", 1), ("3", 3), ("64", 4), ("0", 4), ("4,2", 4), ("", 4)])
def test_threads_are_those_of_openmp_but_at_most_one_a_core(
    said: str, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    program_module._cores.cache_clear()
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert program_module.threads() == wanted
    program_module._cores.cache_clear()


def test_inputs_are_shared_among_the_threads_where_it_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_module, "threads", lambda: 2)
    program, sizes = convolutional(), list[int]()
    program(codes_of(program, 11), sizes.append)
    monkeypatch.setattr(program_module, "SHARED_VALUES", 4 * 48)
    program(codes_of(program, 11), sizes.append)
    assert sizes == [11, 6, 5]


def test_result_is_never_the_callers_own_array() -> None:
    codes = np.array([[1, 2]])
    result = Program((Input("x", "", (2,), CODE),))(codes)
    result[0, 0] = 7
    assert codes.tolist() == [[1, 2]]


def threads_of(blas: ThreadpoolController) -> set[int]:
    """Threads that each library of BLAS may start now."""
    return {library["num_threads"] for library in blas.info() if library["user_api"] == "blas"}


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


WIDEST_PRODUCT = 40
"""Bits: products of products would leave 64."""

FORMS = (Bipolar(), format_of(0.5, 3, signed=True), format_of(2.0, 2, signed=False), format_of(1.0, 4, signed=True))


def layer(rng: np.random.Generator, name: str, source: str, tensor: Tensor) -> Operation:
    """A layer of up to three outputs."""
    shape, channels = tensor.shape, tensor.shape[-1]
    if len(shape) == 1:
        bias = rng.integers(-9, 9, 3) if rng.integers(2) else None
        return Dense(name, source, rng.integers(1, 3) * rng.integers(-3, 4, (channels, 3)), CODE, bias)
    pads = (1, 0, 0, 1) if rng.integers(2) and tensor.format != Bipolar() else (0, 0, 0, 0)
    rows, columns = min(2, shape[0]), min(2, shape[1])
    if rng.integers(2):
        return DepthwiseConv2d(name, source, rng.integers(-3, 4, (rows, columns, channels)), CODE, None, (1, 1), pads)
    return Conv2d(name, source, rng.integers(-3, 4, (rows, columns, channels, 2)), CODE, None, (2, 1), pads)


def activation(rng: np.random.Generator, name: str, source: str, tensor: Tensor) -> Operation:
    """What ends in a format, or an affine that ends in none."""
    channels, form = tensor.shape[-1], FORMS[rng.integers(len(FORMS))]
    lowest, highest = tensor.interval.ends
    factors, offsets = rng.choice([-3, -1, 2, 3], channels), rng.integers(-9, 9, channels)
    kind = rng.integers(5)
    if kind == 0:
        return Affine(name, source, factors if rng.integers(2) else np.full(channels, 2), offsets, 1)
    if kind == 1 and highest - lowest < 5000:
        codes = rng.integers(form.lowest, form.highest + 1, highest - lowest + 1)
        return Table(name, source, np.where(codes == 0, 1, codes) if form == Bipolar() else codes, lowest, form)
    if isinstance(form, Bipolar):
        thresholds = rng.integers(lowest, highest + 2, (channels, 1))
        return Threshold(name, source, thresholds, rng.integers(0, 2, channels) > 0, form)
    if kind == 2:
        return MultiplyAdd(name, source, factors, offsets, 2, form)
    return Requantize(name, source, form)


def movement(rng: np.random.Generator, name: str, source: str, tensor: Tensor) -> Operation:
    """What moves values, or takes the greatest of them."""
    shape = tensor.shape
    if len(shape) == 1:
        return Reshape(name, source, (1, 1, shape[0]))
    choices = (
        MaxPool2d(name, source, (min(2, shape[0]), 1), (1, 1)),
        Upsample(name, source, (1, 2)),
        Transpose(name, source, tuple(rng.permutation(3).tolist())),
        Flatten(name, source),
        Reshape(name, source, (shape[1], shape[0], shape[2])),
    )
    return choices[rng.integers(5)]


def joint(rng: np.random.Generator, name: str, source: str, tensors: dict[str, Tensor]) -> Operation:
    """A join with whatever has the same shape, itself if nothing else has."""
    partners = [other for other, tensor in tensors.items() if tensor.shape == tensors[source].shape]
    partner = partners[rng.integers(len(partners))]
    wide = sum(tensors[each].format.width for each in (source, partner)) > WIDEST_PRODUCT
    kinds = (Add, Concat) if wide else (Add, Concat, Multiply)
    return kinds[rng.integers(len(kinds))](name, source, partner)


def random_program(rng: np.random.Generator) -> Program:
    """Operations of every kind, each on one of the last tensors that there are."""
    form = FORMS[rng.integers(3)]
    port = form.plain() if isinstance(form, FixedPoint) else form
    operations: list[Operation] = [Input("x", "", (4, 3, 2) if rng.integers(4) else (6,), port)]
    tensors = {"x": result_of(operations[0], {})}
    for index in range(int(rng.integers(2, 12))):
        name, source = f"t{index}", list(tensors)[-1 - int(rng.integers(min(3, len(tensors))))]
        kind = rng.integers(4)
        if kind == 3:
            made = joint(rng, name, source, tensors)
        else:
            made = (layer, activation, movement)[kind](rng, name, source, tensors[source])
        tensors[name] = result_of(made, tensors)
        operations.append(made)
    return Program(tuple(operations))


@settings(deadline=None, max_examples=150)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_tensor_of_a_random_program_leaves_its_interval_stride_or_format(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program = random_program(rng)
    form = program.input.format
    codes = rng.integers(form.lowest, form.highest + 1, (40, *program.input.shape))
    codes[0], codes[1] = form.lowest, form.highest
    codes = np.where(codes == 0, 1, codes) if form == Bipolar() else codes
    for name, found in program.trace(codes):
        tensor = program.tensors[name]
        assert found.shape[1:] == tensor.shape
        assert (found >= tensor.interval.lowest).all()
        assert (found <= tensor.interval.highest).all()
        assert ((found - tensor.interval.lowest) % tensor.interval.stride == 0).all()
        assert ((tensor.interval.highest - tensor.interval.lowest) % tensor.interval.stride == 0).all()
        assert tensor.format.holds(*tensor.interval.ends)


def test_weights_that_two_operations_share_count_once() -> None:
    code, weight = FixedPoint(4, 4), np.array([[1, 2], [3, -1]])
    shared = [Dense(name, "x", weight.copy(), code, None) for name in ("a", "b")]
    other = Dense("c", "x", weight + 1, code, None)
    wider = Dense("d", "x", weight, FixedPoint(5, 5), None)
    program = Program((Input("x", "", (2,), code), *shared, other, wider, Add("sum", "a", "b")))
    assert (program.weights, program.weight_bits) == (12, 4 * 4 + 4 * 4 + 4 * 5)
