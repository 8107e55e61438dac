"""Damaged files: each is read, or refused in one line a problem, and never ends in anything else."""

import time
import warnings
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mutants import SOUND, mutant
from random_graphs import RandomGraph, random_graphs

from bitwright.export.lower import lower
from bitwright.export.qonnx_file import load

SECONDS = 10
"""No file of a few kilobytes may take longer; it takes milliseconds."""


@pytest.mark.parametrize("name", SOUND)
def test_graphs_that_the_mutants_are_made_of_are_sound(name: str, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(SOUND[name].model.SerializeToString())
    load(tmp_path / "m.onnx")


def said(path: Path) -> str:
    """Return what a file is refused with, "" if it is read; all else than a refusal is raised."""
    try:
        load(path)
    except ValueError as error:
        return str(error)
    return ""


def is_sound(lines: str, path: Path) -> bool:
    """Whether there is nothing, or lines of `<file>: <what is wrong>; <what to do>`."""
    return not lines or all(
        line.startswith(f"{path}: ") and "; " in line and line.isprintable() for line in lines.split("\n")
    )


@settings(deadline=None, max_examples=300)
@given(name=st.sampled_from(sorted(SOUND)), seed=st.integers(0, 2**32 - 1))
@example(name="folded", seed=1008697365)  # a domain that is not UTF-8
@example(name="folded", seed=2690)  # onnx's own data_prop took 24 GB
def test_mutant_is_read_or_refused(name: str, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "mutant.onnx"
    path.write_bytes(mutant(SOUND[name].model, seed))
    began = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lines = said(path)
    assert is_sound(lines, path), lines
    assert time.monotonic() - began < SECONDS


@settings(deadline=None, max_examples=150)
@given(drawn=random_graphs(), seed=st.integers(0, 2**32 - 1))
def test_mutant_of_a_random_graph_is_read_or_refused(
    drawn: RandomGraph, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutant.onnx"
    path.write_bytes(mutant(drawn.model().model, seed))
    lines = said(path)
    assert is_sound(lines, path), lines


@pytest.mark.parametrize("length", range(0, 400, 7))
def test_file_that_is_cut_is_refused_or_read(length: int, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(SOUND["folded"].model.SerializeToString()[:length])
    lines = said(path)
    assert is_sound(lines, path), lines


@settings(deadline=None, max_examples=300)
@given(name=st.sampled_from(sorted(SOUND)), seed=st.integers(0, 2**32 - 1))
@example(name="folded", seed=11000138)  # Dropout of a constant, ratio 2
@example(name="folded", seed=9005609)  # perm of another number of axes
@example(name="folded", seed=9002396)  # a declared size that is open
def test_mutant_is_lowered_or_refused(name: str, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "lowered_mutant.onnx"
    path.write_bytes(mutant(SOUND[name].model, seed))
    lines = ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            lower(load(path), str(path))
        except ValueError as error:
            lines = str(error)
    assert is_sound(lines, path), lines
