"""The benchmark of 1-bit networks, on a small one."""

import time

import numpy as np
import pytest

from bitwright.cli import benchmark_packed
from bitwright.cli.benchmark_packed import BLAS, PACKED, contest, measure, with_blas
from bitwright.export.operations import Dense, Input
from bitwright.export.program import Program
from bitwright.models.settings import ModelSettings
from bitwright.quant.bipolar import Bipolar

SMALL = ModelSettings(hidden=(4,)), (1, 28, 28)


def test_every_way_is_timed_and_the_integers_are_equal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark_packed, "NETWORKS", {"small": SMALL})
    assert measure(["small"], (1, 3), 1, time.perf_counter)
    said = capsys.readouterr().out
    assert "integers equal: Brevitas, BLAS, packed" in said
    assert [line.split()[1:4:2] for line in said.splitlines() if "small" in line] == [["small", "1"], ["small", "3"]]


def test_integers_that_differ_are_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(benchmark_packed, "NETWORKS", {"small": SMALL})
    monkeypatch.setattr(Dense, "run_blas", lambda self, codes, form: codes @ self.weight + 1)
    assert not measure(["small"], (1,), 1, time.perf_counter)
    assert "integers DIFFERENT" in capsys.readouterr().out


def test_times_are_medians_of_a_call() -> None:
    one, now = contest(*SMALL, 2), iter(range(1000))
    assert one.seconds(1, 3, lambda: float(next(now)))[PACKED] == 1 / benchmark_packed.CALLS
    assert one.seconds(2, 2, lambda: float(next(now)))[BLAS] == 1 / (benchmark_packed.CALLS // 2)


def test_program_with_blas_has_no_layer_that_takes_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, codes = np.array([[1], [-1]]), np.array([[1, 1], [1, -1]])
    program = with_blas(Program((Input("x", "", (2,), Bipolar()), Dense("fc", "x", weight, Bipolar(), None))))
    monkeypatch.setattr("bitwright.export.packed.PackedLayer.dense", lambda self, codes: 1 / 0)
    assert program(codes).tolist() == [[0], [2]]
