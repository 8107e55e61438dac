"""Layers of 1-bit weights on packed words, against plain products of 64-bit integers."""

import ctypes
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from bitwright.export import native, packed
from bitwright.export.operations import Conv2d, Dense, Integers
from bitwright.export.packed import PackedLayer, levels_of, pack
from bitwright.quant.bipolar import Bipolar, Format
from bitwright.quant.fixed_point import FixedPoint

SEEDS = st.integers(0, 2**32 - 1)
FORMATS = st.one_of(
    st.just(Bipolar()),
    st.builds(lambda width, signed: FixedPoint(width, 0, signed=signed), st.integers(2, 8), st.booleans()),
)


@pytest.fixture(scope="module", params=["native", "x86-64-v3"])
def most_planes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Take the library for this machine or for one with AVX2 alone; give how many planes it takes."""
    gcc = shutil.which("g++")
    if gcc is None:
        pytest.skip("g++ is not on the PATH")
    try:
        made = native.load(native.build(gcc, tmp_path_factory.mktemp("native"), request.param))
    except (subprocess.CalledProcessError, OSError):
        pytest.skip("this machine has no AVX2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "library", lambda: made)
        yield ctypes.c_int.in_dll(made, "bitwright_most_planes").value


def layer_of(weight: Integers, bias: Integers | None, form: Format, *, padded: bool = False) -> PackedLayer:
    """The weights as bits, which they can be."""
    levels = levels_of(form, padded=padded)
    assert levels is not None
    layer = pack(weight.reshape(-1, weight.shape[-1]), bias, levels)
    assert layer is not None
    return layer


def signs(rng: np.random.Generator, *shape: int) -> Integers:
    return rng.choice(np.array([-1, 1]), shape)


def codes_of(rng: np.random.Generator, form: Format, *shape: int) -> Integers:
    return signs(rng, *shape) if isinstance(form, Bipolar) else rng.integers(form.lowest, form.highest + 1, shape)


def convolved(operation: Conv2d, codes: Integers) -> Integers:
    """The sum over every window, of integers, each window by itself."""
    top, left, bottom, right = operation.padding
    codes = np.pad(codes, ((0, 0), (top, bottom), (left, right), (0, 0)))
    windows = sliding_window_view(codes, operation.weight.shape[:2], axis=(1, 2))  # (N, H', W', C, KH, KW)
    windows = windows[:, :: operation.stride[0], :: operation.stride[1]]
    sums: Integers = np.einsum("nyxcij,ijcf->nyxf", windows, operation.weight)
    return sums if operation.bias is None else sums + operation.bias


@settings(deadline=None, max_examples=100)
@given(seed=SEEDS, form=FORMATS, rows=st.integers(0, 70), taps=st.integers(1, 300), filters=st.integers(1, 20))
def test_dense_layer_is_the_product_of_integers(
    most_planes: int, seed: int, form: Format, rows: int, taps: int, filters: int
) -> None:
    rng = np.random.default_rng(seed)
    codes, weight = codes_of(rng, form, rows, taps), signs(rng, taps, filters)
    bias = rng.integers(-99, 100, filters) if seed % 2 else None
    wanted = codes @ weight + (0 if bias is None else bias)
    layer = layer_of(weight, bias, form)
    found = layer.dense(codes)
    assert (found is None) == (layer.levels.planes > most_planes)
    assert found is None or found.tolist() == wanted.tolist()
    operation = Dense("fc", "x", weight, Bipolar(), bias)
    assert operation.run(codes, form).tolist() == operation.run_blas(codes, form).tolist() == wanted.tolist()


@settings(deadline=None, max_examples=100)
@given(data=st.data(), form=FORMATS)
def test_convolution_is_the_sum_of_each_window(most_planes: int, data: st.DataObject, form: Format) -> None:
    def draw(least: int, most: int) -> int:
        return data.draw(st.integers(least, most))

    kernel, stride, channels = (draw(1, 4), draw(1, 4)), (draw(1, 3), draw(1, 3)), draw(1, 80)
    padding = (draw(0, 2), draw(0, 2), draw(0, 2), draw(0, 2)) if draw(0, 1) else (0, 0, 0, 0)
    height, width = kernel[0] + draw(0, 3), kernel[1] + draw(0, 12)
    rng = np.random.default_rng(draw(0, 2**32 - 1))
    bias = rng.integers(-99, 100, 3) if draw(0, 1) else None
    operation = Conv2d("conv", "x", signs(rng, *kernel, channels, 3), Bipolar(), bias, stride, padding)
    codes = codes_of(rng, form, draw(1, 3), height, width, channels)
    wanted = convolved(operation, codes)
    layer = layer_of(operation.weight, bias, form, padded=any(padding))
    found = layer.conv2d(codes, kernel, stride, padding)
    assert (found is None) == (layer.levels.planes > most_planes)
    assert found is None or found.tolist() == wanted.tolist()
    assert operation.run(codes, form).tolist() == operation.run_blas(codes, form).tolist() == wanted.tolist()


@pytest.mark.usefixtures("most_planes")
@pytest.mark.parametrize("taps", [1, 63, 64, 65, 127, 128, 129])
@pytest.mark.parametrize("sign", [-1, 1])
def test_ends_of_the_range_are_reached_beside_a_words_edge(taps: int, sign: int) -> None:
    found = layer_of(np.ones((taps, 1), np.int64), None, Bipolar()).dense(np.full((1, taps), sign))
    assert found is not None
    assert found.tolist() == [[sign * taps]]


@pytest.mark.usefixtures("most_planes")
def test_codes_of_another_memory_order_and_type_are_the_same_codes() -> None:
    rng = np.random.default_rng(1)
    codes, weight = signs(rng, 9, 70), signs(rng, 70, 5)
    operation = Dense("fc", "x", weight, Bipolar(), None)
    others: list[Any] = [np.asfortranarray(codes), codes.astype(np.int8), np.repeat(codes, 2, axis=1)[:, ::2]]
    for same in others:
        assert operation.run(same, Bipolar()).tolist() == (codes @ weight).tolist()


@pytest.mark.usefixtures("most_planes")
@pytest.mark.parametrize("wrong", [0, 3, -3, 2**40, -(2**63)])
def test_code_beyond_its_format_is_left_to_blas(wrong: int) -> None:
    rng = np.random.default_rng(2)
    codes, weight = signs(rng, 4, 65), signs(rng, 65, 3)
    codes[2, 64] = wrong
    layer = layer_of(weight, None, Bipolar())
    assert layer.dense(codes) is None
    assert layer.conv2d(codes.reshape(1, 4, 1, 65), (1, 1), (1, 1), (0, 0, 0, 0)) is None
    operation = Dense("fc", "x", weight, Bipolar(), None)
    assert operation.run(codes, Bipolar()).tolist() == operation.run_blas(codes, Bipolar()).tolist()


@pytest.mark.usefixtures("most_planes")
def test_codes_of_another_length_are_refused_as_numpy_refuses_them() -> None:
    rng = np.random.default_rng(4)
    dense = Dense("fc", "x", signs(rng, 65, 3), Bipolar(), None)
    conv = Conv2d("conv", "x", signs(rng, 1, 1, 65, 3), Bipolar(), None, (1, 1), (0, 0, 0, 0))
    for length in (64, 66):
        with pytest.raises(ValueError, match="mismatch in its core dimension"):
            dense.run(signs(rng, 2, length), Bipolar())
        with pytest.raises(ValueError, match=r"mismatch in its core dimension|cannot reshape"):
            conv.run(signs(rng, 2, 1, 1, length), Bipolar())


@pytest.mark.parametrize("weight", [np.array([[1], [0]]), np.array([[1], [-2]]), np.zeros((0, 1), np.int64)])
def test_weights_other_than_plus_and_minus_one_are_not_packed(weight: Integers) -> None:
    levels = levels_of(Bipolar())
    assert levels is not None
    assert pack(weight, None, levels) is None
    operation = Dense("fc", "x", weight, FixedPoint(2, 2), None)
    codes = np.ones((3, len(weight)), np.int64)
    assert operation.run(codes, Bipolar()).tolist() == (codes @ weight).tolist()


def test_codes_of_more_than_eight_bits_are_not_packed() -> None:
    levels = levels_of(FixedPoint(8, 8))
    assert levels is not None
    assert (levels.lowest, levels.highest, levels.planes) == (-128, 255, 8)
    assert levels_of(FixedPoint(9, 9)) is None
    operation = Dense("fc", "x", np.array([[1], [-1]]), Bipolar(), None)
    assert operation.run(np.array([[255, -256]]), FixedPoint(9, 9)).tolist() == [[511]]


def test_replaced_weights_are_packed_anew() -> None:
    first = Dense("fc", "x", np.array([[1], [1]]), Bipolar(), None)
    codes = np.array([[1, -1]])
    assert first.run(codes, Bipolar()).tolist() == [[0]]
    assert replace(first, weight=np.array([[1], [-1]])).run(codes, Bipolar()).tolist() == [[2]]


def test_without_a_compiler_the_integers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    dense = Dense("fc", "x", signs(rng, 100, 7), Bipolar(), None)
    conv = Conv2d("conv", "x", signs(rng, 3, 3, 5, 7), Bipolar(), None, (1, 1), (1, 1, 1, 1))
    codes, images = signs(rng, 20, 100), signs(rng, 2, 6, 6, 5)
    found = dense.run(codes, Bipolar()), conv.run(images, Bipolar())
    monkeypatch.setattr(packed, "library", lambda: None)
    assert (dense.run(codes, Bipolar()) == found[0]).all()
    assert (conv.run(images, Bipolar()) == found[1]).all()


def test_a_layer_that_has_run_can_be_copied_to_another_process(most_planes: int) -> None:
    rng = np.random.default_rng(1)
    dense = Dense("fc", "x", signs(rng, 70, 9), Bipolar(), None)
    codes = signs(rng, 5, 70)
    wanted = dense.run(codes, Bipolar())
    again = pickle.loads(pickle.dumps(dense))  # noqa: S301 - our own
    assert (again.run(codes, Bipolar()) == wanted).all()


def test_threads_share_a_layer(most_planes: int) -> None:
    rng = np.random.default_rng(2)
    codes, interval = signs(rng, 3, 130), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(50):
                layer = layer_of(signs(rng, 130, 20), None, Bipolar())
                results = list(pool.map(lambda _, layer=layer: layer.dense(codes), range(8)))
                assert all(result is not None and (result == results[0]).all() for result in results)
    finally:
        sys.setswitchinterval(interval)
